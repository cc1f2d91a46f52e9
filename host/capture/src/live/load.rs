//! Brings the kernel side into the kernel: offsets, settings, maps, rings, probes.

use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use aya::maps::{Array, ArrayOfMaps, HashMap, Map, MapData, MapError, PerCpuArray, ProgramArray};
use aya::programs::TracePoint;
use aya::{Ebpf, EbpfLoader};
use wirespan_events::config::{AGENTS, control, filter, more};

use super::bpf;
use super::btf::Btf;
use super::cgroups::Cgroups;
use super::code::Code;
use super::config::{CallPlaces, LiveConfig, LiveReport, ProbeSet};
use super::counters::{HostCounters, LiveCounters};
use super::functions::{self, Attached, Functions};
use super::go_calls::GoCalls;
use super::leftovers::Leftovers;
use super::links::Links;
use super::offsets::{ABSENT, Offsets};
use super::probes::{
    Attachment, FUNCTION_SET, GO_GOES_ON, GO_PROGRAMS, GO_SET, MORE_SET, QUESTION_SET,
    RUSTLS_PROGRAMS, RUSTLS_SET, SETS, Set, TLS_PROGRAMS, TLS_SET,
};
use super::question::Question;
use super::reconcile::Sockets;
use super::ring::Ring;
use super::rings;
use super::skipped::Skipped;
use super::threads::Threads;
use super::tracefs::Tracefs;
use super::uprobes::{UprobeMeans, Uprobes};
use super::verdicts::LiveVerdicts;
use crate::error::CaptureError;
use crate::process::proc_root;

