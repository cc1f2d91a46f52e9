//! Who a process is: read from `/proc` once, remembered for as long as it is the same process.

mod reading;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use reading::started;
use reading::{Reading, TICK_NANOS, has_random_stacks, read_now, read_stat};

use crate::event::Process;

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
    /// Which of the programs that the process has been one after the other: where its stack begins, as
    /// `/proc/<pid>/stat` has it. `None`: not known.
    pub image: Option<u64>,
}

/// Start times as `/proc` has them: whole ticks. What the kernel's records carry is rounded down to
/// the same, so that one process has one [`ProcessKey`](crate::event::ProcessKey) wherever its start time came from.
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
    /// The kernel puts each program's stack at a place of its own.
    random_stacks: bool,
}

#[derive(Debug)]
struct Entry {
    process: Arc<Process>,
    /// As in [`ProcessHint::image`]; 0: not known.
    image: u64,
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
        let random_stacks = has_random_stacks(&root);
        Self {
            root,
            recent: HashMap::new(),
            older: HashMap::new(),
            limit: MAX_PROCESSES,
            random_stacks,
        }
    }

    /// Reads who `pid` is now. One small file is read even if the process is remembered, to notice
    /// that the id has passed to another one. `None` if there is no such process.
    pub fn lookup(&mut self, pid: u32) -> Option<Arc<Process>> {
        let stat = read_stat(&self.root, pid)?;
        self.lookup_hinted(
            pid,
            ProcessHint {
                started: Some(stat.started),
                command: Some(&stat.command),
                image: Some(stat.image).filter(|image| *image != 0),
            },
        )
    }

    /// As [`Self::lookup`], but trusts `hint`: a process that is remembered with that start time is
    /// returned without reading anything, also after its end. A name that the process did not have
    /// before makes it read again at once, for it may be an `exec`.
    ///
    /// An answer that is another `Arc` than the last one for this pid is news; one with the hinted
    /// start time is never a different process. Of a program that the process is no longer, and that was
    /// not read in time, the answer has no more than its name.
    pub fn lookup_hinted(&mut self, pid: u32, hint: ProcessHint<'_>) -> Option<Arc<Process>> {
        let started = hint.started.map(round_started);
        self.promote(pid);
        if let Some(entry) = self.recent.get_mut(&pid)
            && started.is_some_and(|started| started == entry.process.started)
            && entry.may_be(hint.image)
            && entry.holds(hint.command)
        {
            return Some(Arc::clone(&entry.process));
        }
        let mut fresh = read_now(&self.root, pid)
            .filter(|fresh| started.is_none_or(|started| started == fresh.process.started));
        if !self.recent.contains_key(&pid)
            && fresh
                .as_ref()
                .is_none_or(|fresh| fresh.process.executable.is_empty() || fresh.no_environment)
        {
            fresh = self.fork_of_known(pid, hint).or(fresh);
        }
        let known = self
            .recent
            .get_mut(&pid)
            .filter(|entry| started.is_none_or(|started| started == entry.process.started));
        let passed = |image| is_other(hint.image, image);
        match (fresh, known) {
            // It has become another program since: what is remembered of that one is the truth about its
            // records, else little is known.
            (Some(fresh), Some(entry)) if passed(fresh.image) && !passed(entry.image) => {
                Some(Arc::clone(&entry.process))
            }
            (Some(fresh), _) if passed(fresh.image) => {
                Some(Arc::new(outline(&fresh.process, hint.command)))
            }
            (None, Some(entry)) if passed(entry.image) => {
                Some(Arc::new(outline(&entry.process, hint.command)))
            }
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

    /// As [`Self::lookup_hinted`], for a process that has become another program: nothing of what is
    /// remembered of it holds any more.
    pub fn lookup_executed(&mut self, pid: u32, hint: ProcessHint<'_>) -> Option<Arc<Process>> {
        self.recent.remove(&pid);
        self.older.remove(&pid);
        self.lookup_hinted(pid, hint)
    }

    /// What a process has been that has ended before it could be read, if it was a fork of one that is
    /// remembered.
    pub fn lookup_fork(&mut self, pid: u32, hint: ProcessHint<'_>) -> Option<Arc<Process>> {
        let known = self.recent.get(&pid);
        if known.is_some_and(|entry| entry.doubtful == 0 && !entry.process.executable.is_empty()) {
            return None;
        }
        let fork = self.fork_of_known(pid, hint)?;
        self.older.remove(&pid);
        Some(self.insert(fork, None))
    }

    /// One that has ended before it could be read, and had the stack of one that is remembered: it was a fork of
    /// that one, or that one is of it, and both are the same program.
    fn fork_of_known(&self, pid: u32, hint: ProcessHint<'_>) -> Option<Reading> {
        if !self.random_stacks {
            return None;
        }
        let (started, command, image) = (hint.started?, hint.command?, hint.image?);
        let all = self.recent.values().chain(self.older.values());
        let twin = all
            .filter(|entry| entry.image == image && entry.doubtful == 0)
            .filter(|entry| !entry.process.executable.is_empty())
            .find(|entry| entry.process.command.as_bytes() == command)?;
        Some(Reading {
            process: Process {
                pid,
                started: round_started(started),
                ..Process::clone(&twin.process)
            },
            image,
            no_environment: false,
        })
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
            image: fresh.image,
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

/// Whether two programs are known to be two.
fn is_other(one: Option<u64>, other: u64) -> bool {
    other != 0 && one.is_some_and(|one| one != other)
}

/// What is known of a program that `process` was, or has become, when nothing of it could be read.
pub(crate) fn outline(process: &Process, command: Option<&[u8]>) -> Process {
    let command = String::from_utf8_lossy(command.unwrap_or_default());
    Process {
        command: command.into_owned(),
        executable: String::new(),
        service_name: None,
        ..process.clone()
    }
}

impl Entry {
    /// Whether it is not known to be another program.
    fn may_be(&self, image: Option<u64>) -> bool {
        !is_other(image, self.image)
    }

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
        if fresh.image != 0 {
            self.image = fresh.image;
        }
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

#[cfg(test)]
mod tests;
