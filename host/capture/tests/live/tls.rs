//! Plaintext of a real TLS library in another process.

use wirespan_capture::live::UprobeMeans;
use wirespan_capture::live::features::{self, FeatureState};
use wirespan_capture::{Direction, Layer, Role};

use crate::script::Script;
use crate::support::{Bench, config};

/// Client and server in one process, each on a thread: the server answers with what it gets, twice.
const SCRIPT: &str = r#"
import socket, ssl, sys, threading, time
port, certificate, key = int(sys.argv[1]), sys.argv[2], sys.argv[3]
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.load_cert_chain(certificate, key)
listener = socket.create_server(('127.0.0.1', port))
print('ready', flush=True)
size = int(sys.stdin.readline())
def serve():
    raw, _ = listener.accept()
    with server.wrap_socket(raw, server_side=True) as end:
        got = b''
        while len(got) < size:
            got += end.recv(1000)
        end.sendall(got)
        end.sendall(got)
        end.recv(1)
thread = threading.Thread(target=serve)
thread.start()
client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
client.check_hostname = False
client.verify_mode = ssl.CERT_NONE
with client.wrap_socket(socket.create_connection(('127.0.0.1', port))) as end:
    end.sendall(bytes(i * 7 % 251 for i in range(size)))
    got = b''
    while len(got) < 2 * size:
        got += end.recv(4096)
thread.join()
"#;

#[test]
fn plaintext_is_bound_to_its_socket_and_replaces_the_ciphertext() {
    is_bound(true);
}

#[test]
fn uprobes_by_perf_events_see_the_same() {
    is_bound(false);
}

fn is_bound(uprobe_links: bool) {
    let Some(mut config) = config() else { return };
    config.copy_all = true;
    config.uprobe_links = uprobe_links;
    let mut script = Script::start(SCRIPT);
    config.ports = vec![script.port];
    let mut bench = Bench::for_ports(config);
    let row = features::probe().row("uprobe_multi link").cloned().unwrap();
    let means = if uprobe_links && row.state == FeatureState::Ok {
        UprobeMeans::Links
    } else {
        UprobeMeans::PerfEvents
    };
    assert_eq!(bench.report.uprobes, means, "{row:?}");
    let size = 40_000;
    script.say(&size.to_string());
    bench.until_closed();

    let all: Vec<u8> = (0..size).map(|index| (index * 7 % 251) as u8).collect();
    let twice = [&all[..], &all[..]].concat();
    let mut roles = Vec::new();
    for seen in bench.all() {
        let (outward, inward) = match seen.open.role.unwrap() {
            Role::Client => (Direction::Sent, Direction::Received),
            Role::Server => (Direction::Received, Direction::Sent),
        };
        roles.push(seen.open.role);
        assert_eq!(seen.secured.len(), 1);
        assert!(!seen.secured[0].mid_stream);
        assert_eq!(seen.secured[0].positions, [0, 0]);
        assert!(seen.bytes(outward, Layer::Plaintext, 0) == all);
        assert!(seen.bytes(inward, Layer::Plaintext, 0) == twice);
        let first = seen
            .data
            .iter()
            .position(|data| data.layer == Layer::Plaintext)
            .unwrap();
        assert!(
            seen.data[first..]
                .iter()
                .all(|data| data.layer == Layer::Plaintext)
        );
    }
    assert_eq!(roles.len(), 2);
    assert_ne!(roles[0], roles[1]);
}

/// Connections one after the other, each in its own way; each begins with a line that says which.
const ODD: &str = r#"
import select, socket, ssl, sys, threading
port, certificate, key = int(sys.argv[1]), sys.argv[2], sys.argv[3]
serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
serving.load_cert_chain(certificate, key)
asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
asking.check_hostname = False
asking.verify_mode = ssl.CERT_NONE
listener = socket.create_server(('127.0.0.1', port))
# So that much less fits than is sent.
listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
LARGE = bytes(i * 11 % 253 for i in range(1_000_000))

def read_line(end):
    line = b''
    while not line.endswith(b'\n'):
        line += end.recv(1)
    return line

def serve():
    for number in range(COUNT):
        raw, _ = listener.accept()
        if number == UPGRADED:
            assert raw.recv(5) == b'plain'
            raw.sendall(b'S')
        with serving.wrap_socket(raw, server_side=True) as end:
            line = read_line(end)
            if number == RETRIED:
                # Nothing is read until the other end cannot write any more.
                stuck.wait(20)
                got = 0
                while got < len(LARGE):
                    got += len(end.recv(65536))
            end.sendall(b'answer to ' + line)
            end.recv(1)

