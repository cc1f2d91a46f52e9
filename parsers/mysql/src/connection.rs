//! A connection: two lanes, the queue between them, and what is known of the session.

use std::rc::Rc;

use wirespan_parser_sql::limits::{IN_FLIGHT, IN_FLIGHT_BYTES};
use wirespan_parser_sql::{Statement, Step, Table, Text, Trust};
use wirespan_sdk::{
    Cause, Context, Flags, Gap, Input, Manifest, Opening, Parser, Prefix, Recognition, Side,
    Skipped, fact,
};

use crate::exchange::{Answer, Kind, Pending};
use crate::lane::{Lane, Packet};
use crate::queue::Queue;
use crate::view::View;
use crate::wire::{FULL, HEADER, Header, capability, header};
use crate::{fields, login, recognise};

/// What the connection is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The server greets.
    Greeting,
    /// The client answers.
    Login,
    /// Both until the server says that it is enough.
    Authentication,
    Commands,
}

/// A MySQL or MariaDB connection.
#[derive(Debug)]
pub struct Mysql {
    pub(crate) client: Lane,
    pub(crate) server: Lane,
    pub(crate) queue: Queue,
    pub(crate) answer: Answer,
    pub(crate) phase: Phase,
    pub(crate) trust: Trust,
    /// The client sends a file: its packets are no commands.
    pub(crate) sends_file: bool,
    /// An EOF may follow the definitions that were the end of the last answer.
    pub(crate) may_end: bool,
    /// What the client is, by the server's word.
    pub(crate) mariadb: bool,
    /// What the server can do, where its greeting was seen.
    pub(crate) offered: Option<u64>,
    /// What both agreed on, where that was seen.
    pub(crate) agreed: Option<u64>,
    /// Attributes stand before queries; no EOF stands between columns and rows.
    pub(crate) attributes: Option<bool>,
    /// Whether the two sides are compressed was found out, or agreed on.
    pub(crate) compression_known: bool,
    pub(crate) deprecates_eof: Option<bool>,
    pub(crate) statements: Table<u32>,
    /// What MariaDB's clients may execute before they know its number.
    pub(crate) last_prepared: Option<Rc<Statement>>,
    pub(crate) namespace: Option<Box<[u8]>>,
    /// Why exchanges may have been missed.
    pub(crate) missed: Flags,
    /// The server's packets made sense as answers to the client's.
    pub(crate) confirmed: bool,
    pub(crate) last_side: Option<Side>,
    /// When the last byte of the server passed that was shown or is known to be lost.
    pub(crate) heard: u64,
    /// As `heard`, of the client.
    pub(crate) spoke: u64,
    /// Both sides were found with what the client said then: what the server said before, shown or not,
    /// is of an earlier turn. 0 once it said something since.
    pub(crate) found: u64,
    pub(crate) out_of_step: u8,
}

impl Parser for Mysql {
    const MANIFEST: Manifest = Manifest {
        name: "mysql",
        version: env!("CARGO_PKG_VERSION"),
        protocols: &["mysql"],
        patterns: recognise::PATTERNS,
        ports: &[3306, 33060, 6033, 4006],
        fields: fields::FIELDS,
    };

    fn recognise(prefix: &Prefix<'_>) -> Recognition {
        recognise::recognise(prefix)
    }

    fn open(opening: &Opening<'_>, _: &mut Context<'_>) -> Self {
        let mid_stream = opening.mid_stream();
        let lane = Lane {
            seek: mid_stream,
            ..Lane::default()
        };
        let mut new = Self {
            client: lane,
            server: Lane {
                seek: mid_stream,
                ..Lane::default()
            },
            queue: Queue::default(),
            answer: Answer::default(),
            phase: if mid_stream {
                Phase::Commands
            } else {
                Phase::Greeting
            },
            trust: if mid_stream { Trust::Lost } else { Trust::Sure },
            sends_file: false,
            may_end: false,
            mariadb: false,
            offered: None,
            agreed: None,
            attributes: None,
            compression_known: !mid_stream,
            deprecates_eof: None,
            statements: Table::default(),
            last_prepared: None,
            namespace: None,
            missed: match (opening.restart, mid_stream) {
                (true, _) => Flags::PARSER_RESTART,
                (false, true) => Flags::MID_STREAM,
                (false, false) => Flags::empty(),
            },
            confirmed: !mid_stream,
            last_side: None,
            heard: 0,
            spoke: 0,
            found: 0,
            out_of_step: 0,
        };
        if !mid_stream && opening.facts.is_true(fact::TLS) {
            // The greeting came before TLS did.
            new.phase = Phase::Login;
            if let Some(context) = opening.facts.text(fact::HANDOVER) {
                login::take_over(&mut new, context);
            }
        }
        new
    }

