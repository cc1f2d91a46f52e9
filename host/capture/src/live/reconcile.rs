//! Finds sockets whose end the probes have missed.
//!
//! A trace point's program is skipped when it interrupts another program on its CPU, and of a Unix
//! socket nothing tells when the last process that has it ends. So the kernel side is asked from time
//! to time whether each socket that it follows still lives; one that does not is closed then. Where
//! programs at calls were skipped, Unix sockets, whose bytes nobody else counts, are given up.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use aya::maps::{HashMap, MapData};
use wirespan_events::state::SOCKET_BYTES;

use super::counters::HostCounters;
use super::leftovers::Leftovers;
use super::question::Question;
use super::skipped::{Skipped, Times};
use crate::error::CaptureError;

/// The sockets that are followed; only their addresses are looked at.
pub(super) type Sockets = HashMap<MapData, u64, [u8; SOCKET_BYTES]>;

/// Between two rounds.
const INTERVAL: Duration = Duration::from_secs(2);
/// Sockets that are asked for at once. A round over ten thousands takes tens of milliseconds, which
/// nobody is to wait for, so it is made in parts.
const PART: usize = 512;
/// Parts of a round at most, so that the largest one ends within a minute.
const PARTS: usize = 30;
/// Between two parts of a round, at the latest.
const MAX_PAUSE: Duration = Duration::from_secs(2);
/// Between two parts so many times what the last one took of a CPU: the more sockets, the longer a
/// round.
const SHARE: u32 = 2000;
/// Sockets asked for in one round: more than there can be, should the map change while it is walked.
const MAX_SOCKETS: usize = 1 << 20;

/// A thread that asks; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Reconciler {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Reconciler {
    pub(super) fn start(
        sockets: Sockets,
        question: Option<Question>,
        mut leftovers: Leftovers,
        skipped: Skipped,
        counters: Arc<HostCounters>,
    ) -> Result<Self, CaptureError> {
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("reconcile".to_owned())
            .spawn(move || {
                let mut known = Times::default();
                while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                    let begun = processor_time();
                    let times = skipped.times();
                    counters.skipped(times);
                    let doubt = times.calls > known.calls;
                    known = times;
                    leftovers.tidy();
                    let Some(question) = &question else {
                        continue;
                    };
                    // An error ends the walk: the map has changed under it, the next round has all.
                    let all: Vec<u64> = sockets
                        .keys()
                        .take(MAX_SOCKETS)
                        .map_while(Result::ok)
                        .collect();
                    let pause =
                        |taken| stopped.recv_timeout(taken) == Err(RecvTimeoutError::Timeout);
                    if !ask_all(question, &all, doubt, begun, pause) {
                        return;
                    }
                }
            })
            .map_err(|source| CaptureError::Kernel {
                what: "sockets cannot be watched for their end".to_owned(),
                reason: source.to_string(),
                remedy: "raise the limit of threads of this process".to_owned(),
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Reconciler {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A round, part by part; `begun` is what had been used of a CPU when it began. False when it was
/// stopped, as `pause` tells.
fn ask_all(
    question: &Question,
    sockets: &[u64],
    doubt: bool,
    mut begun: Duration,
    pause: impl Fn(Duration) -> bool,
) -> bool {
    let part = sockets.len().div_ceil(PARTS).max(PART);
    let mut parts = sockets.chunks(part).peekable();
    while let Some(part) = parts.next() {
        for socket in part {
            question.ask(*socket, doubt);
        }
        if parts.peek().is_none() {
            break;
        }
        let taken = processor_time().saturating_sub(begun);
        if !pause(taken.saturating_mul(SHARE).min(MAX_PAUSE)) {
            return false;
        }
        begun = processor_time();
    }
    true
}

/// What this thread has used of a CPU.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
