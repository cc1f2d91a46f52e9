//! What one end has sent, as far as the capture shows it.

use std::net::SocketAddr;

use super::super::sequence::Sequence;
use crate::event::Nanos;

/// What one end has sent.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) address: SocketAddr,
    /// Anything of it was captured.
    pub(super) seen: bool,
    /// Initial sequence number, where the handshake told it.
    pub(super) initial: Option<u32>,
    /// Numbers to positions, by the end of the highest byte seen.
    pub(super) sequence: Option<Sequence>,
    pub(super) has_data: bool,
    /// Everything below was captured.
    pub(super) contiguous: u64,
    /// Position behind the last byte, once it has said so.
    pub(super) end: Option<u64>,
    /// An acknowledgement of more than was captured, which counts when another one agrees.
    pub(super) doubtful: Option<u64>,
    /// Where the stream was at a time, for one-sided captures.
    pub(super) mark: Option<(u64, Nanos)>,
    /// What is known of it by acknowledgements alone.
    pub(super) told: Option<Told>,
}

/// A direction of which no packet was captured, as the other end tells of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) since: Nanos,
    pub(super) sequence: Sequence,
    pub(super) doubtful: Option<u64>,
}

impl Sender {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            seen: false,
            initial: None,
            sequence: None,
            has_data: false,
            contiguous: 0,
            end: None,
            doubtful: None,
            mark: None,
            told: None,
        }
    }

    pub(super) fn begins_at(&mut self, initial: u32) {
        if !self.has_data {
            self.initial = Some(initial);
            self.sequence = Some(Sequence::new(initial.wrapping_add(1), 0));
        }
    }
}
