//! Runs a parser over the batches of the host: the same code in a component and natively.

use crate::batch::{Batch, is_loss, stream_of};
use crate::bindings::wirespan::parser::types as wit;
use crate::bindings::wirespan::parser::types::{Ask, EventKind};
use crate::connections::{Connections, Slot};
use crate::stream::{Stream, Window};
use crate::{Cause, Context, Facts, Gap, Opening, Parser, Prefix, Side};

/// A parser with all its connections.
#[derive(Debug)]
pub struct Driver<P> {
    connections: Connections<P>,
    events: Vec<wit::Event>,
    facts: Vec<wit::Fact>,
    next_event: usize,
    /// State of the connection whose events are being handled, where it has any: looked up once.
    slot: Option<Slot<P>>,
    batch: Batch,
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
            && let Some(slot) = self.slot.as_mut()
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
                if let Some(slot) = self.slot.as_mut() {
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
        let Some(slot) = self.slot.as_mut() else {
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
                    kept,
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
                kept.parser.secured(
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
            EventKind::Evict => slot.kept.parser.evict(),
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
        self.slot = (!done).then(|| Slot::new(parser, streams, done));
    }

    /// Neighbouring events of one side are shown as one.
    fn data(&mut self, event: &wit::Event) {
        let wit::Event { conn, side, .. } = *event;
        let Some(slot) = self.slot.as_mut() else {
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
        if let Some(slot) = self.slot.as_mut() {
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

fn facts_of<'a>(facts: &'a [wit::Fact], texts: &'a [u8], event: &wit::Event) -> Facts<'a> {
    let start = usize::try_from(event.position).unwrap_or(usize::MAX);
    let end = start.saturating_add(usize::try_from(event.len).unwrap_or(usize::MAX));
    Facts {
        facts: facts.get(start..end).unwrap_or_default(),
        texts,
    }
}
