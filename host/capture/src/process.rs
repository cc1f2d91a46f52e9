//! Who a process is: read from `/proc` once, remembered for as long as it is the same process.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cgroup;
use crate::event::{Process, ProcessKey};

/// `/proc/<pid>/stat` counts in clock ticks. The kernel shows 100 a second to user space on every
/// architecture but Alpha, whatever its own timer does (`USER_HZ`).
const TICK_NANOS: u64 = 10_000_000;

/// Processes remembered. A node has hundreds to some thousand; one entry has about 500 bytes.
const MAX_PROCESSES: usize = 4096;

/// Names of threads remembered for one process; more than that are asked for again.
const MAX_THREAD_NAMES: usize = 8;

/// A process whose thread has a name that is known not to be the process's own is read again only
/// so often: threads have names, and only rarely is another name an `exec`.
const RECHECK: Duration = Duration::from_secs(5);

/// In the middle of an `exec` a process has its new name, and no environment yet. One that has none
/// is read again so often, no faster than this, before it is believed to have none.
const EMPTY_READS: u8 = 8;
const EMPTY_PAUSE: Duration = Duration::from_millis(1);

const MAX_STAT_BYTES: u64 = 4 << 10;
const MAX_CGROUP_BYTES: u64 = 64 << 10;
/// `execve` allows more, but environments above some ten KiB are rare.
const MAX_ENVIRONMENT_BYTES: u64 = 512 << 10;
/// OpenTelemetry sets no limit; a name longer than this is none.
const MAX_SERVICE_NAME_BYTES: usize = 255;

const SERVICE_NAME: &[u8] = b"OTEL_SERVICE_NAME=";

/// Where `/proc` of the observed node is: `WIRESPAN_PROC`, for a container that has the host's at
/// another place, else `/proc`. The pids of the kernel's records must be those of this directory.
#[must_use]
pub fn proc_root() -> PathBuf {
    std::env::var_os("WIRESPAN_PROC")
        .filter(|path| !path.is_empty())
        .map_or_else(|| PathBuf::from("/proc"), PathBuf::from)
}

/// What a record of the kernel says about a process. It decides whether what is remembered still
/// holds, without a look at `/proc`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessHint<'a> {
    /// `start_boottime` of the group leader in nanoseconds, unrounded.
    pub started: Option<u64>,
    /// Name of the thread that made the call, up to its first NUL.
    pub command: Option<&'a [u8]>,
}

/// Start times as `/proc` has them: whole ticks. What the kernel's records carry is rounded down to
/// the same, so that one process has one [`ProcessKey`] wherever its start time came from.
#[must_use]
pub const fn round_started(nanos: u64) -> u64 {
    nanos - nanos % TICK_NANOS
}

/// Remembered processes. Not shared: belongs to the thread that decodes the kernel's records.
#[derive(Debug)]
pub struct ProcessTable {
    root: PathBuf,
    /// By pid; the older half is dropped when both are full, so an entry lives at least as long as
    /// `limit / 2` other processes need to show up.
    recent: HashMap<u32, Entry>,
    older: HashMap<u32, Entry>,
    limit: usize,
}

#[derive(Debug)]
struct Entry {
    process: Arc<Process>,
    read_at: Instant,
    thread_names: Vec<Vec<u8>>,
    /// Readings left for a process without an environment.
    doubtful: u8,
}

impl Default for ProcessTable {
    fn default() -> Self {
        Self::new(proc_root())
    }
}

