//! Keeps probes on the TLS libraries that processes use.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use aya::maps::{Array, MapData};
use wirespan_events::config::TLS_ATTACHING;

use super::counters::{HostCounters, add};
use super::deny::DenyList;
use super::go_calls::GoCalls;
use super::leftovers::Ended;
use super::library::{FileId, TlsFlavour};
use super::links::Links;
use super::source::monotonic;
use super::tls::TlsScanner;
use super::uprobes::Uprobes;
use crate::error::CaptureError;
use crate::process;

/// Between two looks at the processes: a server's first requests come later than this after it has
/// mapped its library.
const SCAN_INTERVAL: Duration = Duration::from_millis(250);

/// Watches processes on a thread of its own, for a scan can block on a slow file system. The probes
/// are detached when it is dropped.
#[derive(Debug)]
pub(super) struct TlsProbes {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl TlsProbes {
    /// Takes over the programs, and looks once before it returns: what runs now is observed from now on.
    pub(super) fn start(
        uprobes: Uprobes,
        since: Array<MapData, u64>,
        go_calls: GoCalls,
        rustls_watched: Array<MapData, u32>,
        deny: DenyList,
        ended: Ended,
        counters: Arc<HostCounters>,
    ) -> Result<Self, CaptureError> {
        let mut probes = Probes {
            attached: HashMap::new(),
            uprobes,
            since,
            go_calls,
            go: HashSet::new(),
            rustls_watched,
            rustls: HashSet::new(),
            // Nobody hears of what the agent does, so its rustls need not be probed.
            scanner: TlsScanner::new(process::proc_root(), deny).without(std::process::id()),
            ended,
            counters,
        };
        probes.look();
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("tls-probes".to_owned())
            .spawn(move || {
                while stopped.recv_timeout(SCAN_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                    probes.look();
                }
            })
            .map_err(|source| CaptureError::Kernel {
                what: "TLS libraries cannot be watched".to_owned(),
                reason: source.to_string(),
                remedy: "raise the limit of threads of this process".to_owned(),
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Tells the thread to let go of the probes; it is waited for when this is dropped.
    pub(super) fn stop(&mut self) {
        drop(self.stop.take());
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
    uprobes: Uprobes,
    since: Array<MapData, u64>,
    go_calls: GoCalls,
    /// Which of the attached were made by Go.
    go: HashSet<FileId>,
    /// Whether there are probes on any program with rustls: where there are none, what is received need
    /// not be remembered.
    rustls_watched: Array<MapData, u32>,
    /// Which of the attached have rustls.
    rustls: HashSet<FileId>,
    scanner: TlsScanner,
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
    fn look(&mut self) {
        let changes = self.scanner.scan();
        self.detach(&changes.gone);
        if !changes.ended.is_empty() {
            self.go_calls.forget(&changes.ended);
            self.ended.add(&changes.ended);
        }
        for (path, why) in changes.refused {
            tracing::info!(path = %path.display(), why, "TLS not observable");
        }
        if changes.added.is_empty() {
            return;
        }
        // Connections that open while probes are being attached may show one direction only.
        let _ = self.since.set(0, TLS_ATTACHING, 0);
        for library in changes.added {
            let path = library.display_path.display().to_string();
            match self.uprobes.attach(&library) {
                Ok(links) => {
                    self.attached.insert(library.id, links);
                    if library.flavour == TlsFlavour::Go {
                        self.go.insert(library.id);
                        self.go_calls.watch(true);
                    }
                    if library.has_records() {
                        self.rustls.insert(library.id);
                        let _ = self.rustls_watched.set(0, 1, 0);
                    }
                    add(&self.counters.tls_libraries, 1);
                    tracing::info!(path, flavour = ?library.flavour, "TLS library probed");
                }
                Err(why) => {
                    add(&self.counters.tls_libraries_failed, 1);
                    tracing::warn!(path, why, "TLS library cannot be probed");
                }
            }
        }
        let _ = self.since.set(0, monotonic(), 0);
    }

    /// All together: the kernel takes a while, but not much longer for many than for one.
    fn detach(&mut self, libraries: &[FileId]) {
        let mut links = Links::default();
        let (mut any_go, mut any_rustls) = (false, false);
        for id in libraries {
            if let Some(of_library) = self.attached.remove(id) {
                links.take_over(of_library);
            }
            any_go |= self.go.remove(id);
            any_rustls |= self.rustls.remove(id);
        }
        drop(links);
        if any_go {
            self.go_calls.watch(!self.go.is_empty());
        }
        if any_rustls && self.rustls.is_empty() {
            let _ = self.rustls_watched.set(0, 0, 0);
        }
    }
}
