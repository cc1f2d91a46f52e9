//! Plaintext of a real TLS library in another process.

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
    let Some(mut config) = config() else { return };
    config.copy_all = true;
    let mut script = Script::start(SCRIPT);
    config.ports = vec![script.port];
    let mut bench = Bench::for_ports(config);
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
