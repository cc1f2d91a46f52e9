//! The instances of one parser in one worker, and how well they do.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use wirespan_stream::Nanos;

use crate::counters::ParserCounters;
use crate::engine::Engine;
use crate::fault::Fault;
use crate::instance::Instance;
use crate::limits::Limits;
use crate::load::Parser;

/// A place for an instance; connections belong to a place.
#[derive(Default)]
pub(crate) struct Seat {
    pub(crate) instance: Option<Instance>,
    /// Connections it has.
    pub(crate) live: usize,
    /// The most it had since it was filled.
    peak: usize,
    /// Takes no new connections, and is emptied with the last one.
    retiring: bool,
    /// How often its connections were asked to free memory.
    pressure: u32,
    /// Connections with something to hand over.
    pub(crate) work: Vec<u32>,
}

/// Faults and what follows from them. Time is that of the events, so that a replay does the same.
#[derive(Debug, Default)]
struct Health {
    faults: u32,
    calls: u32,
    suspensions: u32,
    until: Nanos,
}

pub(crate) struct Pool {
    pub(crate) parser: Arc<Parser>,
    pub(crate) counters: Arc<ParserCounters>,
    pub(crate) seats: Vec<Seat>,
    /// Answers `recognise`, so that a failure there costs no connection anything.
    recogniser: Option<Instance>,
    health: Health,
}

/// Memory above which an instance that has lost most of its connections is given up.
const GROWN_BYTES: usize = 16 << 20;

/// "Most": less than this part of what it had.
const MOSTLY_EMPTY: usize = 8;

impl Pool {
    pub(crate) fn new(parser: Arc<Parser>, counters: Arc<ParserCounters>, seats: usize) -> Self {
        let seats = (0..seats.max(1)).map(|_| Seat::default()).collect();
        Self {
            parser,
            counters,
            seats,
            recogniser: None,
            health: Health::default(),
        }
    }

    /// Whether it takes connections.
    pub(crate) fn healthy(&self, now: Nanos) -> bool {
        self.health.until <= now && !self.parser.disabled.load(Ordering::Relaxed)
    }

    /// The place for a new connection: the emptiest.
    pub(crate) fn choose(&mut self) -> usize {
        let open = self
            .seats
            .iter()
            .enumerate()
            .filter(|(_, seat)| !seat.retiring);
        let Some((index, _)) = open.min_by_key(|(_, seat)| seat.live) else {
            self.seats.push(Seat::default());
            return self.seats.len().saturating_sub(1);
        };
        index
    }

    pub(crate) fn arrive(&mut self, seat: usize) {
        if let Some(seat) = self.seats.get_mut(seat) {
            seat.live = seat.live.saturating_add(1);
            seat.peak = seat.peak.max(seat.live);
        }
    }

    /// A connection is gone. The last one of a grown instance takes it along.
    pub(crate) fn depart(&mut self, seat: usize) {
        let limit = self.seats.iter().filter(|seat| !seat.retiring).count();
        let Some(seat) = self.seats.get_mut(seat) else {
            return;
        };
        seat.live = seat.live.saturating_sub(1);
        let Some(instance) = &seat.instance else {
            return;
        };
        if instance.memory() < GROWN_BYTES {
            return;
        }
        if seat.live == 0 {
            *seat = Seat {
                work: std::mem::take(&mut seat.work),
                ..Seat::default()
            };
            self.counters.retired.one();
        } else if seat.live < seat.peak / MOSTLY_EMPTY && limit > 0 {
            seat.retiring = true;
        }
    }

    /// The instance at `seat`, made if there is none.
    pub(crate) fn instance(
        &mut self,
        seat: usize,
        engine: &Engine,
        limits: &Limits,
    ) -> Result<&mut Instance, Fault> {
        let seat = self
            .seats
            .get_mut(seat)
            .ok_or(Fault::Nonsense("no such instance"))?;
        if seat.instance.is_none() {
            seat.instance = Some(Instance::start(engine, &self.parser.pre, limits)?);
            seat.pressure = 0;
        }
        seat.instance
            .as_mut()
            .ok_or(Fault::Nonsense("no such instance"))
    }

    pub(crate) fn recogniser(
        &mut self,
        engine: &Engine,
        limits: &Limits,
    ) -> Result<&mut Instance, Fault> {
        if self.recogniser.is_none() {
            self.recogniser = Some(Instance::start(engine, &self.parser.pre, limits)?);
        }
        self.recogniser
            .as_mut()
            .ok_or(Fault::Nonsense("no such instance"))
    }

    /// Throws the recognising instance away.
    pub(crate) fn recogniser_failed(&mut self) {
        self.recogniser = None;
    }

    /// Throws an instance away.
    pub(crate) fn discard(&mut self, seat: usize) {
        if let Some(seat) = self.seats.get_mut(seat) {
            seat.instance = None;
        }
    }

    /// Whether an instance came close to its limit on memory since this was last asked: at half of
    /// it, then at three quarters, then at seven eighths.
    pub(crate) fn under_pressure(&mut self, seat: usize, limits: &Limits) -> bool {
        let Some(seat) = self.seats.get_mut(seat) else {
            return false;
        };
        let Some(instance) = &seat.instance else {
            return false;
        };
        let left = limits.memory_bytes.saturating_sub(instance.memory());
        let step = limits
            .memory_bytes
            .checked_shr(seat.pressure.saturating_add(1))
            .unwrap_or(0);
        if seat.pressure < 3 && left <= step {
            seat.pressure = seat.pressure.saturating_add(1);
            return true;
        }
        false
    }

    /// A call came back. Calls without a fault make up for earlier ones.
    pub(crate) fn succeeded(&mut self, limits: &Limits) {
        self.counters.calls.one();
        if self.health.faults == 0 {
            return;
        }
        self.health.calls = self.health.calls.saturating_add(1);
        if self.health.calls >= limits.forgiven_after {
            self.health.calls = 0;
            self.health.faults = self.health.faults.saturating_sub(1);
        }
    }

    /// An instance failed. True when the parser is to lose its connections: it is suspended, each
    /// time for twice as long, and in the end disabled.
    pub(crate) fn failed(&mut self, fault: &Fault, now: Nanos, limits: &Limits) -> bool {
        self.counters.fault(fault);
        let health = &mut self.health;
        health.calls = 0;
        health.faults = health.faults.saturating_add(1);
        if health.faults < limits.faults {
            return false;
        }
        health.faults = 0;
        health.suspensions = health.suspensions.saturating_add(1);
        self.counters.suspensions.one();
        let label = &self.parser.label;
        if health.suspensions > limits.suspensions {
            if !self.parser.disabled.swap(true, Ordering::Relaxed) {
                self.counters.disabled.one();
                tracing::error!(
                    "the parser {label} is disabled: it failed too often, last because {fault}"
                );
            }
            return true;
        }
        let factor = 1u32
            .checked_shl(health.suspensions.saturating_sub(1))
            .unwrap_or(u32::MAX);
        let pause = limits.suspension.saturating_mul(factor);
        health.until = now.saturating_add(u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX));
        tracing::warn!("the parser {label} is suspended for {pause:?}: {fault}");
        true
    }
}
