//! Socket events written as packets are the same streams when they are read back.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use wirespan_capture::{
    Clock, Close, CloseReason, ConnectionKey, Data, Direction, End, Layer, Missing, Open,
    PcapngWriter, Perspective, Process, ProcessKey, Progress, Role, Secured, SocketEvent,
    Transport, open_any,
};
use wirespan_stream::{Connections, Limits, StreamEvent};

const UNIX_OFFSET: i64 = 1_700_000_000_000_000_000;

/// The events of one end of a connection.
struct Script {
    key: ConnectionKey,
    time: u64,
    positions: [u64; 2],
    layer: Layer,
    events: Vec<SocketEvent>,
}

impl Script {
    fn new(number: u64, open: impl FnOnce(&mut Open)) -> Self {
        let key = ConnectionKey {
            socket: 0xffff_0000 + number,
            generation: number,
        };
        let time = 1_000_000 * number + 1_000_000;
        let mut first = Open {
            key,
            time,
            transport: Transport::Tcp,
            local: Some("10.0.0.1:80".parse().unwrap()),
            remote: Some(SocketAddr::from(([10, 0, 0, 2], 30_000 + number as u16))),
            role: Some(Role::Server),
            positions: [Some(0), Some(0)],
            mid_stream: false,
            process: Some(ProcessKey { pid: 7, started: 1 }),
            cgroup_id: 0,
            network_namespace: 0,
        };
        open(&mut first);
        Self {
            key,
            time,
            positions: first.positions.map(Option::unwrap_or_default),
            layer: Layer::Socket,
            events: vec![SocketEvent::Open(Box::new(first))],
        }
    }

    fn later(&mut self) -> u64 {
        self.time += 1_000_000;
        self.time
    }

    fn data(mut self, direction: Direction, bytes: &[u8], missing: u64) -> Self {
        let time = self.later();
        let position = self.positions[direction.index()];
        let len = bytes.len() as u64 + missing;
        self.positions[direction.index()] += len;
        self.events.push(SocketEvent::Data(Data {
            key: self.key,
            direction,
            layer: self.layer,
            position,
            len,
            bytes: bytes.to_vec().into(),
            entry: time,
            exit: time,
            missing: if missing > 0 {
                Missing::Unobserved
            } else {
                Missing::Unwanted
            },
        }));
        self
    }

    fn received(self, bytes: &[u8]) -> Self {
        self.data(Direction::Received, bytes, 0)
    }

    fn sent(self, bytes: &[u8]) -> Self {
        self.data(Direction::Sent, bytes, 0)
    }

    fn secured(mut self, mid_stream: bool) -> Self {
        let time = self.later();
        self.positions = [0; 2];
        self.layer = Layer::Plaintext;
        self.events.push(SocketEvent::Secured(Secured {
            key: self.key,
            time,
            positions: [0; 2],
            mid_stream,
        }));
        self
    }

    fn end(mut self, direction: Direction) -> Self {
        let time = self.later();
        self.events.push(SocketEvent::End(End {
            key: self.key,
            direction,
            time,
            position: Some(self.positions[direction.index()]),
        }));
        self
    }

    fn close(mut self, reason: CloseReason) -> Vec<SocketEvent> {
        let time = self.later();
        self.events.push(SocketEvent::Close(Close {
            key: self.key,
            time,
            reason,
            positions: if self.layer == Layer::Socket {
                self.positions.map(Some)
            } else {
                [None, None]
            },
        }));
        self.events
    }
}

fn clock() -> Clock {
    Clock {
        capture_id: 1,
        unix_offset: UNIX_OFFSET,
    }
}

/// What became of one connection: all that does not depend on how it was cut into pieces.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    head: String,
    streams: [String; 2],
    times: Vec<u64>,
}

/// The streams of events, or of a file.
struct Reader {
    table: Connections,
    connections: Vec<Seen>,
    unix_offset: i64,
}

impl Reader {
    fn new(unix_offset: i64) -> Self {
        Self {
            table: Connections::new(Limits::default()),
            connections: Vec::new(),
            unix_offset,
        }
    }

