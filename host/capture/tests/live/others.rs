//! What is no stream socket goes through the same calls, and is nothing here.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use wirespan_events::Counter;

use crate::support::{Bench, config};

/// Datagrams over UDP and a Unix socket, netlink, a pipe, a terminal's other end, an event counter, a
/// file: each read from and written to. Then five bytes over TCP.
const OTHERS: &str = r#"
import os, pty, socket, struct, sys
sys.stdin.readline()
text = b'GET / HTTP/1.1\r\nHost: nobody\r\n\r\n'
for family, kind, address in (
    (socket.AF_INET, socket.SOCK_DGRAM, ('127.0.0.1', 0)),
    (socket.AF_INET6, socket.SOCK_DGRAM, ('::1', 0)),
):
    one = socket.socket(family, kind)
    other = socket.socket(family, kind)
    one.bind(address)
    other.connect(one.getsockname())
    for send in (other.send, lambda text: os.write(other.fileno(), text), lambda text: other.sendmsg([text, text])):
        send(text)
        assert one.recv(500)[:len(text)] == text
    other.send(text)
    assert os.read(one.fileno(), 500) == text
for kind in (socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
    one, other = socket.socketpair(socket.AF_UNIX, kind)
    one.send(text)
    assert other.recvmsg(500)[0] == text
    os.writev(other.fileno(), [text, text])
    assert os.read(one.fileno(), 500) == text + text
netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
# Which network devices there are (RTM_GETLINK).
netlink.send(struct.pack('=IHHII', 32, 18, 0x301, 1, 0) + bytes(16))
assert netlink.recv(65536)
reading, writing = os.pipe()
os.write(writing, text)
assert os.read(reading, 500) == text
master, slave = pty.openpty()
os.write(slave, text)
assert os.read(master, 500)
counter = os.eventfd(0)
os.eventfd_write(counter, 7)
assert os.eventfd_read(counter) == 7
file = os.memfd_create('file')
os.writev(file, [text])
assert os.pread(file, 500, 0) == text
os.lseek(file, 0, 0)
os.sendfile(writing, file, 0, len(text))
assert os.read(reading, 500) == text
os.splice(file, writing, len(text), offset_src=0)
assert os.read(reading, 500) == text
# And one that counts.
listener = socket.create_server(('127.0.0.1', 0))
one = socket.create_connection(listener.getsockname())
other, _ = listener.accept()
one.sendall(b'bytes')
assert other.recv(500) == b'bytes'
print('done', flush=True)
"#;

#[test]
fn what_is_no_stream_socket_is_neither_followed_nor_copied() {
    let Some(mut config) = config() else { return };
    config.copy_all = true;
    let mut program = Command::new("/usr/bin/python3")
        .args(["-c", OTHERS])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    config.pids = vec![program.id()];
    let bench = Bench::for_ports(config);
    program.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let mut said = String::new();
    program
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert!(program.wait().unwrap().success());
    assert_eq!(said, "done\n");
    let counters = bench.source.counters();
    for (counter, expected) in [
        // Of both ends of the one connection.
        (Counter::PassedBytes, 10),
        (Counter::CopiedBytes, 10),
        (Counter::SocketsFull, 0),
    ] {
        assert_eq!(counters.kernel(counter), expected, "{}", counter.label());
    }
}
