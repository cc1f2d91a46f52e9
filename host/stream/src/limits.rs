//! Every bound of this crate, with its reason.

use std::time::Duration;

use wirespan_capture::Nanos;

/// Connections in the table. One costs some 400 bytes, so a full table is 26 MiB; nodes with more
/// open connections than this are rare, and the least recently used ones are forgotten first.
pub const CONNECTIONS: usize = 65_536;

/// Bytes held back behind a hole, a direction. Linux lets a receive window grow to 3 MiB by default
/// (half of `tcp_rmem[2]`): what can be in flight behind one lost segment fits.
pub const HELD_PER_DIRECTION: usize = 4 << 20;

/// Bytes held back in all connections together.
pub const HELD_TOTAL: usize = 64 << 20;

/// What a held segment costs besides its bytes (tree node, allocation): makes a flood of segments of
/// one byte each bite as early as it should.
pub const SEGMENT_COST: usize = 128;

/// Processes remembered to be named by connections that open later, some 500 bytes each. The live
/// source describes a process anew at the latest when it has described 2,048 others, so none that it
/// takes for known is forgotten.
pub const PROCESSES: usize = 4_096;

/// Keys of closed connections that are remembered, so that a straggler does not open one again.
pub const CLOSED_KEYS: usize = 4_096;

/// Forgotten connections of which is remembered who they were: 4 MiB. Those that are forgotten later take
/// the place of the first, which come back without addresses and process.
pub const FORGOTTEN: usize = 16_384;

/// Names of Unix sockets whose opening event has not come: it follows at once, unless it was lost.
pub const NAMES: usize = 1_024;

/// Processes and programs that a connection remembers, one after the other: exchanges that began under an
/// earlier one are told a little later. A shell is a wrapper around a wrapper at most. Where several processes
/// use one connection in turns, an exchange that lasts longer than so many turns is nobody's.
pub const PROGRAMS: usize = 4;

/// How long after what came behind it a missing stretch may still come, in capture time beyond the
/// source's watermark: two threads that write to one socket get their positions in the order of the
/// socket's lock, not of their entry times.
pub const PATIENCE: Duration = Duration::from_millis(10);

/// The same where packets are acknowledged: a capture may show the acknowledgement before the
/// segment (several queues, merged files), by less than this.
pub const CONFIRMED_PATIENCE: Duration = Duration::from_millis(50);

/// After so long without an event less is kept of a connection, if it waits for nothing: some 220 bytes
/// instead of 600 with its description. Looked for this often.
pub const REST_AFTER: Duration = Duration::from_secs(2);
pub const REST_INTERVAL: Duration = Duration::from_secs(4);

/// A connection without any event for so long is forgotten; it comes back as joined mid-stream.
pub const IDLE: Duration = Duration::from_secs(24 * 3600);

/// The bounds a table works with; the default is the constants of this module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub connections: usize,
    pub held_per_direction: usize,
    pub held_total: usize,
    pub processes: usize,
    pub patience: Duration,
    pub confirmed_patience: Duration,
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS,
            held_per_direction: HELD_PER_DIRECTION,
            held_total: HELD_TOTAL,
            processes: PROCESSES,
            patience: PATIENCE,
            confirmed_patience: CONFIRMED_PATIENCE,
            idle: IDLE,
        }
    }
}

/// A duration as nanoseconds of the capture's clock.
pub(crate) fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