    fn take(&mut self, out: Vec<StreamEvent>) {
        for event in out {
            if let StreamEvent::Open {
                info, mid_stream, ..
            } = &event
            {
                self.connections.push(Seen {
                    head: format!(
                        "{:?} {:?} {:?} {:?} mid={mid_stream}",
                        info.transport, info.local, info.remote, info.role
                    ),
                    ..Seen::default()
                });
                continue;
            }
            let seen = &mut self.connections[usize::try_from(event.id()).unwrap()];
            match event {
                StreamEvent::Data {
                    direction,
                    bytes,
                    time,
                    ..
                } => {
                    let text = if bytes.len() > 1_000 {
                        "x".repeat(bytes.len())
                    } else {
                        String::from_utf8_lossy(&bytes).into_owned()
                    };
                    seen.streams[direction.index()].push_str(&text);
                    let time = time.saturating_add_signed(self.unix_offset);
                    if seen.times.last() != Some(&time) {
                        seen.times.push(time);
                    }
                }
                StreamEvent::Gap { direction, len, .. } => {
                    // One behind the other are one.
                    let stream = &mut seen.streams[direction.index()];
                    let mut len = len.expect("its length is known");
                    if let Some(before) = stream.strip_suffix(']') {
                        let (rest, number) = before.rsplit_once('[').unwrap();
                        len += number.parse::<u64>().unwrap();
                        *stream = rest.to_owned();
                    }
                    stream.push_str(&format!("[{len}]"));
                }
                StreamEvent::Secured { mid_stream, .. } => {
                    seen.head.push_str(&format!(" secured mid={mid_stream}"));
                }
                StreamEvent::End { direction, .. } => {
                    seen.streams[direction.index()].push('$');
                }
                StreamEvent::Close { reason, .. } => {
                    seen.head.push_str(&format!(" {reason:?}"));
                }
                _ => {}
            }
        }
    }

    fn push(&mut self, events: impl IntoIterator<Item = SocketEvent>, watermark: u64) {
        let mut out = Vec::new();
        for event in events {
            self.table.push(event, &mut out);
        }
        self.table.tick(watermark, &mut out);
        self.take(out);
    }

    fn finish(mut self, watermark: u64) -> Vec<Seen> {
        let mut out = Vec::new();
        self.table.finish(watermark, &mut out);
        self.take(out);
        self.connections
    }
}

fn write(events: &[SocketEvent], file: &Path) {
    let mut writer = PcapngWriter::create(file, clock()).unwrap();
    writer.write(events).unwrap();
    writer.finish().unwrap();
}

fn read(file: &Path) -> Vec<Seen> {
    let mut source = open_any(file, Perspective::Server).unwrap();
    let mut reader = Reader::new(0);
    let mut events = Vec::new();
    while source.poll(Duration::ZERO, &mut events).unwrap() != Progress::End {
        reader.push(events.drain(..), source.watermark());
    }
    let warnings = source.warnings();
    assert!(warnings.is_empty(), "{warnings:?}");
    reader.finish(source.watermark())
}

fn process() -> SocketEvent {
    SocketEvent::Process(Arc::new(Process {
        pid: 7,
        started: 1,
        command: "server".to_owned(),
        executable: "/usr/bin/server".to_owned(),
        ..Process::default()
    }))
}

fn assert_round_trip(name: &str, events: Vec<SocketEvent>) -> Vec<Seen> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("packets.pcapng");
    let all: Vec<SocketEvent> = [vec![process()], events].concat();
    write(&all, &file);
    let mut direct = Reader::new(UNIX_OFFSET);
    direct.push(all, u64::MAX >> 1);
    let expected = direct.finish(u64::MAX >> 1);
    let found = read(&file);
    assert_eq!(found, expected, "{name}");
    let bytes = std::fs::read(&file).unwrap();
    let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    assert!(
        has(b"server (pid 7, /usr/bin/server)"),
        "{name}: no comment"
    );
    assert!(has(b"synthetic"), "{name}: it does not say what it is");
    found
}

fn exchange(script: Script) -> Script {
    script.received(b"GET /").sent(b"200 ").sent(b"OK")
}

