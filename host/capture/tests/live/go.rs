//! Plaintext of Go's crypto/tls.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use wirespan_capture::{CloseReason, Direction, Layer, Role};

use crate::support::{Bench, config};

const PROGRAM: &str = include_str!("conversations.go");
const LATE: &str = include_str!("late.go");
/// Part of both.
const COMMON: &str = include_str!("common.go");

/// A program of Go under test, stopped whatever becomes of the test.
struct Program {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn build(directory: &Path, text: &str, options: &[&str]) -> PathBuf {
    let program = directory.join("program");
    let [source, common] = [("main.go", text), ("common.go", COMMON)].map(|(name, text)| {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path
    });
    let status = Command::new("go")
        .arg("build")
        .args(options)
        .arg("-o")
        .args([&program, &source, &common])
        .env("GO111MODULE", "off")
        .env("GOFLAGS", "")
        .env("CGO_ENABLED", "0")
        .env("GOCACHE", std::env::temp_dir().join("wirespan-go-cache"))
        .status()
        .expect("Go is installed: `cargo xtask setup --test`");
    assert!(status.success());
    program
}

impl Program {
    /// Starts it, and waits until it listens.
    fn start(program: &Path, port: u16, arguments: &[usize]) -> Self {
        let mut child = Command::new(program)
            .arg(port.to_string())
            .args(arguments.iter().map(usize::to_string))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut started = Self { child, lines };
        assert_eq!(started.line(), "ready\n");
        started
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line
    }

    fn go(&mut self) {
        writeln!(self.child.stdin.as_mut().unwrap()).unwrap();
    }
}

/// What a link attaches.
struct Attached {
    program: u32,
    /// Whether the probes are where functions return.
    at_return: bool,
    places: u32,
}

/// `BPF_OBJ_GET_INFO_BY_FD` of a link for uprobes (`struct bpf_link_info`, as since 6.8). `None` for
/// other descriptors.
fn attached(fd: u32) -> Option<Attached> {
    const GET_INFO_BY_FD: i32 = 15;
    const PERF_EVENT_LINK: u32 = 7;
    const UPROBE_MULTI_LINK: u32 = 12;
    /// `enum bpf_perf_event_type`.
    const EVENT_UPROBE: u32 = 1;
    const EVENT_URETPROBE: u32 = 2;
    const MULTI_RETURN: u32 = 1;
    #[repr(C)]
    #[derive(Default)]
    struct LinkInfo {
        kind: u32,
        id: u32,
        program: u32,
        padding: u32,
        /// Of perf events: their kind comes first. Of `uprobe_multi`: four pointers, the length of the
        /// path, the number of places, flags.
        rest: [u32; 16],
    }
    #[repr(C)]
    struct Query {
        fd: u32,
        len: u32,
        info: u64,
    }
    let mut info = LinkInfo::default();
    let query = Query {
        fd,
        len: u32::try_from(size_of::<LinkInfo>()).unwrap(),
        info: (&raw mut info) as u64,
    };
    // SAFETY: the kernel reads the query and writes no more than the size given in it.
    #[expect(unsafe_code, reason = "bpf(2) has no safe wrapper")]
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            GET_INFO_BY_FD,
            &raw const query,
            size_of::<Query>(),
        )
    };
    let (at_return, places) = match (info.kind, info.rest[0]) {
        _ if result != 0 => return None,
        (UPROBE_MULTI_LINK, _) => (info.rest[10] & MULTI_RETURN != 0, info.rest[9]),
        (PERF_EVENT_LINK, kind @ (EVENT_UPROBE | EVENT_URETPROBE)) => (kind == EVENT_URETPROBE, 1),
        _ => return None,
    };
    Some(Attached {
        program: info.program,
        at_return,
        places,
    })
}

/// Lists every probe of this process: those of the programs for Go are plain ones, all of them, and
/// there are some.
fn assert_no_return_probe() {
    let names: HashMap<u32, String> = aya::programs::loaded_programs()
        .flatten()
        .filter_map(|program| Some((program.id(), program.name_as_str()?.to_owned())))
        .collect();
    let mut count = 0;
    for entry in std::fs::read_dir("/proc/self/fd").unwrap().flatten() {
        // A descriptor of something else than BPF gives another answer or none.
        let target = std::fs::read_link(entry.path()).unwrap_or_default();
        if target != Path::new("anon_inode:bpf_link") && target != Path::new("anon_inode:bpf-link")
        {
            continue;
        }
        let fd = entry.file_name().to_str().unwrap().parse().unwrap();
        let Some(attached) = attached(fd) else {
            continue;
        };
        let Some(name) = names.get(&attached.program) else {
            continue;
        };
        if name.starts_with("go_") {
            assert!(!attached.at_return, "{name}");
            count += attached.places;
        }
    }
    // Four entries, and each has several returns.
    assert!(count > 12, "{count} probes");
}

/// As in the program.
fn said(connection: usize, round: usize) -> Vec<u8> {
    let length = 1 + (connection * 7919 + round * 104_729) % 20_000;
    let mut state = u32::try_from(connection * 65_537 + round * 257 + 1).unwrap();
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}

fn converse(options: &[&str], uprobe_links: bool, connections: usize, rounds: usize) {
    let directory = tempfile::tempdir().unwrap();
    let program = build(directory.path(), PROGRAM, options);
    converse_once(&program, uprobe_links, connections, rounds);
}

