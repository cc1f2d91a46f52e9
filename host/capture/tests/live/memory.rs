//! TLS over memory BIOs: the program carries the ciphertext between library and socket, so no system
//! call is made inside of the library.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wirespan_capture::live::LiveConfig;
use wirespan_capture::{Direction, Layer, Role};

use crate::process_links::links_on;
use crate::script::Script;
use crate::support::{Bench, config};

const CONNECTIONS: usize = 1000;
const ROUNDS: usize = 3;
/// A handshake takes a millisecond or two of CPU time at each end.
const LIMIT: Duration = Duration::from_secs(90);

/// Both ends of all connections in one thread, in turns. Each end says which connection it is by the
/// client's port, in messages of different lengths.
const MANY: &str = r#"
import asyncio, resource, ssl, sys
port, certificate, key = int(sys.argv[1]), sys.argv[2], sys.argv[3]
resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.load_cert_chain(certificate, key)
client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
client.check_hostname = False
client.verify_mode = ssl.CERT_NONE

def message(side, number, round):
    return b'%s %d %d ' % (side, number, round) + b'.' * (number * 7 % 900) + b'\n'

async def serve(reader, writer):
    number = writer.get_extra_info('peername')[1]
    for round in range(ROUNDS):
        assert await reader.readline() == message(b'client', number, round)
        writer.write(message(b'server', number, round))
    await reader.read()
    writer.close()

async def ask(reader, writer):
    number = writer.get_extra_info('sockname')[1]
    for round in range(ROUNDS):
        writer.write(message(b'client', number, round))
        await asyncio.sleep(0)
        assert await reader.readline() == message(b'server', number, round)
    writer.close()

async def told():
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)

async def main():
    listening = await asyncio.start_server(serve, '127.0.0.1', port, ssl=server, backlog=CONNECTIONS)
    print('ready', flush=True)
    await told()
    def connect():
        return asyncio.open_connection('127.0.0.1', port, ssl=client)
    ends = await asyncio.gather(*[connect() for _ in range(CONNECTIONS)])
    print('connected', flush=True)
    await told()
    await asyncio.gather(*[ask(*end) for end in ends])
    print('done', flush=True)
    await told()

asyncio.run(main())
"#;

fn many() -> Script {
    Script::start(
        &MANY
            .replace("CONNECTIONS", &CONNECTIONS.to_string())
            .replace("ROUNDS", &ROUNDS.to_string()),
    )
}

fn message(side: &str, number: u16, round: usize) -> String {
    let dots = ".".repeat(usize::from(number) * 7 % 900);
    format!("{side} {number} {round} {dots}\n")
}

/// Every connection has its own plaintext, whole and in both directions, and no other's.
fn each_has_its_own(bench: &Bench, mid_stream: bool) {
    let (mut ends, mut unknown, mut wrong) = (0, 0, 0);
    for seen in bench.all() {
        let (Some(local), Some(remote)) = (seen.open.local, seen.open.remote) else {
            unknown += 1;
            continue;
        };
        ends += 1;
        // Who opened a connection that is older than the capture is not known, but its ports are.
        let is_client = local.port() != bench.port();
        if let Some(role) = seen.open.role {
            assert_eq!(role == Role::Client, is_client);
        }
        let number = if is_client { local } else { remote }.port();
        let whole = |side| {
            (0..ROUNDS)
                .map(|round| message(side, number, round))
                .collect::<String>()
        };
        let (outward, inward) = if is_client {
            (Direction::Sent, Direction::Received)
        } else {
            (Direction::Received, Direction::Sent)
        };
        let from_client = seen.bytes(outward, Layer::Plaintext, 0);
        let from_server = seen.bytes(inward, Layer::Plaintext, 0);
        if from_client != whole("client").as_bytes() || from_server != whole("server").as_bytes() {
            eprintln!(
                "{:?}: {} / {}",
                seen.open,
                String::from_utf8_lossy(&from_client),
                String::from_utf8_lossy(&from_server)
            );
            wrong += 1;
        }
        let [secured] = &seen.secured[..] else {
            panic!("{:?}", seen.secured)
        };
        assert_eq!(
            (secured.positions, secured.mid_stream),
            ([0, 0], mid_stream)
        );
    }
    eprintln!("{ends} ends with their plaintext, {unknown} of unknown peers, {wrong} wrong");
    assert_eq!((ends, unknown, wrong), (2 * CONNECTIONS, 0, 0));
}

fn large(mut config: LiveConfig, port: u16) -> LiveConfig {
    config.ports = vec![port];
    config.copy_all = true;
    config.connections = 16 * 1024;
    config.rings_bytes = 32 << 20;
    config
}

/// Waits for the script, and takes what is reported meanwhile: the rings need not hold all of it.
fn hear(bench: &mut Bench, script: &mut Script, line: &str) {
    let heard = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            script.hear(line);
            heard.store(true, Ordering::Relaxed);
        });
        bench.until_within(LIMIT, |_| heard.load(Ordering::Relaxed));
    });
}

/// Plaintext of so many bytes has been seen, unless some is missing.
fn complete(bench: &mut Bench, script: &mut Script) {
    hear(bench, script, "done");
    bench.until_within(LIMIT, |seen| {
        let lines: usize = seen
            .values()
            .flat_map(|seen| &seen.data)
            .filter(|data| data.layer == Layer::Plaintext)
            .map(|data| data.bytes.iter().filter(|byte| **byte == b'\n').count())
            .sum();
        lines >= 4 * CONNECTIONS * ROUNDS
    });
}

