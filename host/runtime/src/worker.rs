//! A worker owns connections and the instances that parse them. It runs on one thread and waits for
//! nothing.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use wirespan_capture::{Clock, Verdict};
use wirespan_span::Resource;
use wirespan_stream::{ConnectionInfo, Direction, GapCause, Nanos, StreamClose, StreamEvent};

use crate::batch::{Batch, Due, has_work};
use crate::bindings::{Cause, EventKind};
use crate::connection::{Connection, Control, State};
use crate::counters::RuntimeCounters;
use crate::engine::Engine;
use crate::facts::Facts;
use crate::limits::Limits;
use crate::output::Output;
use crate::parsers::Parsers;
use crate::pool::Pool;
use crate::side::{Content, Segment};

/// A place for a connection. Each number that a guest knows one by is used once.
#[derive(Default)]
pub(crate) struct Slot {
    pub(crate) uses: u32,
    pub(crate) connection: Option<Connection>,
}

/// Buffers of recognition.
#[derive(Default)]
pub(crate) struct Prefixes {
    pub(crate) client: Vec<u8>,
    pub(crate) server: Vec<u8>,
    pub(crate) facts: Facts,
}

/// Hands the events of its connections to parsers and takes their spans.
pub struct Worker {
    pub(crate) engine: Arc<Engine>,
    pub(crate) parsers: Arc<Parsers>,
    pub(crate) clock: Clock,
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<RuntimeCounters>,
    pub(crate) pools: Vec<Pool>,
    pub(crate) slots: Vec<Slot>,
    free: Vec<u32>,
    ids: FxHashMap<u64, u32>,
    pub(crate) dirty: Vec<u32>,
    pub(crate) due: Due,
    /// The latest time of any event.
    pub(crate) now: Nanos,
    order: u64,
    pending_events: usize,
    pending_bytes: usize,
    pub(crate) retained: usize,
    pub(crate) batch: Batch,
    pub(crate) prefixes: Prefixes,
    pub(crate) resource: Arc<Resource>,
    pub(crate) output: Output,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("connections", &self.ids.len())
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

impl Worker {
    #[must_use]
    pub fn new(
        engine: Arc<Engine>,
        parsers: Arc<Parsers>,
        clock: Clock,
        limits: Limits,
        counters: Arc<RuntimeCounters>,
    ) -> Self {
        let pool = |parser: &Arc<_>| {
            Pool::new(
                Arc::clone(parser),
                counters.parser(parser.label()),
                limits.instances,
            )
        };
        Self {
            pools: parsers.iter().map(pool).collect(),
            engine,
            parsers,
            clock,
            limits,
            counters,
            slots: Vec::new(),
            free: Vec::new(),
            ids: FxHashMap::default(),
            dirty: Vec::new(),
            due: Due::new(),
            now: 0,
            order: 0,
            pending_events: 0,
            pending_bytes: 0,
            retained: 0,
            batch: Batch::default(),
            prefixes: Prefixes::default(),
            resource: Arc::default(),
            output: Output::default(),
        }
    }

    /// Connections it has.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.ids.len()
    }

    /// Bytes kept for parsers that have not consumed them.
    #[must_use]
    pub fn retained_bytes(&self) -> usize {
        self.retained
    }

    /// Takes one event. What follows from it comes out of [`Self::run`], at the latest.
    pub fn handle(&mut self, event: StreamEvent) {
        match event {
            StreamEvent::Open {
                info,
                positions,
                mid_stream,
            } => self.open(info, positions, mid_stream),
            StreamEvent::Data {
                id,
                direction,
                position,
                bytes,
                time,
                order_uncertain,
            } => {
                let content = Content::Bytes {
                    bytes,
                    unordered: order_uncertain,
                };
                self.stretch(id, direction, position, time, content);
            }
            StreamEvent::Gap {
                id,
                direction,
                position,
                len: Some(len),
                cause,
                time,
            } => {
                self.stretch(
                    id,
                    direction,
                    position,
                    time,
                    Content::Gap {
                        len,
                        cause: gap_cause(cause),
                    },
                );
            }
            StreamEvent::Gap {
                id,
                direction,
                position,
                len: None,
                cause,
                time,
            } => {
                self.broken(id, direction, position, gap_cause(cause), time);
            }
            StreamEvent::Secured {
                id,
                positions,
                mid_stream,
                time,
            } => self.secured(id, positions, mid_stream, time),
            StreamEvent::End {
                id,
                direction,
                position,
                time,
            } => self.end(id, direction, position, time),
            StreamEvent::Close { id, reason, time } => self.close(id, reason, time),
        }
        if self.pending_events >= self.limits.batch_events
            || self.pending_bytes >= self.limits.batch_bytes
        {
            self.pump();
        }
    }

