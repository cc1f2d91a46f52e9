//! Finds the TLS libraries that processes have mapped, and programs with TLS of their own, in whatever
//! mount namespace they run.
//!
//! A uprobe sits on a file's inode and fires in every process that maps it, so what is looked for
//! are files, not processes; a process is only where a file is found. The scan runs every quarter
//! of a second, so it must cost next to nothing when nothing changes: a process's mappings are read
//! when it is new, a few times in its first seconds, and later only when the amount of mapped code
//! has changed (`dlopen`).

use std::collections::HashMap;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::deny::DenyList;
use super::installed;
use super::library::{self, FileId, OpenError, TlsLibrary};
use super::maps::{self, Mapping};
use super::outputs::Outputs;
use super::watched::{MAX_STATM_BYTES, MappedFile, ProcessIds, Watched, code_pages, thread_time};
use crate::bounded;
use crate::process;

/// The directory of processes is listed when one has been started since, and this often in any case:
/// what has ended is found by that.
const LISTING: Duration = Duration::from_secs(2);
/// How long a library that nobody maps any more stays known: commands that run one after the other
/// (`curl` in a loop) would make it come and go. Short, for probes keep a container's image in use.
const GRACE: Duration = Duration::from_secs(10);

/// How often the node's own libraries are looked for: an upgrade of a package brings new ones.
const INSTALLED_LOOK: Duration = Duration::from_secs(30);

/// Looks in a row that are spared while the directories have not changed: a library can also be written
/// over in its place.
const INSTALLED_SPARED: u32 = 20;

/// 65,530 mappings, the kernel's default limit, of 100 bytes.
const MAX_MAPS_BYTES: u64 = 8 << 20;
/// The kernel's `pid_max` on large machines is 4 million; no node runs that many at once.
const MAX_PROCESSES: usize = 100_000;
/// Files that are opened in one scan because a process has mapped them, whatever their names: each is looked
/// at once, which takes a millisecond or less, and those with a known name or that are programs do not count.
const MAX_UNNAMED: usize = 32;
/// Different TLS libraries at one time. Each costs a few probes.
const MAX_LIBRARIES: usize = 1024;

/// What has changed since the last scan.
#[derive(Debug, Default)]
pub struct TlsChanges {
    /// To be probed. Each holds its file open: drop it once the probes are attached.
    pub added: Vec<TlsLibrary>,
    /// To be probed where they put out ciphertext too, see [`TlsScanner::withholds`].
    pub outputs: Vec<FileId>,
    /// No process maps them any more: their probes can go.
    pub gone: Vec<FileId>,
    /// Processes that had a library of those and have ended.
    pub ended: Vec<u32>,
    /// Named like a TLS library, but not observable, and why. Each file is reported once.
    pub refused: Vec<(PathBuf, String)>,
}

/// Counts since the scanner was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TlsCounters {
    pub scans: u64,
    /// Times that a process's mappings were read.
    pub looks: u64,
    /// Files found and handed out.
    pub libraries: u64,
    /// Files that are not observable (see [`TlsChanges::refused`]).
    pub refused: u64,
    /// Files that could not be opened; tried again at the next look.
    pub unreadable: u64,
    /// Lists of mappings longer than the limit, read as far as it goes.
    pub truncated: u64,
    /// Processes and libraries left out because of their number.
    pub over_limit: u64,
}

#[derive(Debug)]
struct KnownFile {
    users: usize,
    /// `None`: refused.
    library: Option<FileId>,
    /// Whether a process that has mapped it may use memory BIOs, once that was asked.
    evidence: Option<bool>,
}

#[derive(Debug)]
struct KnownLibrary {
    /// Number of [`KnownFile`]s: on overlay file systems one file has several identities.
    users: usize,
    idle_since: Instant,
}

/// Remembers what it has seen. Belongs to one thread, which may block on a slow file system.
#[derive(Debug)]
pub struct TlsScanner {
    root: PathBuf,
    processes: HashMap<u32, Watched>,
    files: HashMap<MappedFile, KnownFile>,
    libraries: HashMap<FileId, KnownLibrary>,
    /// Those of the node itself, which count as in use as long as they are there.
    installed: Vec<FileId>,
    installed_next: Option<Instant>,
    installed_stamp: installed::Stamp,
    installed_spared: u32,
    deny: DenyList,
    /// A process whose own program is not looked at.
    own: Option<u32>,
    /// As many files without a known name may still be opened in this scan.
    unnamed_left: usize,
    /// Libraries that processes on that list have mapped, with those processes.
    denied: HashMap<FileId, Vec<u32>>,
    outputs: Outputs,
    /// As in [`TlsChanges`], for the next.
    ended: Vec<u32>,
    /// When the processes are to be listed again, and the last process id given out at the last time.
    listing_next: Option<Instant>,
    last_started: Option<u32>,
    ids: ProcessIds,
    /// They were listed once more since that id was first seen: ids are given out a moment before the
    /// process can be seen.
    settled: bool,
    counters: TlsCounters,
    buffer: Vec<u8>,
}

