//! A sink on a thread of its own.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use wirespan_span::Span;

use crate::queue::{Popped, Queue};
use crate::{Sink, SinkCounts, SinkError};

/// How often a sink is told that time has passed: often enough for batches that leave after
/// 100 ms, seldom enough to cost nothing.
pub const TICK: Duration = Duration::from_millis(50);

/// What a sink gets beyond its drain limit to come back before it is left behind.
const GRACE: Duration = Duration::from_millis(500);

/// The sending end of a sink that runs on its own thread. Dropping it without [`drain`] drops what
/// is queued.
///
/// [`drain`]: SinkHandle::drain
#[derive(Debug)]
pub struct SinkHandle {
    name: &'static str,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: Queue,
    state: Mutex<State>,
    finished: Condvar,
}

#[derive(Debug, Default)]
struct State {
    counts: SinkCounts,
    failure: Option<SinkError>,
    /// Until when the rest may be delivered; set by `drain`.
    deadline: Option<Instant>,
    finished: bool,
}

/// Runs `sink` on a thread of its own behind a queue of `capacity` spans.
///
/// # Errors
/// When the thread cannot be started.
pub fn spawn(sink: impl Sink + 'static, capacity: usize) -> io::Result<SinkHandle> {
    let name = sink.name();
    let shared = Arc::new(Shared {
        queue: Queue::new(capacity),
        state: Mutex::default(),
        finished: Condvar::new(),
    });
    let finish = Finish(Arc::clone(&shared));
    thread::Builder::new()
        .name(format!("sink-{name}"))
        .spawn(move || run(sink, &finish.0))?;
    Ok(SinkHandle { name, shared })
}

impl SinkHandle {
    /// As [`Sink::name`].
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Never waits: what does not fit pushes out the oldest.
    pub fn send(&self, spans: Vec<Arc<Span>>) {
        if !spans.is_empty() {
            self.shared.queue.push(spans);
        }
    }

    /// Those of the sink and of the queue before it. What was sent and is in neither is on its way.
    #[must_use]
    pub fn counts(&self) -> SinkCounts {
        let mut counts = self.shared.lock().counts;
        counts.dropped += self.shared.queue.dropped();
        counts
    }

    /// Spans that wait in the queue.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.shared.queue.len()
    }

    /// Why nothing will be delivered any more.
    #[must_use]
    pub fn failure(&self) -> Option<SinkError> {
        self.shared.lock().failure.clone()
    }

    /// Delivers what is queued, for at most `limit`. What is sent afterwards is dropped and counted.
    ///
    /// # Errors
    /// When something could not be delivered; the counts say how much.
    pub fn drain(&self, limit: Duration) -> Result<(), SinkError> {
        let mut state = self.shared.lock();
        state.deadline = Some(Instant::now() + limit);
        self.shared.queue.close();
        state = self
            .shared
            .finished
            .wait_timeout_while(state, limit + GRACE, |state| !state.finished)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        if state.finished {
            return Ok(());
        }
        Err(SinkError::new(
            format!("sink {}", self.name),
            format!("did not end within {:.1} s", limit.as_secs_f32()),
            "look at what it writes to",
        ))
    }
}