impl ProcessTable {
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            recent: HashMap::new(),
            older: HashMap::new(),
            limit: MAX_PROCESSES,
        }
    }

    /// Reads who `pid` is now. One small file is read even if the process is remembered, to notice
    /// that the id has passed to another one. `None` if there is no such process.
    pub fn lookup(&mut self, pid: u32) -> Option<Arc<Process>> {
        let (started, command) = read_stat(&self.root, pid)?;
        self.lookup_hinted(
            pid,
            ProcessHint {
                started: Some(started),
                command: Some(&command),
            },
        )
    }

    /// As [`Self::lookup`], but trusts `hint`: a process that is remembered with that start time is
    /// returned without reading anything, also after its end. A name that the process did not have
    /// before makes it read again at once, for it may be an `exec`.
    ///
    /// An answer that is another `Arc` than the last one for this pid is news; one with the hinted
    /// start time is never a different process.
    pub fn lookup_hinted(&mut self, pid: u32, hint: ProcessHint<'_>) -> Option<Arc<Process>> {
        let started = hint.started.map(round_started);
        self.promote(pid);
        if let Some(entry) = self.recent.get_mut(&pid)
            && started.is_some_and(|started| started == entry.process.started)
            && entry.holds(hint.command)
        {
            return Some(Arc::clone(&entry.process));
        }
        let fresh = read_now(&self.root, pid)
            .filter(|fresh| started.is_none_or(|started| started == fresh.process.started));
        let known = self
            .recent
            .get_mut(&pid)
            .filter(|entry| started.is_none_or(|started| started == entry.process.started));
        match (fresh, known) {
            // One that has ended and is not yet waited for has only a name left.
            (Some(fresh), Some(entry))
                if fresh.process.executable.is_empty() && !entry.process.executable.is_empty() =>
            {
                entry.read_at = Instant::now();
                entry.add_name(hint.command);
                Some(Arc::clone(&entry.process))
            }
            (Some(fresh), Some(entry)) => {
                entry.refresh(fresh, hint.command);
                Some(Arc::clone(&entry.process))
            }
            (Some(fresh), None) => Some(self.insert(fresh, hint.command)),
            // It has ended meanwhile; what is remembered still is the truth about its records.
            (None, Some(entry)) if started.is_some() => Some(Arc::clone(&entry.process)),
            (None, _) => None,
        }
    }

    /// Forgets what a process was: call it for every `exec` and end of a process that is seen.
    pub fn forget(&mut self, pid: u32) {
        self.recent.remove(&pid);
        self.older.remove(&pid);
    }

    /// Number of processes remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.recent.len().saturating_add(self.older.len())
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn insert(&mut self, fresh: Reading, command: Option<&[u8]>) -> Arc<Process> {
        if self.recent.len() >= self.limit / 2 {
            self.older = std::mem::take(&mut self.recent);
        }
        let process = Arc::new(fresh.process);
        let mut entry = Entry {
            process: Arc::clone(&process),
            read_at: Instant::now(),
            thread_names: Vec::new(),
            doubtful: if fresh.no_environment { EMPTY_READS } else { 0 },
        };
        entry.add_name(command);
        self.recent.insert(process.pid, entry);
        process
    }

    fn promote(&mut self, pid: u32) {
        if !self.recent.contains_key(&pid)
            && let Some(entry) = self.older.remove(&pid)
        {
            if self.recent.len() >= self.limit / 2 {
                self.older = std::mem::take(&mut self.recent);
            }
            self.recent.insert(pid, entry);
        }
    }
}

impl Entry {
    /// Whether `command` fits what is remembered.
    fn holds(&self, command: Option<&[u8]>) -> bool {
        if self.doubtful > 0 && self.read_at.elapsed() >= EMPTY_PAUSE {
            return false;
        }
        let Some(command) = command else { return true };
        self.process.command.as_bytes() == command
            || (self.thread_names.iter().any(|name| name == command)
                && self.read_at.elapsed() < RECHECK)
    }

    /// Takes over what was read; keeps the `Arc` if nothing changed.
    fn refresh(&mut self, fresh: Reading, command: Option<&[u8]>) {
        self.read_at = Instant::now();
        self.doubtful = match (fresh.no_environment, *self.process == fresh.process) {
            (false, _) => 0,
            (true, true) => self.doubtful.saturating_sub(1),
            (true, false) => EMPTY_READS,
        };
        if *self.process != fresh.process {
            self.process = Arc::new(fresh.process);
            self.thread_names.clear();
        }
        self.add_name(command);
    }

    fn add_name(&mut self, command: Option<&[u8]>) {
        let Some(command) = command else { return };
        if command != self.process.command.as_bytes()
            && !self.thread_names.iter().any(|name| name == command)
        {
            if self.thread_names.len() >= MAX_THREAD_NAMES {
                self.thread_names.remove(0);
            }
            self.thread_names.push(command.to_vec());
        }
    }
}

struct Reading {
    process: Process,
    /// It could be read, and was empty.
    no_environment: bool,
}

