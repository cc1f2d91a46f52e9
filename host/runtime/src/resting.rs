//! Connections at rest: most of those that a node has open carry nothing just now.

use std::sync::Arc;

use wirespan_stream::{ConnectionInfo, Direction, Nanos};

use crate::connection::{Connection, State, Taken};
use crate::hello::Hello;
use crate::side::Side;

/// After so long without an event less is kept of a connection that waits for nothing.
const REST_AFTER: Nanos = 2_000_000_000;

/// Places looked at in one round: a part of all, so that each has its turn within seconds, and no round
/// takes long.
const PART: usize = 16;
const LEAST: usize = 64;

/// Between two rounds, by the time of events.
const INTERVAL: Nanos = 100_000_000;

/// What is kept of a connection that waits for nothing: a quarter of one that does.
#[derive(Debug)]
pub(crate) struct Resting {
    info: Arc<ConnectionInfo>,
    state: State,
    /// Where the sides are; everything below is done with.
    ends: [u64; 2],
    ended: [bool; 2],
    /// Parsers that gave it back.
    refused: u64,
    client: Direction,
    sides_certain: bool,
    mid_stream: bool,
    tls: bool,
    consumed: bool,
    hello: Option<Box<Hello>>,
    layer: u32,
    /// 0: no timer.
    wake: Nanos,
    earliest: Nanos,
    latest: Nanos,
}

impl Resting {
    fn of(connection: &mut Connection) -> Option<Self> {
        let settled = match connection.state {
            State::Taken(Taken { opening: None, .. }) | State::Encrypted | State::Left(_) => true,
            State::Taken(_) | State::Recognising => false,
        };
        let plain = settled
            && !connection.dirty
            && !connection.closed()
            && connection.control.is_empty()
            && connection.handover.is_none()
            && connection.restarted.is_none()
            && connection.accounted == 0
            && connection.sides.iter().all(Side::is_plain);
        if !plain {
            return None;
        }
        let [sent, received] = &connection.sides;
        Some(Self {
            info: Arc::clone(&connection.info),
            state: connection.state,
            ends: [sent.end, received.end],
            ended: [sent.ended, received.ended],
            refused: connection.search.refused,
            client: connection.client,
            sides_certain: connection.sides_certain,
            mid_stream: connection.mid_stream,
            tls: connection.tls,
            consumed: connection.consumed,
            hello: connection.hello.take(),
            layer: connection.layer,
            wake: connection.wake.unwrap_or(0),
            earliest: connection.earliest,
            latest: connection.latest,
        })
    }

    fn resume(&mut self) -> Connection {
        let mut connection = Connection::new(
            Arc::clone(&self.info),
            self.ends.map(Some),
            self.mid_stream,
            0,
        );
        for (side, ended) in connection.sides.iter_mut().zip(self.ended) {
            side.ended = ended;
            side.seen = side.end;
        }
        connection.state = self.state;
        connection.search.refused = self.refused;
        connection.client = self.client;
        connection.sides_certain = self.sides_certain;
        connection.tls = self.tls;
        connection.consumed = self.consumed;
        connection.hello = self.hello.take();
        connection.layer = self.layer;
        connection.wake = (self.wake != 0).then_some(self.wake);
        connection.earliest = self.earliest;
        connection.latest = self.latest;
        connection
    }
}

/// A place for a connection.
#[derive(Debug, Default)]
pub(crate) enum Place {
    #[default]
    Free,
    Awake(Box<Connection>),
    Resting(Box<Resting>),
}

impl Place {
    pub(crate) fn new(connection: Connection) -> Self {
        Self::Awake(Box::new(connection))
    }

    /// The connection, to work on.
    pub(crate) fn wake(&mut self) -> Option<&mut Connection> {
        if let Self::Resting(resting) = self {
            *self = Self::new(resting.resume());
        }
        match self {
            Self::Awake(connection) => Some(connection),
            Self::Free | Self::Resting(_) => None,
        }
    }

    pub(crate) fn into_connection(mut self) -> Option<Box<Connection>> {
        self.wake()?;
        match self {
            Self::Awake(connection) => Some(connection),
            Self::Free | Self::Resting(_) => None,
        }
    }

    /// The connection, unless it rests.
    pub(crate) fn awake(&self) -> Option<&Connection> {
        match self {
            Self::Awake(connection) => Some(connection),
            Self::Free | Self::Resting(_) => None,
        }
    }

    /// Whether a timer of the connection with this id is due at `time`.
    pub(crate) fn waits_until(&self, id: u64, time: Nanos) -> bool {
        match self {
            Self::Free => false,
            Self::Awake(connection) => connection.info.id == id && connection.wake == Some(time),
            Self::Resting(resting) => resting.info.id == id && resting.wake == time,
        }
    }

    fn rest(&mut self, since: Nanos) {
        if let Self::Awake(connection) = self
            && connection.latest <= since
            && let Some(resting) = Resting::of(connection)
        {
            *self = Self::Resting(Box::new(resting));
        }
    }
}

/// Whose turn it is.
#[derive(Debug, Default)]
pub(crate) struct Round {
    next: usize,
    last: Nanos,
}

impl Round {
    /// Looks at the next few places.
    pub(crate) fn go_on<'a>(
        &mut self,
        now: Nanos,
        places: impl ExactSizeIterator<Item = &'a mut Place>,
    ) {
        if now.saturating_sub(self.last) < INTERVAL {
            return;
        }
        self.last = now;
        let all = places.len();
        if self.next >= all {
            self.next = 0;
        }
        let count = (all / PART).max(LEAST);
        let since = now.saturating_sub(REST_AFTER);
        for place in places.skip(self.next).take(count) {
            place.rest(since);
        }
        self.next = self.next.saturating_add(count);
    }
}