impl Default for TlsScanner {
    fn default() -> Self {
        Self::new(process::proc_root(), DenyList::default())
    }
}

impl TlsScanner {
    /// Looks at the processes in `root` (see [`process::proc_root`]). Libraries that a process on
    /// the list has mapped are left alone, whoever else uses them: a probe sits on the file.
    #[must_use]
    pub fn new(root: PathBuf, deny: DenyList) -> Self {
        Self {
            root,
            deny,
            own: None,
            unnamed_left: MAX_UNNAMED,
            denied: HashMap::new(),
            processes: HashMap::new(),
            files: HashMap::new(),
            libraries: HashMap::new(),
            installed: Vec::new(),
            installed_next: None,
            installed_stamp: installed::Stamp::default(),
            installed_spared: 0,
            outputs: Outputs::default(),
            ended: Vec::new(),
            listing_next: None,
            last_started: None,
            ids: ProcessIds::default(),
            settled: false,
            counters: TlsCounters::default(),
            buffer: Vec::new(),
        }
    }

    /// Leaves out what is linked into the program of this process and what it has mapped, but for libraries
    /// that it shares with others.
    #[must_use]
    pub fn without(mut self, pid: u32) -> Self {
        self.own = Some(pid);
        self
    }

    #[must_use]
    pub fn counters(&self) -> TlsCounters {
        self.counters
    }

    /// Makes the next scan look at this process, whatever it knows of it: for an `exec` that was
    /// seen.
    pub fn look_again(&mut self, pid: u32) {
        if let Some(watched) = self.processes.get_mut(&pid) {
            watched.looks = 0;
            watched.next = Instant::now();
        }
    }

    /// Looks at what is new or due.
    pub fn scan(&mut self) -> TlsChanges {
        self.scan_at(Instant::now())
    }

    fn scan_at(&mut self, now: Instant) -> TlsChanges {
        let mut changes = TlsChanges::default();
        self.counters.scans = self.counters.scans.saturating_add(1);
        self.begin();
        let last_started = self.ids.last_started(&self.root);
        let nothing_new = last_started.is_some() && last_started == self.last_started;
        if nothing_new && self.settled && self.listing_next.is_some_and(|next| now < next) {
            self.visit_due(now, &mut changes);
        } else if self.visit_all(now, &mut changes) {
            self.last_started = last_started;
            self.settled = nothing_new;
            self.listing_next = Some(now + LISTING);
        } else {
            return changes;
        }
        // After the processes: what one of them is not to be touched by is known now.
        if self.installed_next.is_none_or(|next| now >= next) {
            self.look_at_installed(now, &mut changes);
        }
        self.libraries.retain(|&id, library| {
            let stays =
                library.users > 0 || now.saturating_duration_since(library.idle_since) < GRACE;
            if !stays {
                changes.gone.push(id);
            }
            stays
        });
        self.settle(&mut changes);
        changes.ended = std::mem::take(&mut self.ended);
        changes
    }

    fn begin(&mut self) {
        self.unnamed_left = MAX_UNNAMED;
        self.outputs.begin_scan();
    }

    /// Leaves out what was added by one process and then taken away for another.
    fn settle(&mut self, changes: &mut TlsChanges) {
        for library in &changes.gone {
            self.outputs.gone(library);
        }
        changes
            .added
            .retain(|library| !self.denied.contains_key(&library.id));
    }

    /// Looks at the processes that are known and due.
    fn visit_due(&mut self, now: Instant, changes: &mut TlsChanges) {
        let due: Vec<(u32, u64)> = self
            .processes
            .iter()
            .filter(|(_, watched)| watched.next <= now)
            .map(|(&pid, watched)| (pid, watched.directory))
            .collect();
        let scan = self.counters.scans;
        for (pid, directory) in due {
            self.visit(pid, directory, scan, now, changes);
        }
    }

    /// Looks at every process that is new or due, and finds those that have ended. `false`: they cannot
    /// be listed, so nothing is known to have ended.
    fn visit_all(&mut self, now: Instant, changes: &mut TlsChanges) -> bool {
        let scan = self.counters.scans;
        let Ok(entries) = std::fs::read_dir(&self.root) else {
            return false;
        };
        for entry in entries.flatten() {
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            self.visit(pid, entry.ino(), scan, now, changes);
        }
        let ended: Vec<u32> = self
            .processes
            .iter()
            .filter(|(_, watched)| watched.scan != scan)
            .map(|(&pid, _)| pid)
            .collect();
        for pid in ended {
            self.end(pid, now);
        }
        true
    }