/// Reads everything about a process; `None` if it is gone, or was replaced while being read.
fn read_now(root: &Path, pid: u32) -> Option<Reading> {
    let directory = root.join(pid.to_string());
    let (started, command) = read_stat(root, pid)?;
    // Another user's process, or none of ours to read: absent, not wrong.
    let executable = std::fs::read_link(directory.join("exe"))
        .map(|path| executable_name(path.as_os_str()))
        .unwrap_or_default();
    let groups =
        crate::bounded::read(&directory.join("cgroup"), MAX_CGROUP_BYTES).unwrap_or_default();
    let cgroup = cgroup::parse(&String::from_utf8_lossy(&groups));
    let environment = directory.join("environ");
    // Asked first: it may come into being at any time.
    let no_environment = crate::bounded::read(&environment, 1).is_ok_and(|first| first.is_empty());
    let service_name = std::fs::File::open(environment)
        .ok()
        .and_then(|file| service_name(file.take(MAX_ENVIRONMENT_BYTES)));
    let process = Process {
        pid,
        started,
        command: String::from_utf8_lossy(&command).into_owned(),
        executable,
        service_name,
        container_id: cgroup.container_id,
        cgroup_path: cgroup.path,
    };
    // The id may have passed to another process in between.
    let (started_after, _) = read_stat(root, pid)?;
    (started_after == started).then_some(Reading {
        process,
        no_environment,
    })
}

/// Start time (nanoseconds of the boot clock, whole ticks) and name.
fn read_stat(root: &Path, pid: u32) -> Option<(u64, Vec<u8>)> {
    parse_stat(
        &crate::bounded::read(&root.join(pid.to_string()).join("stat"), MAX_STAT_BYTES).ok()?,
    )
}

/// `pid (comm) state ppid …`; the start time is the 22nd field. The name may contain blanks and
/// parentheses, so the fields count from the last `)`.
fn parse_stat(stat: &[u8]) -> Option<(u64, Vec<u8>)> {
    let open = stat.iter().position(|&byte| byte == b'(')?;
    let close = stat.iter().rposition(|&byte| byte == b')')?;
    let command = stat.get(open.checked_add(1)?..close)?;
    let rest = std::str::from_utf8(stat.get(close.checked_add(1)?..)?).ok()?;
    // After the name comes field 3.
    let ticks: u64 = rest.split_ascii_whitespace().nth(19)?.parse().ok()?;
    Some((ticks.checked_mul(TICK_NANOS)?, command.to_vec()))
}

/// Start of a process as `/proc` tells it, without anything else.
#[must_use]
pub fn started(root: &Path, pid: u32) -> Option<ProcessKey> {
    read_stat(root, pid).map(|(started, _)| ProcessKey { pid, started })
}

/// A program that was replaced on disk keeps its path.
fn executable_name(target: &OsStr) -> String {
    let name = String::from_utf8_lossy(target.as_bytes());
    name.strip_suffix(" (deleted)").unwrap_or(&name).to_owned()
}

/// Finds `OTEL_SERVICE_NAME` among NUL-terminated variables without keeping any other.
fn service_name(mut environment: impl Read) -> Option<String> {
    let mut variable = Vec::new();
    let mut chunk = [0u8; 4096];
    loop {
        let len = environment.read(&mut chunk).ok()?;
        let read = chunk.get(..len)?;
        if read.is_empty() {
            return as_service_name(&variable);
        }
        let mut pieces = read.split(|&byte| byte == 0).peekable();
        while let Some(piece) = pieces.next() {
            // One byte more than a name may have tells that it is too long.
            let room =
                (SERVICE_NAME.len() + MAX_SERVICE_NAME_BYTES + 1).saturating_sub(variable.len());
            variable.extend_from_slice(piece.get(..room).unwrap_or(piece));
            if pieces.peek().is_some() {
                if variable.starts_with(SERVICE_NAME) {
                    return as_service_name(&variable);
                }
                variable.clear();
            }
        }
    }
}

fn as_service_name(variable: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(variable.strip_prefix(SERVICE_NAME)?)
        .ok()?
        .trim();
    let sound = !name.is_empty()
        && name.len() <= MAX_SERVICE_NAME_BYTES
        && !name.chars().any(char::is_control);
    sound.then(|| name.to_owned())
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
