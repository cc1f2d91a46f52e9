//! What `/proc` says of a process.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::cgroup;
use crate::event::{Process, ProcessKey};

/// `/proc/<pid>/stat` counts in clock ticks. The kernel shows 100 a second to user space on every
/// architecture but Alpha, whatever its own timer does (`USER_HZ`).
pub(super) const TICK_NANOS: u64 = 10_000_000;

const MAX_STAT_BYTES: u64 = 4 << 10;
const MAX_CGROUP_BYTES: u64 = 64 << 10;
/// `execve` allows more, but environments above some ten KiB are rare.
const MAX_ENVIRONMENT_BYTES: u64 = 512 << 10;
/// A process that becomes another program while it is read is read again: an `exec` replaces a program
/// once, and who does it more often within some microseconds is one that nobody can read.
const READINGS: usize = 3;
/// OpenTelemetry sets no limit; a name longer than this is none.
pub(super) const MAX_SERVICE_NAME_BYTES: usize = 255;

const SERVICE_NAME: &[u8] = b"OTEL_SERVICE_NAME=";

/// All of it.
pub(super) struct Reading {
    pub(super) process: Process,
    /// See [`Stat::image`].
    pub(super) image: u64,
    /// The environment could be read, and was empty.
    pub(super) no_environment: bool,
}

/// Of `/proc/<pid>/stat`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stat {
    /// Nanoseconds of the boot clock, whole ticks.
    pub(super) started: u64,
    pub(super) command: Vec<u8>,
    /// Where the stack begins: tells the programs apart that a process is one after the other, for the
    /// kernel puts each one's at a place of its own. 0: not known, or there is none yet.
    pub(super) image: u64,
}

/// Reads everything about a process; `None` if it is gone, or becomes one program after the other
/// faster than it can be read.
pub(super) fn read_now(root: &Path, pid: u32) -> Option<Reading> {
    (0..READINGS).find_map(|_| read_once(root, pid))
}

/// `None` also if in the midst of it the process was replaced, or became another program.
fn read_once(root: &Path, pid: u32) -> Option<Reading> {
    let directory = root.join(pid.to_string());
    let before = read_stat(root, pid)?;
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
        started: before.started,
        command: String::from_utf8_lossy(&before.command).into_owned(),
        executable,
        service_name,
        container_id: cgroup.container_id,
        cgroup_path: cgroup.path,
    };
    // In between the id may have passed to another process, or the process to another program.
    let after = read_stat(root, pid)?;
    let same = (after.started, after.image) == (before.started, before.image);
    same.then_some(Reading {
        process,
        image: before.image,
        no_environment,
    })
}

pub(super) fn read_stat(root: &Path, pid: u32) -> Option<Stat> {
    parse_stat(
        &crate::bounded::read(&root.join(pid.to_string()).join("stat"), MAX_STAT_BYTES).ok()?,
    )
}

/// `pid (comm) state ppid …`; the start time is the 22nd field, the beginning of the stack the 28th,
/// which is 0 for those who may not know. The name may contain blanks and parentheses, so the fields
/// count from the last `)`.
pub(super) fn parse_stat(stat: &[u8]) -> Option<Stat> {
    let open = stat.iter().position(|&byte| byte == b'(')?;
    let close = stat.iter().rposition(|&byte| byte == b')')?;
    let command = stat.get(open.checked_add(1)?..close)?;
    let rest = std::str::from_utf8(stat.get(close.checked_add(1)?..)?).ok()?;
    // After the name comes field 3.
    let mut fields = rest.split_ascii_whitespace().skip(19);
    let ticks: u64 = fields.next()?.parse().ok()?;
    let stack = fields.nth(5).and_then(|field| field.parse().ok());
    Some(Stat {
        started: ticks.checked_mul(TICK_NANOS)?,
        command: command.to_vec(),
        image: stack.unwrap_or(0),
    })
}

/// Whether two programs with their stacks at one place are one: not where somebody has turned that off for all.
pub(super) fn has_random_stacks(root: &Path) -> bool {
    const MAX_BYTES: u64 = 16;
    let setting = root.join("sys/kernel/randomize_va_space");
    crate::bounded::read(&setting, MAX_BYTES).is_ok_and(|setting| setting.trim_ascii() != b"0")
}

/// Start of a process as `/proc` tells it, without anything else.
#[must_use]
pub fn started(root: &Path, pid: u32) -> Option<ProcessKey> {
    read_stat(root, pid).map(|stat| ProcessKey {
        pid,
        started: stat.started,
    })
}

/// A program that was replaced on disk keeps its path.
fn executable_name(target: &OsStr) -> String {
    let name = String::from_utf8_lossy(target.as_bytes());
    name.strip_suffix(" (deleted)").unwrap_or(&name).to_owned()
}

/// Finds `OTEL_SERVICE_NAME` among NUL-terminated variables without keeping any other.
pub(super) fn service_name(mut environment: impl Read) -> Option<String> {
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