impl Drop for SinkHandle {
    fn drop(&mut self) {
        if self.shared.lock().deadline.is_none() {
            self.shared.queue.discard();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remaining(&self) -> Duration {
        let deadline = self.lock().deadline;
        deadline.map_or(Duration::ZERO, |deadline| {
            deadline.saturating_duration_since(Instant::now())
        })
    }

    fn is_late(&self) -> bool {
        self.lock()
            .deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// However the thread ends, a panic included, nobody waits for it in vain.
struct Finish(Arc<Shared>);

impl Drop for Finish {
    fn drop(&mut self) {
        self.0.queue.discard();
        let mut state = self.0.lock();
        state.finished = true;
        if thread::panicking() && state.failure.is_none() {
            state.failure = Some(SinkError::new(
                "sink",
                "it has panicked",
                "report this as a defect",
            ));
        }
        drop(state);
        self.0.finished.notify_all();
    }
}

fn run(mut sink: impl Sink, shared: &Shared) {
    let outcome = deliver(&mut sink, shared).and_then(|()| sink.drain(shared.remaining()));
    let mut state = shared.lock();
    state.counts = sink.counts();
    if let Err(failure) = outcome {
        state.failure = Some(failure);
    }
}

/// Until the queue is closed and empty, or the time of `drain` is over.
fn deliver(sink: &mut impl Sink, shared: &Shared) -> Result<(), SinkError> {
    let mut last_tick = Instant::now();
    loop {
        match shared.queue.pop(TICK) {
            Popped::Batch(batch) => sink.publish(&batch)?,
            Popped::Idle => {}
            Popped::Closed => return Ok(()),
        }
        if last_tick.elapsed() >= TICK {
            last_tick = Instant::now();
            sink.tick()?;
        }
        shared.lock().counts = sink.counts();
        if shared.is_late() {
            shared.queue.discard();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::tests::spans;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc;

    /// Holds each batch until it is drained; fails or panics at a given number.
    #[derive(Default)]
    struct Slow {
        delay: Duration,
        /// The first batch waits until this is dropped at its other end.
        gate: Option<mpsc::Receiver<()>>,
        fail_at: Option<u64>,
        panic_at: Option<u64>,
        ticks: Arc<AtomicU64>,
        held: u64,
        counts: SinkCounts,
    }

    impl Sink for Slow {
        fn name(&self) -> &'static str {
            "slow"
        }

        fn publish(&mut self, spans: &[Arc<Span>]) -> Result<(), SinkError> {
            thread::sleep(self.delay);
            if let Some(gate) = self.gate.take() {
                let _ = gate.recv();
            }
            self.held += spans.len() as u64;
            assert!(
                self.panic_at.is_none_or(|at| self.held < at),
                "as asked for"
            );
            if self.fail_at.is_some_and(|at| self.held >= at) {
                self.counts.dropped += std::mem::take(&mut self.held);
                return Err(SinkError::new("slow", "failed", "ask for nothing"));
            }
            Ok(())
        }

        fn tick(&mut self) -> Result<(), SinkError> {
            self.ticks.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        fn drain(&mut self, _limit: Duration) -> Result<(), SinkError> {
            self.counts.delivered += std::mem::take(&mut self.held);
            Ok(())
        }

        fn counts(&self) -> SinkCounts {
            self.counts
        }
    }

    #[test]
    fn what_was_sent_is_delivered_by_the_end() {
        let ticks = Arc::new(AtomicU64::new(0));
        let handle = spawn(
            Slow {
                ticks: Arc::clone(&ticks),
                ..Slow::default()
            },
            1000,
        )
        .unwrap();
        for _ in 0..10 {
            handle.send(spans(0..10));
        }
        let begun = Instant::now();
        while ticks.load(Ordering::Relaxed) < 2 {
            assert!(begun.elapsed() < Duration::from_secs(30), "no ticks");
            thread::sleep(TICK);
        }
        handle.drain(Duration::from_secs(5)).unwrap();
        handle.send(spans(0..3));
        assert_eq!(
            handle.counts(),
            SinkCounts {
                delivered: 100,
                dropped: 3
            }
        );
    }

    #[test]
    fn a_slow_sink_costs_the_oldest_and_the_counts_balance() {
        let (open, gate) = mpsc::channel();
        let slow = Slow {
            gate: Some(gate),
            ..Slow::default()
        };
        let handle = spawn(slow, 50).unwrap();
        for _ in 0..100 {
            handle.send(spans(0..10));
        }
        // It is busy with the first batch that it got, if with any.
        drop(open);
        handle.drain(Duration::from_secs(5)).unwrap();
        let counts = handle.counts();
        assert_eq!(counts.delivered + counts.dropped, 1000);
        assert!(counts.delivered >= 50, "{counts:?}");
        assert!(counts.dropped >= 900, "{counts:?}");
    }

    #[test]
    fn draining_ends_in_time() {
        const DELAY: Duration = Duration::from_millis(100);
        const BATCHES: u32 = 100;
        let handle = spawn(
            Slow {
                delay: DELAY,
                ..Slow::default()
            },
            1000,
        )
        .unwrap();
        for _ in 0..BATCHES {
            handle.send(spans(0..10));
        }
        let start = Instant::now();
        // Nobody can say when this thread and the sink's have a processor: the sink may be left behind.
        let ended = handle.drain(Duration::from_millis(250));
        let took = start.elapsed();
        assert!(took < DELAY * BATCHES, "all of it was waited for: {took:?}");
        assert!(
            ended.is_ok() || took >= Duration::from_millis(250) + GRACE,
            "{ended:?} after {took:?}"
        );
        let total = || handle.counts().delivered + handle.counts().dropped;
        while total() < 1000 {
            assert!(start.elapsed() < Duration::from_secs(30), "it does not end");
            thread::sleep(TICK);
        }
        assert_eq!(total(), 1000);
        assert!(handle.counts().dropped > 0, "what was late is dropped");
    }

    #[test]
    fn a_sink_that_fails_is_reported_and_nothing_waits_for_it() {
        for sink in [
            Slow {
                fail_at: Some(20),
                ..Slow::default()
            },
            Slow {
                panic_at: Some(20),
                ..Slow::default()
            },
        ] {
            let fails = sink.fail_at.is_some();
            let handle = spawn(sink, 1000).unwrap();
            for _ in 0..10 {
                handle.send(spans(0..10));
            }
            handle.drain(Duration::from_secs(5)).unwrap_err();
            assert!(handle.failure().is_some());
            if fails {
                assert_eq!(
                    handle.counts(),
                    SinkCounts {
                        delivered: 0,
                        dropped: 100
                    }
                );
            }
        }
    }
}