    /// Hands everything over that waits, and adds what came of it to `out`.
    pub fn run(&mut self, out: &mut Output) {
        self.pump();
        out.spans.append(&mut self.output.spans);
        out.verdicts.append(&mut self.output.verdicts);
    }

    /// Time has come to `now` without an event: timers until then fire with the next [`Self::run`].
    pub fn advance(&mut self, now: Nanos) {
        self.now = self.now.max(now);
    }

    fn open(&mut self, info: Arc<ConnectionInfo>, positions: [Option<u64>; 2], mid_stream: bool) {
        self.now = self.now.max(info.opened);
        self.counters.connections.one();
        if self.ids.len() >= self.limits.connections {
            self.counters.refused_connections.one();
            self.output.verdicts.push((info.key, Verdict::Ignored));
            return;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            // Far fewer than 2^32: the limit on connections.
            u32::try_from(self.slots.len().saturating_sub(1)).unwrap_or(u32::MAX)
        });
        let id = info.id;
        let Some(place) = self.slots.get_mut(slot as usize) else {
            return;
        };
        place.connection = Some(Connection::new(
            info,
            positions,
            mid_stream,
            self.parsers.all(),
        ));
        if let Some(earlier) = self.ids.insert(id, slot) {
            // An id is never used twice; if it were, the earlier connection would be lost track of.
            self.drop_slot(earlier);
        }
    }

    fn stretch(
        &mut self,
        id: u64,
        direction: Direction,
        position: u64,
        time: Nanos,
        content: Content,
    ) {
        let Some((slot, order)) = self.reach(id, time) else {
            return;
        };
        let Some(connection) = connection_mut(&mut self.slots, slot) else {
            return;
        };
        let len = match &content {
            Content::Bytes { bytes, .. } => bytes.len(),
            Content::Gap { .. } => 0,
        };
        let wanted = match connection.state {
            State::Recognising => true,
            State::Taken(taken) => !taken.ignored,
            State::Encrypted | State::Left => false,
        };
        if !wanted {
            self.counters.ignored_bytes.add(len as u64);
            return;
        }
        if !connection.sides_certain
            && connection.info.remote.is_none()
            && connection.state == State::Recognising
        {
            guess_by_speaker(connection, direction);
        }
        let (dropped, skipped) = connection.side_mut(direction).push(Segment {
            position,
            time,
            order,
            content,
        });
        if !connection.side(direction).held() {
            connection.side_mut(direction.opposite()).release();
        }
        if dropped > 0 {
            self.counters.skipped_bytes.add(dropped);
        }
        if let Some(skipped) = skipped {
            connection.skipped(direction, skipped);
        }
        self.pending_events = self.pending_events.saturating_add(1);
        self.pending_bytes = self.pending_bytes.saturating_add(len);
        if connection.state == State::Recognising || has_work(connection) {
            self.touch(slot);
        }
        self.account(slot);
    }

    /// A gap of unknown length: positions start anew, so what is there is handed over before.
    fn broken(&mut self, id: u64, direction: Direction, position: u64, cause: Cause, time: Nanos) {
        self.pump();
        let Some((slot, order)) = self.reach(id, time) else {
            return;
        };
        let Some(connection) = connection_mut(&mut self.slots, slot) else {
            return;
        };
        let side = connection.side_mut(direction);
        side.clear(false);
        match connection.state {
            State::Recognising => connection.mid_stream = true,
            State::Taken(taken) if !taken.ignored => {
                let kind = EventKind::GapUnknown;
                let direction = Some(direction);
                connection.control.push_back(Control {
                    order,
                    time,
                    kind,
                    direction,
                    position,
                    len: 0,
                    cause,
                });
                self.touch(slot);
            }
            _ => {}
        }
        self.account(slot);
    }

    fn secured(&mut self, id: u64, positions: [u64; 2], mid_stream: bool, time: Nanos) {
        self.pump();
        let Some((slot, order)) = self.reach(id, time) else {
            return;
        };
        let all = self.parsers.all();
        let Some(connection) = connection_mut(&mut self.slots, slot) else {
            return;
        };
        connection.sides = positions.map(|position| crate::side::Side::at(Some(position)));
        connection.tls = true;
        connection.layer = connection.layer.saturating_add(1);
        connection.mid_stream = mid_stream;
        if let State::Taken(taken) = connection.state
            && !taken.ignored
        {
            let kind = EventKind::Secured;
            let cause = Cause::None;
            connection.control.push_back(Control {
                order,
                time,
                kind,
                direction: None,
                position: 0,
                len: 0,
                cause,
            });
        } else {
            if let State::Taken(taken) = connection.state {
                depart(&mut self.pools, taken);
            }
            connection.search.refused = 0;
            connection.control.clear();
            connection.search_anew(all);
        }
        self.touch(slot);
        self.account(slot);
    }

    fn end(&mut self, id: u64, direction: Direction, position: u64, time: Nanos) {
        let Some((slot, order)) = self.reach(id, time) else {
            return;
        };
        let Some(connection) = connection_mut(&mut self.slots, slot) else {
            return;
        };
        let listening = match connection.state {
            State::Recognising => true,
            State::Taken(taken) => !taken.ignored,
            State::Encrypted | State::Left => false,
        };
        if !listening || connection.side(direction).ended {
            return;
        }
        connection
            .sides
            .iter_mut()
            .for_each(crate::side::Side::release);
        connection.side_mut(direction).ended = true;
        let kind = EventKind::End;
        let direction = Some(direction);
        connection.control.push_back(Control {
            order,
            time,
            kind,
            direction,
            position,
            len: 0,
            cause: Cause::None,
        });
        self.touch(slot);
    }

    fn close(&mut self, id: u64, reason: StreamClose, time: Nanos) {
        let Some((slot, order)) = self.reach(id, time) else {
            return;
        };
        let Some(connection) = connection_mut(&mut self.slots, slot) else {
            return;
        };
        if matches!(connection.state, State::Left | State::Encrypted) {
            self.drop_slot(slot);
            return;
        }
        let cause = match reason {
            StreamClose::Finished => Cause::Finished,
            StreamClose::Reset => Cause::Reset,
            StreamClose::CutOff => Cause::CutOff,
            StreamClose::Evicted => Cause::Evicted,
        };
        for side in &mut connection.sides {
            side.ended = true;
            side.release();
        }
        let kind = EventKind::Close;
        connection.closing = Some(Control {
            order,
            time,
            kind,
            direction: None,
            position: 0,
            len: 0,
            cause,
        });
        self.pending_events = self.pending_events.saturating_add(1);
        self.touch(slot);
    }

    /// The slot of a connection at which something happens now, and its place in the order. A timer
    /// that was due before stands before it.
    fn reach(&mut self, id: u64, time: Nanos) -> Option<(u32, u64)> {
        self.now = self.now.max(time);
        let slot = *self.ids.get(&id)?;
        let connection = connection_mut(&mut self.slots, slot)?;
        connection.seen_at(time);
        connection.rounds = 0;
        if let Some(wake) = connection.wake
            && wake < time
        {
            self.ring(slot, wake);
        }
        self.order = self.order.saturating_add(1);
        Some((slot, self.order))
    }

    /// A timer has come.
    fn ring(&mut self, slot: u32, time: Nanos) {
        self.order = self.order.saturating_add(1);
        let order = self.order;
        let Some(connection) = connection_mut(&mut self.slots, slot) else {
            return;
        };
        connection.wake = None;
        connection
            .sides
            .iter_mut()
            .for_each(crate::side::Side::release);
        let (kind, cause) = (EventKind::Timer, Cause::None);
        connection.control.push_back(Control {
            order,
            time,
            kind,
            direction: None,
            position: 0,
            len: 0,
            cause,
        });
        self.touch(slot);
    }

    pub(crate) fn next_order(&mut self) -> u64 {
        self.order = self.order.saturating_add(1);
        self.order
    }

    /// Puts a connection on the list of those with something to do.
    pub(crate) fn touch(&mut self, slot: u32) {
        if let Some(connection) = connection_mut(&mut self.slots, slot)
            && !connection.dirty
        {
            connection.dirty = true;
            self.dirty.push(slot);
        }
    }

    /// Brings the total of retained bytes up to date.
    pub(crate) fn account(&mut self, slot: u32) {
        if let Some(connection) = connection_mut(&mut self.slots, slot) {
            let retained = connection.retained();
            self.retained = self
                .retained
                .saturating_sub(connection.accounted)
                .saturating_add(retained);
            connection.accounted = retained;
        }
    }

    /// Forgets a connection.
    pub(crate) fn drop_slot(&mut self, slot: u32) {
        let Some(place) = self.slots.get_mut(slot as usize) else {
            return;
        };
        let Some(connection) = place.connection.take() else {
            return;
        };
        self.retained = self.retained.saturating_sub(connection.accounted);
        if let State::Taken(taken) = connection.state {
            depart(&mut self.pools, taken);
        }
        if self.ids.get(&connection.info.id) == Some(&slot) {
            self.ids.remove(&connection.info.id);
        }
        // A slot whose numbers are used up is not used again.
        if place.uses < u32::MAX - 8 {
            self.free.push(slot);
        }
    }

    /// Until nothing is left to do: timers, recognition, batches.
    pub(crate) fn pump(&mut self) {
        self.pending_events = 0;
        self.pending_bytes = 0;
        while let Some(Reverse((time, slot, id))) = self.due.peek().copied()
            && time <= self.now
        {
            self.due.pop();
            let connection = connection_mut(&mut self.slots, slot);
            if connection.is_some_and(|c| c.info.id == id && c.wake == Some(time)) {
                self.ring(slot, time);
            }
        }
        while !self.dirty.is_empty() {
            let mut dirty = std::mem::take(&mut self.dirty);
            for slot in dirty.drain(..) {
                self.sort(slot);
            }
            // Keeps its memory for the next round.
            dirty.append(&mut self.dirty);
            self.dirty = dirty;
            for pool in 0..self.pools.len() {
                let seats = self.pools.get(pool).map_or(0, |pool| pool.seats.len());
                for seat in 0..seats {
                    self.work(pool, seat);
                }
            }
        }
    }

    /// Sends a connection with something to do to where that is done.
    fn sort(&mut self, slot: u32) {
        let Some(connection) = connection_mut(&mut self.slots, slot) else {
            return;
        };
        connection.dirty = false;
        if connection.state == State::Recognising {
            self.recognise(slot);
        }
        let Some(connection) = connection_mut(&mut self.slots, slot) else {
            return;
        };
        match connection.state {
            State::Taken(taken) => {
                let work = has_work(connection);
                let pool = self.pools.get_mut(taken.parser);
                if work && let Some(seat) = pool.and_then(|pool| pool.seats.get_mut(taken.seat)) {
                    seat.work.push(slot);
                }
            }
            State::Left | State::Encrypted if connection.closed() => self.drop_slot(slot),
            _ => {}
        }
    }
}

