//! Frames on the wire (RFC 9113, 4 and 6).

/// What a client sends first (RFC 9113, 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Length of a frame's header.
pub(crate) const HEADER_BYTES: usize = 9;

/// `SETTINGS_MAX_FRAME_SIZE` where nothing else was agreed (RFC 9113, 6.5.2).
pub const DEFAULT_FRAME_BYTES: u32 = 16_384;

/// The largest value that it can have.
pub const LARGEST_FRAME_BYTES: u32 = (1 << 24) - 1;

pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
pub(crate) const PADDED: u8 = 0x8;
pub(crate) const PRIORITY: u8 = 0x20;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    Data,
    Headers,
    Priority,
    Reset,
    Settings,
    PushPromise,
    Ping,
    GoAway,
    WindowUpdate,
    Continuation,
    /// An extension: to be ignored.
    #[default]
    Other,
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Bytes that follow the header.
    pub len: u32,
    pub kind: Kind,
    pub flags: u8,
    pub stream: u32,
}

impl Header {
    /// `None`: incomplete.
    #[inline(always)]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let &[a, b, c, kind, flags, s, t, u, v, ..] = bytes else {
            return None;
        };
        let kind = match kind {
            0 => Kind::Data,
            1 => Kind::Headers,
            2 => Kind::Priority,
            3 => Kind::Reset,
            4 => Kind::Settings,
            5 => Kind::PushPromise,
            6 => Kind::Ping,
            7 => Kind::GoAway,
            8 => Kind::WindowUpdate,
            9 => Kind::Continuation,
            _ => Kind::Other,
        };
        Some(Self {
            len: u32::from_be_bytes([0, a, b, c]),
            kind,
            flags,
            stream: u32::from_be_bytes([s & 0x7f, t, u, v]),
        })
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Length and stream as the kind of the frame wants them. `largest`: the frame size agreed.
    #[inline(always)]
    pub fn check(&self, largest: u32) -> Result<(), &'static str> {
        if self.len > largest {
            return Err("frame larger than agreed");
        }
        let pad = u32::from(self.has(PADDED));
        let (length, stream) = match self.kind {
            Kind::Data => (self.len >= pad, self.stream != 0),
            Kind::Headers => {
                let priority = if self.has(PRIORITY) { 5 } else { 0 };
                (self.len >= pad + priority, self.stream != 0)
            }
            Kind::Priority => (self.len == 5, self.stream != 0),
            Kind::Reset => (self.len == 4, self.stream != 0),
            Kind::Settings if self.has(ACK) => (self.len == 0, self.stream == 0),
            Kind::Settings => (self.len.is_multiple_of(6), self.stream == 0),
            Kind::PushPromise => (self.len >= pad + 4, self.stream != 0),
            Kind::Ping => (self.len == 8, self.stream == 0),
            Kind::GoAway => (self.len >= 8, self.stream == 0),
            Kind::WindowUpdate => (self.len == 4, true),
            Kind::Continuation => (true, self.stream != 0),
            Kind::Other => (true, true),
        };
        match (length, stream) {
            (true, true) => Ok(()),
            (false, _) => Err("frame of a wrong length"),
            (_, false) => Err("frame on a wrong stream"),
        }
    }
}

/// The first four bytes as a number.
pub(crate) fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|&four| u32::from_be_bytes(four))
}

/// The header block fragment of a HEADERS frame (RFC 9113, 6.2), without padding and priority.
pub fn headers_fragment<'a>(header: &Header, payload: &'a [u8]) -> Option<&'a [u8]> {
    let fragment = without_padding(header, payload)?;
    if header.has(PRIORITY) {
        fragment.get(5..)
    } else {
        Some(fragment)
    }
}

/// The promised stream and the header block fragment of a PUSH_PROMISE frame (RFC 9113, 6.6).
pub fn promise<'a>(header: &Header, payload: &'a [u8]) -> Option<(u32, &'a [u8])> {
    let fragment = without_padding(header, payload)?;
    Some((number(fragment)? & 0x7fff_ffff, fragment.get(4..)?))
}

fn without_padding<'a>(header: &Header, payload: &'a [u8]) -> Option<&'a [u8]> {
    if !header.has(PADDED) {
        return Some(payload);
    }
    let (&pad, rest) = payload.split_first()?;
    rest.get(..rest.len().checked_sub(usize::from(pad))?)
}

