//! TLS inside of TLS: HTTPS through a proxy that is itself asked over TLS.

use std::process::{Command, Stdio};
use std::time::Duration;

use wirespan_capture::{Direction, Layer, Role};

use crate::script::Script;
use crate::support::{Bench, config};

/// The proxy, and at once the server at the end of each tunnel: the inner TLS is made in memory.
const SCRIPT: &str = r#"
import socket, ssl, sys
port, certificate, key = int(sys.argv[1]), sys.argv[2], sys.argv[3]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
listener = socket.create_server(('127.0.0.1', port))
print('ready', flush=True)

def pump(call, inside, to_inner, from_inner, outer):
    while True:
        try:
            result = call()
        except ssl.SSLWantReadError:
            result = None
        if from_inner.pending:
            outer.sendall(from_inner.read())
        if result is not None:
            return result
        to_inner.write(outer.recv(16384))

for line in sys.stdin:
    raw, _ = listener.accept()
    with context.wrap_socket(raw, server_side=True) as outer:
        asked = b''
        while not asked.endswith(b'\r\n\r\n'):
            asked += outer.recv(4096)
        assert asked.startswith(b'CONNECT '), asked
        outer.sendall(b'HTTP/1.1 200 Connection established\r\n\r\n')
        to_inner, from_inner = ssl.MemoryBIO(), ssl.MemoryBIO()
        inside = context.wrap_bio(to_inner, from_inner, server_side=True)
        run = lambda call: pump(call, inside, to_inner, from_inner, outer)
        run(lambda: inside.do_handshake() or True)
        asked = run(lambda: inside.read(4096))
        assert b'GET /within' in asked, asked
        answer = b'SECRET' * 1000
        run(lambda: inside.write(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n' % len(answer)))
        run(lambda: inside.write(answer))
        try:
            while outer.recv(4096):
                pass
        except OSError:
            pass
"#;

const ROUNDS: usize = 3;

/// What the outer TLS carries is the request for the tunnel, and then records. What the inner one carries
/// belongs to a tunnel, not to a socket: it is told of none.
#[test]
fn what_is_inside_of_a_tunnel_through_tls_is_told_of_no_socket() {
    let Some(mut config) = config() else { return };
    config.copy_all = true;
    let mut script = Script::start(SCRIPT);
    config.ports = vec![script.port];
    config.rings_bytes = 16 << 20;
    let mut bench = Bench::for_ports(config);
    for _ in 0..ROUNDS {
        script.say("serve");
        let asked = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "60", "--http1.1"])
            .args(["--insecure", "--proxy-insecure", "--output", "/dev/null"])
            .arg("--proxy")
            .arg(format!("https://127.0.0.1:{}", script.port))
            .arg("https://localhost:1/within")
            .stdin(Stdio::null())
            .status()
            .expect("curl is installed: `cargo xtask setup --test`");
        assert!(asked.success(), "{asked}");
    }
    bench.until_within(Duration::from_secs(60), |seen| {
        seen.len() >= 2 * ROUNDS && seen.values().all(|seen| seen.close.is_some())
    });
    let mut sides = [Vec::new(), Vec::new()];
    for seen in bench.all() {
        let (side, outward, inward) = match seen.open.role.unwrap() {
            Role::Client => (0, Direction::Sent, Direction::Received),
            Role::Server => (1, Direction::Received, Direction::Sent),
        };
        assert_eq!(seen.secured.len(), 1, "{:?}", seen.open);
        let [asked, answered] = [outward, inward].map(|way| seen.bytes(way, Layer::Plaintext, 0));
        for (bytes, first) in [(&asked, &b"CONNECT "[..]), (&answered, b"HTTP/1.1 200 ")] {
            assert!(bytes.starts_with(first), "{:?}", seen.open);
            let head = bytes
                .windows(4)
                .position(|part| part == b"\r\n\r\n")
                .unwrap()
                + 4;
            // A handshake's record, of any version.
            assert_eq!(bytes[head..head + 2], [22, 3], "{:?}", seen.open);
            for within in [&b"/within"[..], b"SECRET"] {
                assert!(!bytes.windows(within.len()).any(|part| part == within));
            }
        }
        sides[side].push((asked, answered));
    }
    let [mut clients, mut servers] = sides;
    clients.sort();
    servers.sort();
    assert_eq!(clients.len(), ROUNDS);
    assert!(
        clients == servers,
        "what one end sends the other one receives"
    );
}
