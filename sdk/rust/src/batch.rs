//! The bytes of a batch on their way to the parser: what it is shown, what is stepped over, what is lost.

use crate::bindings::wirespan::parser::types as wit;
use crate::bindings::wirespan::parser::types::EventKind;
use crate::connections::Slot;
use crate::output::Answer;
use crate::stream::{Stream, Window};
use crate::{Cause, Context, Gap, Input, Parser, Side, Skipped};

/// What is at hand while a batch is handled.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) answer: Answer,
    /// The connection whose events are being handled. They stand together in a batch.
    pub(crate) current: Option<u64>,
    pub(crate) windows: [Window; 2],
    /// The answer became full while the current connection had bytes left to look at.
    pub(crate) suspended: bool,
}

impl Batch {
    pub(crate) fn call<P: Parser>(
        &mut self,
        slot: &mut Slot<P>,
        conn: u64,
        handle: impl FnOnce(&mut P, &mut Context<'_>),
    ) {
        if !slot.done {
            let Slot {
                kept,
                streams,
                done,
            } = slot;
            handle(
                &mut kept.parser,
                &mut Context {
                    answer: &mut self.answer,
                    conn,
                    streams,
                    done,
                },
            );
        }
    }

    pub(crate) fn window(&mut self, side: Side) -> &mut Window {
        let [client, server] = &mut self.windows;
        match side {
            Side::Client => client,
            Side::Server => server,
        }
    }

    /// Takes in a data event; `false`: not now, the answer is full.
    pub(crate) fn data<P: Parser>(&mut self, slot: &mut Slot<P>, event: &wit::Event) -> bool {
        let wit::Event {
            conn,
            side,
            position,
            len,
            time,
            ..
        } = *event;
        let stream = stream_of(&mut slot.streams, side);
        if !stream.known {
            stream.start_at(position);
        }
        let window = self.window(side);
        window.presented = true;
        if !window.waiting.is_empty() {
            window.waiting.push(*event);
            return true;
        }
        if stream.is_skipping() {
            self.step_over(slot, conn, side, position.saturating_add(len), time, false);
        } else if position > stream.next {
            // The host names every byte that is missing; one it forgot is missing all the same.
            let len = position - stream.next;
            let gap = wit::Event {
                kind: EventKind::Gap,
                position: stream.next,
                len,
                cause: Cause::Lost,
                ..*event
            };
            if !self.gap(slot, &gap) {
                return false;
            }
            let waiting = &mut self.window(side).waiting;
            if !waiting.is_empty() {
                waiting.push(*event);
                return true;
            }
        }
        let stream = stream_of(&mut slot.streams, side);
        let known = stream.next.saturating_sub(position);
        if let Some(len) = len
            .checked_sub(known)
            .filter(|&len| len > 0 && !stream.is_skipping())
        {
            let offset = event.offset as usize + usize::try_from(known).unwrap_or(usize::MAX);
            self.window(side)
                .extend(stream, offset, len, time, event.cause == Cause::Unordered);
        }
        true
    }

    /// Takes in a gap; `false`: not now, the answer is full.
    pub(crate) fn gap<P: Parser>(&mut self, slot: &mut Slot<P>, event: &wit::Event) -> bool {
        let wit::Event {
            conn,
            side,
            position,
            time,
            cause,
            ..
        } = *event;
        let end = position.saturating_add(event.len);
        let stream = stream_of(&mut slot.streams, side);
        if !stream.known {
            stream.start_at(position);
        }
        let window = self.window(side);
        window.presented = true;
        if !window.waiting.is_empty() {
            window.waiting.push(*event);
            return true;
        }
        if stream.is_skipping() {
            self.step_over(slot, conn, side, end, time, is_loss(cause));
        } else {
            // What is before it is looked at first.
            self.pump(slot, conn, side);
            if self.suspended {
                return false;
            }
        }
        let stream = stream_of(&mut slot.streams, side);
        if stream.held && stream.unconsumed() > 0 {
            self.window(side).waiting.push(*event);
            return true;
        }
        if stream.is_skipping() {
            // Asked for by what was before it.
            self.step_over(slot, conn, side, end, time, is_loss(cause));
        }
        let stream = stream_of(&mut slot.streams, side);
        if end > stream.next && !slot.done {
            let position = position.max(stream.next);
            stream.jump_to(end);
            let gap = Gap {
                position,
                len: Some(end - position),
                cause,
                time,
            };
            self.call(slot, conn, |parser, cx| parser.gap(side, gap, cx));
        }
        true
    }

    /// The stream of `side` goes on to `end`, as far as that is being skipped.
    pub(crate) fn step_over<P: Parser>(
        &mut self,
        slot: &mut Slot<P>,
        conn: u64,
        side: Side,
        end: u64,
        time: u64,
        lost: bool,
    ) {
        let stream = stream_of(&mut slot.streams, side);
        if stream.is_skipping() && end > stream.next {
            stream.skip_lost |= lost;
            stream.skip_time = time;
            stream.jump_to(end.min(stream.skip));
            if stream.next == stream.skip {
                self.finish_skip(slot, conn, side);
            }
        }
    }

    /// Tells the parser of a skip that has come to its end, if there is one.
    pub(crate) fn finish_skip<P: Parser>(&mut self, slot: &mut Slot<P>, conn: u64, side: Side) {
        let stream = stream_of(&mut slot.streams, side);
        if stream.skip == 0 {
            return;
        }
        let end = stream.next.min(stream.skip);
        let skipped = Skipped {
            position: stream.skip_from,
            end,
            time: stream.skip_time,
            lost: stream.skip_lost,
        };
        stream.skip = 0;
        self.call(slot, conn, |parser, cx| parser.skipped(side, skipped, cx));
    }

    pub(crate) fn pump_both<P: Parser>(&mut self, slot: &mut Slot<P>, conn: u64) {
        self.pump(slot, conn, Side::Client);
        self.pump(slot, conn, Side::Server);
    }

    /// Shows `side` until the parser makes no more progress; after progress the other side may go on,
    /// and so forth. A side that waits is tried again at each progress of the other: what a parser
    /// makes of the bytes must not depend on how many of them are at hand.
    pub(crate) fn pump<P: Parser>(&mut self, slot: &mut Slot<P>, conn: u64, mut side: Side) {
        let mut stuck = true;
        self.take_up(slot, conn, side);
        loop {
            let progress = self.show(slot, conn, side);
            // What is not held any more need not have been consumed.
            if self.take_up(slot, conn, side) {
                stuck = false;
                continue;
            }
            if progress {
                stuck = false;
                let other = stream_of(&mut slot.streams, side.other());
                if !other.held || other.unconsumed() == 0 {
                    continue;
                }
            } else if std::mem::replace(&mut stuck, true) {
                return;
            }
            side = side.other();
        }
    }

    /// Takes in what waits behind bytes of `side` that were held, once they are not any more: before
    /// anything that comes later, of either side. Whether there was something.
    fn take_up<P: Parser>(&mut self, slot: &mut Slot<P>, conn: u64, side: Side) -> bool {
        let stream = stream_of(&mut slot.streams, side);
        if stream.held && stream.unconsumed() > 0 || self.window(side).waiting.is_empty() {
            return false;
        }
        let waiting = std::mem::take(&mut self.window(side).waiting);
        for (at, event) in waiting.iter().enumerate() {
            let skips = stream_of(&mut slot.streams, side).skip != 0;
            let taken = match event.kind {
                EventKind::Gap => self.gap(slot, event),
                _ => self.data(slot, event),
            };
            if !taken {
                let rest = waiting.get(at..).unwrap_or_default();
                self.window(side).waiting.extend_from_slice(rest);
                return true;
            }
            if skips && stream_of(&mut slot.streams, side).skip == 0 {
                self.pump(slot, conn, side.other());
            }
        }
        true
    }

    /// Shows what is not consumed of `side` once. Whether the parser made progress.
    fn show<P: Parser>(&mut self, slot: &mut Slot<P>, conn: u64, side: Side) -> bool {
        let stream = stream_of(&mut slot.streams, side);
        if slot.done || stream.unconsumed() == 0 || stream.need > stream.next {
            return false;
        }
        if self.answer.is_full() {
            self.suspended = true;
            return false;
        }
        stream.held = false;
        let before = stream.consumed;
        let [client, server] = &self.windows;
        let window = if side == Side::Client { client } else { server };
        let (bytes, segments) = window.unconsumed(stream, &self.bytes);
        let input = Input::new(before, bytes, segments);
        let Slot {
            kept,
            streams,
            done,
        } = slot;
        kept.parser.data(
            side,
            input,
            &mut Context {
                answer: &mut self.answer,
                conn,
                streams,
                done,
            },
        );
        let stream = stream_of(&mut slot.streams, side);
        if stream.skip != 0 {
            let upto = stream.skip.min(stream.next);
            stream.skip_time = input.time_at(upto.saturating_sub(1));
            if stream.skip <= stream.next {
                self.finish_skip(slot, conn, side);
            }
        }
        let stream = stream_of(&mut slot.streams, side);
        std::mem::take(&mut stream.progressed) || stream.consumed != before
    }
}

pub(crate) fn is_loss(cause: Cause) -> bool {
    !matches!(cause, Cause::None | Cause::Limit)
}

pub(crate) fn stream_of(streams: &mut [Stream; 2], side: Side) -> &mut Stream {
    let [client, server] = streams;
    match side {
        Side::Client => client,
        Side::Server => server,
    }
}
