//! Sockets that pass from process to process, and images that replace each other.

use wirespan_capture::{Direction, Layer};

use crate::script::Script;
use crate::support::{Bench, config};

/// A connection that parent and child write to in turns, and that an `exec` then takes over.
const FORKING: &str = r#"
import os, socket, sys
listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))
print('ready', flush=True)
sys.stdin.readline()
server = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
client, _ = listener.accept()
client.sendall(b'parent;')
child = os.fork()
if child == 0:
    client.sendall(b'child;')
    os.set_inheritable(client.fileno(), True)
    os.execv('/bin/sh', ['sh', '-c', 'printf "exec;" >&%d' % client.fileno()])
os.waitpid(child, 0)
client.sendall(b'parent again;')
client.close()
got = b''
while True:
    more = server.recv(4096)
    if not more:
        break
    got += more
assert got == b'parent;child;exec;parent again;', got
server.close()
print('done', flush=True)
"#;

#[test]
fn a_connection_of_several_processes_and_images_is_one() {
    let Some(mut config) = config() else { return };
    config.copy_all = true;
    let mut script = Script::start(FORKING);
    config.ports = vec![script.port];
    let mut bench = Bench::for_ports(config);
    script.say("go");
    bench.until_closed();
    script.hear("done");
    let ends: Vec<_> = bench.all().collect();
    assert_eq!(ends.len(), 2, "one connection has two ends");
    let all = b"parent;child;exec;parent again;";
    let sent = |direction| {
        let whole = ends
            .iter()
            .filter(|seen| seen.bytes(direction, Layer::Socket, 0) == all);
        whole.count()
    };
    assert_eq!((sent(Direction::Sent), sent(Direction::Received)), (1, 1));
}
