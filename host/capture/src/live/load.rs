//! Brings the kernel side into the kernel: offsets, settings, maps, rings, probes.

use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;

use aya::maps::{Array, ArrayOfMaps, HashMap, Map, MapData, MapError, PerCpuArray};
use aya::{Ebpf, EbpfLoader};
use wirespan_events::config::control;

use super::attach::{at_functions, attach, load_more, load_question, load_tls, uprobe_code};
use super::btf::Btf;
use super::cgroups::Cgroups;
use super::config::{CallPlaces, LiveConfig, LiveReport, ProbeSet};
use super::counters::{HostCounters, LiveCounters};
use super::functions::Attached;
use super::go_calls::GoCalls;
use super::later::Later;
use super::leftovers::Leftovers;
use super::links::Links;
use super::offsets::Offsets;
use super::question::Question;
use super::reads::{self, Cast};
use super::reconcile::Sockets;
use super::ring::Ring;
use super::rings;
use super::settings::{fill_filters, offsets, settings};
use super::skipped::Skipped;
use super::threads::Threads;
use super::tracefs::Tracefs;
use super::uprobes::{UprobeMeans, Uprobes, only_process};
use super::verdicts::LiveVerdicts;
use crate::error::CaptureError;
use crate::process::proc_root;

/// The kernel side, running.
pub(super) struct Loaded {
    /// The programs, those for user space not attached yet.
    pub(super) uprobes: Uprobes,
    /// What keeps all others at their places.
    pub(super) links: Links,
    /// Those that wait for a Unix socket.
    pub(super) later: Later,
    pub(super) rings: Vec<Ring>,
    pub(super) control: Array<MapData, u32>,
    /// Those that a filter by container leaves out.
    pub(super) cgroups: Option<Cgroups>,
    /// Probes can be put on TLS libraries.
    pub(super) tls: bool,
    pub(super) tls_since: Array<MapData, u64>,
    pub(super) go_calls: GoCalls,
    pub(super) rustls_watched: Array<MapData, u32>,
    pub(super) starts_watched: Array<MapData, u32>,
    pub(super) verdicts: LiveVerdicts,
    pub(super) sockets: Sockets,
    pub(super) question: Option<Question>,
    pub(super) skipped: Skipped,
    pub(super) leftovers: Leftovers,
    pub(super) counters: LiveCounters,
    pub(super) report: LiveReport,
}

/// An error and all of its causes in one line.
pub(super) fn reason(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    without_steps(&text)
}

/// Where the verifier refuses a program its whole way through it follows; what it dislikes comes last.
fn without_steps(text: &str) -> String {
    let Some((before, log)) = text.split_once("Verifier output: ") else {
        return text.to_owned();
    };
    let mut lines = log.lines().filter(|line| !line.starts_with("processed "));
    let last = lines.rfind(|line| !line.trim().is_empty());
    format!("{before}{}", last.unwrap_or_default())
}

pub(super) fn refused(what: &str, error: &dyn Error) -> CaptureError {
    CaptureError::Kernel {
        what: what.to_owned(),
        reason: reason(error),
        remedy: "run as root, or with the capabilities BPF, PERFMON and SYS_RESOURCE; `wirespan doctor` shows what this kernel allows".to_owned(),
    }
}

