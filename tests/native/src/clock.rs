//! The clock of the benchmarks.

use rustix::time::{ClockId, clock_gettime};

/// CPU time of this thread in nanoseconds: what others do on the machine does not count.
#[must_use]
pub fn thread_nanos() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let whole = u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000;
    whole + u64::try_from(time.tv_nsec).unwrap_or(0)
}