/// The settings that matter here (RFC 9113, 6.5.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Largest dynamic table that the other side may use.
    pub table_bytes: Option<u32>,
    /// Largest frame that the other side may send.
    pub frame_bytes: Option<u32>,
}

impl Settings {
    pub fn read(payload: &[u8]) -> Result<Self, &'static str> {
        let mut settings = Self::default();
        for setting in payload.chunks_exact(6) {
            let &[a, b, c, d, e, f] = setting else {
                continue;
            };
            let value = u32::from_be_bytes([c, d, e, f]);
            match u16::from_be_bytes([a, b]) {
                1 => settings.table_bytes = Some(value),
                5 if (DEFAULT_FRAME_BYTES..=LARGEST_FRAME_BYTES).contains(&value) => {
                    settings.frame_bytes = Some(value);
                }
                5 => return Err("frame size that is not allowed"),
                _ => {}
            }
        }
        Ok(settings)
    }
}

/// Names of the error codes (RFC 9113, 7).
pub(crate) fn error_name(code: u32) -> Option<&'static str> {
    Some(match code {
        0x0 => "NO_ERROR",
        0x1 => "PROTOCOL_ERROR",
        0x2 => "INTERNAL_ERROR",
        0x3 => "FLOW_CONTROL_ERROR",
        0x4 => "SETTINGS_TIMEOUT",
        0x5 => "STREAM_CLOSED",
        0x6 => "FRAME_SIZE_ERROR",
        0x7 => "REFUSED_STREAM",
        0x8 => "CANCEL",
        0x9 => "COMPRESSION_ERROR",
        0xa => "CONNECT_ERROR",
        0xb => "ENHANCE_YOUR_CALM",
        0xc => "INADEQUATE_SECURITY",
        0xd => "HTTP_1_1_REQUIRED",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(len: u32, kind: u8, flags: u8, stream: u32) -> Header {
        let mut bytes = len.to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        for short in 0..HEADER_BYTES {
            assert_eq!(Header::read(&bytes[..short]), None);
        }
        Header::read(&bytes).unwrap()
    }

    #[test]
    fn lengths_and_streams_are_checked_by_kind() {
        let cases = [
            ((0, 0, 0, 1), true),
            ((0, 0, PADDED, 1), false),
            ((5, 0, 0, 0), false),
            ((16_385, 0, 0, 1), false),
            ((4, 1, PRIORITY, 1), false),
            ((6, 1, PRIORITY | PADDED, 1), true),
            ((4, 2, 0, 1), false),
            ((5, 2, 0, 1), true),
            ((4, 3, 0, 1), true),
            ((5, 3, 0, 1), false),
            ((12, 4, 0, 0), true),
            ((13, 4, 0, 0), false),
            ((6, 4, ACK, 0), false),
            ((6, 4, 0, 3), false),
            ((3, 5, 0, 1), false),
            ((7, 6, 0, 0), false),
            ((8, 6, 0, 1), false),
            ((7, 7, 0, 0), false),
            ((8, 7, 0, 0), true),
            ((4, 8, 0, 0), true),
            ((5, 8, 0, 0), false),
            ((0, 9, 0, 0), false),
            ((100, 77, 0xff, 9), true),
        ];
        for ((len, kind, flags, stream), good) in cases {
            let header = header(len, kind, flags, stream);
            assert_eq!(
                header.check(DEFAULT_FRAME_BYTES).is_ok(),
                good,
                "{header:?}"
            );
        }
    }

    #[test]
    fn padding_and_priority_are_taken_off() {
        let padded = header(10, 1, PADDED | PRIORITY, 1);
        let payload = b"\x02\x00\x00\x00\x00\x10abxx";
        assert_eq!(headers_fragment(&padded, payload), Some(&b"ab"[..]));
        assert_eq!(headers_fragment(&padded, b"\x0a\0\0\0\0\x10abxx"), None);
        let promised = header(8, 5, PADDED, 1);
        assert_eq!(
            promise(&promised, b"\x01\x80\0\0\x02abx"),
            Some((2, &b"ab"[..]))
        );
        assert_eq!(promise(&promised, b"\x05\0\0\0\x02abx"), None);
    }
}
