//! Finds sockets whose end the probes have missed.
//!
//! A trace point's program is skipped when it interrupts another program on its CPU, and of a Unix
//! socket nothing tells when the last process that has it ends. So the kernel side is asked from time
//! to time whether each socket that it follows still lives; one that does not is closed then. Where
//! programs at calls were skipped, Unix sockets, whose bytes nobody else counts, are given up.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aya::maps::{HashMap, MapData};
use wirespan_events::Counter;
use wirespan_events::state::SOCKET_BYTES;

use super::counters::LiveCounters;
use super::leftovers::Leftovers;
use super::question::Question;
use super::skipped::{Skipped, Times};
use crate::error::CaptureError;

/// The sockets that are followed; only their addresses are looked at.
pub(super) type Sockets = HashMap<MapData, u64, [u8; SOCKET_BYTES]>;

/// Between two rounds.
const INTERVAL: Duration = Duration::from_secs(2);
/// Sockets that are asked for in one part of a round. A round over ten thousands takes tens of milliseconds,
/// which nobody is to wait for, so it is made in parts.
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
/// After so long the map is walked although none has begun to be followed since: those that are no longer
/// there are asked for in vain until then.
const WALK: Duration = Duration::from_secs(600);

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
        counters: LiveCounters,
    ) -> Result<Self, CaptureError> {
        let (stop, stopped) = mpsc::channel::<()>();
        let mut followed = Followed::default();
        let thread = std::thread::Builder::new()
            .name("reconcile".to_owned())
            .spawn(move || {
                let mut known = Times::default();
                while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                    let begun = processor_time();
                    let times = skipped.times();
                    counters.host.skipped(times);
                    let doubt = times.calls > known.calls;
                    known = times;
                    leftovers.tidy();
                    let Some(question) = &question else {
                        continue;
                    };
                    followed.look(counters.kernel(Counter::Followed), Instant::now(), || {
                        sockets.keys()
                    });
                    let pause =
                        |taken| stopped.recv_timeout(taken) == Err(RecvTimeoutError::Timeout);
                    if !ask_all(question, &followed.sockets, doubt, begun, pause) {
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

/// The sockets that there were when the map was walked last. A walk costs a system call a socket, so there
/// is none while no socket has joined them.
#[derive(Debug, Default)]
struct Followed {
    sockets: Vec<u64>,
    /// How many had ever been followed before the map was walked, and when that was.
    walked: Option<(u64, Instant)>,
}

impl Followed {
    /// Walks the map where that is due; `ever` were followed up to now.
    fn look<E, K: Iterator<Item = Result<u64, E>>>(
        &mut self,
        ever: u64,
        now: Instant,
        walk: impl FnOnce() -> K,
    ) {
        let recent = self.walked.is_some_and(|(before, when)| {
            before == ever && now.saturating_duration_since(when) < WALK
        });
        if recent {
            return;
        }
        self.sockets.clear();
        let mut whole = true;
        // An error ends the walk: the map has changed under it, the next round has all.
        self.sockets.extend(
            walk()
                .take(MAX_SOCKETS)
                .map_while(|socket| socket.inspect_err(|_| whole = false).ok()),
        );
        self.walked = whole.then_some((ever, now));
        self.sockets.shrink_to_fit();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_is_walked_when_a_socket_has_joined_and_now_and_then() {
        let begun = Instant::now();
        let mut followed = Followed::default();
        let mut walk = |ever, after, found: &[Result<u64, ()>]| {
            let mut walked = false;
            followed.look(ever, begun + after, || {
                walked = true;
                found.iter().copied()
            });
            (walked, followed.sockets.clone())
        };
        let soon = Duration::from_secs(2);
        assert_eq!(walk(0, Duration::ZERO, &[]), (true, vec![]));
        assert_eq!(walk(0, soon, &[Ok(9)]), (false, vec![]));
        assert_eq!(walk(2, soon, &[Ok(1), Ok(2)]), (true, vec![1, 2]));
        // Some have gone, and nobody has come.
        assert_eq!(walk(2, soon * 2, &[Ok(2)]), (false, vec![1, 2]));
        assert_eq!(walk(2, soon + WALK, &[Ok(2)]), (true, vec![2]));
        // A walk that was cut short is made again.
        let cut_short = [Ok(2), Err(()), Ok(3)];
        assert_eq!(walk(3, soon + WALK, &cut_short), (true, vec![2]));
        assert_eq!(walk(3, soon + WALK, &[Ok(2), Ok(3)]), (true, vec![2, 3]));
        assert_eq!(walk(3, soon + WALK, &[]), (false, vec![2, 3]));
    }
}