#[test]
fn a_thousand_connections_in_one_thread_have_each_their_own_plaintext() {
    let Some(config) = config() else { return };
    let mut script = many();
    let mut bench = Bench::for_ports(large(config, script.port));
    script.say("connect");
    hear(&mut bench, &mut script, "connected");
    script.say("talk");
    complete(&mut bench, &mut script);
    each_has_its_own(&bench, false);
}

/// The first plaintext of each connection passes before its ciphertext has told the socket.
#[test]
fn connections_older_than_the_capture_have_their_own_plaintext_too() {
    let Some(config) = config() else { return };
    let mut script = many();
    script.say("connect");
    script.hear("connected");
    let mut bench = Bench::for_ports(large(config, script.port));
    script.say("talk");
    complete(&mut bench, &mut script);
    each_has_its_own(&bench, true);
}

/// Answers each line with itself.
const ECHO: &str = r#"
import socket, ssl, sys, threading
port, certificate, key = int(sys.argv[1]), sys.argv[2], sys.argv[3]
serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
serving.load_cert_chain(certificate, key)
listener = socket.create_server(('127.0.0.1', port))

def serve(raw):
    with serving.wrap_socket(raw, server_side=True) as end:
        for line in end.makefile('rb'):
            end.sendall(line)

def accept():
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

threading.Thread(target=accept, daemon=True).start()
print('ready', flush=True)
sys.stdin.read()
"#;

/// Memory BIOs by functions that are looked up while it runs, by names that are in no file that it has mapped.
/// Each line is a request, on a new connection if it begins with `new`.
const LOOKED_UP: &str = r#"
import ctypes, socket, sys
ssl, crypto = ctypes.CDLL('libssl.so.3'), ctypes.CDLL('libcrypto.so.3')
P = ctypes.c_void_p
for function in [ssl.TLS_client_method, ssl.SSL_CTX_new, ssl.SSL_new, crypto.BIO_new, crypto.BIO_s_mem]:
    function.restype = P
context = P(ssl.SSL_CTX_new(P(ssl.TLS_client_method())))

class Connection:
    def __init__(self):
        self.inward, self.outward = [P(crypto.BIO_new(P(crypto.BIO_s_mem()))) for _ in range(2)]
        self.tls = P(ssl.SSL_new(context))
        ssl.SSL_set_bio(self.tls, self.inward, self.outward)
        ssl.SSL_set_connect_state(self.tls)
        self.raw = socket.create_connection(('127.0.0.1', PORT))
        while ssl.SSL_do_handshake(self.tls) != 1:
            self.flush()
            self.feed()
        self.flush()

    def flush(self):
        data = ctypes.create_string_buffer(65536)
        count = crypto.BIO_read(self.outward, data, 65536)
        if count > 0:
            self.raw.sendall(data.raw[:count])

    def feed(self):
        data = self.raw.recv(65536)
        assert crypto.BIO_write(self.inward, data, len(data)) == len(data)

    def ask(self, line):
        assert ssl.SSL_write(self.tls, line, len(line)) == len(line)
        self.flush()
        got = ctypes.create_string_buffer(65536)
        while (count := ssl.SSL_read(self.tls, got, 65536)) <= 0:
            self.feed()
        assert got.raw[:count] == line

print('ready', flush=True)
for line in sys.stdin:
    if line.startswith('new'):
        connection = Connection()
    connection.ask(line.encode())
    print('done', flush=True)
"#;

/// No file says that the program uses memory BIOs, so the probe that is for them is not there; plaintext that
/// comes without a socket brings it.
#[test]
fn memory_bios_that_no_file_shows_are_known_by_their_plaintext() {
    let Some(config) = config() else { return };
    let server = Script::start(ECHO);
    let mut client = Script::start(&LOOKED_UP.replace("PORT", &server.port.to_string()));
    let mut config = large(config, server.port);
    // What others do must not count.
    config.pids = vec![client.pid()];
    let mut bench = Bench::for_ports(config);
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", client.pid())).unwrap();
    let crypto = maps
        .split_ascii_whitespace()
        .find(|word| word.contains("/libcrypto.so"))
        .unwrap();
    let pid = client.pid();
    let links = || links_on(pid, crypto);
    let before = links();
    let mut ask = |line: &str| {
        client.say(line);
        client.hear("done");
    };
    ask("new connection, first request, whose socket does not show");
    match before {
        Some(count) => {
            assert_eq!(count, 0, "what {crypto} puts out");
            bench.until(|_| links() == Some(1));
        }
        None => {
            eprintln!("this kernel does not tell for which process and file a link is");
            let begun = Instant::now();
            bench.until(|_| begun.elapsed() > Duration::from_secs(2));
        }
    }
    let requests = [
        "new connection, first request, whose socket does not show\n",
        "second request on that connection\n",
        "new connection, which shows at once\n",
    ];
    ask(requests[1].trim_end());
    ask(requests[2].trim_end());
    let expected = [requests[..2].concat(), requests[2].to_owned()];
    let of = |line: &str, seen: &crate::support::Seen| {
        [Direction::Sent, Direction::Received].map(|direction| {
            let bytes = seen.bytes(direction, Layer::Plaintext, 0);
            bytes == line.as_bytes()
        }) == [true; 2]
    };
    bench.until(|seen| {
        let has = |line: &String| seen.values().any(|seen| of(line, seen));
        expected.iter().all(has)
    });
    assert_eq!(bench.all().count(), 2);
    for seen in bench.all() {
        assert_eq!(
            seen.open.remote.map(|remote| remote.port()),
            Some(server.port)
        );
        assert_eq!(seen.secured.len(), 1);
    }
}
