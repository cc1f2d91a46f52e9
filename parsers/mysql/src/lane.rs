//! One direction of a connection: how far it is read.

use crate::frames::Frames;
use crate::wire::Header;

#[derive(Debug, Default)]
pub(crate) struct Lane {
    /// Where packets begin is not known.
    pub(crate) seek: bool,
    /// Up to where it is read.
    pub(crate) position: u64,
    /// Up to where it was shown.
    pub(crate) seen: u64,
    /// When the last byte passed that was read or stepped over.
    pub(crate) time: u64,
    /// Where the packet ends whose rest is stepped over; not after `position` when there is none.
    pub(crate) body_end: u64,
    /// The packet at hand has the greatest length: the next one continues its payload.
    pub(crate) continued: bool,
    /// A payload was begun and is not over.
    pub(crate) open: bool,
    /// Sequence of the last packet.
    pub(crate) sequence: u8,
    /// The packet whose header was read, while more of it is waited for.
    pub(crate) pending: Option<Box<Packet>>,
    /// What was shown waits for the other side: that is not read beyond what it may have waited for.
    pub(crate) holds: bool,
    /// The client's: the last in the queue is what is open.
    pub(crate) owner: bool,
    /// The bytes are compressed; `frames` is not here while it is at work.
    pub(crate) compressed: bool,
    pub(crate) frames: Option<Box<Frames>>,
    /// Bytes of frames on the wire that were not counted to a packet yet.
    pub(crate) credit: u64,
}

/// A packet in its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub(crate) header: Header,
    pub(crate) position: u64,
    /// That on the wire.
    pub(crate) place: u64,
    /// When its first byte passed.
    pub(crate) start: u64,
    /// When its last byte passed, as far as it was shown.
    pub(crate) end: u64,
    /// What it took on the wire.
    pub(crate) bytes: u64,
}

impl Packet {
    pub(crate) fn end_position(&self) -> u64 {
        self.position
            .saturating_add(crate::wire::HEADER)
            .saturating_add(u64::from(self.header.len))
    }
}

impl Lane {
    /// Loses its place.
    pub(crate) fn seek(&mut self) {
        self.seek = true;
        self.body_end = 0;
        self.continued = false;
        self.open = false;
        self.pending = None;
        self.owner = false;
        // Frames of which nothing was told are nobody's.
        self.credit = 0;
    }

    /// Between two messages.
    pub(crate) fn is_at_boundary(&self) -> bool {
        !self.seek && !self.open && self.position == self.seen && self.body_end <= self.position
    }
}
