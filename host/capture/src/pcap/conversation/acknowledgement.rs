//! What an end says that it has received: what is not here by then was not captured.

use bytes::Bytes;

use super::super::roles::Side;
use super::super::sequence::{MID_STREAM_START, Sequence};
use super::Conversation;
use super::sender::Told;
use crate::event::{Confirmed, ConnectionKey, Data, Direction, Layer, Missing, Nanos, SocketEvent};

/// How long no packet of a direction is there before its acknowledgements stand for them: captures
/// from several queues are out of order.
const UNSEEN_PATIENCE: Nanos = 50_000_000;

impl Conversation {
    /// `to` has sent everything below `number`, says its peer.
    pub(super) fn acknowledge(
        &mut self,
        to: Side,
        number: u32,
        now: Nanos,
        events: &mut Vec<SocketEvent>,
    ) {
        let key = self.key;
        let direction = self.direction(to);
        let sender = self.sender_mut(to);
        let Some(sequence) = sender.sequence else {
            if !sender.seen {
                self.acknowledge_unseen(to, number, now, events);
            }
            return;
        };
        let Some(position) = sequence
            .position(number)
            .and_then(|position| u64::try_from(position).ok())
        else {
            return;
        };
        // The end of a stream counts as a byte.
        let mut position = sender.end.map_or(position, |end| position.min(end));
        if position <= sender.contiguous {
            return;
        }
        let highest = sequence.highest();
        if position > highest && self.made.is_some() {
            self.pass_over(to, position, now, events);
            return;
        }
        let sender = self.sender_mut(to);
        if position > highest {
            // One more than was captured is an end that was not.
            if position.saturating_sub(highest) == 1 {
                return;
            }
            let Some(doubtful) = sender
                .doubtful
                .replace(position)
                .filter(|doubtful| *doubtful <= position)
            else {
                return;
            };
            // Both agree on this much. The rest may be an end, or waits for a third.
            position = doubtful;
            if position <= highest {
                return;
            }
            if let (Some(known), Ok(ahead)) = (
                &mut sender.sequence,
                u32::try_from(position.saturating_sub(highest)),
            ) {
                known.advance_by(ahead);
            }
        }
        if let Some(direction) = direction {
            events.push(SocketEvent::Confirmed(Confirmed {
                key,
                direction,
                position,
                time: now,
            }));
        }
    }

    /// In a file that Wirespan wrote an acknowledgement tells, when it passed, of what was not
    /// captured.
    fn pass_over(&mut self, to: Side, position: u64, now: Nanos, events: &mut Vec<SocketEvent>) {
        let (key, layer) = (self.key, self.layer());
        let direction = self.direction(to);
        let sender = self.sender_mut(to);
        let Some(sequence) = &mut sender.sequence else {
            return;
        };
        let highest = sequence.highest();
        let len = position.saturating_sub(highest);
        if let Ok(step) = u32::try_from(len) {
            sequence.advance_by(step);
        }
        if sender.contiguous >= highest {
            sender.contiguous = position;
        }
        if let Some(direction) = direction {
            events.push(gap(key, direction, layer, highest, len, now));
        }
    }

    /// Nothing of `to` was captured, not even how it began: what it sent is a gap, from the first
    /// acknowledgement on.
    fn acknowledge_unseen(
        &mut self,
        to: Side,
        number: u32,
        now: Nanos,
        events: &mut Vec<SocketEvent>,
    ) {
        let (key, layer) = (self.key, self.layer());
        let direction = self.direction(to);
        let told = self.sender_mut(to).told.get_or_insert(Told {
            since: now,
            sequence: Sequence::new(number, MID_STREAM_START),
            doubtful: None,
        });
        let highest = told.sequence.highest();
        let position = told
            .sequence
            .position(number)
            .and_then(|p| u64::try_from(p).ok());
        let Some(ahead) = position.and_then(|position| position.checked_sub(highest)) else {
            return;
        };
        // One more can be its end. Of more, two have to agree, and the rest waits for a third.
        if ahead <= 1 {
            return;
        }
        let before = told.doubtful.replace(highest.saturating_add(ahead));
        let Some(len) = before.and_then(|before| before.checked_sub(highest)) else {
            return;
        };
        if len <= 1 || len > ahead || now.saturating_sub(told.since) < UNSEEN_PATIENCE {
            return;
        }
        let (Some(direction), Ok(step)) = (direction, u32::try_from(len)) else {
            return;
        };
        told.sequence.advance_by(step);
        events.push(gap(key, direction, layer, highest, len, now));
    }
}

/// Bytes that passed and were not captured.
fn gap(
    key: ConnectionKey,
    direction: Direction,
    layer: Layer,
    position: u64,
    len: u64,
    now: Nanos,
) -> SocketEvent {
    SocketEvent::Data(Data {
        key,
        direction,
        layer,
        position,
        len,
        bytes: Bytes::new(),
        entry: now,
        exit: now,
        missing: Missing::Packet,
    })
}