    fn data(&mut self, side: Side, input: Input<'_>, cx: &mut Context<'_>) {
        if self.lane(side).compressed {
            return self.frames(side, &input, input.position(), cx);
        }
        let view = View::wire(input);
        let mut at = input.position();
        let step = self.read(side, &view, &mut at, cx);
        if step == Step::Done {
            return;
        }
        if self.lane(side).compressed {
            return self.frames(side, &input, at, cx);
        }
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
        if self.lane(side).compressed {
            self.frames_lost(side, gap, cx);
        } else {
            self.lost(side, gap, cx);
        }
    }

    fn skipped(&mut self, side: Side, skipped: Skipped, _: &mut Context<'_>) {
        if skipped.lost {
            self.flag_current(side, Flags::GAP);
        }
        let lane = self.lane(side);
        lane.position = lane.position.max(skipped.end);
        lane.seen = lane.seen.max(skipped.end);
        lane.time = skipped.time;
        if lane.body_end <= lane.position {
            self.passed(side, skipped.time);
        }
    }

    fn close(&mut self, cause: Cause, time: u64, cx: &mut Context<'_>) {
        self.closed(cause, time, cx);
    }

    fn secured(&mut self, opening: &Opening<'_>, cx: &mut Context<'_>) {
        let (offered, mariadb) = (self.offered, self.mariadb);
        *self = Self::open(opening, cx);
        self.offered = offered;
        self.mariadb = mariadb;
        if !opening.mid_stream() {
            self.phase = Phase::Login;
        }
    }

    fn evict(&mut self) {
        self.statements.clear();
        self.last_prepared = None;
    }
}

impl Mysql {
    pub(crate) fn lane(&mut self, side: Side) -> &mut Lane {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    /// Whether something was agreed on, where that is known.
    pub(crate) fn agreed_on(&self, capability: u64) -> Option<bool> {
        self.agreed.map(|agreed| agreed & capability != 0)
    }

    /// Reads what there is.
    pub(crate) fn read(
        &mut self,
        side: Side,
        view: &View<'_>,
        at: &mut u64,
        cx: &mut Context<'_>,
    ) -> Step {
        self.turn(side, view, at, cx);
        loop {
            let before = *at;
            let inside = self.lane(side).body_end > before;
            let sends_file = self.sends_file;
            let step = self.step(side, view, at, cx);
            if step == Step::Done {
                return step;
            }
            if self.sends_file && !sends_file && self.client.seen > self.client.position {
                // What the client said before is of the file, and was waited for as a command.
                self.client.holds = true;
                cx.hold(Side::Client);
            }
            let lane = self.lane(side);
            lane.position = *at;
            // How much there is of a body that is stepped over depends on the batch.
            if *at > before && !(inside && lane.body_end > *at) {
                lane.time = view.ends(*at);
            }
            lane.holds = step == Step::Hold;
            let switched = view.is_wire() && lane.compressed;
            if step != Step::On || *at >= view.end() || switched {
                return step;
            }
            if self.lane(side.other()).holds {
                return Step::Hold;
            }
        }
    }

    fn step(&mut self, side: Side, view: &View<'_>, at: &mut u64, cx: &mut Context<'_>) -> Step {
        let sure = self.trust == Trust::Sure;
        let waits = side == Side::Client && self.server.seen > self.server.position;
        let lane = self.lane(side);
        if lane.body_end > *at {
            let to = lane.body_end;
            *at = to.min(view.end());
            if *at < to {
                // Only a packet that is certain is stepped over unseen, and only where the server does
                // not wait with something that may show the opposite.
                return if sure && !waits {
                    Step::Skip(to)
                } else {
                    Step::On
                };
            }
            let time = view.ends(*at);
            self.passed(side, time);
            return Step::On;
        }
        if lane.seek {
            *at = view.end();
            return Step::On;
        }
        let Some(header) = header(view.from(*at)) else {
            return Step::More(at.saturating_add(HEADER));
        };
        if lane.continued {
            return self.continuation(side, header, view, at, cx);
        }
        match side {
            Side::Client => self.client_packet(header, view, at, cx),
            Side::Server => self.server_packet(header, view, at, cx),
        }
    }

    /// Takes a packet of which `wanted` bytes are looked at; the rest is stepped over.
    pub(crate) fn take<'a>(
        &mut self,
        side: Side,
        header: Header,
        wanted: usize,
        view: &View<'a>,
        at: &mut u64,
    ) -> Result<(Packet, &'a [u8]), Step> {
        let wanted = wanted.min(header.len as usize);
        let body = at.saturating_add(HEADER);
        let needed = body.saturating_add(wanted as u64);
        let mut packet = Packet {
            header,
            position: *at,
            place: view.place(*at),
            start: view.begins(*at),
            end: view.ends(needed.min(view.end())),
            bytes: if view.is_wire() {
                HEADER.saturating_add(u64::from(header.len))
            } else {
                0
            },
        };
        let lane = self.lane(side);
        if needed > view.end() {
            lane.pending = Some(Box::new(packet));
            return Err(Step::More(needed));
        }
        let end = packet.end_position();
        *at = needed;
        lane.pending = None;
        lane.position = needed;
        lane.body_end = end;
        lane.continued = header.len == FULL;
        lane.open = lane.continued || end > needed;
        packet.bytes = packet
            .bytes
            .saturating_add(std::mem::take(&mut lane.credit));
        lane.sequence = header.sequence;
        let bytes = view.from(body).get(..wanted).unwrap_or_default();
        Ok((packet, bytes))
    }