def ask(number):
    raw = socket.create_connection(('127.0.0.1', port))
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    if number == UPGRADED:
        raw.sendall(b'plain')
        assert raw.recv(1) == b'S'
    with asking.wrap_socket(raw) as end:
        line = b'connection %d\n' % number
        end.sendall(line)
        end.setblocking(False)
        if number == RETRIED:
            sent, waits = 0, 0
            while sent < len(LARGE):
                # The same memory again and again, as OpenSSL wants it.
                part = LARGE[sent:sent + 500_000]
                while True:
                    try:
                        sent += end.send(part)
                        break
                    except ssl.SSLWantWriteError:
                        waits += 1
                        stuck.set()
                        select.select([], [end], [])
            assert waits > 0
        # Memory that holds something else until the answer is there.
        memory = bytearray(b'SECRET' * 100)
        got, wanted = b'', b'answer to ' + line
        while len(got) < len(wanted):
            try:
                count = end.recv_into(memory)
                got += memory[:count]
                memory[:] = b'SECRET' * 100
            except ssl.SSLWantReadError:
                select.select([end], [], [])
        assert got == wanted

stuck = threading.Event()
thread = threading.Thread(target=serve, daemon=True)
thread.start()
print('ready', flush=True)
sys.stdin.readline()
for number in range(COUNT):
    ask(number)
thread.join()
print('done', flush=True)
sys.stdin.readline()
"#;

const COUNT: usize = 40;
const RETRIED: usize = 7;
const UPGRADED: usize = 8;

/// Objects at addresses that were used before, writes that must be tried again, memory that is not
/// filled yet, a connection that becomes TLS in its middle.
#[test]
fn connections_used_in_odd_ways_have_each_their_own_plaintext_once() {
    let Some(mut config) = config() else { return };
    config.copy_all = true;
    config.call_bytes = 4 << 20;
    let source = [
        ("COUNT", COUNT),
        ("RETRIED", RETRIED),
        ("UPGRADED", UPGRADED),
    ]
    .iter()
    .fold(ODD.to_owned(), |source, (name, value)| {
        source.replace(name, &value.to_string())
    });
    let mut script = Script::start(&source);
    config.ports = vec![script.port];
    config.rings_bytes = 32 << 20;
    let mut bench = Bench::for_ports(config);
    script.say("go");
    script.hear("done");
    bench.until_within(std::time::Duration::from_secs(30), |seen| {
        seen.len() == 2 * COUNT && seen.values().all(|seen| seen.close.is_some())
    });
    let large: Vec<u8> = (0..1_000_000_u32)
        .map(|index| (index * 11 % 253) as u8)
        .collect();
    let mut numbers = Vec::new();
    for seen in bench.all() {
        let is_client = seen.open.role == Some(Role::Client);
        let (outward, inward) = if is_client {
            (Direction::Sent, Direction::Received)
        } else {
            (Direction::Received, Direction::Sent)
        };
        let [secured] = &seen.secured[..] else {
            panic!("{:?}", seen.secured)
        };
        assert_eq!((secured.positions, secured.mid_stream), ([0, 0], false));
        let asked = seen.bytes(outward, Layer::Plaintext, 0);
        let answered = seen.bytes(inward, Layer::Plaintext, 0);
        let end = asked.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let (line, rest) = asked.split_at(end);
        assert!(answered == [&b"answer to "[..], line].concat());
        let line = String::from_utf8_lossy(line);
        let number: usize = line
            .trim_start_matches("connection ")
            .trim_end()
            .parse()
            .unwrap();
        assert!(rest == if number == RETRIED { &large[..] } else { &[] });
        let before: Vec<u8> = seen
            .of(outward, Layer::Socket)
            .iter()
            .flat_map(|data| data.bytes.to_vec())
            .take(5)
            .collect();
        if number == UPGRADED {
            assert_eq!(before, b"plain");
        } else {
            assert_eq!(before, [], "the handshake is made within the library");
        }
        numbers.push((number, is_client));
    }
    numbers.sort_unstable();
    let expected: Vec<_> = (0..COUNT)
        .flat_map(|number| [(number, false), (number, true)])
        .collect();
    assert_eq!(numbers, expected);
}
