//! The host's half of the contract, for one connection.

use std::collections::VecDeque;

use super::{Conversation, End, Report, SeenSpan, Step};
use crate::bindings::wirespan::parser::types as wit;
use crate::bindings::wirespan::parser::types::{Ask, EventKind};
use crate::driver::Driver;
use crate::{Cause, Parser, Side};

const CONN: u64 = 7;

/// More rounds without new bytes than this mean that host and parser answer each other for ever.
const MAX_ROUNDS: usize = 64;

/// So often a side is shown at each piece of a message.
const PATIENCE: u32 = 6;

/// Something of a side that is not consumed, in its place, and in its order among all that happened.
enum Item {
    Data {
        order: u64,
        position: u64,
        time: u64,
        bytes: Vec<u8>,
    },
    Gap {
        order: u64,
        position: u64,
        time: u64,
        len: u64,
        cause: Cause,
    },
}

impl Item {
    fn position(&self) -> u64 {
        match self {
            Self::Data { position, .. } | Self::Gap { position, .. } => *position,
        }
    }
}

/// One side as the host keeps it.
#[derive(Default)]
struct Kept {
    position: u64,
    items: VecDeque<Item>,
    need: u64,
    /// Shown without anything being consumed, so many times in a row; and up to where it is held back
    /// then, unless something else happens.
    fruitless: u32,
    hold: u64,
    skip: u64,
    skip_from: u64,
    skip_lost: bool,
    skip_time: u64,
    /// Items from here on are not in the batch being made.
    shown: usize,
    present: bool,
}

impl Kept {
    fn is_ready(&self) -> bool {
        self.position >= self.need && self.position >= self.hold
    }

    fn begins(&self) -> u64 {
        self.items.front().map_or(self.position, Item::position)
    }

    /// A message that drips in is shown less and less often, as the host does it.
    fn was_shown(&mut self, before: u64) {
        let begins = self.begins();
        if begins != before || self.items.is_empty() {
            (self.fruitless, self.hold) = (0, 0);
            return;
        }
        self.fruitless += 1;
        if self.fruitless >= PATIENCE {
            self.hold = self.position + (self.position - begins) / 8;
        }
    }
}

struct Host<P> {
    driver: Driver<P>,
    sides: [Kept; 2],
    /// The batch being made: events, and the bytes of those that have any.
    events: Vec<(u64, wit::Event, Vec<u8>)>,
    /// How much happened so far.
    order: u64,
    facts: Vec<wit::Fact>,
    texts: Vec<u8>,
    report: Report,
    wake: Option<u64>,
    now: u64,
    closed: bool,
    /// Bytes in all batches.
    presented: usize,
}

/// Presents a conversation to a parser, with `batch` steps a call (at least one).
///
/// # Panics
/// When the parser breaks the contract.
#[must_use]
pub fn replay<P: Parser>(conversation: &Conversation, batch: usize) -> Report {
    present::<P>(conversation, batch).report
}

/// How many bytes are presented in all: each as often as it is shown.
///
/// # Panics
/// As [`replay`].
#[must_use]
pub fn presented<P: Parser>(conversation: &Conversation, batch: usize) -> usize {
    present::<P>(conversation, batch).presented
}

fn present<P: Parser>(conversation: &Conversation, batch: usize) -> Host<P> {
    let mut host = Host::<P> {
        driver: Driver::default(),
        sides: Default::default(),
        events: Vec::new(),
        order: 0,
        facts: Vec::new(),
        texts: Vec::new(),
        report: Report::default(),
        wake: None,
        now: conversation.steps.first().map_or(0, Step::time),
        closed: false,
        presented: 0,
    };
    for (side, &position) in host.sides.iter_mut().zip(&conversation.positions) {
        side.position = position;
    }
    host.open(conversation);
    for steps in conversation.steps.chunks(batch.max(1)) {
        for step in steps {
            if host.report.end.is_some() || host.closed {
                return host;
            }
            host.wake_before(step.time());
            host.now = step.time();
            if host.report.end.is_none() {
                host.step(step);
            }
        }
        host.flush();
    }
    if host.report.end.is_none() && !host.closed {
        // Nothing more comes.
        host.release();
        host.flush();
    }
    host
}

impl<P: Parser> Host<P> {
    fn open(&mut self, conversation: &Conversation) {
        for (key, number, text) in &conversation.facts {
            let slice = wit::Slice {
                start: self.texts.len() as u32,
                len: text.len() as u32,
            };
            self.texts.extend_from_slice(text);
            self.facts.push(wit::Fact {
                key: *key,
                number: *number,
                text: slice,
            });
        }
        let len = self.facts.len() as u64;
        self.event(
            EventKind::Open,
            conversation.observed,
            self.now,
            0,
            len,
            Cause::None,
        );
    }