    /// A packet that goes on with the payload of the one before.
    fn continuation(
        &mut self,
        side: Side,
        header: Header,
        view: &View<'_>,
        at: &mut u64,
        cx: &mut Context<'_>,
    ) -> Step {
        let lane = self.lane(side);
        if !lane.compressed && header.sequence != lane.sequence.wrapping_add(1) {
            return self.fall_out(cx);
        }
        let Ok((packet, _)) = self.take(side, header, 0, view, at) else {
            return Step::On;
        };
        match side {
            Side::Client if self.client.owner => {
                if let Some(pending) = self.queue.back_mut() {
                    pending.bytes = pending.bytes.saturating_add(packet.bytes);
                    pending.sequence = header.sequence;
                }
            }
            Side::Client => {}
            Side::Server => self.answer.bytes = self.answer.bytes.saturating_add(packet.bytes),
        }
        if header.len == 0 {
            self.passed(side, packet.end);
        }
        Step::On
    }

    /// The packet that was stepped over has passed whole.
    pub(crate) fn passed(&mut self, side: Side, time: u64) {
        let lane = self.lane(side);
        if lane.continued || lane.seek {
            return;
        }
        lane.open = false;
        // Of further frames that it took.
        let credit = std::mem::take(&mut lane.credit);
        match side {
            Side::Client if lane.owner => {
                if let Some(pending) = self.queue.back_mut() {
                    pending.end = time;
                    pending.bytes = pending.bytes.saturating_add(credit);
                }
            }
            Side::Server if self.answer.start != 0 => {
                self.answer.end = time;
                self.answer.bytes = self.answer.bytes.saturating_add(credit);
            }
            _ => {}
        }
    }

    /// Puts a command in the queue.
    pub(crate) fn push(
        &mut self,
        kind: Kind,
        mut text: Text,
        packet: Packet,
        cx: &mut Context<'_>,
    ) -> Step {
        if self.queue.len() >= IN_FLIGHT {
            return self.give_up("too many commands in flight", cx);
        }
        let weight = text.weight();
        if !self.queue.is_empty() && self.queue.bytes().saturating_add(weight) > IN_FLIGHT_BYTES {
            text = Text::Unknown;
        }
        self.queue.push(Pending {
            kind,
            sequence: packet.header.sequence,
            text,
            position: packet.place,
            start: packet.start,
            end: packet.end,
            bytes: packet.bytes,
            flags: if self.trust == Trust::Sure {
                Flags::empty()
            } else {
                self.missed
            },
            traceparent: None,
        });
        self.client.owner = true;
        Step::On
    }

    /// The first of the queue is told, with its answer.
    pub(crate) fn drop_first(&mut self) {
        self.queue.drop_first();
        if self.queue.is_empty() {
            self.client.owner = false;
        }
        self.answer = Answer::default();
    }

    pub(crate) fn flag_current(&mut self, side: Side, flag: Flags) {
        match side {
            Side::Client => {
                if self.client.owner
                    && let Some(pending) = self.queue.back_mut()
                {
                    pending.flags = pending.flags | flag;
                }
            }
            Side::Server if !self.queue.is_empty() => self.answer.flags = self.answer.flags | flag,
            Side::Server => {}
        }
    }

    /// Learns what the two sides agreed on.
    pub(crate) fn agree(&mut self, capabilities: u64) {
        self.agreed = Some(capabilities);
        self.attributes = Some(capabilities & capability::QUERY_ATTRIBUTES != 0);
        self.deprecates_eof = Some(capabilities & capability::DEPRECATE_EOF != 0);
    }

    /// Reports what is in flight as it is and gives the connection up.
    pub(crate) fn give_up(&mut self, reason: &'static str, cx: &mut Context<'_>) -> Step {
        let time = self.client.time.max(self.server.time);
        self.flush(Flags::UNFINISHED, time, cx);
        cx.ignore(reason);
        Step::Done
    }
}

/// What the server is, by its own word.
pub(crate) fn system(mariadb: bool) -> &'static str {
    if mariadb { "mariadb" } else { "mysql" }
}
