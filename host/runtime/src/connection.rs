//! A connection as a worker sees it.

use std::collections::VecDeque;
use std::sync::Arc;

use wirespan_capture::{Layer, Said, Verdict};
use wirespan_stream::{ConnectionInfo, Direction, Nanos, Role, Transport};

use crate::bindings::{self, Cause, EventKind};
use crate::hello::{self, HELLO_BYTES, Hello, Reading};
use crate::ledger::{Fate, Ledger};
use crate::side::{Side, Skipped};

/// Pieces in which a ClientHello may come: clients send it in one. Fewer than recognition takes, so
/// that TLS is told from what nobody knows.
const HELLO_ATTEMPTS: u32 = 16;

/// An event that is presented once, beside the bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Control {
    pub(crate) order: u64,
    pub(crate) time: Nanos,
    pub(crate) kind: EventKind,
    /// `None` where the event is about the whole connection.
    pub(crate) direction: Option<Direction>,
    pub(crate) position: u64,
    pub(crate) len: u64,
    pub(crate) cause: Cause,
}

impl Control {
    /// About the whole connection.
    pub(crate) const fn new(kind: EventKind, order: u64, time: Nanos) -> Self {
        Self {
            order,
            time,
            kind,
            direction: None,
            position: 0,
            len: 0,
            cause: Cause::None,
        }
    }

    /// About a direction, from `position` on.
    pub(crate) const fn of(self, direction: Direction, position: u64) -> Self {
        Self {
            direction: Some(direction),
            position,
            ..self
        }
    }

    pub(crate) const fn because(self, cause: Cause) -> Self {
        Self { cause, ..self }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// No parser has it yet.
    Recognising,
    /// It carries TLS; plaintext may come.
    Encrypted,
    Taken(Taken),
    /// Nobody wants it; what still comes goes the way of what was there.
    Left(Fate),
}

impl State {
    /// What becomes of bytes that come; `None` where somebody wants them.
    pub(crate) const fn fate(self) -> Option<Fate> {
        match self {
            Self::Recognising | Self::Taken(Taken { ignored: false, .. }) => None,
            Self::Taken(_) => Some(Fate::GivenUp),
            Self::Encrypted => Some(Fate::Encrypted),
            Self::Left(fate) => Some(fate),
        }
    }
}

/// A parser has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) parser: usize,
    pub(crate) seat: usize,
    /// What the guest calls it.
    pub(crate) number: u64,
    /// The guest has not been told of it yet, and why it is told now.
    pub(crate) opening: Option<Cause>,
    /// The guest wants nothing more but the end.
    pub(crate) ignored: bool,
}

/// How recognition goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search {
    /// Parsers that have not said no: a bit for each.
    pub(crate) candidates: u64,
    /// Parsers that gave it back.
    pub(crate) refused: u64,
    pub(crate) attempts: u32,
    /// Bytes there were at the last attempt.
    pub(crate) tried: usize,
    pub(crate) beginnings: u32,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) info: Arc<ConnectionInfo>,
    pub(crate) state: State,
    /// By [`Direction::index`].
    pub(crate) sides: [Side; 2],
    pub(crate) control: VecDeque<Control>,
    pub(crate) search: Search,
    /// Which direction carries what the client sends.
    pub(crate) client: Direction,
    pub(crate) sides_certain: bool,
    pub(crate) mid_stream: bool,
    pub(crate) tls: bool,
    /// What the client said before TLS began.
    pub(crate) hello: Option<Box<Hello>>,
    /// How many position spaces there were before the present one.
    pub(crate) layer: u32,
    pub(crate) handover: Option<Box<[u8]>>,
    /// When a timer is due.
    pub(crate) wake: Option<Nanos>,
    /// It stands in the list of connections with something to do.
    pub(crate) dirty: bool,
    /// When its parser's instance failed: spans that touch that time say so.
    pub(crate) restarted: Option<Nanos>,
    /// No time of a span lies outside of these.
    pub(crate) earliest: Nanos,
    pub(crate) latest: Nanos,
    /// It has ended. Handed over when everything else was: a parser that held a side back sees it
    /// again first.
    pub(crate) closing: Option<Control>,
    /// The header of a load balancer was stepped over: there is one at most.
    pub(crate) proxied: bool,
    /// A parser has consumed some of it: what is retained is not its beginning.
    pub(crate) consumed: bool,
    /// Calls since the last event from outside.
    pub(crate) rounds: u32,
    /// Bytes of it in the worker's total.
    pub(crate) accounted: usize,
}

impl Connection {
    pub(crate) fn new(
        info: Arc<ConnectionInfo>,
        positions: [Option<u64>; 2],
        mid_stream: bool,
        all: u64,
    ) -> Self {
        let (client, sides_certain) = guess_client(&info);
        Self {
            state: State::Recognising,
            sides: positions.map(Side::at),
            control: VecDeque::new(),
            search: Search {
                candidates: all,
                refused: 0,
                attempts: 0,
                tried: 0,
                beginnings: 0,
            },
            client,
            sides_certain,
            mid_stream,
            tls: false,
            hello: None,
            layer: 0,
            handover: None,
            wake: None,
            dirty: false,
            restarted: None,
            earliest: info.opened,
            latest: info.opened,
            closing: None,
            proxied: false,
            consumed: false,
            rounds: 0,
            accounted: 0,
            info,
        }
    }

