//! Keeps probes on the TLS libraries that processes use.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use aya::Ebpf;
use aya::maps::{Array, MapData};
use aya::programs::uprobe::{UProbeAttachLocation, UProbeLink, UProbeScope};
use wirespan_events::config::TLS_ATTACHING;

use super::counters::{HostCounters, add};
use super::deny::DenyList;
use super::go_calls::GoCalls;
use super::library::{FileId, TlsFlavour, TlsFunction, TlsLibrary};
use super::load::{reason, uprobe};
use super::source::monotonic;
use super::tls::TlsScanner;
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
    /// Takes over the kernel side, whose other programs are attached already, and looks once before
    /// it returns: what runs now is observed from now on.
    pub(super) fn start(
        ebpf: Ebpf,
        since: Array<MapData, u64>,
        go_calls: GoCalls,
        deny: DenyList,
        counters: Arc<HostCounters>,
    ) -> Result<Self, CaptureError> {
        let mut probes = Probes {
            attached: HashMap::new(),
            ebpf,
            since,
            go_calls,
            go: HashSet::new(),
            scanner: TlsScanner::new(process::proc_root(), deny),
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
}

impl Drop for TlsProbes {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported; there is nothing more to do about it here.
            let _ = thread.join();
        }
    }
}

struct Probes {
    // First: links go before the programs do.
    attached: HashMap<FileId, Vec<UProbeLink>>,
    ebpf: Ebpf,
    since: Array<MapData, u64>,
    go_calls: GoCalls,
    /// Which of the attached were made by Go.
    go: HashSet<FileId>,
    scanner: TlsScanner,
    counters: Arc<HostCounters>,
}

/// The programs for a function: at its entry, and at its return.
fn programs(function: TlsFunction) -> (&'static str, Option<&'static str>) {
    match function {
        TlsFunction::Read => ("tls_read", Some("tls_return")),
        TlsFunction::ReadEx | TlsFunction::ReadInner => ("tls_read_ex", Some("tls_return")),
        TlsFunction::Write => ("tls_write", Some("tls_return")),
        TlsFunction::WriteEx | TlsFunction::WriteInner => ("tls_write_ex", Some("tls_return")),
        TlsFunction::WriteInnerFlags => ("tls_write_flags", Some("tls_return")),
        TlsFunction::ReadPacket => ("tls_read_packet", Some("tls_return")),
        TlsFunction::SendFile => ("tls_send_file", Some("tls_return")),
        TlsFunction::Handshake => ("tls_handshake", Some("tls_handshake_return")),
        TlsFunction::Output => ("tls_output", None),
        TlsFunction::Free => ("tls_free", None),
        // Never a return probe on Go: its stacks move.
        TlsFunction::GoRead => ("go_read", None),
        TlsFunction::GoWrite => ("go_write", None),
        TlsFunction::GoHandshake => ("go_handshake", None),
        TlsFunction::GoReturn => ("go_return", None),
    }
}

impl Probes {
    fn look(&mut self) {
        let changes = self.scanner.scan();
        for id in changes.gone {
            self.attached.remove(&id);
            if self.go.remove(&id) {
                self.go_calls.watch(!self.go.is_empty());
            }
        }
        if !changes.ended.is_empty() {
            self.go_calls.forget(&changes.ended);
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
            match self.attach(&library) {
                Ok(()) => {
                    if library.flavour == TlsFlavour::Go {
                        self.go.insert(library.id);
                        self.go_calls.watch(true);
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

    fn attach(&mut self, library: &TlsLibrary) -> Result<(), String> {
        let mut links = Vec::new();
        for (function, offset) in &library.functions {
            let (entry, exit) = programs(*function);
            // The return first: it does nothing without the entry, but an entry without its return
            // would leave calls behind.
            for program in exit.into_iter().chain([entry]) {
                let program = uprobe(&mut self.ebpf, program)?;
                let id = program
                    .attach(
                        UProbeAttachLocation::AbsoluteOffset(*offset),
                        &library.path,
                        UProbeScope::AllProcesses,
                    )
                    .map_err(|error| reason(&error))?;
                links.push(program.take_link(id).map_err(|error| reason(&error))?);
            }
        }
        // All or nothing: half of a library would show half of a conversation.
        self.attached.insert(library.id, links);
        Ok(())
    }
}
