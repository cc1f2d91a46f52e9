//! The trials behind [`super::features`]: each notes in the report what it found.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::bpf::{self, Moment, ProgramKind};
use super::btf::{Btf, KERNEL_BTF, kind};
use super::capability::{self, Effective};
use super::features::FeatureReport;
use super::reads::{self, Cast};
use super::tracefs::Tracefs;
use crate::bounded;
use crate::error::CaptureError;

/// The files read here hold one line.
const MAX_SETTING_BYTES: u64 = 4 << 10;

/// Inode of the first process-id namespace, the same on every Linux (`PROC_PID_INIT_INO`).
const HOST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// An event that the capture uses, whether there is none without it, and what its absence costs.
type Event = (&'static str, &'static str, bool, &'static str);

const EVENTS: [Event; 9] = [
    ("syscalls", "sys_enter_write", true, "nothing is captured"),
    ("syscalls", "sys_exit_read", true, "nothing is captured"),
    (
        "sock",
        "inet_sock_set_state",
        false,
        "the end of a connection is noticed late",
    ),
    (
        "tcp",
        "tcp_destroy_sock",
        false,
        "the end of a connection is noticed late",
    ),
    (
        "tcp",
        "tcp_receive_reset",
        false,
        "a connection that the peer reset counts as finished",
    ),
    (
        "tcp",
        "tcp_send_reset",
        false,
        "a connection that this node reset counts as finished",
    ),
    (
        "sock",
        "sock_send_length",
        false,
        "bytes sent by io_uring and sendfile show up only as gaps",
    ),
    (
        "sock",
        "sock_recv_length",
        false,
        "bytes received by io_uring show up only as gaps",
    ),
    (
        "sched",
        "sched_process_exec",
        false,
        "a program that replaces another in a process is noticed late",
    ),
];

pub(super) fn capabilities(report: &mut FeatureReport) {
    let effective = Effective::of_this_process();
    for capability in capability::ALL {
        if effective.has(capability) {
            report.ok(capability.name, "held");
        } else if capability.name == "CAP_SYS_RESOURCE" && !locked_memory_limits() {
            report.ok(
                capability.name,
                "not held, and not needed: locked memory is no limit here",
            );
        } else {
            let remedy = format!("run as root, or grant {}", capability.name);
            report.lacks(
                capability.name,
                capability.required,
                format!("missing: {}", capability.lost),
                remedy,
            );
        }
    }
    let namespace = pid_namespace();
    if namespace.as_os_str() == HOST_PID_NAMESPACE {
        report.ok("process ids", "those of the node");
    } else {
        let detail = format!(
            "this process is in a pid namespace of its own ({}): processes cannot be named, and TLS libraries of others are not found",
            namespace.display()
        );
        report.lacks(
            "process ids",
            false,
            detail,
            "run outside of the container, or with `hostPID: true` (Docker: `--pid=host`)",
        );
    }
}

fn pid_namespace() -> PathBuf {
    std::fs::read_link("/proc/self/ns/pid").unwrap_or_default()
}

/// Whether numbers of processes are here what they are to the kernel side.
pub(super) fn has_process_ids_of_the_node() -> bool {
    pid_namespace().as_os_str() == HOST_PID_NAMESPACE
}

pub(super) fn type_information(report: &mut FeatureReport) -> Option<Btf> {
    match Btf::load(None) {
        Ok(btf) => {
            report.ok("BTF", KERNEL_BTF);
            Some(btf)
        }
        Err(CaptureError::Kernel { reason, remedy, .. }) => {
            report.lacks("BTF", true, format!("{KERNEL_BTF}: {reason}"), remedy);
            None
        }
        Err(error) => {
            report.lacks("BTF", true, error.to_string(), "");
            None
        }
    }
}

pub(super) fn tracepoints(report: &mut FeatureReport) -> Option<Tracefs> {
    let tracefs = match Tracefs::find_or_mount() {
        Ok(tracefs) => tracefs,
        Err(CaptureError::Kernel { reason, remedy, .. }) => {
            report.lacks("tracefs", true, reason, remedy);
            return None;
        }
        Err(error) => {
            report.lacks("tracefs", true, error.to_string(), "");
            return None;
        }
    };
    report.ok("tracefs", tracefs.root().display().to_string());
    for (category, name, required, lost) in EVENTS {
        let row = format!("tracepoint {category}:{name}");
        if tracefs.has_event(category, name) {
            report.ok(row, "present");
        } else {
            report.lacks(
                row,
                required,
                format!("not in this kernel, or not readable: {lost}"),
                "use a newer kernel, or one with CONFIG_FTRACE_SYSCALLS=y",
            );
        }
    }
    Some(tracefs)
}

/// What nothing works without; the tracepoint program that was loaded.
pub(super) fn essentials(report: &mut FeatureReport) -> Option<OwnedFd> {
    let lost = "nothing is captured";
    // One page, the least there is.
    let ring = bpf::create_map(bpf::MAP_RINGBUF, 4096);
    report.tried("ring buffer", true, "a map can be made", lost, ring);
    let program = bpf::load(ProgramKind::Tracepoint);
    report.tried("tracepoint program", true, "loads", lost, program)
}

pub(super) fn programs(report: &mut FeatureReport, btf: Option<&Btf>, tracefs: Option<&Tracefs>) {
    let tracepoint = essentials(report);
    // An event that is rare: being attached for a moment costs nobody anything.
    let event = tracefs.and_then(|tracefs| {
        tracefs
            .event("tcp", "tcp_destroy_sock")
            .or_else(|| tracefs.event("syscalls", "sys_enter_write"))
    });
    if let (Some(program), Some(event)) = (&tracepoint, event) {
        let attached = bpf::attach_tracepoint(program.as_fd(), event.id);
        report.tried(
            "tracepoint attachment",
            true,
            "attaches",
            "nothing is captured",
            attached,
        );
    }

    let uprobe = bpf::load(ProgramKind::Probe).and_then(|program| try_uprobe(program.as_fd()));
    report.tried(
        "uprobe",
        false,
        "attaches",
        "TLS plaintext is not captured",
        uprobe,
    );

    let links = bpf::load(ProgramKind::LinkedProbe).and_then(|program| {
        let (path, _file) = probed_file()?;
        bpf::link_uprobes(program.as_fd(), &path, &[0, 1], Moment::Entry, None)
    });
    report.tried(
        "uprobe_multi link",
        false,
        "attaches: TLS libraries are probed by links",
        "TLS libraries are probed by perf events, which take longer to let go of",
        links,
    );

    let Some(btf) = btf else { return };
    let absent = || io::Error::new(io::ErrorKind::NotFound, "the kernel has no such type");
    report.tried(
        "typed task",
        false,
        "loads",
        "a descriptor is looked up by helpers, which costs more",
        reads::typed_task(btf),
    );
    report.tried(
        "typed kernel memory",
        false,
        "loads",
        "memory of the kernel is read by helpers, which costs more",
        Cast::of(btf),
    );
    let typed = btf
        .find(kind::TYPEDEF, "btf_trace_sys_enter")
        .next()
        .ok_or_else(absent);
    let typed = typed.and_then(|id| bpf::load(ProgramKind::TypedTracepoint(id)));
    report.tried(
        "typed tracepoint program",
        false,
        "loads",
        "plain tracepoints are used, which cost more",
        typed,
    );

    // A function that the kernel has for such tests and calls itself at no other time.
    let entry = btf
        .find(kind::FUNC, "bpf_fentry_test1")
        .next()
        .ok_or_else(absent);
    let entry = entry.and_then(|id| bpf::load(ProgramKind::FunctionEntry(id)));
    let entry = entry.and_then(|program| bpf::attach_tracing(program.as_fd()));
    report.tried(
        "function entry program",
        false,
        "attaches",
        "tracepoints are used instead",
        entry,
    );
}

/// Probes such a file by a perf event.
fn try_uprobe(program: BorrowedFd<'_>) -> io::Result<()> {
    let number =
        setting("/sys/bus/event_source/devices/uprobe/type").and_then(|number| number.parse().ok());
    let number = number.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            "the kernel has no uprobe events (CONFIG_UPROBE_EVENTS)",
        )
    })?;
    let (path, _file) = probed_file()?;
    bpf::attach_uprobe(program, number, &path, 0).map(drop)
}