pub(super) fn load(config: &LiveConfig) -> Result<Loaded, CaptureError> {
    raise_memory_lock_limit();
    let tracefs = Tracefs::find_or_mount()?;
    let btf = Btf::load(None)?;
    let found = Offsets::of(&btf, Some(&tracefs))?;
    let offsets = offsets(&found);
    if offsets.fdt_fd != offsets.fdt_max_fds.saturating_add(8) {
        return Err(CaptureError::Kernel {
            what: "files of this kernel cannot be looked up".to_owned(),
            reason: format!(
                "of `struct fdtable`, `max_fds` is at {} and `fd` at {}: they are read as neighbours",
                offsets.fdt_max_fds, offsets.fdt_fd
            ),
            remedy: "report the kernel's version: no kernel is known that has them apart"
                .to_owned(),
        });
    }
    let (count, bytes) = rings::sizes(config, rings::cpus());
    let cast = Cast::of(&btf).ok();
    let mut object = config.object.clone();
    reads::resolve(&mut object, cast);
    let settings = settings(config, &btf, cast, count, bytes);
    let mut loader = EbpfLoader::new();
    loader
        .override_global("OFFSETS", &offsets, true)
        .override_global("SETTINGS", &settings, true)
        .map_max_entries("SOCKETS", config.connections.max(1))
        .map_max_entries("VERDICTS", config.connections.max(1));
    let mut ebpf = loader
        .load(&object)
        .map_err(|error| refused("the kernel side cannot be loaded", &error))?;
    let without_tls = config.without_tls();
    let code = if without_tls.is_none() && config.uprobe_links {
        uprobe_code(&object, &ebpf)
    } else {
        None
    };

    let at_functions = at_functions(config, &object, &btf, &found, &ebpf)?;
    drop(btf);
    drop(object);

    let mut rings = Vec::new();
    let mut slots: ArrayOfMaps<&mut MapData, MapData> = borrow(&mut ebpf, "RINGS")?;
    for index in 0..count {
        let ring = Ring::create(bytes).map_err(|error| refused("no ring can be made", &error))?;
        let fd = ring
            .fd()
            .try_clone_to_owned()
            .map_err(|error| refused("no ring can be made", &error))?;
        let map = MapData::from_fd(fd).map_err(|error| refused("no ring can be made", &error))?;
        slots
            .set(index, &map, 0)
            .map_err(|error| refused("no ring can be set", &error))?;
        rings.push(ring);
    }
    fill_filters(&mut ebpf, config)?;
    let cgroups = if config.containers.is_empty() {
        None
    } else {
        let mut cgroups = Cgroups::new(take(&mut ebpf, "FILTER_CGROUPS")?, &config.containers);
        cgroups.refresh();
        Some(cgroups)
    };
    let mut control: Array<MapData, u32> = take(&mut ebpf, "CONTROL")?;
    let tls_since: Array<MapData, u64> = take(&mut ebpf, "TLS_SINCE")?;
    let go_calls = GoCalls::new(
        take(&mut ebpf, "GO_WATCHED")?,
        take(&mut ebpf, "GO_IN_FLIGHT")?,
        take(&mut ebpf, "GO_CONNECTIONS")?,
    );
    let rustls_watched: Array<MapData, u32> = take(&mut ebpf, "RUSTLS_WATCHED")?;
    let starts_watched: Array<MapData, u32> = take(&mut ebpf, "STARTS_WATCHED")?;
    let host = Arc::new(HostCounters::default());
    let verdicts: HashMap<MapData, u64, wirespan_events::Verdict> = take(&mut ebpf, "VERDICTS")?;
    let sockets: Sockets = take(&mut ebpf, "SOCKETS")?;
    let leftovers = Leftovers::new(
        take(&mut ebpf, "TLS_OUTPUTS")?,
        take(&mut ebpf, "TLS_OBJECTS")?,
        take(&mut ebpf, "TLS_PROCESSES")?,
        Threads::new(take(&mut ebpf, "THREADS")?, proc_root()),
    );
    let kernel: PerCpuArray<MapData, u64> = take(&mut ebpf, "COUNTERS")?;
    let mut report = LiveReport {
        sets: Vec::new(),
        missing_offsets: found
            .missing
            .iter()
            .map(|missing| (missing.global.to_owned(), missing.reason.clone()))
            .collect(),
        rings: count,
        ring_bytes: bytes.into(),
        calls: CallPlaces::Functions,
        without_functions: None,
        uprobes: UprobeMeans::None,
    };
    let mut at_functions = at_functions.unwrap_or_else(|why| {
        tracing::info!(why, "calls are looked at where system calls begin and end");
        report.calls = CallPlaces::SystemCalls;
        report.without_functions = Some(why);
        Attached::default()
    });
    if report.calls == CallPlaces::SystemCalls {
        load_more(&mut ebpf, &mut report);
    }
    let mut later = Later::default();
    let waits = Later::is_for(config).then_some(&mut later);
    let mut links = attach(&mut ebpf, &tracefs, &mut report, waits)?;
    links.take_over(std::mem::take(&mut at_functions.links));
    let question = load_question(&mut ebpf, &mut report);
    let skipped = Skipped::of(&ebpf, at_functions);
    let mut uprobes = Uprobes::new(ebpf, only_process(&config.pids));
    let tls = match without_tls {
        None => load_tls(&mut uprobes, code.as_ref(), &mut report),
        Some(why) => {
            if config.tls {
                report.sets.push(ProbeSet {
                    name: "TLS libraries",
                    left_out: Some(why),
                    without: "what passes encrypted",
                });
            }
            false
        }
    };
    control
        .set(control::WATCHING, 1, 0)
        .map_err(|error| refused("the capture cannot be begun", &error))?;
    report.uprobes = uprobes.means();
    Ok(Loaded {
        uprobes,
        links,
        later,
        rings,
        control,
        cgroups,
        tls,
        tls_since,
        go_calls,
        rustls_watched,
        starts_watched,
        verdicts: LiveVerdicts::new(verdicts, Arc::clone(&host)),
        sockets,
        question,
        skipped,
        leftovers,
        counters: LiveCounters {
            kernel: Arc::new(kernel),
            host,
        },
        report,
    })
}

/// The object is not the one that this program was built with.
fn foreign(reason: String) -> CaptureError {
    CaptureError::Kernel {
        what: "the kernel side does not fit this program".to_owned(),
        reason,
        remedy: "build both from one source: `cargo xtask build`".to_owned(),
    }
}

/// Takes a map out of the object, as what it should be. It has to be kept: programs that are loaded
/// later refer to it by its descriptor.
fn take<M: TryFrom<Map, Error = MapError>>(ebpf: &mut Ebpf, name: &str) -> Result<M, CaptureError> {
    let map = ebpf
        .take_map(name)
        .ok_or_else(|| foreign(format!("it has no map {name}")))?;
    M::try_from(map).map_err(|error| foreign(format!("map {name}: {error}")))
}

/// A map that stays in the object.
pub(super) fn borrow<'a, M: TryFrom<&'a mut Map, Error = MapError>>(
    ebpf: &'a mut Ebpf,
    name: &str,
) -> Result<M, CaptureError> {
    let map = ebpf
        .map_mut(name)
        .ok_or_else(|| foreign(format!("it has no map {name}")))?;
    M::try_from(map).map_err(|error| foreign(format!("map {name}: {error}")))
}

/// Below 5.11 maps count against this limit.
fn raise_memory_lock_limit() {
    let unlimited = rustix::process::Rlimit {
        current: None,
        maximum: None,
    };
    // Where this fails the limit stays, and loading says so.
    let _ = rustix::process::setrlimit(rustix::process::Resource::Memlock, unlimited);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_the_verifier_says_only_the_end_is_told() {
        let told = "the syscall returned EACCES. Verifier output: 0: (85) call pc+2\n\
            invalid read from stack R10 off=-144 size=8\n\
            processed 3069 insns (limit 1000000) max_states_per_insn 5\n";
        let short = "the syscall returned EACCES. invalid read from stack R10 off=-144 size=8";
        assert_eq!(without_steps(told), short);
        assert_eq!(without_steps("EACCES"), "EACCES");
        assert_eq!(without_steps("no. Verifier output: "), "no. ");
    }
}
