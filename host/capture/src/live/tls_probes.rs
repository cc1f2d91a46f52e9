//! Keeps probes on the TLS libraries that processes use.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aya::maps::{Array, MapData};
use wirespan_events::config::TLS_ATTACHING;

use super::counters::{HostCounters, add};
use super::go_calls::GoCalls;
use super::leftovers::Ended;
use super::library::{FileId, TlsFlavour, TlsFunction, TlsLibrary};
use super::links::Links;
use super::notices::{Notice, Notices};
use super::source::monotonic;
use super::starting::Starting;
use super::tls::{TlsChanges, TlsScanner};
use super::uprobes::Uprobes;
use super::watched::thread_time;
use crate::error::CaptureError;
use crate::process;

/// Between two looks at the processes: a server's first requests come later than this after it has
/// mapped its library.
const SCAN_INTERVAL: Duration = Duration::from_millis(250);

/// Watches processes on a thread of its own, for a scan can block on a slow file system. The probes
/// are detached when it is dropped.
#[derive(Debug)]
pub(super) struct TlsProbes {
    notices: Notices,
    thread: Option<JoinHandle<()>>,
}

/// What the kernel side is told of the libraries that are probed.
pub(super) struct Tables {
    pub(super) since: Array<MapData, u64>,
    pub(super) go_calls: GoCalls,
    /// Whether there are probes on any program with rustls: where there are none, what is received need
    /// not be remembered.
    pub(super) rustls_watched: Array<MapData, u32>,
    /// Whether the host is to be woken when a program is started.
    pub(super) starts_watched: Array<MapData, u32>,
}

impl TlsProbes {
    /// Takes over the programs, and looks once before it returns: what runs now is observed from now on.
    /// `heard`: what is told by `notices`.
    pub(super) fn start(
        uprobes: Uprobes,
        tables: Tables,
        scanner: TlsScanner,
        (notices, heard): (Notices, Receiver<Notice>),
        ended: Ended,
        counters: Arc<HostCounters>,
    ) -> Result<Self, CaptureError> {
        let mut probes = Probes {
            attached: HashMap::new(),
            withheld: HashMap::new(),
            uprobes,
            tables,
            go: HashSet::new(),
            rustls: HashSet::new(),
            scanner,
            starting: Starting::default(),
            notices: notices.clone(),
            ended,
            counters,
        };
        probes.look();
        let thread = std::thread::Builder::new()
            .name("tls-probes".to_owned())
            .spawn(move || probes.watch(&heard))
            .map_err(|source| CaptureError::Kernel {
                what: "TLS libraries cannot be watched".to_owned(),
                reason: source.to_string(),
                remedy: "raise the limit of threads of this process".to_owned(),
            })?;
        Ok(Self {
            notices,
            thread: Some(thread),
        })
    }

    /// Tells the thread to let go of the probes; it is waited for when this is dropped.
    pub(super) fn stop(&self) {
        self.notices.stop();
    }
}

impl Drop for TlsProbes {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported; there is nothing more to do about it here.
            let _ = thread.join();
        }
    }
}

struct Probes {
    attached: HashMap<FileId, Links>,
    /// Attached but for where they put out ciphertext.
    withheld: HashMap<FileId, TlsLibrary>,
    uprobes: Uprobes,
    tables: Tables,
    /// Which of the attached were made by Go.
    go: HashSet<FileId>,
    /// Which of the attached have rustls.
    rustls: HashSet<FileId>,
    scanner: TlsScanner,
    starting: Starting,
    notices: Notices,
    /// Told of processes that have ended.
    ended: Ended,
    counters: Arc<HostCounters>,
}

impl Drop for Probes {
    fn drop(&mut self) {
        let libraries: Vec<FileId> = self.attached.keys().copied().collect();
        self.detach(&libraries);
    }
}

