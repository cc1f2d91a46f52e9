//! `wirespan run`: from the rings to the sinks, until told to stop.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use wirespan_capture::{ConnectionKey, Progress, Said, SocketEvent, Source, Verdicts};
use wirespan_sink::{SinkError, SinkHandle};
use wirespan_span::Span;

use crate::audit::Audit;
use crate::books::{Books, Law};
use crate::counters::{AgentCounters, LaneCounters};
use crate::error::AgentError;
use crate::feeder::{Batches, Feeder};
use crate::filter::Filter;
use crate::lane::Lane;

/// Room for so many events stays from one drain to the next; what a burst has needed beyond it is given
/// back.
const KEPT_EVENTS: usize = 8 * 1024;

/// How long the capture thread waits for events before it looks around, and tells the workers how late
/// it is: what they wait for after the last event is over within this.
const POLL_LIMIT: Duration = Duration::from_millis(20);

/// The same when nothing has come for [`QUIET_ROUNDS`] rounds: each round wakes two threads.
const QUIET_POLL_LIMIT: Duration = Duration::from_millis(250);

/// The same when nothing has come for [`SILENT_ROUNDS`] rounds: nothing waits that would not be over.
const SILENT_POLL_LIMIT: Duration = Duration::from_secs(1);

/// Patience of streams and of what waits for its socket is mostly over by then.
const QUIET_ROUNDS: u32 = 25;

/// 13 seconds: plaintext waits for its socket for ten, and no stream for longer.
const SILENT_ROUNDS: u32 = 75;

/// Rounds over the rings after the stop: what was in flight then is taken along.
const LAST_ROUNDS: usize = 64;

/// What sinks get to deliver the rest.
pub(crate) const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// What happened, for the last line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunSummary {
    pub spans: u64,
    pub lost_bytes: u64,
    /// Why a sink could not deliver everything.
    pub failures: Vec<SinkError>,
    /// Laws of conservation that do not hold: defects.
    pub broken: Vec<Law>,
}

/// Runs until `stop`, or until no sink is left that delivers.
///
/// `source` is closed (every probe detached) before the sinks drain. `at_rest` is called by each of the threads
/// that has had nothing to do for a while, after it had something: what a burst has needed can be given back.
///
/// # Errors
/// When the capture cannot go on, or a thread cannot be started.
pub(crate) fn run(
    mut source: Box<dyn Source>,
    lanes: Vec<Lane>,
    mut filter: Filter,
    sinks: &[Arc<SinkHandle>],
    counters: &Arc<AgentCounters>,
    stop: &AtomicBool,
    at_rest: fn(),
) -> Result<RunSummary, AgentError> {
    let verdicts = source.verdicts();
    let mut feeders = Vec::new();
    let mut workers = Vec::new();
    for (number, lane) in lanes.into_iter().enumerate() {
        let (mut feeder, batches) = Feeder::new();
        let worker = LaneThread {
            lane,
            batches,
            sinks: sinks.to_vec(),
            verdicts: Arc::clone(&verdicts),
            counters: counters.lane(),
            audit: Audit::default(),
            at_rest,
        };
        let name = format!("worker-{number}");
        let thread = thread::Builder::new()
            .name(name)
            .spawn(move || worker.work())
            .map_err(AgentError::Thread)?;
        feeder.wakes(thread.thread().clone());
        feeders.push(feeder);
        workers.push(thread);
    }
    let mut capture = Capture {
        feeders,
        hash: RandomState::new(),
        verdicts,
        counters: Arc::clone(counters),
        at_rest,
    };
    let result = capture.go(source.as_mut(), &mut filter, sinks, stop);
    let watermark = source.watermark();
    // Detaches every probe: the probed programs pay nothing while the rest is delivered.
    drop(source);
    let ended = capture.finish(watermark);
    let spans = ended.and(join(workers));
    let mut summary = RunSummary {
        spans: counters.spans(),
        lost_bytes: counters.lost_bytes(),
        failures: Vec::new(),
        broken: Vec::new(),
    };
    let deadline = Instant::now() + DRAIN_LIMIT;
    for sink in sinks {
        if let Err(failure) = sink.drain(deadline.saturating_duration_since(Instant::now())) {
            summary.failures.push(failure);
        }
    }
    result?;
    spans?;
    // What was on its way to a sink that ended early is counted nowhere; its failure is told.
    let drained: &[_] = if summary.failures.is_empty() {
        sinks
    } else {
        &[]
    };
    summary.broken = broken_laws(counters, drained);
    Ok(summary)
}

/// When everything has come to its end, the sinks are part of what has to add up.
fn broken_laws(counters: &AgentCounters, sinks: &[Arc<SinkHandle>]) -> Vec<Law> {
    let lanes = counters.books();
    let laws = lanes.iter().flat_map(Books::laws);
    let delivered = sinks.iter().map(|sink| {
        let counts = sink.counts();
        Law {
            name: "spans of a sink",
            came: counters.spans(),
            went: vec![
                ("delivered", counts.delivered),
                ("dropped", counts.dropped),
                ("queued", sink.queued() as u64),
            ],
        }
    });
    laws.chain([counters.queue()])
        .chain(delivered)
        .filter(|law| !law.holds())
        .collect()
}

/// The capture thread.
struct Capture {
    feeders: Vec<Feeder>,
    hash: RandomState,
    verdicts: Arc<dyn Verdicts>,
    counters: Arc<AgentCounters>,
    at_rest: fn(),
}

