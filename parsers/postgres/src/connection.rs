//! A connection: two lanes, the queue between them, and what is known of names.

use std::collections::VecDeque;

use wirespan_parser_sql::limits::{IN_FLIGHT, IN_FLIGHT_BYTES};
use wirespan_parser_sql::{Step, Table, Text, Trust};
use wirespan_sdk::{
    Cause, Context, Flags, Gap, Input, Manifest, Opening, Parser, Prefix, Recognition, Side,
    Skipped,
};

use crate::lane::{Lane, Message, State};
use crate::limits::{TRIAL_MESSAGE_BYTES, UNFINISHED_AFTER};
use crate::queue::{Answer, Failure, Item, Pending};
use crate::wire::{Read, client_header, server_header, wanted};
use crate::{emit, fields, recognise};

/// A PostgreSQL connection.
#[derive(Debug)]
pub struct Postgres {
    pub(crate) client: Lane,
    pub(crate) server: Lane,
    pub(crate) queue: VecDeque<Pending>,
    pub(crate) queue_bytes: usize,
    pub(crate) answer: Answer,
    /// Rare, so it takes no room where there is none.
    pub(crate) failure: Option<Box<Failure>>,
    pub(crate) statements: Table<Box<[u8]>>,
    pub(crate) portals: Table<Box<[u8]>>,
    /// A statement was deallocated: names may be given anew by SQL.
    pub(crate) deallocated: bool,
    pub(crate) namespace: Option<Box<str>>,
    pub(crate) trust: Trust,
    /// Why exchanges may have been missed.
    pub(crate) missed: Flags,
    /// Messages of the client were read that fitted each other and the server's.
    pub(crate) confirmed: bool,
    /// Statements may have been given other texts by what was lost.
    pub(crate) redefined: bool,
    pub(crate) last_side: Option<Side>,
    /// When the last byte of the server passed that was shown or is known to be lost.
    pub(crate) heard: u64,
    /// When the last byte of the client passed that was shown.
    pub(crate) spoke: u64,
    /// The client had gone on before it was known that the server's bytes before that are lost.
    pub(crate) went_on: bool,
    /// Last bytes of the server.
    pub(crate) tail: [u8; 6],
    /// How many of them were seen since some were lost.
    pub(crate) tail_seen: u8,
    /// What was missed of the messages of a group that name texts.
    pub(crate) carried: Flags,
    /// The client has sent something before it was told that what it sent is done: it may again.
    pub(crate) ahead: bool,
    pub(crate) out_of_step: u8,
    pub(crate) logged_in: bool,
}

impl Parser for Postgres {
    const MANIFEST: Manifest = Manifest {
        name: "postgres",
        version: env!("CARGO_PKG_VERSION"),
        protocols: &["postgresql"],
        patterns: recognise::PATTERNS,
        ports: &[5432, 6432],
        fields: fields::FIELDS,
    };

    fn recognise(prefix: &Prefix<'_>) -> Recognition {
        recognise::recognise(prefix)
    }

    fn open(opening: &Opening<'_>, _: &mut Context<'_>) -> Self {
        let mid_stream = opening.mid_stream();
        let (client, server) = if mid_stream {
            (State::Seek, State::Seek)
        } else {
            (State::Startup, State::Messages)
        };
        Self {
            client: Lane::new(client),
            server: Lane::new(server),
            queue: VecDeque::new(),
            queue_bytes: 0,
            answer: Answer::default(),
            failure: None,
            statements: Table::default(),
            portals: Table::default(),
            deallocated: false,
            namespace: None,
            trust: if mid_stream { Trust::Lost } else { Trust::Sure },
            missed: match (opening.restart, mid_stream) {
                (true, _) => Flags::PARSER_RESTART,
                (false, true) => Flags::MID_STREAM,
                (false, false) => Flags::empty(),
            },
            confirmed: !mid_stream,
            redefined: false,
            last_side: None,
            heard: 0,
            spoke: 0,
            went_on: false,
            tail: [0; 6],
            tail_seen: 0,
            carried: Flags::empty(),
            ahead: false,
            out_of_step: 0,
            logged_in: mid_stream,
        }
    }

