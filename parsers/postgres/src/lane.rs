//! One direction of a connection: how far it is read.

use crate::wire::Header;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The client's: a startup packet comes.
    Startup,
    /// Message after message.
    Messages,
    /// Where messages begin is not known.
    Seek,
}

#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) state: State,
    /// Up to where it is read.
    pub(crate) position: u64,
    /// Up to where it was shown.
    pub(crate) seen: u64,
    /// When the last byte passed that was read or stepped over.
    pub(crate) time: u64,
    /// Where the message ends whose rest is stepped over; not after `position` when there is none.
    pub(crate) body_end: u64,
    /// The message whose header was read, while more of it is waited for.
    pub(crate) pending: Option<Message>,
    /// What was shown waits for the other side: that is not read beyond what it may have waited for.
    pub(crate) holds: bool,
    /// The client's: the last in the queue ends at `body_end`.
    pub(crate) owner: bool,
}

/// A message in its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    pub(crate) header: Header,
    pub(crate) position: u64,
    /// When its first byte passed.
    pub(crate) start: u64,
    /// When its last byte passed, as far as it was shown.
    pub(crate) end: u64,
}

impl Message {
    pub(crate) fn end_position(&self) -> u64 {
        self.position.saturating_add(self.header.len())
    }
}

impl Lane {
    pub(crate) fn new(state: State) -> Self {
        Self {
            state,
            position: 0,
            seen: 0,
            time: 0,
            body_end: 0,
            pending: None,
            holds: false,
            owner: false,
        }
    }

    /// Loses its place.
    pub(crate) fn seek(&mut self) {
        self.state = State::Seek;
        self.body_end = 0;
        self.pending = None;
        self.owner = false;
    }

    /// Between two messages.
    pub(crate) fn is_at_boundary(&self) -> bool {
        self.state == State::Messages
            && self.position == self.seen
            && self.body_end <= self.position
    }
}
