//! Probes for one process alone (`--pid`): what they see of it, and that nobody else runs into them.
//!
//! A link says in `/proc/self/fdinfo` for which process it is, and a program how often it has run.

use std::collections::HashSet;

use aya::sys::{Stats, enable_stats};
use wirespan_capture::live::UprobeMeans;
use wirespan_capture::{Direction, Layer, Role};

use crate::script::Script;
use crate::support::{Bench, Seen, config};

/// Threads of the script that talk at the same time, each with one that listens.
const THREADS: usize = 4;
const SIZE: usize = 30_000;

/// Client and server in one process, on threads: `talk` in this one, `fork` in a child of it.
const SCRIPT: &str = r#"
import os, socket, ssl, sys, threading
port, certificate, key = int(sys.argv[1]), sys.argv[2], sys.argv[3]
THREADS, SIZE = 4, 30000
serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
serving.load_cert_chain(certificate, key)
asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
asking.check_hostname = False
asking.verify_mode = ssl.CERT_NONE
listener = socket.create_server(('127.0.0.1', port))
together = threading.Barrier(THREADS)

def hear(end):
    got = b''
    while len(got) < SIZE:
        got += end.recv(4096)
    return got

def serve():
    raw, _ = listener.accept()
    with serving.wrap_socket(raw, server_side=True) as end:
        end.sendall(hear(end))
        end.recv(1)

def ask(number):
    with asking.wrap_socket(socket.create_connection(('127.0.0.1', port))) as end:
        together.wait()
        said = bytes((i * 7 + number) % 251 for i in range(SIZE))
        end.sendall(said)
        assert hear(end) == said

def talk():
    threads = [threading.Thread(target=serve) for _ in range(THREADS)]
    threads += [threading.Thread(target=ask, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

print('ready', flush=True)
for line in sys.stdin:
    if line == 'fork\n':
        child = os.fork()
        if child == 0:
            talk()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    else:
        talk()
    print('done', flush=True)
"#;

/// A line of what the kernel tells of an open file of this process.
fn told<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}

/// What the kernel tells of each open file of this process. Other tests open and close theirs meanwhile.
fn open_files() -> Vec<String> {
    std::fs::read_dir("/proc/self/fdinfo")
        .unwrap()
        .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path()).ok())
        .collect()
}

/// Whether the kernel tells of links for which process they are (from 6.17 on), and this test has the numbers
/// that it uses.
fn tells_processes() -> bool {
    let of_node = std::fs::read_link("/proc/self/ns/pid").unwrap();
    of_node.as_os_str() == "pid:[4026531836]"
        && open_files().iter().any(|text| {
            told(text, "link_type") == Some("uprobe_multi") && told(text, "pid").is_some()
        })
}

/// The programs of the links that are for this process.
fn linked_for(pid: u32) -> HashSet<String> {
    let pid = pid.to_string();
    open_files()
        .iter()
        .filter(|text| told(text, "link_type") == Some("uprobe_multi"))
        .filter(|text| told(text, "pid") == Some(&pid))
        .filter_map(|text| Some(told(text, "prog_id")?.to_owned()))
        .collect()
}

/// How many links for this process are on the file; `None` where the kernel does not tell.
pub(crate) fn links_on(pid: u32, path: &str) -> Option<usize> {
    let pid = pid.to_string();
    let files = open_files();
    let links = files
        .iter()
        .filter(|text| told(text, "link_type") == Some("uprobe_multi"))
        .filter(|text| told(text, "pid") == Some(&pid));
    let on = links
        .clone()
        .filter(|text| told(text, "path") == Some(path));
    (tells_processes() && links.clone().any(|text| told(text, "path").is_some()))
        .then(|| on.count())
}

/// How often these programs have run in all.
fn runs(programs: &HashSet<String>) -> u64 {
    let mut counted = HashSet::new();
    open_files()
        .iter()
        // A link tells of its program too, but not this.
        .filter_map(|text| Some((told(text, "prog_id")?, told(text, "run_cnt")?)))
        .filter(|(id, _)| programs.contains(*id) && counted.insert((*id).to_owned()))
        .map(|(_, count)| count.parse::<u64>().unwrap())
        .sum()
}

/// Both ends of the connections of all threads, whole.
fn assert_whole(seen: &[&Seen]) {
    let mut numbers = [Vec::new(), Vec::new()];
    for seen in seen {
        let role = usize::from(seen.open.role == Some(Role::Server));
        let sent = seen.bytes(Direction::Sent, Layer::Plaintext, 0);
        let number = usize::from(sent[0]);
        let said: Vec<u8> = (0..SIZE).map(|i| ((i * 7 + number) % 251) as u8).collect();
        assert!(sent == said, "what {number} sent");
        assert!(
            seen.bytes(Direction::Received, Layer::Plaintext, 0) == said,
            "what {number} received"
        );
        numbers[role].push(number);
    }
    for mut numbers in numbers {
        numbers.sort_unstable();
        assert_eq!(numbers, (0..THREADS).collect::<Vec<_>>());
    }
}

#[test]
fn links_for_one_process_see_its_threads_and_neither_others_nor_its_children() {
    let Some(mut config) = config() else { return };
    let counting = enable_stats(Stats::RunTime).unwrap();
    let (mut named, mut other) = (Script::start(SCRIPT), Script::start(SCRIPT));
    config.copy_all = true;
    config.rings_bytes = 64 << 20;
    // The other one's connections are left out for its number alone.
    config.ports = vec![named.port, other.port];
    config.pids = vec![named.pid()];
    let mut bench = Bench::for_ports(config);
    if bench.report.uprobes != UprobeMeans::Links || !tells_processes() {
        eprintln!("SKIPPED: this kernel does not tell for which process a link is");
        return;
    }
    let programs = linked_for(named.pid());
    assert!(!programs.is_empty(), "no link is for {}", named.pid());
    assert_eq!(runs(&programs), 0, "nobody has talked yet");
    for round in 1..=2 {
        other.say("talk");
        other.hear("done");
        let before = runs(&programs);
        if round == 1 {
            assert_eq!(before, 0, "another process with the same library");
        }
        named.say("talk");
        named.hear("done");
        let after = runs(&programs);
        // Each end shakes hands, writes and reads, which is seen twice each.
        assert!(after >= before + 2 * THREADS as u64 * 6, "{before} {after}");
        // The child has the probes in its memory, which the kernel copied with them.
        named.say("fork");
        named.hear("done");
        other.say("talk");
        other.hear("done");
        assert_eq!(runs(&programs), after, "a child, or another process");
        bench.until(|seen| {
            seen.len() >= 2 * THREADS * round && seen.values().all(|seen| seen.close.is_some())
        });
    }
    let mut seen: Vec<&Seen> = bench.all().collect();
    seen.sort_by_key(|seen| seen.open.time);
    assert_eq!(seen.len(), 4 * THREADS, "those of the process alone");
    for seen in &seen {
        let process = seen.process.as_ref().map(|process| process.pid);
        assert_eq!(process, Some(named.pid()));
    }
    let (first, second) = seen.split_at(2 * THREADS);
    assert_whole(first);
    assert_whole(second);
    drop(counting);
}
