//! Runs a parser over the batches of the host: the same code in a component and natively.

use crate::bindings::wirespan::parser::types as wit;
use crate::bindings::wirespan::parser::types::{Ask, EventKind};
use crate::connections::{Connections, Slot};
use crate::output::Answer;
use crate::stream::{Stream, Window};
use crate::{Cause, Context, Facts, Gap, Input, Opening, Parser, Prefix, Side, Skipped};

/// A parser with all its connections.
#[derive(Debug)]
pub struct Driver<P> {
    connections: Connections<P>,
    events: Vec<wit::Event>,
    facts: Vec<wit::Fact>,
    next_event: usize,
    /// State of the connection whose events are being handled, where it has any: looked up once.
    slot: Option<Box<Slot<P>>>,
    batch: Batch,
}

/// What is at hand while a batch is handled.
#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    answer: Answer,
    /// The connection whose events are being handled. They stand together in a batch.
    current: Option<u64>,
    windows: [Window; 2],
    /// The answer became full while the current connection had bytes left to look at.
    suspended: bool,
}

impl<P: Parser> Default for Driver<P> {
    fn default() -> Self {
        Self {
            connections: Connections::default(),
            events: Vec::new(),
            facts: Vec::new(),
            next_event: 0,
            slot: None,
            batch: Batch::default(),
        }
    }
}

/// Answers `recognise`.
#[must_use]
pub fn recognise<P: Parser>(
    client: &[u8],
    server: &[u8],
    facts: &[wit::Fact],
    texts: &[u8],
) -> wit::Verdict {
    P::recognise(&Prefix {
        client,
        server,
        facts: Facts { facts, texts },
    })
    .to_wit()
}

impl<P: Parser> Driver<P> {
    /// Answers `process`. While the output says `more`, call again with no events.
    pub fn process(
        &mut self,
        events: Vec<wit::Event>,
        facts: Vec<wit::Fact>,
        bytes: Vec<u8>,
    ) -> wit::Output {
        if !events.is_empty() {
            // A host that did not fetch all of the last answer still gets it.
            while !self.go_on() {}
            self.events = events;
            self.facts = facts;
            self.next_event = 0;
            self.batch.bytes = bytes;
        }
        let finished = self.go_on();
        self.batch.answer.take(!finished)
    }

    /// How many connections have state here.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Handles events until there are no more (`true`) or the answer is full.
    fn go_on(&mut self) -> bool {
        if std::mem::take(&mut self.batch.suspended)
            && let Some(conn) = self.batch.current
            && let Some(slot) = self.slot.as_deref_mut()
        {
            self.batch.pump_both(slot, conn);
            self.drop_if_done();
        }
        while !self.batch.suspended && !self.batch.answer.is_full() {
            let Some(&event) = self.events.get(self.next_event) else {
                self.finish_connection();
                self.events = Vec::new();
                self.facts = Vec::new();
                self.batch.bytes = Vec::new();
                self.next_event = 0;
                return true;
            };
            self.next_event += 1;
            if self.batch.current != Some(event.conn) {
                self.finish_connection();
                self.batch.current = Some(event.conn);
                self.slot = self.connections.take(event.conn);
                if let Some(slot) = self.slot.as_deref_mut() {
                    slot.streams.iter_mut().for_each(Stream::begin_batch);
                }
            }
            self.handle(&event);
        }
        // It goes on with the next call, into an empty answer.
        false
    }

    fn handle(&mut self, event: &wit::Event) {
        let wit::Event {
            conn, side, time, ..
        } = *event;
        match event.kind {
            EventKind::Open => return self.open(event),
            EventKind::Data => return self.data(event),
            _ => {}
        }
        let Some(slot) = self.slot.as_deref_mut() else {
            return;
        };
        let batch = &mut self.batch;
        match event.kind {
            EventKind::Open | EventKind::Data => {}
            EventKind::Gap => {
                if !batch.gap(slot, event) {
                    self.next_event -= 1;
                    return;
                }
            }
            EventKind::GapUnknown => {
                batch.finish_skip(slot, conn, side);
                let stream = stream_of(&mut slot.streams, side);
                let gap = Gap {
                    position: stream.next,
                    len: None,
                    cause: event.cause,
                    time,
                };
                *stream = Stream::default();
                batch.window(side).waiting.clear();
                batch.call(slot, conn, |parser, cx| parser.gap(side, gap, cx));
            }
            EventKind::Skipped => {
                let end = event.position.saturating_add(event.len);
                batch.step_over(slot, conn, side, end, time, is_loss(event.cause));
                batch.finish_skip(slot, conn, side);
            }
            EventKind::Secured => {
                slot.streams = Default::default();
                batch.windows.iter_mut().for_each(|w| w.waiting.clear());
                let Slot {
                    parser,
                    streams,
                    done,
                } = slot;
                let Batch { bytes, answer, .. } = batch;
                let facts = facts_of(&self.facts, bytes, event);
                let opening = Opening {
                    observed: side,
                    facts,
                    time,
                    restart: false,
                };
                parser.secured(
                    &opening,
                    &mut Context {
                        answer,
                        conn,
                        streams,
                        done,
                    },
                );
            }
            EventKind::Timer => batch.call(slot, conn, |parser, cx| parser.timer(time, cx)),
            EventKind::Evict => slot.parser.evict(),
            EventKind::End => {
                batch.finish_skip(slot, conn, side);
                batch.call(slot, conn, |parser, cx| {
                    parser.end(side, event.position, time, cx)
                });
            }
            EventKind::Close => {
                batch.finish_skip(slot, conn, Side::Client);
                batch.finish_skip(slot, conn, Side::Server);
                batch.call(slot, conn, |parser, cx| parser.close(event.cause, time, cx));
                self.slot = None;
                return;
            }
        }
        batch.pump_both(slot, conn);
        self.drop_if_done();
    }