    fn data(&mut self, side: Side, input: Input<'_>, cx: &mut Context<'_>) {
        self.report_overdue(input.time_at(input.position()), cx);
        let mut at = input.position();
        self.turn(side, &input, &mut at, cx);
        let step = loop {
            let before = at;
            let inside = self.lane(side).body_end > before;
            let step = self.step(side, &input, &mut at, cx);
            if step == Step::Done {
                return;
            }
            let lane = self.lane(side);
            lane.position = at;
            // How much there is of a body that is stepped over depends on the batch.
            if at > before && !(inside && lane.body_end > at) {
                lane.time = input.time_at(at.saturating_sub(1));
            }
            lane.holds = step == Step::Hold;
            if step != Step::On || at >= input.end() {
                break step;
            }
            if self.lane(side.other()).holds {
                break Step::Hold;
            }
        };
        if at > input.position() {
            cx.consumed(side, at);
        }
        match step {
            Step::Skip(to) => cx.skip_to(side, to),
            Step::Hold => cx.hold(side),
            // Nothing is waited for unseen: what both sides say has to be seen in its order, where one
            // of them is lost. The host shows what drips in less often by itself, and keeps the order.
            Step::On | Step::More(_) | Step::Done => {}
        }
    }

    fn gap(&mut self, side: Side, gap: Gap, cx: &mut Context<'_>) {
        self.report_overdue(gap.time, cx);
        self.lost(side, gap, cx);
    }

    fn skipped(&mut self, side: Side, skipped: Skipped, _: &mut Context<'_>) {
        if skipped.lost {
            self.flag_current(side, Flags::GAP);
        }
        let lane = self.lane(side);
        lane.position = lane.position.max(skipped.end);
        lane.seen = lane.seen.max(skipped.end);
        lane.time = skipped.time;
        self.passed(side, skipped.time);
    }

    fn close(&mut self, cause: Cause, time: u64, cx: &mut Context<'_>) {
        self.report_overdue(time, cx);
        self.closed(cause, time, cx);
    }

    fn timer(&mut self, time: u64, cx: &mut Context<'_>) {
        self.report_overdue(time, cx);
    }

    fn evict(&mut self) {
        self.queue.shrink_to_fit();
        self.statements.clear();
        self.portals.clear();
    }
}

impl Postgres {
    pub(crate) fn lane(&mut self, side: Side) -> &mut Lane {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    fn step(&mut self, side: Side, input: &Input<'_>, at: &mut u64, cx: &mut Context<'_>) -> Step {
        let lane = match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        };
        if lane.body_end > *at {
            *at = lane.body_end.min(input.end());
            lane.position = *at;
            if *at < lane.body_end {
                // Only a message that is certain is stepped over unseen.
                let to = lane.body_end;
                return if self.trust == Trust::Sure {
                    Step::Skip(to)
                } else {
                    Step::On
                };
            }
            self.passed(side, input.time_at(at.saturating_sub(1)));
            return Step::On;
        }
        if lane.state == State::Seek {
            *at = input.end();
            return Step::On;
        }
        let step = match (side, lane.state, self.queue.front().map(|p| &p.item)) {
            (Side::Client, State::Startup, Some(Item::Encryption)) => Some(Step::Hold),
            (Side::Client, State::Startup, _) => Some(self.startup(input, at, cx)),
            (Side::Server, _, Some(Item::Encryption)) => self.encryption(input, at, cx),
            // In order nothing comes before the client's first packet.
            (Side::Server, _, None) if self.client.state == State::Startup => Some(Step::Hold),
            _ => None,
        };
        step.unwrap_or_else(|| self.message(side, input, at, cx))
    }

    /// One message, or its beginning.
    fn message(
        &mut self,
        side: Side,
        input: &Input<'_>,
        at: &mut u64,
        cx: &mut Context<'_>,
    ) -> Step {
        let bytes = input.from(*at);
        if side == Side::Server && bytes.first() == Some(&b'D') && self.rows(input, at) {
            return Step::On;
        }
        let header = match side {
            Side::Client => client_header(bytes),
            Side::Server => server_header(bytes),
        };
        let header = match header {
            Read::Ok(header) if self.trust == Trust::Sure || header.body < TRIAL_MESSAGE_BYTES => {
                header
            }
            Read::Incomplete => return Step::More(input.end().saturating_add(1)),
            _ => return self.malformed(side, at, input, cx),
        };
        let wanted = wanted(side, header);
        let needed = at.saturating_add(5).saturating_add(u64::from(wanted));
        let end = at.saturating_add(header.len());
        let start = input.time_at(*at);
        let mut message = Message {
            header,
            position: *at,
            start,
            end: start,
        };
        if needed > input.end() {
            self.lane(side).pending = Some(message);
            return Step::More(needed);
        }
        if needed == end {
            message.end = input.time_at(end.saturating_sub(1));
        }
        let body = bytes.get(5..).unwrap_or_default();
        let body = body.get(..wanted as usize).unwrap_or_default();
        *at = needed;
        let lane = self.lane(side);
        lane.pending = None;
        lane.position = *at;
        lane.body_end = end;
        self.handle(side, message, Some(body), cx)
    }