    /// A timer comes in its time, not at the end of a batch.
    fn wake_before(&mut self, time: u64) {
        if self.wake.is_none_or(|wake| wake > time) {
            return;
        }
        self.flush();
        if let Some(wake) = self.wake.take_if(|wake| *wake <= time)
            && self.report.end.is_none()
        {
            self.now = wake;
            self.release();
            self.event(EventKind::Timer, Side::Client, wake, 0, 0, Cause::None);
            self.flush();
        }
    }

    fn event(
        &mut self,
        kind: EventKind,
        side: Side,
        time: u64,
        position: u64,
        len: u64,
        cause: Cause,
    ) {
        let event = wit::Event {
            conn: CONN,
            time,
            position,
            len,
            offset: 0,
            kind,
            side,
            cause,
        };
        let order = self.next();
        self.events.push((order, event, Vec::new()));
    }

    fn next(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Data {
                side,
                time,
                ref bytes,
            } => {
                let kept = &mut self.sides[side.index()];
                let position = kept.position;
                kept.position += bytes.len() as u64;
                let below = kept.skip.saturating_sub(position).min(bytes.len() as u64) as usize;
                let (before, after) = bytes.split_at(below);
                if !before.is_empty() {
                    kept.skip_time = time;
                    self.passed_below(side, time);
                }
                if !after.is_empty() {
                    let position = position + below as u64;
                    let order = self.next();
                    self.keep(
                        side,
                        Item::Data {
                            order,
                            position,
                            time,
                            bytes: after.to_vec(),
                        },
                    );
                }
            }
            Step::Gap {
                side,
                time,
                len,
                cause,
            } => {
                let kept = &mut self.sides[side.index()];
                let position = kept.position;
                kept.position += len;
                let below = kept.skip.saturating_sub(position).min(len);
                if below > 0 {
                    kept.skip_lost = true;
                    kept.skip_time = time;
                    self.passed_below(side, time);
                }
                if len > below {
                    let position = position + below;
                    let order = self.next();
                    self.keep(
                        side,
                        Item::Gap {
                            order,
                            position,
                            time,
                            len: len - below,
                            cause,
                        },
                    );
                }
            }
            Step::GapUnknown { side, time, cause } => {
                self.stop_skip(side);
                self.release();
                let kept = &mut self.sides[side.index()];
                *kept = Kept {
                    position: kept.position + (1 << 20),
                    ..Kept::default()
                };
                self.event(EventKind::GapUnknown, side, time, 0, 0, cause);
            }
            Step::End { side, time } => {
                self.stop_skip(side);
                self.release();
                let position = self.sides[side.index()].position;
                self.event(EventKind::End, side, time, position, 0, Cause::None);
            }
            Step::Close { time, cause } => {
                self.stop_skip(Side::Client);
                self.stop_skip(Side::Server);
                self.release();
                self.event(EventKind::Close, Side::Client, time, 0, 0, cause);
                self.closed = true;
            }
            Step::Pause { .. } => {}
        }
    }

    fn keep(&mut self, side: Side, item: Item) {
        let kept = &mut self.sides[side.index()];
        if matches!(item, Item::Gap { .. }) {
            // What is needed will never be there whole.
            kept.need = 0;
        }
        kept.items.push_back(item);
        if kept.position < kept.hold {
            return;
        }
        let ready = kept.is_ready();
        let other = &mut self.sides[side.other().index()];
        other.hold = 0;
        if ready {
            // What the other side holds back came before it.
            if other.is_ready() {
                self.present(side.other());
            }
            self.present(side);
        }
    }

    /// Something happened: what is held back is seen before it.
    fn release(&mut self) {
        for side in [Side::Client, Side::Server] {
            self.sides[side.index()].hold = 0;
            self.present(side);
        }
    }

    /// Puts what is not in this batch of a side into it.
    fn present(&mut self, side: Side) {
        let kept = &mut self.sides[side.index()];
        let event = |kind, position, time, len, cause| wit::Event {
            conn: CONN,
            time,
            position,
            len,
            offset: 0,
            kind,
            side,
            cause,
        };
        self.events
            .extend(kept.items.iter().skip(kept.shown).map(|item| match item {
                Item::Data {
                    order,
                    position,
                    time,
                    bytes,
                } => {
                    let len = bytes.len() as u64;
                    (
                        *order,
                        event(EventKind::Data, *position, *time, len, Cause::None),
                        bytes.clone(),
                    )
                }
                Item::Gap {
                    order,
                    position,
                    time,
                    len,
                    cause,
                } => (
                    *order,
                    event(EventKind::Gap, *position, *time, *len, *cause),
                    Vec::new(),
                ),
            }));
        kept.shown = kept.items.len();
    }

    /// Something passed that nobody looks at. What the other side holds back came before it.
    fn passed_below(&mut self, side: Side, time: u64) {
        let other = &mut self.sides[side.other().index()];
        other.hold = 0;
        if other.is_ready() {
            self.present(side.other());
        }
        let kept = &mut self.sides[side.index()];
        if kept.position >= kept.skip {
            let upto = kept.skip;
            self.skipped(side, upto, time);
        }
    }

    fn stop_skip(&mut self, side: Side) {
        let kept = &mut self.sides[side.index()];
        if kept.skip > kept.position && kept.position > kept.skip_from {
            let (upto, time) = (kept.position, kept.skip_time);
            self.skipped(side, upto, time);
        }
    }

    fn skipped(&mut self, side: Side, upto: u64, time: u64) {
        let kept = &mut self.sides[side.index()];
        let (from, cause) = (
            kept.skip_from,
            if kept.skip_lost {
                Cause::Lost
            } else {
                Cause::None
            },
        );
        kept.skip = 0;
        self.event(EventKind::Skipped, side, time, from, upto - from, cause);
    }

    /// Calls the parser until it has nothing more to say.
    fn flush(&mut self) {
        for _ in 0..MAX_ROUNDS {
            if self.events.is_empty() {
                return;
            }
            self.process();
            if self.report.end.is_some() {
                self.events.clear();
                return;
            }
            for side in [Side::Client, Side::Server] {
                if std::mem::take(&mut self.sides[side.index()].present) {
                    self.present(side);
                }
            }
        }
        panic!("the parser asks for the same bytes without end");
    }

    fn process(&mut self) {
        let mut bytes = Vec::new();
        self.events.sort_by_key(|(order, ..)| *order);
        let shown = [0, 1].map(|side: usize| self.sides[side].shown > 0);
        let before = [0, 1].map(|side: usize| self.sides[side].begins());
        for side in [Side::Client, Side::Server] {
            // One stretch a side.
            for (_, event, data) in self
                .events
                .iter_mut()
                .filter(|(_, event, _)| event.side == side)
            {
                event.offset = if data.is_empty() {
                    0
                } else {
                    bytes.len() as u32
                };
                bytes.append(data);
            }
            self.sides[side.index()].shown = 0;
        }
        self.presented += bytes.len();
        let mut events: Vec<_> = self.events.drain(..).map(|(_, event, _)| event).collect();
        let mut facts = self.facts.clone();
        for fact in &mut facts {
            fact.text.start += bytes.len() as u32;
        }
        bytes.extend_from_slice(&self.texts);
        loop {
            let (facts, bytes) = (std::mem::take(&mut facts), std::mem::take(&mut bytes));
            let output = self
                .driver
                .process(std::mem::take(&mut events), facts, bytes);
            self.take(&output);
            if !output.more {
                break;
            }
        }
        for ((side, shown), before) in self.sides.iter_mut().zip(shown).zip(before) {
            if shown {
                side.was_shown(before);
            }
        }
    }

    fn take(&mut self, output: &wit::Output) {
        let spans = output
            .spans
            .iter()
            .map(|span| SeenSpan::resolve(span, output, &P::MANIFEST));
        self.report.spans.extend(spans);
        let text = |slice: wit::Slice| {
            let start = slice.start as usize;
            let text = output.text.get(start..start + slice.len as usize);
            text.expect("a text lies within the answer").to_vec()
        };
        let utf8 = |slice| String::from_utf8(text(slice)).expect("a text is UTF-8");
        for request in &output.requests {
            match request.ask {
                Ask::Consumed => self.consumed(request.side, request.position),
                Ask::NeedTo => self.sides[request.side.index()].need = request.position,
                Ask::SkipTo => self.skip_to(request.side, request.position),
                Ask::WakeAt => self.wake = Some(request.position),
                Ask::Ignore => self.report.end = Some(End::Ignored(utf8(request.text))),
                Ask::NotMine => self.report.end = Some(End::NotMine),
                Ask::Upgrade => {
                    self.report.end = Some(End::Upgraded {
                        protocol: utf8(request.text),
                        client: request.position,
                        server: request.other,
                        context: text(request.context),
                    });
                }
            }
        }
    }

    fn consumed(&mut self, side: Side, upto: u64) {
        let kept = &mut self.sides[side.index()];
        assert!(upto <= kept.position, "consumed what was not shown");
        let before = kept.items.front().map(Item::position);
        while let Some(item) = kept.items.front_mut() {
            match item {
                Item::Data {
                    position, bytes, ..
                } if upto < *position + bytes.len() as u64 => {
                    let done = upto.saturating_sub(*position);
                    bytes.drain(..done as usize);
                    *position += done;
                    break;
                }
                Item::Gap { position, len, .. } if upto < *position + *len => break,
                _ => drop(kept.items.pop_front()),
            }
        }
        let progress = before != kept.items.front().map(Item::position);
        let other = &mut self.sides[side.other().index()];
        if progress && !other.items.is_empty() {
            other.present = true;
        }
    }

    fn skip_to(&mut self, side: Side, position: u64) {
        let kept = &mut self.sides[side.index()];
        assert!(
            position > kept.position,
            "a skip within what was shown is the parser's own affair"
        );
        kept.items.clear();
        kept.skip_from = kept.position;
        kept.skip = position;
        kept.skip_lost = false;
    }
}