    pub(crate) fn side_mut(&mut self, direction: Direction) -> &mut Side {
        let [sent, received] = &mut self.sides;
        match direction {
            Direction::Sent => sent,
            Direction::Received => received,
        }
    }

    pub(crate) fn side(&self, direction: Direction) -> &Side {
        let [sent, received] = &self.sides;
        match direction {
            Direction::Sent => sent,
            Direction::Received => received,
        }
    }

    /// What the guest calls a direction.
    pub(crate) fn role(&self, direction: Direction) -> bindings::Side {
        if direction == self.client {
            bindings::Side::Client
        } else {
            bindings::Side::Server
        }
    }

    pub(crate) fn direction(&self, side: bindings::Side) -> Direction {
        match side {
            bindings::Side::Client => self.client,
            bindings::Side::Server => self.client.opposite(),
        }
    }

    /// The observed end is the client's.
    pub(crate) fn observed_client(&self) -> bool {
        self.client == Direction::Sent
    }

    pub(crate) fn closed(&self) -> bool {
        self.closing.is_some()
    }

    /// A verdict on what it carries now.
    pub(crate) fn say(&self, verdict: Verdict) -> Said {
        Said {
            key: self.info.key,
            layer: Some(if self.tls {
                Layer::Plaintext
            } else {
                Layer::Socket
            }),
            verdict,
        }
    }

    pub(crate) fn retained(&self) -> usize {
        self.sides
            .iter()
            .map(|side| side.retained)
            .fold(0, usize::saturating_add)
    }

    /// Whether what a client says before TLS was read, or will not be: the rest of it comes at once,
    /// before the server speaks, or never.
    pub(crate) fn greeted(&mut self, client: &[u8], server: &[u8]) -> bool {
        // Who the client is may be a guess.
        let readings = [client, server].map(hello::read);
        for reading in &readings {
            if let Reading::Whole(hello) = reading {
                self.hello = Some(Box::new(hello.clone()));
                return true;
            }
        }
        let one_sided = client.is_empty() || server.is_empty();
        let waits = readings.iter().all(|reading| *reading == Reading::Partial)
            && client.len().max(server.len()) < HELLO_BYTES;
        !(one_sided && waits) || self.closed() || self.search.attempts >= HELLO_ATTEMPTS
    }

    pub(crate) fn seen_at(&mut self, time: Nanos) {
        if time != 0 {
            self.earliest = self.earliest.min(time);
            self.latest = self.latest.max(time);
        }
    }

    pub(crate) fn skipped(&mut self, direction: Direction, skipped: Skipped) {
        let control = Control::new(EventKind::Skipped, skipped.order, skipped.time);
        self.control.push_back(Control {
            len: skipped.to.saturating_sub(skipped.from),
            ..control.of(direction, skipped.from)
        });
    }

    /// Nothing more comes of a direction: a skip that was not reached is told as far as it got.
    pub(crate) fn stop_skip(&mut self, direction: Direction) {
        if let Some(skipped) = self.side_mut(direction).stop_skip() {
            self.skipped(direction, skipped);
        }
    }

    /// Recognition starts again with what is retained, or with what comes.
    pub(crate) fn search_anew(&mut self, all: u64) {
        self.state = State::Recognising;
        let refused = self.search.refused;
        self.search = Search {
            candidates: all & !refused,
            refused,
            attempts: 0,
            tried: 0,
            beginnings: 0,
        };
        self.wake = None;
        for side in &mut self.sides {
            side.forget_requests();
        }
    }

    /// Nothing of it is of interest any more.
    pub(crate) fn leave(&mut self, fate: Fate, ledger: &mut Ledger) {
        self.state = State::Left(fate);
        self.forget_bytes(fate, ledger);
        self.control.clear();
        self.wake = None;
        self.handover = None;
    }

    pub(crate) fn forget_bytes(&mut self, fate: Fate, ledger: &mut Ledger) {
        for side in &mut self.sides {
            side.clear(true, fate, ledger);
        }
    }
}

/// Who opened it where that was seen; else the end with the lower port is taken for the server, for
/// clients' ports are given out from 1024 or 32768 on. The parser that recognises it can correct it.
fn guess_client(info: &ConnectionInfo) -> (Direction, bool) {
    match (info.role, info.local, info.remote) {
        (Some(Role::Client), ..) => (Direction::Sent, true),
        (Some(Role::Server), ..) => (Direction::Received, true),
        (None, Some(local), Some(remote)) if info.transport != Transport::Unix => {
            let client = if local.port() > remote.port() {
                Direction::Sent
            } else {
                Direction::Received
            };
            (client, false)
        }
        _ => (Direction::Received, false),
    }
}
