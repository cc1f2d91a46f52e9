//! One running instance of a parser, with its bounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::{ResourceLimiter, Store, UpdateDeadline};

use crate::bindings::{Event, Fact, Manifest, Output, Parser, ParserPre, Verdict};
use crate::engine::Engine;
use crate::fault::{Fault, OutOfTime};
use crate::limits::{self, HOSTCALL_FUEL, Limits, TABLE_ELEMENTS};
use crate::ticker::{Calling, Ticker};

/// What the host keeps beside an instance.
#[derive(Debug)]
pub(crate) struct Guest {
    /// Linear memory now.
    memory: usize,
    memory_limit: usize,
    /// Linear memory of all instances.
    total: Arc<AtomicUsize>,
    /// More memory was asked for than there is.
    pub(crate) refused: bool,
    budget: Duration,
    /// CPU time of this thread when the first tick fell into the present call.
    since: Option<Duration>,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.total.fetch_sub(self.memory, Ordering::Relaxed);
    }
}

impl ResourceLimiter for Guest {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        let own = self.memory.saturating_add(more);
        let total = self.total.load(Ordering::Relaxed).saturating_add(more);
        if own > self.memory_limit || total > limits::TOTAL_MEMORY_BYTES {
            self.refused = true;
            return Ok(false);
        }
        self.memory = own;
        self.total.fetch_add(more, Ordering::Relaxed);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }
}

pub(crate) struct Instance {
    store: Store<Guest>,
    parser: Parser,
    ticker: Arc<Ticker>,
}

impl Instance {
    pub(crate) fn start(
        engine: &Engine,
        pre: &ParserPre<Guest>,
        limits: &Limits,
    ) -> Result<Self, Fault> {
        let guest = Guest {
            memory: 0,
            memory_limit: limits.memory_bytes,
            total: Arc::clone(&engine.memory),
            refused: false,
            budget: limits.start_budget,
            since: None,
        };
        let mut store = Store::new(&engine.engine, guest);
        store.limiter(|guest| guest);
        store.set_hostcall_fuel(HOSTCALL_FUEL);
        store.epoch_deadline_callback(|mut context| tick(context.data_mut()));
        store.set_epoch_deadline(1);
        let calling = engine.ticker.calling();
        let instantiated = pre.instantiate(&mut store);
        drop(calling);
        match instantiated {
            Ok(parser) => Ok(Self {
                store,
                parser,
                ticker: Arc::clone(&engine.ticker),
            }),
            Err(error) => Err(match Fault::from_call(&error, store.data()) {
                // Not the guest's code: the pool or the address space is used up.
                Fault::Nonsense(_) if store.data().refused => Fault::Memory,
                Fault::Nonsense(_) => Fault::Unavailable(format!("{error:#}")),
                fault => fault,
            }),
        }
    }

    /// Linear memory of this instance in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.store.data().memory
    }

    pub(crate) fn describe(&mut self) -> Result<Manifest, Fault> {
        let calling = self.begin(self.store.data().budget);
        let result = self.parser.call_describe(&mut self.store);
        drop(calling);
        self.end(result)
    }

    pub(crate) fn recognise(
        &mut self,
        budget: Duration,
        client: &[u8],
        server: &[u8],
        facts: &[Fact],
        texts: &[u8],
    ) -> Result<Verdict, Fault> {
        let calling = self.begin(budget);
        let result = self
            .parser
            .call_recognise(&mut self.store, client, server, facts, texts);
        drop(calling);
        self.end(result)
    }

    pub(crate) fn process(
        &mut self,
        budget: Duration,
        now: u64,
        events: &[Event],
        facts: &[Fact],
        bytes: &[u8],
    ) -> Result<Output, Fault> {
        let calling = self.begin(budget);
        let result = self
            .parser
            .call_process(&mut self.store, now, events, facts, bytes);
        drop(calling);
        self.end(result)
    }

    fn begin(&mut self, budget: Duration) -> Calling {
        let guest = self.store.data_mut();
        guest.budget = budget;
        guest.since = None;
        self.store.set_epoch_deadline(1);
        self.ticker.calling()
    }

    fn end<T>(&self, result: wasmtime::Result<T>) -> Result<T, Fault> {
        result.map_err(|error| Fault::from_call(&error, self.store.data()))
    }
}

/// Called at each tick that falls into a call. The clock of the thread is not read before the first:
/// that would cost every call a system call, and a tick is a small part of the shortest budget.
fn tick(guest: &mut Guest) -> wasmtime::Result<UpdateDeadline> {
    let now = thread_time();
    let since = *guest.since.get_or_insert(now);
    if now.saturating_sub(since) > guest.budget {
        return Err(OutOfTime.into());
    }
    Ok(UpdateDeadline::Continue(1))
}

/// CPU time of this thread: a parser that is descheduled is not a runaway.
pub(crate) fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0))
}
