//! What this kernel and these privileges allow, found out by trying it, never by version:
//! distributions carry features back, and containers take them away.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use serde::Serialize;

use super::bpf::{self, ProgramKind};
use super::btf::{Btf, KERNEL_BTF, kind};
use super::capability::{self, Effective};
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatureState {
    Ok,
    /// Something works less well or is left out.
    Degraded,
    /// There is no capture.
    Missing,
}

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FeatureRow {
    /// Stable name: `ring buffer`, `CAP_BPF`, `tracepoint tcp:tcp_destroy_sock`.
    pub name: String,
    pub state: FeatureState,
    /// What was found, and what it costs.
    pub detail: String,
    /// What to do about it; nothing if all is well.
    pub remedy: Option<String>,
}

/// Everything that was tried, in the order in which it is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FeatureReport {
    pub rows: Vec<FeatureRow>,
}

impl FeatureReport {
    /// Whether `wirespan run` can capture anything here.
    #[must_use]
    pub fn can_capture(&self) -> bool {
        self.rows
            .iter()
            .all(|row| row.state != FeatureState::Missing)
    }

    #[must_use]
    pub fn row(&self, name: &str) -> Option<&FeatureRow> {
        self.rows.iter().find(|row| row.name == name)
    }

    fn ok(&mut self, name: impl Into<String>, detail: impl Into<String>) {
        self.rows.push(FeatureRow {
            name: name.into(),
            state: FeatureState::Ok,
            detail: detail.into(),
            remedy: None,
        });
    }

    fn lacks(
        &mut self,
        name: impl Into<String>,
        required: bool,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let state = if required {
            FeatureState::Missing
        } else {
            FeatureState::Degraded
        };
        self.rows.push(FeatureRow {
            name: name.into(),
            state,
            detail: detail.into(),
            remedy: Some(remedy.into()),
        });
    }

    /// `lost`: what a failure costs.
    fn tried<T>(
        &mut self,
        name: &str,
        required: bool,
        worked: &str,
        lost: &str,
        result: io::Result<T>,
    ) -> Option<T> {
        match result {
            Ok(value) => {
                self.ok(name, worked);
                Some(value)
            }
            Err(error) => {
                self.lacks(
                    name,
                    required,
                    format!("{error}: {lost}"),
                    remedy_for(&error),
                );
                None
            }
        }
    }
}

/// Tries everything. Loads and attaches small programs for a moment; changes nothing but mounting
/// tracefs where it is not.
#[must_use]
pub fn probe() -> FeatureReport {
    let mut report = FeatureReport::default();
    capabilities(&mut report);
    let btf = type_information(&mut report);
    let tracefs = tracepoints(&mut report);
    programs(&mut report, btf.as_ref(), tracefs.as_ref());
    settings(&mut report);
    report
}

/// Fails with the first thing without which there is no capture: for `run` and `record`, before
/// anything else is set up.
///
/// # Errors
/// [`CaptureError::Kernel`] that names the privilege or feature.
pub fn require() -> Result<(), CaptureError> {
    let missing = Effective::of_this_process().missing_required();
    if !missing.is_empty() {
        let (names, verb) = (
            missing.join(" and "),
            if missing.len() == 1 { "is" } else { "are" },
        );
        return Err(CaptureError::Kernel {
            what: "cannot load eBPF programs".to_owned(),
            reason: format!("{names} {verb} missing"),
            remedy: format!(
                "run as root, or grant {names} (`wirespan doctor` lists what each privilege is for)"
            ),
        });
    }
    let (btf, tracefs) = (Btf::load(None)?, Tracefs::find_or_mount()?);
    drop(btf);
    let mut report = FeatureReport::default();
    programs(&mut report, None, Some(&tracefs));
    match report
        .rows
        .into_iter()
        .find(|row| row.state == FeatureState::Missing)
    {
        None => Ok(()),
        Some(row) => Err(CaptureError::Kernel {
            what: format!("this kernel refuses: {}", row.name),
            reason: row.detail,
            remedy: row.remedy.unwrap_or_default(),
        }),
    }
}