impl Capture {
    fn go(
        &mut self,
        source: &mut dyn Source,
        filter: &mut Filter,
        sinks: &[Arc<SinkHandle>],
        stop: &AtomicBool,
    ) -> Result<(), AgentError> {
        let mut events = Vec::new();
        let mut last_rounds = LAST_ROUNDS;
        let mut idle_rounds = 0_u32;
        loop {
            let stopping = stop.load(Ordering::Relaxed);
            let wait = match idle_rounds {
                _ if stopping => source.hold_back(),
                ..QUIET_ROUNDS => POLL_LIMIT,
                QUIET_ROUNDS..SILENT_ROUNDS => QUIET_POLL_LIMIT,
                SILENT_ROUNDS.. => SILENT_POLL_LIMIT,
            };
            let progress = source.poll(wait, &mut events)?;
            idle_rounds = if events.is_empty() {
                idle_rounds.saturating_add(1)
            } else {
                0
            };
            self.spread(&mut events, filter);
            if events.capacity() > KEPT_EVENTS {
                events.shrink_to(KEPT_EVENTS);
            }
            let watermark = source.watermark();
            for feeder in &mut self.feeders {
                if !feeder.flush(watermark) {
                    return Err(AgentError::WorkerEnded);
                }
            }
            self.count();
            if idle_rounds == SILENT_ROUNDS {
                (self.at_rest)();
            }
            if let Some(failure) = all_failed(sinks) {
                return Err(failure.into());
            }
            match progress {
                Progress::End => return Ok(()),
                Progress::Idle if stopping => return Ok(()),
                Progress::More if stopping => {
                    last_rounds = last_rounds.saturating_sub(1);
                    if last_rounds == 0 {
                        return Ok(());
                    }
                }
                Progress::Idle | Progress::More => {}
            }
        }
    }

    fn spread(&mut self, events: &mut Vec<SocketEvent>, filter: &mut Filter) {
        let verdicts = &self.verdicts;
        for event in events.drain(..) {
            self.counters.add_captured(event.payload_bytes());
            if !filter.admits(&event, |key| verdicts.set(Said::ignored(key))) {
                self.counters.add_filtered(event.payload_bytes());
                continue;
            }
            match event.key() {
                Some(key) => {
                    let lane = self.lane_of(key);
                    if let Some(feeder) = self.feeders.get_mut(lane) {
                        feeder.add(event);
                    }
                }
                // Who a process is concerns every lane.
                None => self
                    .feeders
                    .iter_mut()
                    .for_each(|feeder| feeder.add(event.clone())),
            }
        }
    }

    fn lane_of(&self, key: ConnectionKey) -> usize {
        let hash = self.hash.hash_one(key);
        // At least one lane; a remainder fits.
        usize::try_from(hash.checked_rem(self.feeders.len() as u64).unwrap_or(0)).unwrap_or(0)
    }

    fn count(&self) {
        let (bytes, events) = self
            .feeders
            .iter()
            .map(Feeder::lost)
            .fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        self.counters.set_queue_lost(bytes, events);
    }

    fn finish(&mut self, watermark: u64) -> Result<(), AgentError> {
        let mut result = Ok(());
        for feeder in self.feeders.drain(..) {
            if feeder.finish(watermark).is_err() {
                result = Err(AgentError::WorkerEnded);
            }
        }
        result
    }
}

/// When nothing is delivered anywhere any more there is no point in going on.
fn all_failed(sinks: &[Arc<SinkHandle>]) -> Option<SinkError> {
    let mut failure = None;
    for sink in sinks {
        failure = Some(sink.failure()?);
    }
    failure
}

fn join(workers: Vec<JoinHandle<()>>) -> Result<(), AgentError> {
    let mut result = Ok(());
    for worker in workers {
        if worker.join().is_err() {
            result = Err(AgentError::WorkerEnded);
        }
    }
    result
}

/// One worker thread.
struct LaneThread {
    lane: Lane,
    batches: Batches,
    sinks: Vec<Arc<SinkHandle>>,
    verdicts: Arc<dyn Verdicts>,
    counters: Arc<LaneCounters>,
    audit: Audit,
    at_rest: fn(),
}

impl LaneThread {
    fn work(mut self) {
        let mut last_watermark = 0;
        let mut idle_rounds = 0_u32;
        // Batches come when nothing happens, too: with the time, for timers.
        while let Some(batch) = self.batches.wait() {
            idle_rounds = if batch.events.is_empty() {
                idle_rounds.saturating_add(1)
            } else {
                0
            };
            for event in batch.events {
                self.lane.push(event);
            }
            last_watermark = batch.watermark;
            self.lane.advance(batch.watermark);
            self.run();
            // By now its connections rest.
            if idle_rounds == SILENT_ROUNDS {
                (self.at_rest)();
            }
        }
        self.lane.finish(last_watermark);
        self.run();
    }

    fn run(&mut self) {
        let mut spans: Vec<Arc<Span>> = Vec::new();
        let verdicts = &self.verdicts;
        self.lane
            .run(|span| spans.push(Arc::new(span)), |said| verdicts.set(said));
        self.counters.update(&self.lane);
        self.audit.look(&self.lane);
        let Some((last, others)) = self.sinks.split_last() else {
            return;
        };
        for sink in others {
            sink.send(spans.clone());
        }
        last.send(spans);
    }
}
