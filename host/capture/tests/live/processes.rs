//! Sockets that pass from process to process, and images that replace each other.

use wirespan_capture::{CloseReason, Data, Direction, Layer};

use crate::script::Script;
use crate::support::{Bench, config};

/// Two connections: one that ends with an `exec`, and one that the new image takes over while a thread
/// of the old one waits in `recv` on it. The new image then opens a third.
const EXECUTING: &str = r#"
import os, socket, sys, threading, time
port = int(sys.argv[1])
listener = socket.create_server(('127.0.0.1', port))
print('ready', flush=True)
sys.stdin.readline()
told, tell = os.pipe()
child = os.fork()
if child == 0:
    listener.close()
    closed = socket.create_connection(('127.0.0.1', port))
    kept = socket.create_connection(('127.0.0.1', port))
    kept.set_inheritable(True)
    closed.sendall(b'old;')
    kept.sendall(b'old;')
    threading.Thread(target=lambda: kept.recv(100), daemon=True).start()
    # Until it waits: in the kernel, in the call with that number.
    waiting = False
    while not waiting:
        time.sleep(0.01)
        for task in os.listdir('/proc/self/task'):
            if open('/proc/self/task/%s/syscall' % task).read().startswith('45 '):
                waiting = True
    os.read(told, 1)
    os.execv('/bin/bash', ['bash', '-c', '''
        read -r -n 7 told <&%d
        printf "new,%%s;" "$told" >&%d
        exec 9<>/dev/tcp/127.0.0.1/%d
        printf "other;" >&9
        read -r -n 3 <&9
    ''' % (kept.fileno(), kept.fileno(), port)])

def all_of(connection):
    got = b''
    while True:
        more = connection.recv(100)
        if not more:
            return got
        got += more

closed, _ = listener.accept()
kept, _ = listener.accept()
assert closed.recv(4) == kept.recv(4) == b'old;'
print('waiting', flush=True)
sys.stdin.readline()
os.write(tell, b'.')
assert all_of(closed) == b'', 'closed'
kept.sendall(b'answer;')
other, _ = listener.accept()
assert other.recv(6) == b'other;'
print('executed', flush=True)
sys.stdin.readline()
other.sendall(b'ok;')
assert all_of(kept) == b'new,answer;;', 'kept'
assert all_of(other) == b''
os.waitpid(child, 0)
for connection in closed, kept, other:
    connection.close()
print('done', flush=True)
"#;

#[test]
fn an_exec_ends_what_was_the_old_images_and_goes_on_with_what_it_passed_on() {
    let Some(mut config) = config() else { return };
    config.copy_all = true;
    let mut script = Script::start(EXECUTING);
    config.ports = vec![script.port];
    let port = script.port;
    let mut bench = Bench::for_ports(config);
    script.say("go");
    script.hear("waiting");
    script.say("exec");
    script.hear("executed");
    bench.until(|seen| seen.len() >= 6);
    script.say("end");
    script.hear("done");
    bench.until_closed();
    let mut clients: Vec<_> = bench
        .all()
        .filter(|seen| seen.open.remote.is_some_and(|remote| remote.port() == port))
        .map(|seen| {
            let text = |direction| {
                let bytes = seen.bytes(direction, Layer::Socket, 0);
                String::from_utf8_lossy(&bytes).into_owned()
            };
            let close = seen.close.map(|close| close.reason);
            // As each program was when it had the connection.
            let process = seen.process.as_ref();
            let mut commands: Vec<String> = process
                .map(|process| process.command.clone())
                .into_iter()
                .collect();
            for executed in &seen.executed {
                let of = |data: &Data| (data.time() < executed.time).then_some(data.len);
                let before: u64 = seen.data.iter().filter_map(of).sum();
                commands.push(format!("{} from {before}", executed.process.command));
            }
            let texts = (text(Direction::Sent), text(Direction::Received));
            (texts, commands, close)
        })
        .collect();
    clients.sort_by(|one, other| one.0.cmp(&other.0));
    let expected = [
        // It is closed by then, and goes on until its peer has closed it, too.
        (("old;", ""), vec!["python3", "bash from 4"]),
        (
            ("old;new,answer;;", "answer;"),
            vec!["python3", "bash from 4"],
        ),
        (("other;", "ok;"), vec!["bash"]),
    ];
    let clients: Vec<_> = clients
        .iter()
        .map(|((sent, received), commands, close)| {
            assert_eq!(*close, Some(CloseReason::Finished), "{sent}");
            let commands = commands.iter().map(|command| &**command).collect();
            ((&**sent, &**received), commands)
        })
        .collect();
    assert_eq!(clients, expected);
    assert_eq!(bench.all().count(), 6, "three connections have six ends");
}

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
