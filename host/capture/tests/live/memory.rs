//! TLS over memory BIOs: the program carries the ciphertext between library and socket, so no system
//! call is made inside of the library.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wirespan_capture::live::LiveConfig;
use wirespan_capture::{Direction, Layer, Role};

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
