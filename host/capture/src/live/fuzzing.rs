//! Readers of what the kernel and observed programs leave behind, for fuzzing them on their own. They
//! keep no promise: only [`LiveSource`](super::LiveSource) is for use.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use super::counters::HostCounters;
use super::decode::Decoder;
use super::placement;
use crate::event::{Nanos, SocketEvent};
use crate::process::ProcessTable;

/// What a live capture makes of the records in its rings.
#[derive(Debug)]
pub struct Records {
    decoder: Decoder,
    counters: Arc<HostCounters>,
}

impl Records {
    /// `proc`: where processes are described; `needs_socket`: what has no addresses is not wanted.
    #[must_use]
    pub fn new(proc: PathBuf, needs_socket: bool) -> Self {
        let counters = Arc::<HostCounters>::default();
        let processes = ProcessTable::new(proc);
        let decoder = Decoder::with_processes(processes, Arc::clone(&counters), needs_socket);
        Self { decoder, counters }
    }

    /// Takes one record as it lies in a ring.
    pub fn push(&mut self, record: &[u8]) {
        self.decoder.push(record);
    }

    /// Hands out what happened up to `horizon`, in order.
    pub fn release(&mut self, horizon: Nanos, events: &mut Vec<SocketEvent>) {
        self.decoder.release(horizon, events);
    }

    /// Nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.decoder.is_empty()
    }

    #[must_use]
    pub fn counters(&self) -> &HostCounters {
        &self.counters
    }
}

/// Where a probe for two wrappers at these offsets would sit, and the argument that says where the
/// number of bytes goes.
#[must_use]
pub fn behind_both(file: &File, plain: u64, extended: u64) -> Option<(u64, usize)> {
    placement::inner(file, plain, extended).map(|inner| (inner.offset, inner.out))
}

/// Where a probe for a function at this offset would sit.
#[must_use]
pub fn cheap_entry(file: &File, function: u64) -> Option<u64> {
    placement::cheap_entry(file, function)
}
