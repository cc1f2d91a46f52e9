//! What a filter leaves out is not even copied.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use wirespan_events::Counter;

use crate::script::Script;
use crate::support::{Bench, config};

/// A control group of a container, and nothing in it but what a test puts there.
struct Container {
    id: String,
    path: PathBuf,
}

impl Container {
    fn new(digit: char) -> Self {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let root = mounts
            .lines()
            .find_map(|line| {
                let words: Vec<&str> = line.split(' ').collect();
                (words[2] == "cgroup2").then(|| PathBuf::from(words[1]))
            })
            .expect("the unified hierarchy of control groups is mounted");
        // Of this process: others may run the same test.
        let id = format!("{digit:0>8}{:0>56x}", std::process::id());
        let path = root.join(format!("docker-{id}.scope"));
        fs::create_dir(&path).unwrap();
        Self { id, path }
    }

    /// A process in it says something to `port` and waits for an answer.
    fn speak(&self, port: u16, text: &str) {
        let script = format!(
            "echo $$ > {}/cgroup.procs; exec 3<>/dev/tcp/127.0.0.1/{port}; printf {text} >&3; read -n 2 <&3",
            self.path.display()
        );
        let status = Command::new("bash").args(["-c", &script]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Empty as soon as the last process has been waited for.
        let _ = fs::remove_dir(&self.path);
    }
}

/// Says something over a pair of Unix sockets and closes both, with each line that it is told.
const PAIRS: &str = r#"
import socket, sys
print('ready', flush=True)
for line in sys.stdin:
    one, other = socket.socketpair()
    one.sendall(b'over a Unix socket')
    assert other.recv(100) == b'over a Unix socket'
    one.close()
    other.close()
    print('done', flush=True)
"#;

fn serve(listener: TcpListener, connections: usize) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        for _ in 0..connections {
            let (mut stream, _) = listener.accept().unwrap();
            let mut heard = [0; 5];
            stream.read_exact(&mut heard).unwrap();
            stream.write_all(b"ok").unwrap();
        }
    })
}

#[test]
fn other_containers_are_left_out_in_the_kernel() {
    let Some(mut config) = config() else { return };
    let (wanted, other) = (Container::new('a'), Container::new('b'));
    let listener = Bench::listen();
    let port = listener.local_addr().unwrap().port();
    config.ports = vec![port];
    config.containers = vec![wanted.id.clone()];
    let mut bench = Bench::for_ports(config);
    let server = serve(listener, 2);
    other.speak(port, "other");
    wanted.speak(port, "mine!");
    server.join().unwrap();
    // The server is in no container: whether that is certain depends on the machine.
    let is_client = |open: &wirespan_capture::Open| open.remote.is_some_and(|a| a.port() == port);
    bench.until(|seen| {
        seen.values()
            .any(|one| is_client(&one.open) && one.close.is_some())
    });
    let clients: Vec<String> = bench
        .seen()
        .values()
        .filter(|one| is_client(&one.open))
        .flat_map(|one| &one.data)
        .map(|data| String::from_utf8_lossy(&data.bytes).into_owned())
        .collect();
    assert!(clients.contains(&"mine!".to_owned()), "{clients:?}");
    assert!(!clients.contains(&"other".to_owned()), "{clients:?}");
}

#[test]
fn what_a_filter_leaves_out_is_not_copied() {
    let Some(base) = config() else { return };
    let (watched, other) = (Bench::listen(), Bench::listen());
    let mut config = base;
    config.ports = vec![watched.local_addr().unwrap().port()];
    let bench = Bench::for_ports(config);
    let port = other.local_addr().unwrap().port();
    let before = bench.source.counters();
    let (copied, records) = (
        before.kernel(Counter::CopiedBytes),
        before.kernel(Counter::Records),
    );
    let server = serve(other, 1);
    let mut client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.write_all(b"bytes").unwrap();
    client.read_exact(&mut [0; 2]).unwrap();
    server.join().unwrap();
    drop(client);
    let after = bench.source.counters();
    assert_eq!(after.kernel(Counter::CopiedBytes), copied);
    assert_eq!(after.kernel(Counter::Records), records);
}

#[test]
fn where_one_process_is_watched_its_unix_sockets_end_when_they_do() {
    let Some(mut config) = config() else { return };
    let mut script = Script::start(PAIRS);
    config.pids = vec![script.pid()];
    let mut bench = Bench::for_ports(config);
    // The programs that see how these end may have waited for the first of them.
    script.say("go on");
    script.hear("done");
    bench.until_closed();
    let found_gone = bench.source.counters().kernel(Counter::FoundGone);
    for pairs in 2..=4 {
        script.say("go on");
        script.hear("done");
        bench.until(|seen| {
            seen.len() == 2 * pairs && seen.values().all(|seen| seen.close.is_some())
        });
    }
    let after = bench.source.counters().kernel(Counter::FoundGone);
    assert_eq!(after, found_gone, "their ends were seen, not found out");
}