#[test]
fn what_sockets_carried_is_the_same_when_it_is_read_back_from_packets() {
    let large = vec![b'x'; 200_000];
    let plain = |number| Script::new(number, |_| {});
    let cases: Vec<(&str, Vec<SocketEvent>)> = vec![
        (
            "plain",
            exchange(plain(1))
                .end(Direction::Received)
                .end(Direction::Sent)
                .close(CloseReason::Finished),
        ),
        (
            "seen at the client's end",
            Script::new(1, |open| open.role = Some(Role::Client))
                .sent(b"GET /")
                .received(b"200")
                .end(Direction::Sent)
                .end(Direction::Received)
                .close(CloseReason::Finished),
        ),
        (
            "IPv6, more than a packet holds",
            Script::new(1, |open| {
                open.local = Some("[2001:db8::1]:443".parse().unwrap());
                open.remote = Some("[2001:db8::2]:50000".parse().unwrap());
            })
            .received(b"GET /")
            .sent(&large)
            .end(Direction::Sent)
            .end(Direction::Received)
            .close(CloseReason::Finished),
        ),
        (
            "gaps of both directions, one larger than any window",
            plain(1)
                .data(Direction::Received, b"PUT /", 1_000)
                .data(Direction::Sent, b"200", 5 << 30)
                .received(b"GET /next")
                .sent(b"404")
                .end(Direction::Received)
                .end(Direction::Sent)
                .close(CloseReason::Finished),
        ),
        (
            "joined in the middle",
            Script::new(1, |open| {
                open.mid_stream = true;
                open.positions = [None, None];
                open.role = Some(Role::Server);
            })
            .received(b"GET /")
            .sent(b"200")
            .end(Direction::Received)
            .end(Direction::Sent)
            .close(CloseReason::Finished),
        ),
        ("reset", exchange(plain(1)).close(CloseReason::Reset)),
    ];
    for (name, events) in cases {
        let found = assert_round_trip(name, events);
        assert_eq!(found.len(), 1, "{name}");
    }
}

#[test]
fn both_ends_and_ports_used_again_are_connections_of_their_own() {
    let server = |number, remote: &str| {
        let remote = remote.parse().unwrap();
        Script::new(number, |open| open.remote = Some(remote))
    };
    let client = |number, local: &str| {
        let local = local.parse().unwrap();
        Script::new(number, |open| {
            open.role = Some(Role::Client);
            open.remote = open.local;
            open.local = Some(local);
        })
    };
    let ends = |script: Script| {
        script
            .end(Direction::Received)
            .end(Direction::Sent)
            .close(CloseReason::Finished)
    };
    let mut events = ends(exchange(server(1, "10.0.0.1:5")));
    events.extend(ends(
        client(2, "10.0.0.1:5").sent(b"GET /").received(b"200 OK"),
    ));
    // The same ports again.
    events.extend(ends(
        server(50, "10.0.0.1:5").received(b"GET /2").sent(b"2"),
    ));
    let found = assert_round_trip("both ends", events);
    assert_eq!(found.len(), 3);
}

#[test]
fn plaintext_of_tls_is_a_connection_that_is_known_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("packets.pcapng");
    let events = Script::new(1, |_| {})
        .received(b"\x16\x03\x01hello")
        .sent(b"\x16\x03\x03hello")
        .secured(false)
        .received(b"GET /secret")
        .sent(b"200")
        .end(Direction::Received)
        .end(Direction::Sent)
        .close(CloseReason::Finished);
    let joined = Script::new(2, |open| open.mid_stream = true)
        .secured(true)
        .received(b"GET /late")
        .sent(b"200")
        .end(Direction::Received)
        .end(Direction::Sent)
        .close(CloseReason::Finished);
    write(&[events, joined].concat(), &file);
    let found = read(&file);
    let plaintext: Vec<&Seen> = found
        .iter()
        .filter(|seen| seen.head.contains("secured"))
        .collect();
    let [whole, late] = plaintext.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(whole.streams, ["200$", "GET /secret$"]);
    assert!(whole.head.contains("mid=false secured mid=false"));
    assert_eq!(late.streams, ["200$", "GET /late$"]);
    assert!(late.head.contains("secured mid=true"), "{}", late.head);
    // The handshake is there too, as what it is.
    assert!(found.iter().any(|seen| seen.streams[1].contains("hello")));
}

#[test]
fn unix_sockets_have_made_up_addresses_that_are_not_taken_for_real_ones() {
    let unix = |number| {
        exchange(Script::new(number, |open| {
            open.transport = Transport::Unix;
            open.local = None;
            open.remote = None;
        }))
        .end(Direction::Received)
        .end(Direction::Sent)
        .close(CloseReason::Finished)
    };
    let found = assert_round_trip("unix", (1..400).flat_map(unix).collect());
    assert_eq!(found.len(), 399);
    assert!(found[0].head.starts_with("Unix None None"));
}

#[test]
fn the_file_is_its_owners_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("packets.pcapng");
    write(&[], &file);
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    assert!(PcapngWriter::create(&link, clock()).is_err());
}