/// One run of the program; how many calls of crypto/tls it made.
fn converse_once(program: &Path, uprobe_links: bool, connections: usize, rounds: usize) -> usize {
    let Some(mut config) = config() else {
        return usize::MAX;
    };
    config.uprobe_links = uprobe_links;
    config.copy_all = true;
    config.rings_bytes = 64 << 20;
    let port = Bench::listen().local_addr().unwrap().port();
    let mut program = Program::start(program, port, &[connections, rounds]);
    config.ports = vec![port];
    config.pids = vec![program.child.id()];
    let mut bench = Bench::for_ports(config);
    assert_no_return_probe();
    program.go();
    bench.until_within(Duration::from_secs(120), |seen| {
        seen.len() >= 2 * connections && seen.values().all(|seen| seen.close.is_some())
    });
    let said_last = program.line();
    let calls = said_last.trim_end().strip_prefix("done ");
    let calls = calls.unwrap_or_else(|| panic!("{said_last:?}"));
    assert!(program.child.wait().unwrap().success());

    let mut numbers = [Vec::new(), Vec::new()];
    for seen in bench.all() {
        let (role, outward, inward) = match seen.open.role.unwrap() {
            Role::Client => (0, Direction::Sent, Direction::Received),
            Role::Server => (1, Direction::Received, Direction::Sent),
        };
        assert_eq!(seen.secured.len(), 1, "{:?}", seen.open);
        assert!(!seen.secured[0].mid_stream);
        let asked = seen.bytes(outward, Layer::Plaintext, 0);
        let number = usize::from(asked[0]) << 8 | usize::from(asked[1]);
        let all: Vec<u8> = (0..rounds).flat_map(|round| said(number, round)).collect();
        assert!(asked[2..] == all, "connection {number}");
        assert!(seen.bytes(inward, Layer::Plaintext, 0) == all);
        numbers[role].push(number);
    }
    for mut numbers in numbers {
        numbers.sort_unstable();
        assert_eq!(numbers, (0..connections).collect::<Vec<_>>());
    }
    calls.parse().unwrap()
}

/// The long form, by command: docs/storm.md.
#[test]
fn as_many_calls_as_are_asked_for_are_exact() {
    let wanted = std::env::var("WIRESPAN_GO_CALLS").map_or(1, |text| text.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let program = build(directory.path(), PROGRAM, &[]);
    let (mut calls, mut runs) = (0_usize, 0);
    while calls < wanted {
        // Another number of connections each time, some more than others can be asked at once.
        calls = calls.saturating_add(converse_once(&program, true, 3 + runs * 29 % 97, 20));
        runs += 1;
        println!("{calls} calls in {runs} runs without a difference");
    }
}

#[test]
fn goroutines_on_moving_stacks_are_exact() {
    converse(&[], true, 40, 12);
}

#[test]
fn a_stripped_program_that_can_be_loaded_anywhere_is_exact() {
    converse(&["-ldflags=-s -w", "-buildmode=pie"], false, 5, 3);
}

/// A connection can be gone before a call on it has returned. What was written is told then, in its
/// place and before the end; where a call never returns, or nobody can tell what it has read, it is said
/// that something is missing.
#[test]
fn what_returns_after_its_connection_has_ended_is_told_or_said_to_be_missing() {
    let Some(mut config) = config() else { return };
    config.copy_all = true;
    let directory = tempfile::tempdir().unwrap();
    let program = build(directory.path(), LATE, &[]);
    let port = Bench::listen().local_addr().unwrap().port();
    let mut program = Program::start(&program, port, &[]);
    config.ports = vec![port];
    config.pids = vec![program.child.id()];
    let mut bench = Bench::for_ports(config);
    program.go();
    // What has panicked is given up by the reconciler's second look.
    bench.until_within(Duration::from_secs(120), |seen| {
        seen.len() == 6 && seen.values().all(|seen| seen.close.is_some())
    });
    assert_eq!(program.line(), "done\n");
    let answer = vec![0; 400];
    for seen in bench.all() {
        let client = seen.open.role == Some(Role::Client);
        let bytes = |direction| seen.bytes(direction, Layer::Plaintext, 0);
        let reason = seen.close.as_ref().unwrap().reason;
        let (outward, inward) = if client {
            (Direction::Sent, Direction::Received)
        } else {
            (Direction::Received, Direction::Sent)
        };
        let asked = bytes(outward);
        let expected: (&[u8], CloseReason) = match (client, asked[0]) {
            (true, b'w' | b'p') => (&answer, CloseReason::Finished),
            (true, _) => (b"r", CloseReason::Finished),
            (false, b'w') => {
                assert_eq!(seen.end(Direction::Sent), Some(400));
                (&answer, CloseReason::Finished)
            }
            // It has sent an answer.
            (false, b'p') => (b"", CloseReason::CutOff),
            // It has received 400 bytes more.
            (false, _) => (b"r", CloseReason::CutOff),
        };
        assert_eq!((&*bytes(inward), reason), expected, "{:?}", seen.open);
        let more = if client && asked[0] == b'r' { 400 } else { 0 };
        assert_eq!(asked.len(), 1 + more, "{:?}", seen.open);
    }
}
