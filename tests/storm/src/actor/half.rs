//! One direction at one end of a connection.

use std::os::fd::RawFd;

use crate::content::{difference, stretch};
use crate::journal::Stretch;
use crate::random::Random;

/// What a capture copies of one call at most: `LiveConfig::call_bytes` of who watches.
pub const CALL_BYTES: usize = 1 << 20;

/// Pipes, and how many calls have been made.
#[derive(Debug)]
pub struct Tools {
    pub pipes: [[RawFd; 2]; 2],
    pub operations: u64,
}

impl Tools {
    #[must_use]
    pub fn new() -> Self {
        Self {
            pipes: [crate::calls::pipe(), crate::calls::pipe()],
            operations: 0,
        }
    }
}

impl Default for Tools {
    fn default() -> Self {
        Self::new()
    }
}

/// The sending or the receiving half of an end.
#[derive(Debug)]
pub struct Half {
    pub socket: RawFd,
    /// 0 for what is sent, 1 for what is received.
    pub direction: usize,
    pub key: u64,
    /// Bytes that have passed.
    pub position: u64,
    pub stretches: Vec<Stretch>,
    pub is_unix: bool,
    /// Set: others send or receive on this socket at the same time.
    pub contested: bool,
    /// Set: a call sends all that it is given, or fails. Else a message can be cut short and the next
    /// one be sent all the same, which would leave bytes out.
    pub whole: bool,
    /// Memory that the kernel may still refer to.
    pub kept: Vec<Vec<u8>>,
    pub zero_copy: bool,
}

impl Half {
    #[must_use]
    pub fn new(socket: RawFd, direction: usize, key: u64, is_unix: bool) -> Self {
        Self {
            socket,
            direction,
            key,
            position: 0,
            stretches: Vec::new(),
            is_unix,
            contested: false,
            whole: false,
            kept: Vec::new(),
            zero_copy: false,
        }
    }

    /// The next `len` bytes.
    #[must_use]
    pub fn next(&self, len: usize) -> Vec<u8> {
        stretch(self.key, self.position, len)
    }

    /// So many bytes have passed in a call that can be watched.
    pub fn pass(&mut self, len: usize) {
        if len > CALL_BYTES {
            let position = self.position + CALL_BYTES as u64;
            self.missing(position, (len - CALL_BYTES) as u64);
        }
        self.position += len as u64;
    }

    /// So many bytes have passed on a road that nothing can be copied from.
    pub fn pass_unseen(&mut self, len: usize) {
        if len > 0 {
            self.missing(self.position, len as u64);
        }
        self.position += len as u64;
    }

    /// A byte that is counted in the stream and read apart from it.
    pub fn skip_urgent(&mut self) {
        self.pass_unseen(1);
    }

    fn missing(&mut self, position: u64, len: u64) {
        let (direction, contested) = (self.direction, self.contested);
        if let Some(last) = self.stretches.last_mut()
            && last.position + last.len == position
            && last.contested == contested
        {
            last.len += len;
            return;
        }
        self.stretches.push(Stretch {
            direction,
            position,
            len,
            contested,
        });
    }

    /// What has been read must be what comes next.
    pub fn check(&self, bytes: &[u8], ahead: usize) {
        let position = self.position + ahead as u64;
        let found = difference(self.key, position, bytes);
        assert_eq!(
            found, None,
            "the socket itself gives other bytes at {position}"
        );
    }
}

/// Cuts `bytes` into pieces, some of them empty, at most as many as the kernel takes.
pub fn pieces(bytes: &[u8], random: &mut Random) -> Vec<libc::iovec> {
    /// `UIO_MAXIOV`.
    const MOST: usize = 1024;
    let wanted = match random.below(12) {
        0 => MOST,
        1 => random.between(90, 300),
        _ => random.between(1, 9),
    };
    let mut all = Vec::with_capacity(wanted);
    let mut rest = bytes;
    while all.len() + 1 < wanted && !rest.is_empty() {
        let len = if random.once_in(6) {
            0
        } else {
            random
                .between(1, (2 * bytes.len() / wanted).max(1))
                .min(rest.len())
        };
        let (piece, behind) = rest.split_at(len);
        all.push(crate::calls::piece(piece));
        rest = behind;
    }
    all.push(crate::calls::piece(rest));
    all
}
