//! A worker owns connections and the instances that parse them. It runs on one thread and waits for
//! nothing.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use wirespan_capture::Clock;
use wirespan_span::Resource;
use wirespan_stream::Nanos;

use crate::batch::{Batch, Due, has_work};
use crate::connection::{Connection, State, Taken};
use crate::counters::RuntimeCounters;
use crate::engine::Engine;
use crate::facts::Facts;
use crate::ledger::{Fate, Ledger};
use crate::limits::Limits;
use crate::output::Output;
use crate::parsers::Parsers;
use crate::pool::Pool;
use crate::resting::{Place, Round};
use crate::side::Side;

/// A place for a connection. Each number that a guest knows one by is used once.
#[derive(Default)]
pub(crate) struct Slot {
    pub(crate) uses: u32,
    pub(crate) place: Place,
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
    rounds: Round,
    pub(crate) free: Vec<u32>,
    pub(crate) ids: FxHashMap<u64, u32>,
    pub(crate) dirty: Vec<u32>,
    pub(crate) due: Due,
    /// The latest time of any event.
    pub(crate) now: Nanos,
    pub(crate) order: u64,
    pub(crate) pending_events: usize,
    pub(crate) pending_bytes: usize,
    pub(crate) retained: usize,
    pub(crate) ledger: Ledger,
    /// What of the ledger is in the counters.
    counted: Ledger,
    pub(crate) batch: Batch,
    pub(crate) prefixes: Prefixes,
    pub(crate) resource: Arc<Resource>,
    pub(crate) output: Output,
    /// CPU time of calls, where it is measured.
    pub(crate) calls_time: Option<Duration>,
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
            rounds: Round::default(),
            free: Vec::new(),
            ids: FxHashMap::default(),
            dirty: Vec::new(),
            due: Due::new(),
            now: 0,
            order: 0,
            pending_events: 0,
            pending_bytes: 0,
            retained: 0,
            ledger: Ledger::default(),
            counted: Ledger::default(),
            batch: Batch::default(),
            prefixes: Prefixes::default(),
            resource: Arc::default(),
            output: Output::default(),
            calls_time: None,
        }
    }

    /// Connections it has.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.ids.len()
    }

    /// Connections of which less is kept, as they have been silent for a while.
    #[must_use]
    pub fn resting(&self) -> usize {
        let resting = |slot: &&Slot| matches!(slot.place, Place::Resting(_));
        self.slots.iter().filter(resting).count()
    }

    /// Bytes kept for parsers that have not consumed them.
    #[must_use]
    pub fn retained_bytes(&self) -> usize {
        self.retained
    }

    /// Where the bytes of its connections have gone: what was received is gone or retained.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// From now on measures the CPU time of `process` calls, what it takes to cross the boundary
    /// included. That costs each call two system calls: for benchmarks.
    pub fn measure_calls(&mut self) {
        self.calls_time = Some(Duration::ZERO);
    }

    /// CPU time of the calls since [`Self::measure_calls`].
    #[must_use]
    pub fn calls_time(&self) -> Duration {
        self.calls_time.unwrap_or_default()
    }

    /// Hands everything over that waits, and adds what came of it to `out`.
    pub fn run(&mut self, out: &mut Output) {
        self.pump();
        let places = self.slots.iter_mut().map(|slot| &mut slot.place);
        self.rounds.go_on(self.now, places);
        self.counters.bytes(&self.ledger.since(&self.counted));
        self.counted = self.ledger;
        out.spans.append(&mut self.output.spans);
        out.verdicts.append(&mut self.output.verdicts);
    }

    /// Time has come to `now` without an event: timers until then fire with the next [`Self::run`].
    pub fn advance(&mut self, now: Nanos) {
        self.now = self.now.max(now);
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
        let Some(connection) = std::mem::take(&mut place.place).into_connection() else {
            return;
        };
        self.retained = self.retained.saturating_sub(connection.accounted);
        self.ledger.put(Fate::Left, connection.retained());
        self.ledger
            .end(connection.sides.iter().all(Side::is_balanced));
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
            let place = self.slots.get(slot as usize).map(|slot| &slot.place);
            if place.is_some_and(|place| place.waits_until(id, time)) {
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
            State::Left(_) | State::Encrypted if connection.closed() => self.drop_slot(slot),
            _ => {}
        }
    }
}

pub(crate) fn connection_mut(slots: &mut [Slot], slot: u32) -> Option<&mut Connection> {
    slots.get_mut(slot as usize)?.place.wake()
}

pub(crate) fn depart(pools: &mut [Pool], taken: Taken) {
    if let Some(pool) = pools.get_mut(taken.parser) {
        pool.depart(taken.seat);
    }
}

/// `None` for an empty one.
pub(crate) fn owned(bytes: &[u8]) -> Option<Box<[u8]>> {
    (!bytes.is_empty()).then(|| bytes.into())
}
