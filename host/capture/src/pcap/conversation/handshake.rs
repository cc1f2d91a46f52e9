//! How a connection begins, and how a reset ends it.

use super::super::roles::Side;
use super::super::segment::Segment;
use super::Conversation;
use crate::event::{CloseReason, Nanos};

/// A reset whose number is farther from what its sender has sent is not one of this connection
/// (RFC 5961 asks for an exact match; captures lose packets).
const RESET_WINDOW: u64 = 1 << 20;

impl Conversation {
    pub(super) fn handshake(&mut self, from: Side, segment: &Segment<'_>) {
        self.sender_mut(from).begins_at(segment.sequence);
        match segment.acknowledged {
            None => self.client = Some(from),
            Some(acknowledged) => {
                self.client = Some(from.other());
                let client = self.sender_mut(from.other());
                if client.initial.is_none() {
                    client.begins_at(acknowledged.wrapping_sub(1));
                }
            }
        }
    }

    /// The last packet of a handshake tells the server's number when its SYN was not captured.
    pub(super) fn complete_handshake(&mut self, from: Side, segment: &Segment<'_>) {
        let own = self.sender(from);
        let first = own
            .initial
            .is_some_and(|initial| segment.sequence == initial.wrapping_add(1));
        if let Some(acknowledged) = segment.acknowledged
            && first
            && self.client == Some(from)
            && !own.has_data
            && !segment.rst
        {
            let server = self.sender_mut(from.other());
            if server.initial.is_none() && server.sequence.is_none() {
                server.begins_at(acknowledged.wrapping_sub(1));
            }
        }
    }

    pub(super) fn reset(&mut self, from: Side, segment: &Segment<'_>, now: Nanos) {
        let near = self.sender(from).sequence.is_none_or(|sequence| {
            sequence.position(segment.sequence).is_some_and(|position| {
                position.unsigned_abs().abs_diff(sequence.highest()) <= RESET_WINDOW
            })
        });
        // The answer to a connection attempt has no number of its own.
        let refused = segment.sequence == 0
            && self
                .sender(from.other())
                .initial
                .map(|initial| initial.wrapping_add(1))
                == segment.acknowledged;
        if (near || refused) && self.closing.is_none() {
            self.closing = Some((now, CloseReason::Reset));
        }
    }
}
