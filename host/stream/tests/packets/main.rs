//! From packet captures to streams. The captures are built here.

#[path = "../builder/mod.rs"]
mod builder;
mod ends;
mod files;
mod fragments;
mod segments;
mod tunnels;
mod wrapping;

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use builder::{
    ACK, Blocks, FIN, Packet, RST, SYN, Talk, classic, ethernet, ip, pcap, tcp, tcp_segment, udp,
};
use wirespan_capture::{CaptureError, Direction, Perspective, Progress, Role, open_any};
use wirespan_stream::{ConnectionInfo, Connections, Counters, Limits, StreamClose, StreamEvent};

/// What came out of a capture.
struct Outcome {
    connections: Vec<Connection>,
    warnings: Vec<String>,
    counters: Counters,
    /// Directions of data and gaps, in order: `>` to the server, `<` to the client.
    order: String,
    capture_id: u128,
}

struct Connection {
    info: ConnectionInfo,
    mid_stream: bool,
    request: String,
    response: String,
    close: Option<StreamClose>,
    first_time: u64,
}

impl Outcome {
    /// Both directions of the only connection.
    fn streams(&self) -> (&str, &str) {
        assert_eq!(self.connections.len(), 1, "one connection");
        (&self.connections[0].request, &self.connections[0].response)
    }
}

fn read(file: &[u8]) -> Outcome {
    read_from(file, Perspective::Server)
}

fn read_from(file: &[u8], perspective: Perspective) -> Outcome {
    let mut path = tempfile::NamedTempFile::new().unwrap();
    path.write_all(file).unwrap();
    let mut source = open_any(path.path(), perspective).unwrap();
    let mut table = Connections::new(Limits::default());
    let (mut events, mut out) = (Vec::new(), Vec::new());
    while source.poll(Duration::ZERO, &mut events).unwrap() != Progress::End {
        for event in events.drain(..) {
            table.push(event, &mut out);
        }
        table.tick(source.watermark(), &mut out);
    }
    table.finish(source.watermark(), &mut out);
    assert!(table.counters().is_balanced());
    let mut connections: Vec<Connection> = Vec::new();
    let mut order = String::new();
    let to_server = if perspective == Perspective::Server {
        Direction::Received
    } else {
        Direction::Sent
    };
    for event in out {
        if let StreamEvent::Open {
            info, mid_stream, ..
        } = &event
        {
            assert_eq!(info.id, connections.len() as u64);
            connections.push(Connection {
                info: (**info).clone(),
                mid_stream: *mid_stream,
                request: String::new(),
                response: String::new(),
                close: None,
                first_time: 0,
            });
        }
        let connection = &mut connections[event.id() as usize];
        let mut add = |direction: Direction, text: String| {
            let stream = if direction == to_server {
                &mut connection.request
            } else {
                &mut connection.response
            };
            stream.push_str(&text);
            order.push(if direction == to_server { '>' } else { '<' });
        };
        match event {
            StreamEvent::Data {
                direction,
                bytes,
                time,
                ..
            } => {
                add(direction, String::from_utf8_lossy(&bytes).into_owned());
                connection.first_time = connection.first_time.max(time);
            }
            StreamEvent::Gap {
                direction,
                len,
                cause,
                ..
            } => {
                add(
                    direction,
                    format!(
                        "[{} {cause:?}]",
                        len.map_or("?".to_owned(), |len| len.to_string())
                    ),
                );
            }
            StreamEvent::End { direction, .. } => {
                let stream = if direction == to_server {
                    &mut connection.request
                } else {
                    &mut connection.response
                };
                stream.push('$');
            }
            StreamEvent::Close { reason, .. } => connection.close = Some(reason),
            _ => {}
        }
    }
    Outcome {
        connections,
        warnings: source.warnings(),
        counters: *table.counters(),
        order,
        capture_id: source.clock().capture_id,
    }
}

/// As a raw IP capture.
fn raw(talk: &Talk) -> Outcome {
    read(&pcap(101, &talk.packets))
}

fn exchange() -> Talk {
    let mut talk = Talk::new(1_000, 9_000);
    talk.handshake()
        .request(b"GET /")
        .response(b"200 ")
        .response(b"OK")
        .close();
    talk
}

#[test]
fn an_exchange_is_two_streams_seen_from_the_servers_end() {
    let outcome = raw(&exchange());
    assert_eq!(outcome.streams(), ("GET /$", "200 OK$"));
    let connection = &outcome.connections[0];
    assert_eq!(connection.info.role, Some(Role::Server));
    assert_eq!(connection.info.local, Some("10.0.0.2:80".parse().unwrap()));
    assert_eq!(connection.info.opened, 1_700_000_000_001_000_000);
    assert_eq!(connection.close, Some(StreamClose::Finished));
    assert!(!connection.mid_stream);
    assert!(outcome.warnings.is_empty(), "{:?}", outcome.warnings);
    let client = read_from(&pcap(101, &exchange().packets), Perspective::Client);
    assert_eq!(client.streams(), ("GET /$", "200 OK$"));
    assert_eq!(client.connections[0].info.role, Some(Role::Client));
    assert_eq!(
        client.connections[0].info.local,
        Some("10.0.0.1:40000".parse().unwrap())
    );
    assert_eq!(
        client.capture_id, outcome.capture_id,
        "the identity is that of the content"
    );
}

/// A packet between the ends of a tunnel.
fn outer(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(&ip(
        "192.0.2.1".parse().unwrap(),
        "192.0.2.2".parse().unwrap(),
        protocol,
        payload,
    ))
}
