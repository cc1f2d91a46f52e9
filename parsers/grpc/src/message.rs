//! Messages in DATA: a flag, four bytes of length, and that many bytes (gRPC over HTTP/2,
//! `Length-Prefixed-Message`).

/// Bytes before a message.
const PREFIX_BYTES: u8 = 5;

/// The messages of one direction of a stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Messages {
    /// Bytes of the message being read that are still to come.
    rest: u32,
    /// The prefix being read, as far as it came.
    prefix: u64,
    prefix_len: u8,
    /// Length of the message being read.
    len: u32,
    pub count: u64,
    /// Without the prefixes, as transferred.
    pub bytes: u64,
    pub compressed: bool,
    /// It does not follow the form, or bytes are missing where a prefix was: nothing is counted
    /// any more.
    pub broken: bool,
}

impl Messages {
    /// Reads on.
    pub fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.broken {
            if self.rest > 0 {
                let step = bytes.len().min(self.rest as usize);
                bytes = bytes.get(step..).unwrap_or_default();
                self.pass(step as u64);
                continue;
            }
            if let (0, Some(&[flag, a, b, c, d])) = (self.prefix_len, bytes.first_chunk()) {
                bytes = bytes.get(usize::from(PREFIX_BYTES)..).unwrap_or_default();
                self.begin(flag, u32::from_be_bytes([a, b, c, d]));
            } else if let Some((&byte, after)) = bytes.split_first() {
                bytes = after;
                self.prefix = (self.prefix << 8) | u64::from(byte);
                self.prefix_len = self.prefix_len.saturating_add(1);
                if self.prefix_len == PREFIX_BYTES {
                    let [_, _, _, flag, a, b, c, d] = self.prefix.to_be_bytes();
                    self.begin(flag, u32::from_be_bytes([a, b, c, d]));
                }
            }
        }
    }

    /// How many bytes ahead are of no interest.
    pub fn ahead(&self) -> u64 {
        if self.broken {
            u64::MAX
        } else {
            u64::from(self.rest)
        }
    }

    /// `len` bytes passed without being looked at.
    pub fn pass(&mut self, len: u64) {
        match u32::try_from(len) {
            Ok(len) if len <= self.rest && !self.broken => {
                self.rest -= len;
                if self.rest == 0 && len > 0 {
                    self.over();
                }
            }
            _ if len > 0 => self.broken = true,
            _ => {}
        }
    }

    /// Nothing of a message is outstanding.
    pub fn is_whole(&self) -> bool {
        !self.broken && self.rest == 0 && self.prefix_len == 0
    }

    fn begin(&mut self, flag: u8, len: u32) {
        self.prefix = 0;
        self.prefix_len = 0;
        if flag > 1 {
            self.broken = true;
            return;
        }
        self.compressed |= flag == 1;
        self.len = len;
        self.rest = len;
        if len == 0 {
            self.over();
        }
    }

    fn over(&mut self) {
        self.count = self.count.saturating_add(1);
        self.bytes = self.bytes.saturating_add(u64::from(self.len));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let bytes = b"\0\0\0\0\x03abc\x01\0\0\0\x00\0\0\0\0\x01z";
        for first in 0..bytes.len() {
            for second in first..bytes.len() {
                let mut messages = Messages::default();
                messages.read(&bytes[..first]);
                messages.read(&bytes[first..second]);
                messages.read(&bytes[second..]);
                assert_eq!((messages.count, messages.bytes), (3, 4));
                assert!(messages.compressed && messages.is_whole());
            }
        }
    }

    #[test]
    fn bytes_may_be_missing_within_a_message_only() {
        let mut messages = Messages::default();
        messages.read(b"\0\0\0\x10\0");
        assert_eq!(messages.ahead(), 4096);
        messages.pass(4096);
        assert!(messages.is_whole());
        messages.pass(0);
        assert!(messages.is_whole());
        messages.pass(1);
        assert!(messages.broken && !messages.is_whole());
        assert_eq!(messages.count, 1);
    }
}