/// The kernel side, running.
pub(super) struct Loaded {
    /// The programs, those for user space not attached yet.
    pub(super) uprobes: Uprobes,
    /// What keeps all others at their places.
    pub(super) links: Links,
    pub(super) rings: Vec<Ring>,
    pub(super) control: Array<MapData, u32>,
    /// Those that a filter by container leaves out.
    pub(super) cgroups: Option<Cgroups>,
    /// Probes can be put on TLS libraries.
    pub(super) tls: bool,
    pub(super) tls_since: Array<MapData, u64>,
    pub(super) go_calls: GoCalls,
    pub(super) rustls_watched: Array<MapData, u32>,
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

fn refused(what: &str, error: &dyn Error) -> CaptureError {
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
    let settings = settings(config, count);
    let mut loader = EbpfLoader::new();
    loader
        .override_global("OFFSETS", &offsets, true)
        .override_global("SETTINGS", &settings, true)
        .map_max_entries("SOCKETS", config.connections.max(1))
        .map_max_entries("VERDICTS", config.connections.max(1));
    let mut ebpf = loader
        .load(&config.object)
        .map_err(|error| refused("the kernel side cannot be loaded", &error))?;
    let without_tls = config.without_tls();
    let code = if without_tls.is_none() && config.uprobe_links {
        uprobe_code(config, &ebpf)
    } else {
        None
    };

    let at_functions = at_functions(config, &btf, &found, &ebpf)?;
    drop(btf);

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
    let mut links = attach(&mut ebpf, &tracefs, &mut report)?;
    links.take_over(std::mem::take(&mut at_functions.links));
    let question = load_question(&mut ebpf, &mut report);
    let skipped = Skipped::of(&ebpf, at_functions);
    let mut uprobes = Uprobes::new(ebpf);
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
        rings,
        control,
        cgroups,
        tls,
        tls_since,
        go_calls,
        rustls_watched,
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
fn borrow<'a, M: TryFrom<&'a mut Map, Error = MapError>>(
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

fn settings(config: &LiveConfig, rings: u32) -> wirespan_events::Settings {
    let mut agents = [0; AGENTS];
    let own = if config.observe_self {
        0
    } else {
        std::process::id()
    };
    for (slot, agent) in agents
        .iter_mut()
        .zip(std::iter::once(&own).chain(&config.agents))
    {
        *slot = *agent;
    }
    let mut bits = 0;
    if !config.pids.is_empty() {
        bits |= filter::TGID;
    }
    if !config.ports.is_empty() {
        bits |= filter::PORT;
    }
    if !config.containers.is_empty() {
        bits |= filter::CGROUP;
    }
    wirespan_events::Settings {
        agents,
        rings,
        call_bytes: config.call_bytes,
        unknown_bytes: config.unknown_bytes,
        copy_all: config.copy_all.into(),
        filter: bits,
        unknown_more_bytes: config.unknown_more_bytes,
    }
}

fn fill_filters(ebpf: &mut Ebpf, config: &LiveConfig) -> Result<(), CaptureError> {
    let mut tgids: HashMap<&mut MapData, u32, u8> = borrow(ebpf, "FILTER_TGIDS")?;
    for pid in &config.pids {
        tgids
            .insert(pid, 1, 0)
            .map_err(|error| refused(&format!("process {pid} cannot be selected"), &error))?;
    }
    let mut ports: HashMap<&mut MapData, u16, u8> = borrow(ebpf, "FILTER_PORTS")?;
    for port in &config.ports {
        ports
            .insert(port, 1, 0)
            .map_err(|error| refused(&format!("port {port} cannot be selected"), &error))?;
    }
    Ok(())
}

/// Offsets under the names of the kernel side. What is absent is an offset that no memory is at,
/// so that reading there gives 0.
fn offsets(found: &Offsets) -> wirespan_events::Offsets {
    let get = |global| found.get(global).unwrap_or(ABSENT);
    wirespan_events::Offsets {
        task_files: get("OFF_TASK_FILES"),
        task_group_leader: get("OFF_TASK_GROUP_LEADER"),
        task_start_boottime: get("OFF_TASK_START"),
        task_mm: get("OFF_TASK_MM"),
        mm_start_stack: get("OFF_MM_START_STACK"),
        task_fsbase: get("OFF_TASK_FSBASE"),
        files_fdt: get("OFF_FILES_FDT"),
        fdt_max_fds: get("OFF_FDT_MAX_FDS"),
        fdt_fd: get("OFF_FDT_FD"),
        file_inode: get("OFF_FILE_INODE"),
        file_private_data: get("OFF_FILE_PRIVATE"),
        file_count: get("OFF_FILE_COUNT"),
        file_ref: get("OFF_FILE_REF"),
        inode_ino: get("OFF_INODE_INO"),
        socket_sk: get("OFF_SOCKET_SK"),
        socket_file: get("OFF_SOCKET_FILE"),
        socket_to_inode: get("OFF_SOCKET_TO_INODE"),
        sock_socket: get("OFF_SOCK_SOCKET"),
        sock_flags: get("OFF_SOCK_FLAGS"),
        sock_type: get("OFF_SOCK_TYPE"),
        sock_protocol: get("OFF_SOCK_PROTOCOL"),
        sock_shutdown: get("OFF_SOCK_SHUTDOWN"),
        skc_family: get("OFF_SOCK_FAMILY"),
        skc_state: get("OFF_SOCK_STATE"),
        skc_daddr: get("OFF_SOCK_DADDR"),
        skc_rcv_saddr: get("OFF_SOCK_RCV_SADDR"),
        skc_dport: get("OFF_SOCK_DPORT"),
        inet_sport: get("OFF_INET_SPORT"),
        skc_v6_daddr: get("OFF_SOCK_V6_DADDR"),
        skc_v6_rcv_saddr: get("OFF_SOCK_V6_RCV_SADDR"),
        skc_net: get("OFF_SOCK_NET"),
        net_ns_inum: get("OFF_NET_INUM"),
        tcp_write_seq: get("OFF_TCP_WRITE_SEQ"),
        tcp_snd_nxt: get("OFF_TCP_SND_NXT"),
        tcp_copied_seq: get("OFF_TCP_COPIED_SEQ"),
        tcp_rcv_nxt: get("OFF_TCP_RCV_NXT"),
        tcp_bytes_sent: get("OFF_TCP_BYTES_SENT"),
        tcp_bytes_retrans: get("OFF_TCP_BYTES_RETRANS"),
        tcp_bytes_received: get("OFF_TCP_BYTES_RECEIVED"),
        icsk_ulp_ops: get("OFF_ICSK_ULP_OPS"),
        ulp_name: get("OFF_ULP_NAME"),
        tcp_urg_seq: get("OFF_TCP_URG_SEQ"),
        unix_peer: get("OFF_UNIX_PEER"),
        unix_addr: get("OFF_UNIX_ADDR"),
        unix_address_len: get("OFF_UNIX_ADDRESS_LEN"),
        unix_address_name: get("OFF_UNIX_ADDRESS_NAME"),
        iter_type: get("OFF_ITER_TYPE"),
        iter_offset: get("OFF_ITER_OFFSET"),
        iter_pieces: get("OFF_ITER_PIECES"),
        iter_count: get("OFF_ITER_COUNT"),
        iter_is_buffer: get("ITER_IS_BUFFER"),
        iter_is_pieces: get("ITER_IS_PIECES"),
        set_state_skaddr: get("OFF_EVENT_STATE_SKADDR"),
        set_state_oldstate: get("OFF_EVENT_STATE_OLD"),
        set_state_newstate: get("OFF_EVENT_STATE_NEW"),
        set_state_protocol: get("OFF_EVENT_STATE_PROTOCOL"),
        destroy_skaddr: get("OFF_EVENT_DESTROY_SKADDR"),
        receive_reset_skaddr: get("OFF_EVENT_RECEIVE_RESET_SKADDR"),
        send_reset_skaddr: get("OFF_EVENT_SEND_RESET_SKADDR"),
    }
}

/// Attaches each set on its own; one that cannot be attached is reported and left out.
fn attach(
    ebpf: &mut Ebpf,
    tracefs: &Tracefs,
    report: &mut LiveReport,
) -> Result<Links, CaptureError> {
    let mut links = Links::default();
    let at_functions = report.calls == CallPlaces::Functions;
    if at_functions {
        report.sets.push(ProbeSet {
            name: FUNCTION_SET,
            left_out: None,
            without: "calls",
        });
    }
    for set in SETS
        .iter()
        .filter(|set| !(at_functions && set.is_of_system_calls()))
    {
        let started = Instant::now();
        let left_out = match attach_set(ebpf, tracefs, set) {
            Ok(attached) => {
                tracing::debug!(set = set.name, took = ?started.elapsed(), "probe set attached");
                links.take_over(attached);
                None
            }
            Err(why) => Some(why),
        };
        if let Some(why) = &left_out {
            tracing::warn!(set = set.name, why, "probe set left out");
        }
        report.sets.push(ProbeSet {
            name: set.name,
            left_out,
            without: set.without,
        });
    }
    let carrying = |report: &&ProbeSet| {
        SETS.iter()
            .any(|set| set.name == report.name && set.carries_bytes)
    };
    if at_functions {
        return Ok(links);
    }
    if report
        .sets
        .iter()
        .filter(carrying)
        .all(|set| set.left_out.is_some())
    {
        let why = report
            .sets
            .iter()
            .rev()
            .find_map(|set| set.left_out.clone());
        return Err(CaptureError::Kernel {
            what: "no probe on a system call could be attached".to_owned(),
            reason: why.unwrap_or_default(),
            remedy: "run as root, or with the capabilities BPF and PERFMON; `wirespan doctor` shows what this kernel allows".to_owned(),
        });
    }
    Ok(links)
}

/// Puts programs on the functions of sockets, if they are to be there and can be; else why not.
fn at_functions(
    config: &LiveConfig,
    btf: &Btf,
    offsets: &Offsets,
    ebpf: &Ebpf,
) -> Result<Result<Attached, String>, CaptureError> {
    if config.calls == CallPlaces::SystemCalls {
        return Ok(Err("turned off (capture.calls)".to_owned()));
    }
    let attached = functions::allowed(btf, offsets, config.calls).and_then(|()| {
        Functions::read(&config.object, ebpf)
            .and_then(|functions| functions.attach(btf))
            .inspect_err(|why| {
                // `wirespan doctor` tries a small program only, and says that this kernel can do it.
                tracing::warn!(
                    why,
                    "this kernel allows programs at functions of sockets, but not ours"
                );
            })
    });
    match attached {
        Err(why) if config.calls == CallPlaces::Functions => Err(CaptureError::Kernel {
            what: "calls cannot be looked at where the functions of sockets are".to_owned(),
            reason: why,
            remedy: "set capture.calls to `auto` or `tracepoints`".to_owned(),
        }),
        attached => Ok(attached),
    }
}

/// Loads the program that is asked about sockets.
fn load_question(ebpf: &mut Ebpf, report: &mut LiveReport) -> Option<Question> {
    let loaded = Question::load(ebpf);
    if let Err(why) = &loaded {
        tracing::warn!(set = QUESTION_SET, why, "probe set left out");
        report.sets.push(ProbeSet {
            name: QUESTION_SET,
            left_out: Some(why.clone()),
            without: "the end of connections where the kernel has skipped a program",
        });
    }
    loaded.ok()
}

fn attach_set(ebpf: &mut Ebpf, tracefs: &Tracefs, set: &Set) -> Result<Links, String> {
    let mut links = Links::default();
    for Attachment {
        category, event, ..
    } in set.attachments
    {
        if !tracefs.has_event(category, event) {
            return Err(format!("this kernel has no trace point {category}:{event}"));
        }
    }
    for Attachment {
        program,
        category,
        event,
    } in set.attachments
    {
        let program: &mut TracePoint = ebpf
            .program_mut(program)
            .ok_or_else(|| format!("the kernel side has no program {program}"))?
            .try_into()
            .map_err(|error: aya::programs::ProgramError| reason(&error))?;
        if program.fd().is_err() {
            program.load().map_err(|error| reason(&error))?;
        }
        let id = program
            .attach(category, event)
            .map_err(|error| reason(&error))?;
        links.push(program.take_link(id).map_err(|error| reason(&error))?);
    }
    Ok(links)
}

/// Loads the programs that go on with calls of many pieces. Without them what one program cannot
/// copy is a gap.
fn load_more(ebpf: &mut Ebpf, report: &mut LiveReport) {
    let left_out = try_load_more(ebpf).err();
    if let Some(why) = &left_out {
        tracing::warn!(set = MORE_SET, why, "probe set left out");
    }
    report.sets.push(ProbeSet {
        name: MORE_SET,
        left_out,
        without: "what a call moves beyond its first 96 pieces",
    });
}

fn try_load_more(ebpf: &mut Ebpf) -> Result<(), String> {
    for (index, name) in (0..).zip(more::NAMES) {
        let program: &mut TracePoint = ebpf
            .program_mut(name)
            .ok_or_else(|| format!("the kernel side has no program {name}"))?
            .try_into()
            .map_err(|error: aya::programs::ProgramError| reason(&error))?;
        program.load().map_err(|error| reason(&error))?;
        let fd = program.fd().map_err(|error| reason(&error))?;
        let fd = fd.try_clone().map_err(|error| reason(&error))?;
        let mut slots: ProgramArray<&mut MapData> =
            borrow(ebpf, "MORE").map_err(|error| reason(&error))?;
        slots.set(index, &fd, 0).map_err(|error| reason(&error))?;
    }
    Ok(())
}

/// The programs for TLS libraries as links need them, where the kernel has links.
fn uprobe_code(config: &LiveConfig, ebpf: &Ebpf) -> Option<Code> {
    if !bpf::has_uprobe_links() {
        return None;
    }
    let code = Code::read(
        &config.object,
        ebpf,
        &[TLS_PROGRAMS, GO_PROGRAMS, RUSTLS_PROGRAMS],
    );
    code.inspect_err(|why| tracing::warn!(why, "uprobes are attached by perf events, not by links"))
        .ok()
}

/// Loads the programs for TLS libraries, which are attached where such libraries are found. Whether
/// there are any.
fn load_tls(uprobes: &mut Uprobes, code: Option<&Code>, report: &mut LiveReport) -> bool {
    let mut any = false;
    for (set, programs, goes_on, without) in [
        (
            TLS_SET,
            TLS_PROGRAMS,
            None,
            "the plaintext of TLS libraries",
        ),
        (
            GO_SET,
            GO_PROGRAMS,
            Some(GO_GOES_ON),
            "the plaintext of programs made by Go",
        ),
        (
            RUSTLS_SET,
            RUSTLS_PROGRAMS,
            None,
            "the plaintext of programs with rustls",
        ),
    ] {
        let left_out = uprobes.load(code, programs, goes_on).err();
        if let Some(why) = &left_out {
            tracing::warn!(set, why, "probe set left out");
        }
        any |= left_out.is_none();
        report.sets.push(ProbeSet {
            name: set,
            left_out,
            without,
        });
    }
    any
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
