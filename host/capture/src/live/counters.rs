//! What a live capture counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aya::maps::{MapData, PerCpuArray};
use wirespan_events::Counter;

use super::skipped::Times;

/// Counts of the user-space half.
#[derive(Debug, Default)]
pub struct HostCounters {
    pub records: AtomicU64,
    pub payload_bytes: AtomicU64,
    /// Of these, bytes that were handed out, and bytes that nobody will hear of.
    pub handed_out_bytes: AtomicU64,
    pub left_out_bytes: AtomicU64,
    /// Records that were not what they claimed to be.
    pub malformed: AtomicU64,
    /// Records of connections that have not been opened, or have been closed.
    pub stale: AtomicU64,
    pub connections: AtomicU64,
    pub verdicts: AtomicU64,
    /// Verdicts that the kernel did not take.
    pub verdicts_failed: AtomicU64,
    /// TLS libraries whose functions are probed.
    pub tls_libraries: AtomicU64,
    /// TLS libraries that could not be probed.
    pub tls_libraries_failed: AtomicU64,
    /// TLS objects whose plaintext was handed on without a socket.
    pub tls_unknown_peers: AtomicU64,
    /// Programs that the kernel skipped: at calls, and elsewhere.
    pub skipped_calls: AtomicU64,
    pub skipped_others: AtomicU64,
}

impl HostCounters {
    pub(super) fn skipped(&self, times: Times) {
        self.skipped_calls.store(times.calls, Ordering::Relaxed);
        self.skipped_others.store(times.others, Ordering::Relaxed);
    }
}

/// Counters of a live capture; cheap to clone, readable from any thread.
#[derive(Clone)]
pub struct LiveCounters {
    pub(super) kernel: Arc<PerCpuArray<MapData, u64>>,
    pub(super) host: Arc<HostCounters>,
}

impl std::fmt::Debug for LiveCounters {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_map().entries(self.read()).finish()
    }
}

impl LiveCounters {
    /// Names and values: `kernel_…` counted by the probes, the rest by the host.
    #[must_use]
    pub fn read(&self) -> Vec<(String, u64)> {
        let mut all = Vec::new();
        for counter in Counter::ALL {
            let value = self
                .kernel
                .get(&(*counter as u32), 0)
                .map(|values| {
                    values
                        .iter()
                        .fold(0u64, |sum, value| sum.wrapping_add(*value))
                })
                .unwrap_or(0);
            all.push((format!("kernel_{}", counter.label()), value));
        }
        let host = &self.host;
        for (name, value) in [
            ("records", &host.records),
            ("payload_bytes", &host.payload_bytes),
            ("handed_out_bytes", &host.handed_out_bytes),
            ("left_out_bytes", &host.left_out_bytes),
            ("malformed_records", &host.malformed),
            ("stale_records", &host.stale),
            ("connections", &host.connections),
            ("verdicts", &host.verdicts),
            ("verdicts_failed", &host.verdicts_failed),
            ("tls_libraries", &host.tls_libraries),
            ("tls_libraries_failed", &host.tls_libraries_failed),
            ("tls_unknown_peers", &host.tls_unknown_peers),
            ("skipped_calls", &host.skipped_calls),
            ("skipped_others", &host.skipped_others),
        ] {
            all.push((name.to_owned(), value.load(Ordering::Relaxed)));
        }
        all
    }

    /// Bytes that passed and of which it is not known what became of them: 0, whenever no call is in
    /// flight. Of a busy node it is a moment's difference between counters that are read one by one.
    #[must_use]
    pub fn unaccounted_bytes(&self) -> i64 {
        let fates = Counter::FATES
            .iter()
            .fold(0u64, |sum, fate| sum.wrapping_add(self.kernel(*fate)));
        let passed = self.kernel(Counter::PassedBytes);
        passed.wrapping_sub(fates).cast_signed()
    }

    /// Bytes that were copied and neither handed out nor left out: they lie in the rings, or wait for
    /// their turn. 0 on a node that is at rest.
    #[must_use]
    pub fn waiting_bytes(&self) -> i64 {
        let done = [&self.host.handed_out_bytes, &self.host.left_out_bytes]
            .into_iter()
            .fold(0u64, |sum, count| {
                sum.wrapping_add(count.load(Ordering::Relaxed))
            });
        self.kernel(Counter::CopiedBytes)
            .wrapping_sub(done)
            .cast_signed()
    }

    /// One counter of the probes.
    #[must_use]
    pub fn kernel(&self, counter: Counter) -> u64 {
        self.kernel
            .get(&(counter as u32), 0)
            .map(|values| {
                values
                    .iter()
                    .fold(0u64, |sum, value| sum.wrapping_add(*value))
            })
            .unwrap_or(0)
    }
}

pub(super) fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
