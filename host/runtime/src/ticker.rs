//! The thread that moves the engine's epoch on while guest code runs, and sleeps when none does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use wasmtime::EngineWeak;

/// Resolution of deadlines: a small part of the shortest budget. Each tick takes a turn from somebody on a
/// busy node.
pub(crate) const TICK: Duration = Duration::from_millis(4);

/// Ticks without a call after which the thread sleeps until there is one.
const IDLE_TICKS: u32 = 25;

#[derive(Debug, Default)]
struct Shared {
    calls: AtomicU64,
    /// Calls that have not returned. The thread never sleeps while there is one.
    running: AtomicUsize,
    asleep: AtomicBool,
    stop: AtomicBool,
}

#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
    handle: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(crate) fn start(engine: EngineWeak) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let handle = {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name("wirespan-epoch".into())
                .spawn(move || tick(&engine, &shared))?
        };
        Ok(Self {
            thread: handle.thread().clone(),
            shared,
            handle: Some(handle),
        })
    }

    /// Guest code is about to run, until the guard is dropped. The order of the accesses, here and in
    /// `tick`, is what keeps the thread from sleeping through a call.
    pub(crate) fn calling(self: &Arc<Self>) -> Calling {
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        self.shared.calls.fetch_add(1, Ordering::SeqCst);
        if self.shared.asleep.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Calling(Arc::clone(&self.shared))
    }
}

/// A call that has not returned.
#[derive(Debug)]
pub(crate) struct Calling(Arc<Shared>);

impl Drop for Calling {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.thread.unpark();
        if let Some(handle) = self.handle.take() {
            let _ = handle.join();
        }
    }
}

fn tick(engine: &EngineWeak, shared: &Shared) {
    let (mut seen, mut idle) = (0, 0);
    while !shared.stop.load(Ordering::SeqCst) {
        thread::park_timeout(TICK);
        let Some(engine) = engine.upgrade() else {
            return;
        };
        engine.increment_epoch();
        drop(engine);
        let calls = shared.calls.load(Ordering::SeqCst);
        let quiet = calls == seen && shared.running.load(Ordering::SeqCst) == 0;
        idle = if quiet { idle + 1 } else { 0 };
        seen = calls;
        if idle < IDLE_TICKS {
            continue;
        }
        shared.asleep.store(true, Ordering::SeqCst);
        while shared.calls.load(Ordering::SeqCst) == seen && !shared.stop.load(Ordering::SeqCst) {
            thread::park();
        }
        shared.asleep.store(false, Ordering::SeqCst);
        idle = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_moves_on_for_as_long_as_a_call_runs_and_rests_after_it() {
        let engine = wasmtime::Engine::default();
        let ticker = Arc::new(Ticker::start(engine.weak()).unwrap());
        let asleep = || ticker.shared.asleep.load(Ordering::SeqCst);
        let call = ticker.calling();
        thread::sleep(TICK * IDLE_TICKS * 3);
        assert!(!asleep());
        drop(call);
        while !asleep() {
            thread::sleep(TICK);
        }
        let call = ticker.calling();
        while asleep() {
            thread::sleep(TICK);
        }
        drop(call);
    }
}
