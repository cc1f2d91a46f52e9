//! A process as the scanner of TLS libraries watches it: when it is looked at again.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::bounded;

/// A process loads its libraries one after the other while it starts: pauses between the first
/// looks at it.
pub(super) const EARLY_PAUSES: [Duration; 5] = [
    Duration::from_millis(250),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];
/// A process older than this when it is first seen has loaded what it loads at its start.
const YOUNG: Duration = Duration::from_secs(10);
/// How often one small file tells whether a process has mapped more code since: so late a library
/// loaded by `dlopen` is found at the latest (plus the interval of the scan).
pub(super) const CHECK: Duration = Duration::from_secs(2);
/// Even without a sign of change: one library can replace another of the same size.
const FULL_LOOK: Duration = Duration::from_secs(60);
/// A process with so many mappings that reading them takes long is looked at less often, so that
/// none costs more than one part in this many of a CPU.
const COST_SHARE: u32 = 500;
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

pub(super) const MAX_STATM_BYTES: u64 = 256;
/// Six numbers.
const MAX_LOADAVG_BYTES: usize = 256;

/// Device and inode as in `maps`.
pub(super) type MappedFile = (u64, u64);

#[derive(Debug)]
pub(super) struct Watched {
    /// Inode of the directory in `/proc`: another process has another one.
    pub(super) directory: u64,
    pub(super) started: u64,
    pub(super) looks: usize,
    pub(super) next: Instant,
    pub(super) looked: Instant,
    pub(super) code_pages: Option<u64>,
    pub(super) files: Vec<MappedFile>,
    pub(super) scan: u64,
}

impl Watched {
    pub(super) fn new(directory: u64, started: u64, scan: u64, now: Instant) -> Self {
        let looks = if is_young(started) {
            0
        } else {
            EARLY_PAUSES.len()
        };
        Self {
            directory,
            started,
            looks,
            next: now,
            looked: now,
            code_pages: None,
            files: Vec::new(),
            scan,
        }
    }

    /// Whether a process past its first seconds has mapped no code since it was looked at; it is
    /// asked again after a while.
    pub(super) fn is_unchanged(&mut self, root: &Path, pid: u32, now: Instant) -> bool {
        let recent = now.saturating_duration_since(self.looked) < FULL_LOOK;
        let unchanged =
            recent && self.looks > EARLY_PAUSES.len() && code_pages(root, pid) == self.code_pages;
        if unchanged {
            // Threads of the kernel map nothing, ever.
            let pause = if self.code_pages == Some(0) {
                FULL_LOOK
            } else {
                CHECK
            };
            self.next = now + pause;
        }
        unchanged
    }

    /// Not all of it could be looked at: at once again.
    pub(super) fn look_on(&mut self, now: Instant) {
        self.next = now;
        self.code_pages = None;
    }

    /// How long to wait after a look that took `cost`.
    pub(super) fn pause(&self, cost: Duration) -> Duration {
        let settled = || {
            CHECK
                .max(cost.saturating_mul(COST_SHARE))
                .min(LONGEST_PAUSE)
        };
        EARLY_PAUSES
            .get(self.looks)
            .copied()
            .unwrap_or_else(settled)
    }
}

/// CPU time of this thread: on a busy node a look takes longer, and costs no more for that.
pub(super) fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

fn is_young(started_nanos: u64) -> bool {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let now = Duration::from_secs(u64::try_from(now.tv_sec).unwrap_or(0));
    now.saturating_sub(Duration::from_nanos(started_nanos)) < YOUNG
}

/// Mapped pages that are not writable data: grows when code is mapped, and not with the heap.
pub(super) fn code_pages(root: &Path, pid: u32) -> Option<u64> {
    // size resident shared text lib data dirty
    let statm = bounded::read(&root.join(pid.to_string()).join("statm"), MAX_STATM_BYTES).ok()?;
    let mut fields = std::str::from_utf8(&statm).ok()?.split_ascii_whitespace();
    let size: u64 = fields.next()?.parse().ok()?;
    let data: u64 = fields.nth(4)?.parse().ok()?;
    Some(size.saturating_sub(data))
}

/// Where the last process id that was given out is told: asked for several times a second, so it stays
/// open.
#[derive(Debug, Default)]
pub(super) struct ProcessIds(Option<File>);

impl ProcessIds {
    /// The last id that was given out, to a process or a thread. Where the processes in `root` are not
    /// those of this process's own namespace that is not known.
    pub(super) fn last_started(&mut self, root: &Path) -> Option<u32> {
        if self.0.is_none() {
            let own = std::fs::read_link(root.join("self")).ok()?;
            if own.to_str()?.parse() != Ok(std::process::id()) {
                return None;
            }
            self.0 = Some(File::open(root.join("loadavg")).ok()?);
        }
        // Three averages, running and existing tasks, the last id.
        let mut text = [0; MAX_LOADAVG_BYTES];
        let read = self.0.as_ref()?.read_at(&mut text, 0).ok()?;
        let text = text.get(..read)?.trim_ascii_end();
        let last = text.rsplit(|byte| *byte == b' ').next()?;
        std::str::from_utf8(last).ok()?.parse().ok()
    }
}