    /// A message whose wanted part is here, or is known to be lost.
    pub(crate) fn handle(
        &mut self,
        side: Side,
        message: Message,
        body: Option<&[u8]>,
        cx: &mut Context<'_>,
    ) -> Step {
        match side {
            Side::Client => self.client_message(message, body, cx),
            Side::Server => self.server_message(message, body, cx),
        }
    }

    /// The message that is stepped over has passed whole.
    pub(crate) fn passed(&mut self, side: Side, time: u64) {
        let lane = self.lane(side);
        if lane.body_end > lane.position {
            return;
        }
        match side {
            Side::Client if std::mem::take(&mut lane.owner) => {
                if let Some(pending) = self.queue.back_mut() {
                    pending.end = time;
                }
            }
            Side::Server if self.answer.start != 0 => self.answer.end = time,
            _ => {}
        }
    }

    /// Puts something of the client in the queue.
    pub(crate) fn push(&mut self, mut item: Item, message: Message, cx: &mut Context<'_>) -> Step {
        if self.queue.len() >= IN_FLIGHT {
            return self.give_up("too many messages in flight", cx);
        }
        if self.queue_bytes.saturating_add(item.weight()) > IN_FLIGHT_BYTES {
            match &mut item {
                Item::Query(text) => *text = Text::Unknown,
                Item::Parse { text, .. } => *text = None,
                _ => {}
            }
        }
        self.queue_bytes = self.queue_bytes.saturating_add(item.weight());
        let before = self.queue.back();
        self.ahead |= self.trust == Trust::Sure
            && before.is_some_and(|before| before.item.is_ended_by_ready());
        let flags = if self.trust == Trust::Sure {
            Flags::empty()
        } else {
            self.missed
        };
        self.queue.push_back(Pending {
            item,
            position: message.position,
            start: message.start,
            end: message.end,
            bytes: message.header.len(),
            flags,
        });
        self.client.owner = true;
        Step::On
    }

    /// Takes the first out of the queue; its answer is no more.
    pub(crate) fn pop(&mut self) -> Option<Pending> {
        let pending = self.queue.front_mut()?;
        self.queue_bytes = self.queue_bytes.saturating_sub(pending.item.weight());
        let pending = self.queue.pop_front();
        self.forget_answer();
        pending
    }

    /// The first of the queue is told, with its answer.
    pub(crate) fn drop_first(&mut self) {
        drop(self.queue.pop_front());
        self.forget_answer();
    }

    fn forget_answer(&mut self) {
        if self.queue.is_empty() {
            self.client.owner = false;
        }
        self.answer = Answer::default();
    }

    pub(crate) fn flag_current(&mut self, side: Side, flag: Flags) {
        match side {
            Side::Client => {
                let current = if self.answer.copy_in {
                    self.queue.front_mut()
                } else {
                    self.queue.back_mut()
                };
                if let Some(pending) = current {
                    pending.flags = pending.flags | flag;
                }
            }
            Side::Server if !self.queue.is_empty() => self.answer.flags = self.answer.flags | flag,
            Side::Server => {}
        }
    }

    /// Reports what is in flight as it is and gives the connection up.
    pub(crate) fn give_up(&mut self, reason: &'static str, cx: &mut Context<'_>) -> Step {
        let time = self.client.time.max(self.server.time);
        self.flush(Flags::UNFINISHED, time, cx);
        cx.ignore(reason);
        Step::Done
    }

    /// Reports replication that goes on.
    fn report_overdue(&mut self, time: u64, cx: &mut Context<'_>) {
        let limit = self.answer.start.saturating_add(UNFINISHED_AFTER);
        if !self.answer.copy_both || self.answer.reported || time < limit {
            return;
        }
        if let Some(pending) = self.queue.front() {
            let text = match &pending.item {
                Item::Query(text) => text,
                _ => &Text::Unknown,
            };
            self.answer.end = limit;
            self.answer.flags = self.answer.flags | Flags::UNFINISHED;
            emit::exchange(self.namespace.as_deref(), pending, &self.answer, text, cx);
            self.answer.reported = true;
        }
    }
}