fn capabilities(report: &mut FeatureReport) {
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
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
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

fn type_information(report: &mut FeatureReport) -> Option<Btf> {
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

fn tracepoints(report: &mut FeatureReport) -> Option<Tracefs> {
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

fn programs(report: &mut FeatureReport, btf: Option<&Btf>, tracefs: Option<&Tracefs>) {
    // One page, the least there is.
    let ring = bpf::create_map(bpf::MAP_RINGBUF, 4096);
    report.tried(
        "ring buffer",
        true,
        "a map can be made",
        "nothing is captured",
        ring,
    );

    let tracepoint = report.tried(
        "tracepoint program",
        true,
        "loads",
        "nothing is captured",
        bpf::load(ProgramKind::Tracepoint),
    );
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

    let Some(btf) = btf else { return };
    let absent = || io::Error::new(io::ErrorKind::NotFound, "the kernel has no such type");
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

/// Probes a file in memory that no process executes.
fn try_uprobe(program: std::os::fd::BorrowedFd<'_>) -> io::Result<()> {
    let number =
        setting("/sys/bus/event_source/devices/uprobe/type").and_then(|number| number.parse().ok());
    let number = number.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            "the kernel has no uprobe events (CONFIG_UPROBE_EVENTS)",
        )
    })?;
    let mut file = File::from(rustix::fs::memfd_create(
        "wirespan-uprobe-test",
        rustix::fs::MemfdFlags::CLOEXEC,
    )?);
    file.write_all(&[0x90; 64])?;
    let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    bpf::attach_uprobe(program, number, &path, 0).map(drop)
}

fn settings(report: &mut FeatureReport) {
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
            larger.is_none_or(|bytes| bpf::create_map(bpf::MAP_RINGBUF, bytes).is_err())
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

fn remedy_for(error: &io::Error) -> String {
    let missing = Effective::of_this_process().missing_required();
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) if !missing.is_empty() => format!("run as root, or grant {}", missing.join(" and ")),
        Some(libc::EPERM | libc::EACCES) => {
            "the kernel forbids it in spite of the privileges: look at lockdown, seccomp and the container's security profile".to_owned()
        }
        Some(libc::ENOMEM) => "raise the limit of locked memory (`ulimit -l unlimited`) or the container's memory limit".to_owned(),
        _ => "use a newer kernel, or one with this feature built in".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_capture_and_says_what_it_lacks() {
        let report = probe();
        for row in &report.rows {
            println!(
                "{:<36} {:?} {} {}",
                row.name,
                row.state,
                row.detail,
                row.remedy.as_deref().unwrap_or_default()
            );
            assert_eq!(
                row.remedy.is_none(),
                row.state == FeatureState::Ok,
                "{row:?}"
            );
            assert!(!row.detail.is_empty());
        }
        assert!(report.can_capture());
        for name in [
            "CAP_BPF",
            "BTF",
            "tracefs",
            "ring buffer",
            "tracepoint program",
            "tracepoint attachment",
            "uprobe",
        ] {
            assert_eq!(
                report.row(name).map(|row| row.state),
                Some(FeatureState::Ok),
                "{name}"
            );
        }
        require().unwrap();
    }

    #[test]
    fn what_fails_for_want_of_a_feature_is_told_from_what_is_forbidden() {
        let mut report = FeatureReport::default();
        report.tried::<()>(
            "a",
            false,
            "",
            "less is seen",
            Err(io::Error::from_raw_os_error(libc::EINVAL)),
        );
        report.tried::<()>(
            "b",
            true,
            "",
            "nothing is captured",
            Err(io::Error::from_raw_os_error(libc::ENOMEM)),
        );
        let (a, b) = (report.row("a").unwrap(), report.row("b").unwrap());
        assert_eq!(
            (a.state, b.state),
            (FeatureState::Degraded, FeatureState::Missing)
        );
        assert!(
            a.detail.ends_with("less is seen")
                && a.remedy.as_ref().unwrap().contains("newer kernel")
        );
        assert!(b.remedy.as_ref().unwrap().contains("ulimit"));
        assert!(!report.can_capture());
    }

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

    #[test]
    fn a_report_is_readable_as_json() {
        let mut report = FeatureReport::default();
        report.ok("BTF", KERNEL_BTF);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["rows"][0]["state"], "ok");
        assert_eq!(json["rows"][0]["remedy"], serde_json::Value::Null);
    }
}
