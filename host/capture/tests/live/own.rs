//! The agent never sees itself.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use wirespan_capture::Source;
use wirespan_capture::live::LiveSource;

use crate::support::config;

/// Echoes what each connection says; told so on its standard input, it connects to itself.
const SCRIPT: &str = r"
import socket, sys, threading
listener = socket.create_server(('127.0.0.1', 0))
def serve():
    while True:
        end, _ = listener.accept()
        end.sendall(end.recv(100))
        end.close()
threading.Thread(target=serve, daemon=True).start()
print(listener.getsockname()[1], flush=True)
sys.stdin.readline()
with socket.create_connection(listener.getsockname()) as end:
    end.sendall(b'other')
    end.recv(100)
print('done', flush=True)
sys.stdin.readline()
";

#[test]
fn neither_end_of_an_own_connection_is_reported() {
    let Some(mut config) = config() else { return };
    config.observe_self = false;
    let mut child = Command::new("python3")
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    let port: u16 = line.trim().parse().unwrap();
    config.ports = vec![port];
    let (mut source, _) = LiveSource::open(&config).unwrap();

    let mut own = TcpStream::connect(("127.0.0.1", port)).unwrap();
    own.write_all(b"own").unwrap();
    let mut echo = String::new();
    own.read_to_string(&mut echo).unwrap();
    assert_eq!(echo, "own");
    drop(own);
    let mut events = Vec::new();
    while source
        .poll(Duration::from_millis(300), &mut events)
        .unwrap()
        == wirespan_capture::Progress::More
    {}
    assert!(events.is_empty(), "{events:?}");

    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin).unwrap();
    told.read_line(&mut line).unwrap();
    while source
        .poll(Duration::from_millis(300), &mut events)
        .unwrap()
        == wirespan_capture::Progress::More
    {}
    drop(stdin);
    child.wait().unwrap();
    let text = format!("{events:?}");
    assert!(text.contains("other"), "others are still reported: {text}");
}
