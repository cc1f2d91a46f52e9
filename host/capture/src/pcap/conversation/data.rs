//! What an end has sent, and that this was all.

use bytes::Bytes;

use super::super::roles::Side;
use super::super::segment::Piece;
use super::super::sequence::{MID_STREAM_START, Sequence};
use super::Conversation;
use crate::event::{CloseReason, Confirmed, Data, Direction, End, Missing, Nanos, SocketEvent};

/// Where only one side was captured nothing acknowledges: a hole is given up after this.
const ONE_SIDED_PATIENCE: Nanos = 1_000_000_000;

impl Conversation {
    pub(super) fn data(
        &mut self,
        from: Side,
        number: u32,
        payload: Piece<'_>,
        now: Nanos,
        events: &mut Vec<SocketEvent>,
    ) {
        let (key, layer) = (self.key, self.layer());
        let one_sided = !self.sender(from.other()).seen;
        let sender = self.sender_mut(from);
        // Perhaps its peer has told of it before.
        let told = sender.told.take().map(|told| told.sequence);
        let told = told.filter(|told| told.position(number).is_some());
        let sequence = sender
            .sequence
            .get_or_insert(told.unwrap_or(Sequence::new(number, MID_STREAM_START)));
        let Some(position) = sequence.position(number) else {
            return;
        };
        // Keep-alive probes send the byte before the next one again.
        let early = usize::try_from(position.min(0).unsigned_abs()).unwrap_or(usize::MAX);
        let Some(len) = payload.len.checked_sub(early).filter(|len| *len > 0) else {
            return;
        };
        let bytes = payload.bytes.get(early..).unwrap_or_default();
        let position = u64::try_from(position).unwrap_or(0);
        let end = position.saturating_add(len as u64);
        let behind = number.wrapping_add(u32::try_from(payload.len).unwrap_or(u32::MAX));
        sequence.advance(behind, end);
        if !sender.has_data {
            sender.has_data = true;
            if sender.initial.is_none() {
                sender.contiguous = position;
            }
        }
        if position <= sender.contiguous {
            sender.contiguous = sender.contiguous.max(end);
        }
        let mut given_up = None;
        if one_sided {
            match sender.mark {
                Some((_, since)) if now.saturating_sub(since) < ONE_SIDED_PATIENCE => {}
                mark => {
                    given_up = mark
                        .map(|(position, _)| position)
                        .filter(|position| *position > sender.contiguous);
                    sender.mark = Some((end, now));
                }
            }
        }
        let observed = self.open(from, now, events);
        let direction = if from == observed {
            Direction::Sent
        } else {
            Direction::Received
        };
        if let Some(position) = given_up {
            events.push(SocketEvent::Confirmed(Confirmed {
                key,
                direction,
                position,
                time: now,
            }));
        }
        events.push(SocketEvent::Data(Data {
            key,
            direction,
            layer,
            position,
            len: len as u64,
            // A copy: the buffer it lies in holds many packets.
            bytes: Bytes::copy_from_slice(bytes),
            entry: now,
            exit: now,
            missing: if bytes.len() < len {
                Missing::Limit
            } else {
                Missing::Unwanted
            },
        }));
    }

    pub(super) fn end(
        &mut self,
        from: Side,
        number: u32,
        now: Nanos,
        events: &mut Vec<SocketEvent>,
    ) {
        let key = self.key;
        let direction = self.direction(from);
        let sender = self.sender_mut(from);
        let sequence = sender
            .sequence
            .get_or_insert(Sequence::new(number, MID_STREAM_START));
        let Some(position) = sequence
            .position(number)
            .and_then(|position| u64::try_from(position).ok())
        else {
            return;
        };
        if sender.end.is_some() {
            return;
        }
        sender.end = Some(position);
        if let Some(direction) = direction {
            events.push(SocketEvent::End(End {
                key,
                direction,
                time: now,
                position: Some(position),
            }));
        }
        if self.low.end.is_some() && self.high.end.is_some() && self.closing.is_none() {
            self.closing = Some((now, CloseReason::Finished));
        }
    }
}