    /// Brings the node's own libraries up to date. One that cannot be observed is told of when a
    /// process maps it.
    fn look_at_installed(&mut self, now: Instant, changes: &mut TlsChanges) {
        let first = self.installed_next.is_none();
        self.installed_next = Some(now + INSTALLED_LOOK);
        let stamp = installed::stamp(&self.root);
        // With a list, a library that was left alone may be free again.
        if !first
            && stamp == self.installed_stamp
            && self.installed_spared < INSTALLED_SPARED
            && self.deny.processes.is_empty()
        {
            self.installed_spared = self.installed_spared.saturating_add(1);
            return;
        }
        (self.installed_stamp, self.installed_spared) = (stamp, 0);
        let mut present = Vec::new();
        for library in installed::find(&self.root)
            .iter()
            .filter_map(|path| library::open_installed(path).ok())
        {
            let id = library.id;
            if present.contains(&id)
                || self.denied.contains_key(&id)
                || self.libraries.len() >= MAX_LIBRARIES
            {
                continue;
            }
            present.push(id);
            if !self.libraries.contains_key(&id) {
                self.counters.libraries = self.counters.libraries.saturating_add(1);
                self.outputs.found(&library);
                changes.added.push(library);
            }
            let known = self.libraries.entry(id).or_insert(KnownLibrary {
                users: 0,
                idle_since: now,
            });
            known.users = known.users.saturating_add(1);
        }
        for before in std::mem::replace(&mut self.installed, present) {
            self.unuse(before, now);
        }
    }

    fn visit(
        &mut self,
        pid: u32,
        directory: u64,
        scan: u64,
        now: Instant,
        changes: &mut TlsChanges,
    ) {
        if let Some(watched) = self.processes.get_mut(&pid) {
            watched.scan = scan;
            let same = watched.directory == directory;
            if same && (now < watched.next || watched.is_unchanged(&self.root, pid, now)) {
                return;
            }
        }
        let Some(key) = process::started(&self.root, pid) else {
            return self.end(pid, now);
        };
        // The id may have passed to another process.
        if self
            .processes
            .get(&pid)
            .is_some_and(|watched| watched.started != key.started)
        {
            self.end(pid, now);
        }
        if let Some(watched) = self.processes.get_mut(&pid) {
            watched.directory = directory;
        } else if self.processes.len() < MAX_PROCESSES {
            self.processes
                .insert(pid, Watched::new(directory, key.started, scan, now));
        } else {
            self.counters.over_limit = self.counters.over_limit.saturating_add(1);
            return;
        }
        self.look(pid, now, changes);
    }

    /// Reads the mappings of a process.
    fn look(&mut self, pid: u32, now: Instant, changes: &mut TlsChanges) {
        self.counters.looks = self.counters.looks.saturating_add(1);
        let begun = thread_time();
        let code_pages = code_pages(&self.root, pid);
        let mut buffer = std::mem::take(&mut self.buffer);
        let directory = self.root.join(pid.to_string());
        let readable =
            bounded::read_into(&directory.join("maps"), MAX_MAPS_BYTES, &mut buffer).is_ok();
        if buffer.len() as u64 >= MAX_MAPS_BYTES {
            self.counters.truncated = self.counters.truncated.saturating_add(1);
        }
        let mut files = Vec::new();
        let mut complete = true;
        if readable {
            let lines = buffer.split(|&byte| byte == b'\n');
            let program = library::program(&directory);
            let denied = self.is_denied(&directory, program.as_deref());
            for mapping in lines.filter_map(maps::executable) {
                let expected =
                    library::is_tls_name(mapping.path) || program.as_deref() == Some(mapping.path);
                if self.own == Some(pid) && !library::is_tls_name(mapping.path) {
                    continue;
                }
                if denied {
                    if expected {
                        self.leave_alone(&mapping, pid, changes);
                    }
                    continue;
                }
                let file = (mapping.device, mapping.inode);
                if files.contains(&file) {
                    continue;
                }
                if !expected && !self.files.contains_key(&file) {
                    // As many as there are, the next scan looks at those that are left.
                    if self.unnamed_left == 0 {
                        complete = false;
                        continue;
                    }
                    self.unnamed_left = self.unnamed_left.saturating_sub(1);
                }
                if self.know(file, &mapping, program.as_deref(), pid, now, changes) {
                    files.push(file);
                }
            }
            complete &= self.ask_for_memory_bios(pid, &buffer, changes);
        }
        buffer.shrink_to(1 << 20);
        self.buffer = buffer;
        let cost = thread_time().saturating_sub(begun);
        let Some(watched) = self.processes.get_mut(&pid) else {
            return;
        };
        watched.next = now + watched.pause(cost);
        watched.looks = watched.looks.saturating_add(1);
        watched.looked = now;
        watched.code_pages = code_pages;
        if !complete {
            watched.look_on(now);
        }
        // Users of the new list were counted above, those of the old one leave after that, so that
        // a file in both never looks unused.
        let before = std::mem::replace(&mut watched.files, files);
        self.release(before, now);
    }