pub(crate) fn connection_mut(slots: &mut [Slot], slot: u32) -> Option<&mut Connection> {
    slots.get_mut(slot as usize)?.connection.as_mut()
}

pub(crate) fn depart(pools: &mut [Pool], taken: crate::connection::Taken) {
    if let Some(pool) = pools.get_mut(taken.parser) {
        pool.depart(taken.seat);
    }
}

/// Where neither role nor ports say who the client is, it is the one who speaks first.
fn guess_by_speaker(connection: &mut Connection, direction: Direction) {
    let silent = connection
        .sides
        .iter()
        .all(|side| side.segments.is_empty() && side.floor == side.end);
    if silent && connection.info.role.is_none() {
        connection.client = direction;
    }
}

const fn gap_cause(cause: GapCause) -> Cause {
    match cause {
        // Neither is a loss on the way: somebody decided to leave the bytes out.
        GapCause::Unwanted | GapCause::Limit => Cause::Limit,
        GapCause::Unobserved => Cause::Unobserved,
        GapCause::Fault | GapCause::Ring | GapCause::Packet | GapCause::Unknown => Cause::Lost,
    }
}

/// An empty piece is not kept alive by its buffer.
pub(crate) fn owned(bytes: &[u8]) -> Option<Box<[u8]>> {
    (!bytes.is_empty()).then(|| Bytes::copy_from_slice(bytes).to_vec().into_boxed_slice())
}
