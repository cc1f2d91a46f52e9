//! The thread that moves the engine's epoch on while guest code runs, and sleeps when none does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use wasmtime::EngineWeak;

/// Resolution of deadlines: a small part of the shortest budget.
pub(crate) const TICK: Duration = Duration::from_millis(2);

/// Ticks without a call after which the thread sleeps until there is one.
const IDLE_TICKS: u32 = 50;

#[derive(Debug, Default)]
struct Shared {
    calls: AtomicU64,
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

    /// Guest code is about to run. The order of the two accesses, here and in `tick`, is what keeps
    /// the thread from sleeping through a call.
    pub(crate) fn calling(&self) {
        self.shared.calls.fetch_add(1, Ordering::SeqCst);
        if self.shared.asleep.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
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
        idle = if calls == seen { idle + 1 } else { 0 };
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