    /// Counts a use of the file; opens it if it is new. Whether it is known now.
    fn know(
        &mut self,
        file: MappedFile,
        mapping: &Mapping<'_>,
        program: Option<&[u8]>,
        pid: u32,
        now: Instant,
        changes: &mut TlsChanges,
    ) -> bool {
        if let Some(known) = self.files.get_mut(&file) {
            known.users = known.users.saturating_add(1);
            return true;
        }
        let is_program = program == Some(mapping.path);
        let library = match library::open(&self.root, pid, mapping, is_program) {
            // Asked again at the next look: the process that it is left alone for may have ended.
            Ok(library) if self.denied.contains_key(&library.id) => return false,
            Ok(library) if self.libraries.contains_key(&library.id) => Some(library.id),
            Ok(_) if self.libraries.len() >= MAX_LIBRARIES => {
                self.counters.over_limit = self.counters.over_limit.saturating_add(1);
                return false;
            }
            Ok(library) => {
                let id = library.id;
                self.counters.libraries = self.counters.libraries.saturating_add(1);
                self.libraries.insert(
                    id,
                    KnownLibrary {
                        users: 0,
                        idle_since: now,
                    },
                );
                self.outputs.found(&library);
                changes.added.push(library);
                Some(id)
            }
            Err(OpenError::Unreadable(_)) => {
                self.counters.unreadable = self.counters.unreadable.saturating_add(1);
                return false;
            }
            Err(OpenError::Refused(reason)) => {
                self.counters.refused = self.counters.refused.saturating_add(1);
                changes.refused.push((library::path_of(mapping), reason));
                None
            }
            Err(OpenError::WithoutTls) => None,
        };
        if let Some(known) = library.and_then(|id| self.libraries.get_mut(&id)) {
            known.users = known.users.saturating_add(1);
        }
        self.files.insert(
            file,
            KnownFile {
                users: 1,
                library,
                evidence: None,
            },
        );
        true
    }

    /// Whether the operator wants this process left alone.
    fn is_denied(&self, directory: &Path, program: Option<&[u8]>) -> bool {
        if self.deny.processes.is_empty() {
            return false;
        }
        let command = bounded::read(&directory.join("comm"), MAX_STATM_BYTES).unwrap_or_default();
        self.deny
            .process(command.trim_ascii_end(), program.unwrap_or_default())
            .is_some()
    }

    /// Takes a library that a denied process has mapped from everybody.
    fn leave_alone(&mut self, mapping: &Mapping<'_>, pid: u32, changes: &mut TlsChanges) {
        let Ok(library) = library::open(&self.root, pid, mapping, true) else {
            return;
        };
        let id = library.id;
        let users = self.denied.entry(id).or_default();
        if users.contains(&pid) {
            return;
        }
        users.push(pid);
        if self.libraries.remove(&id).is_some() {
            self.files.retain(|_, known| known.library != Some(id));
            changes.gone.push(id);
            changes.refused.push((
                library::path_of(mapping),
                "in use by a process that is not to be touched".to_owned(),
            ));
        }
    }

    fn end(&mut self, pid: u32, now: Instant) {
        self.denied.retain(|_, users| {
            users.retain(|user| *user != pid);
            !users.is_empty()
        });
        if let Some(watched) = self.processes.remove(&pid) {
            let has_library = |file| {
                self.files
                    .get(file)
                    .is_some_and(|known| known.library.is_some())
            };
            if watched.files.iter().any(has_library) {
                self.ended.push(pid);
            }
            self.release(watched.files, now);
        }
    }

    fn release(&mut self, files: Vec<MappedFile>, now: Instant) {
        for file in files {
            let Some(known) = self.files.get_mut(&file) else {
                continue;
            };
            known.users = known.users.saturating_sub(1);
            if known.users > 0 {
                continue;
            }
            let library = known.library;
            self.files.remove(&file);
            if let Some(id) = library {
                self.unuse(id, now);
            }
        }
    }

    fn unuse(&mut self, library: FileId, now: Instant) {
        if let Some(known) = self.libraries.get_mut(&library) {
            known.users = known.users.saturating_sub(1);
            known.idle_since = now;
        }
    }
}

#[path = "tls_memory.rs"]
mod memory;

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