    fn open(&mut self, event: &wit::Event) {
        let facts = facts_of(&self.facts, &self.batch.bytes, event);
        let restart = event.cause == Cause::Restart;
        let opening = Opening {
            observed: event.side,
            facts,
            time: event.time,
            restart,
        };
        let mut streams = Default::default();
        let mut done = false;
        let (answer, conn) = (&mut self.batch.answer, event.conn);
        let parser = P::open(
            &opening,
            &mut Context {
                answer,
                conn,
                streams: &mut streams,
                done: &mut done,
            },
        );
        self.slot = (!done).then(|| {
            Box::new(Slot {
                parser,
                streams,
                done,
            })
        });
    }

    /// Neighbouring events of one side are shown as one.
    fn data(&mut self, event: &wit::Event) {
        let wit::Event { conn, side, .. } = *event;
        let Some(slot) = self.slot.as_deref_mut() else {
            return;
        };
        let skips = stream_of(&mut slot.streams, side).skip != 0;
        let mut next = event;
        while self.batch.data(slot, next) {
            match self.events.get(self.next_event) {
                Some(event)
                    if event.kind == EventKind::Data
                        && event.conn == conn
                        && event.side == side =>
                {
                    self.next_event += 1;
                    next = event;
                }
                _ => {
                    let skipped = skips && stream_of(&mut slot.streams, side).skip == 0;
                    if skipped {
                        // What the other side holds may have waited for its end.
                        self.batch.pump(slot, conn, side.other());
                    }
                    self.batch.pump(slot, conn, side);
                    return self.drop_if_done();
                }
            }
        }
        self.next_event -= 1;
        self.drop_if_done();
    }

    fn drop_if_done(&mut self) {
        self.slot.take_if(|slot| slot.done);
    }

    /// Says of each side that was presented what became of it.
    fn finish_connection(&mut self) {
        let Some(conn) = self.batch.current.take() else {
            return;
        };
        if let Some(slot) = self.slot.as_deref_mut() {
            let windows = self.batch.windows.iter();
            for ((side, stream), window) in SIDES.into_iter().zip(&mut slot.streams).zip(windows) {
                if stream.is_skipping() {
                    if !stream.skip_told {
                        stream.skip_told = true;
                        self.batch.answer.ask(conn, Ask::SkipTo, side, stream.skip);
                    }
                } else if window.presented {
                    self.batch
                        .answer
                        .ask(conn, Ask::Consumed, side, stream.consumed);
                    if stream.need > stream.next {
                        self.batch.answer.ask(conn, Ask::NeedTo, side, stream.need);
                    }
                }
            }
        }
        self.connections.put(conn, self.slot.take());
        self.batch.windows.iter_mut().for_each(Window::clear);
    }
}

const SIDES: [Side; 2] = [Side::Client, Side::Server];

impl Batch {
    fn call<P: Parser>(
        &mut self,
        slot: &mut Slot<P>,
        conn: u64,
        handle: impl FnOnce(&mut P, &mut Context<'_>),
    ) {
        if !slot.done {
            let Slot {
                parser,
                streams,
                done,
            } = slot;
            handle(
                parser,
                &mut Context {
                    answer: &mut self.answer,
                    conn,
                    streams,
                    done,
                },
            );
        }
    }

    fn window(&mut self, side: Side) -> &mut Window {
        let [client, server] = &mut self.windows;
        match side {
            Side::Client => client,
            Side::Server => server,
        }
    }

    /// Takes in a data event; `false`: not now, the answer is full.
    fn data<P: Parser>(&mut self, slot: &mut Slot<P>, event: &wit::Event) -> bool {
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
    fn gap<P: Parser>(&mut self, slot: &mut Slot<P>, event: &wit::Event) -> bool {
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
    fn step_over<P: Parser>(
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
    fn finish_skip<P: Parser>(&mut self, slot: &mut Slot<P>, conn: u64, side: Side) {
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

    fn pump_both<P: Parser>(&mut self, slot: &mut Slot<P>, conn: u64) {
        self.pump(slot, conn, Side::Client);
        self.pump(slot, conn, Side::Server);
    }

    /// Shows `side` until the parser makes no more progress; after progress the other side may go on,
    /// and so forth. A side that waits is tried again at each progress of the other: what a parser
    /// makes of the bytes must not depend on how many of them are at hand.
    fn pump<P: Parser>(&mut self, slot: &mut Slot<P>, conn: u64, mut side: Side) {
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
            parser,
            streams,
            done,
        } = slot;
        parser.data(
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

fn is_loss(cause: Cause) -> bool {
    !matches!(cause, Cause::None | Cause::Limit)
}

fn stream_of(streams: &mut [Stream; 2], side: Side) -> &mut Stream {
    let [client, server] = streams;
    match side {
        Side::Client => client,
        Side::Server => server,
    }
}

fn facts_of<'a>(facts: &'a [wit::Fact], texts: &'a [u8], event: &wit::Event) -> Facts<'a> {
    let start = usize::try_from(event.position).unwrap_or(usize::MAX);
    let end = start.saturating_add(usize::try_from(event.len).unwrap_or(usize::MAX));
    Facts {
        facts: facts.get(start..end).unwrap_or_default(),
        texts,
    }
}