/// A file in memory that no process executes; its path is good as long as it is open.
fn probed_file() -> io::Result<(CString, File)> {
    let mut file = File::from(rustix::fs::memfd_create(
        "wirespan-uprobe-test",
        rustix::fs::MemfdFlags::CLOEXEC,
    )?);
    file.write_all(&[0x90; 64])?;
    let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    Ok((path, file))
}

pub(super) fn settings(report: &mut FeatureReport) {
    match setting("/sys/kernel/security/lockdown").as_deref().and_then(active) {
        Some("confidentiality") => report.lacks("lockdown", true, "confidentiality: programs may not read kernel memory", "boot with `lockdown=integrity` or without lockdown"),
        Some(mode) => report.ok("lockdown", mode),
        None => report.ok("lockdown", "not known (securityfs is not mounted, or the kernel has no lockdown); the programs above tell"),
    }
    let paranoid = setting("/proc/sys/kernel/perf_event_paranoid")
        .unwrap_or_else(|| "not readable".to_owned());
    report.ok(
        "perf_event_paranoid",
        format!("{paranoid} (does not matter with CAP_PERFMON)"),
    );
    if locked_memory_limits() {
        let detail = "rings and maps do not get more than `ulimit -l` allows";
        report.lacks(
            "locked memory",
            false,
            detail,
            "raise it (`ulimit -l unlimited`, `LimitMEMLOCK=infinity`), or grant CAP_SYS_RESOURCE",
        );
    } else {
        report.ok("locked memory", "no limit for rings and maps");
    }
}

/// Whether `ulimit -l` bounds the memory of rings and maps, as before 5.11: tried with a ring that
/// is larger than the limit.
fn locked_memory_limits() -> bool {
    /// A limit above this is no hindrance.
    const PLENTY: u64 = 64 << 20;
    match rustix::process::getrlimit(rustix::process::Resource::Memlock).current {
        Some(limit) if limit < PLENTY => {
            let larger = limit
                .max(4096)
                .saturating_add(1)
                .checked_next_power_of_two();
            let larger = larger.and_then(|bytes| u32::try_from(bytes).ok());
            // Where not even the smallest can be made, it is not for its size.
            bpf::create_map(bpf::MAP_RINGBUF, 4096).is_ok()
                && larger.is_none_or(|bytes| bpf::create_map(bpf::MAP_RINGBUF, bytes).is_err())
        }
        _ => false,
    }
}

fn setting(path: &str) -> Option<String> {
    let text = bounded::read(Path::new(path), MAX_SETTING_BYTES).ok()?;
    Some(String::from_utf8_lossy(&text).trim().to_owned())
}

/// `none [integrity] confidentiality`: the word in brackets.
fn active(modes: &str) -> Option<&str> {
    modes
        .split_once('[')?
        .1
        .split_once(']')
        .map(|(mode, _)| mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_active_lockdown_mode_is_the_one_in_brackets() {
        for (text, expected) in [
            ("none [integrity] confidentiality", Some("integrity")),
            ("[none] integrity confidentiality", Some("none")),
            ("none", None),
            ("[", None),
            ("", None),
        ] {
            assert_eq!(active(text), expected, "{text}");
        }
    }
}