impl Probes {
    fn watch(&mut self, heard: &Receiver<Notice>) {
        let mut scan = Instant::now() + SCAN_INTERVAL;
        loop {
            let next = self.starting.next().map_or(scan, |next| next.min(scan));
            match heard.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(Notice::Executed(pid)) => self.starting.add(pid, Instant::now()),
                Ok(Notice::Unbound(pid)) => {
                    let libraries = self.scanner.uses_memory_bios(pid);
                    self.attach_outputs(&libraries, "plaintext passed without a socket");
                }
                Ok(Notice::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = Instant::now();
            if now >= scan {
                self.look();
                scan = Instant::now() + SCAN_INTERVAL;
            }
            self.look_at_starts(now);
        }
    }

    fn look(&mut self) {
        let changes = self.scanner.scan();
        self.apply(changes);
    }

    /// Looks at programs that have just been started.
    fn look_at_starts(&mut self, now: Instant) {
        let begun = thread_time();
        for pid in self.starting.due(&process::proc_root(), now) {
            let changes = self.scanner.look_at_start(pid);
            self.apply(changes);
        }
        let cost = thread_time().saturating_sub(begun);
        self.starting.has_cost(cost, Instant::now());
    }

    fn apply(&mut self, changes: TlsChanges) {
        self.detach(&changes.gone);
        if !changes.ended.is_empty() {
            self.tables.go_calls.forget(&changes.ended);
            self.ended.add(&changes.ended);
        }
        for (path, why) in changes.refused {
            tracing::info!(path = %path.display(), why, "TLS not observable");
        }
        self.attach(changes.added);
        self.attach_outputs(&changes.outputs, "a program may use memory BIOs");
        // Whoever is started matters only as long as something is withheld.
        let wanted = self.scanner.withholds_any();
        if wanted != self.notices.is_wanted() {
            let _ = self.tables.starts_watched.set(0, u32::from(wanted), 0);
        }
        self.notices.want(wanted);
        if !wanted {
            self.starting.clear();
        }
    }

    fn attach(&mut self, libraries: Vec<TlsLibrary>) {
        if libraries.is_empty() {
            return;
        }
        // Connections that open while probes are being attached may show one direction only. Those of a
        // library that only puts out ciphertext have no plaintext.
        let any_plaintext = libraries
            .iter()
            .any(|library| library.flavour != TlsFlavour::Crypto);
        if any_plaintext {
            let _ = self.tables.since.set(0, TLS_ATTACHING, 0);
        }
        for mut library in libraries {
            let path = library.display_path.display().to_string();
            let is_output =
                |(function, _): &mut (TlsFunction, u64)| *function == TlsFunction::Output;
            let outputs: Vec<_> = if self.scanner.withholds(&library.id) {
                library.functions.extract_if(.., is_output).collect()
            } else {
                Vec::new()
            };
            match self.uprobes.attach(&library) {
                Ok(links) => {
                    self.attached.insert(library.id, links);
                    if library.flavour == TlsFlavour::Go {
                        self.go.insert(library.id);
                        self.tables.go_calls.watch(true);
                    }
                    if library.has_records() {
                        self.rustls.insert(library.id);
                        let _ = self.tables.rustls_watched.set(0, 1, 0);
                    }
                    add(&self.counters.tls_libraries, 1);
                    let whole = outputs.is_empty();
                    tracing::info!(path, flavour = ?library.flavour, whole, "TLS library probed");
                    if !whole {
                        library.functions = outputs;
                        self.withheld.insert(library.id, library);
                    }
                }
                Err(why) => {
                    add(&self.counters.tls_libraries_failed, 1);
                    tracing::warn!(path, why, "TLS library cannot be probed");
                }
            }
        }
        if any_plaintext {
            let _ = self.tables.since.set(0, monotonic(), 0);
        }
    }

    /// Probes libraries where they put out ciphertext. Without these probes connections miss nothing but
    /// their sockets, so those that open meanwhile are whole.
    fn attach_outputs(&mut self, libraries: &[FileId], why: &str) {
        for id in libraries {
            let Some(library) = self.withheld.remove(id) else {
                continue;
            };
            let path = library.display_path.display().to_string();
            match (self.uprobes.attach(&library), self.attached.get_mut(id)) {
                (Ok(links), Some(attached)) => {
                    attached.take_over(links);
                    tracing::info!(path, why, "TLS library probed where it puts out ciphertext");
                }
                (Ok(_), None) => {}
                (Err(error), _) => {
                    tracing::warn!(
                        path,
                        why = error,
                        "ciphertext that a TLS library puts out is not seen"
                    );
                }
            }
        }
    }

    /// All together: the kernel takes a while, but not much longer for many than for one.
    fn detach(&mut self, libraries: &[FileId]) {
        let mut links = Links::default();
        let (mut any_go, mut any_rustls) = (false, false);
        for id in libraries {
            self.withheld.remove(id);
            if let Some(of_library) = self.attached.remove(id) {
                links.take_over(of_library);
            }
            any_go |= self.go.remove(id);
            any_rustls |= self.rustls.remove(id);
        }
        drop(links);
        if any_go {
            self.tables.go_calls.watch(!self.go.is_empty());
        }
        if any_rustls && self.rustls.is_empty() {
            let _ = self.tables.rustls_watched.set(0, 0, 0);
        }
    }
}
