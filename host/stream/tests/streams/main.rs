//! What goes in cut, shuffled and doubled comes out as the same streams; what does not go in comes
//! out as a gap of exact length.

mod bounds;
mod cuts;
mod ends;
mod holes;
mod openings;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wirespan_capture::{
    Close, CloseReason, Confirmed, ConnectionKey, Data, Direction, End, Executed, Held, Layer,
    Missing, Nanos, Open, Process, ProcessKey, Role, Secured, SocketEvent, Transport,
};
use wirespan_stream::{ConnectionInfo, Connections, GapCause, Limits, StreamClose, StreamEvent};

const KEY: ConnectionKey = ConnectionKey {
    socket: 1,
    generation: 1,
};

const MILLISECOND: Nanos = 1_000_000;

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn open_at(key: ConnectionKey, time: Nanos, positions: [Option<u64>; 2]) -> SocketEvent {
    SocketEvent::Open(Box::new(Open {
        key,
        time,
        transport: Transport::Tcp,
        local: Some(address(80)),
        remote: Some(address(40_000)),
        role: Some(Role::Server),
        positions,
        mid_stream: positions.contains(&None),
        process: None,
        cgroup_id: 0,
        network_namespace: 0,
    }))
}

fn open() -> SocketEvent {
    open_at(KEY, 0, [Some(0), Some(0)])
}

fn data(direction: Direction, position: u64, bytes: &[u8], time: Nanos) -> SocketEvent {
    SocketEvent::Data(Data {
        key: KEY,
        direction,
        layer: Layer::Socket,
        position,
        len: bytes.len() as u64,
        bytes: Bytes::copy_from_slice(bytes),
        entry: time,
        exit: time,
        missing: Missing::Unwanted,
    })
}

fn plaintext(direction: Direction, position: u64, bytes: &[u8], time: Nanos) -> SocketEvent {
    let SocketEvent::Data(mut event) = data(direction, position, bytes, time) else {
        unreachable!()
    };
    event.layer = Layer::Plaintext;
    SocketEvent::Data(event)
}

fn shortened(
    direction: Direction,
    position: u64,
    bytes: &[u8],
    len: u64,
    missing: Missing,
    time: Nanos,
) -> SocketEvent {
    let SocketEvent::Data(mut event) = data(direction, position, bytes, time) else {
        unreachable!()
    };
    event.len = len;
    event.missing = missing;
    SocketEvent::Data(event)
}

fn confirmed(direction: Direction, position: u64, time: Nanos) -> SocketEvent {
    SocketEvent::Confirmed(Confirmed {
        key: KEY,
        direction,
        position,
        time,
    })
}

fn close(time: Nanos, positions: [Option<u64>; 2]) -> SocketEvent {
    SocketEvent::Close(Close {
        key: KEY,
        time,
        reason: CloseReason::Finished,
        positions,
    })
}

/// A table, and what came out of it; checks on the way what always holds.
#[derive(Default)]
struct Table {
    connections: Connections,
    out: Vec<StreamEvent>,
}

impl Table {
    fn with(limits: Limits) -> Self {
        Self {
            connections: Connections::new(limits),
            out: Vec::new(),
        }
    }

    fn push(&mut self, event: SocketEvent) -> &mut Self {
        self.connections.push(event, &mut self.out);
        self.assert_books();
        self
    }

    fn tick(&mut self, time: Nanos) -> &mut Self {
        self.connections.tick(time, &mut self.out);
        self.assert_books();
        self
    }

    fn finish(&mut self, time: Nanos) -> &mut Self {
        self.connections.finish(time, &mut self.out);
        let counters = self.connections.counters();
        assert_eq!(
            (counters.held, counters.held_cost),
            (0, 0),
            "memory is given back"
        );
        self.assert_books();
        self
    }

    /// Of all connections together, and of each that has ended.
    fn assert_books(&self) {
        let counters = self.connections.counters();
        assert!(counters.is_balanced(), "{counters:?}");
        assert_eq!(counters.balanced, counters.closed, "{counters:?}");
    }

    /// One direction as text, `[n cause]` for gaps; every position continues the one before.
    fn stream(&self, direction: Direction) -> String {
        let mut text = String::new();
        let mut next = None;
        let mut last = 0;
        for event in &self.out {
            match event {
                StreamEvent::Open { positions, .. } => next = positions[direction.index()],
                StreamEvent::Secured { positions, .. } => {
                    next = Some(positions[direction.index()]);
                    text.push('|');
                }
                StreamEvent::Data {
                    direction: d,
                    position,
                    bytes,
                    time,
                    ..
                } if *d == direction => {
                    assert!(
                        next.is_none_or(|next| next == *position),
                        "{next:?} {event:?}"
                    );
                    assert!(*time >= last, "time goes back: {event:?}");
                    last = *time;
                    next = Some(position + bytes.len() as u64);
                    text.push_str(&String::from_utf8_lossy(bytes));
                }
                StreamEvent::Gap {
                    direction: d,
                    position,
                    len,
                    cause,
                    ..
                } if *d == direction => {
                    assert!(
                        next.is_none_or(|next| next == *position),
                        "{next:?} {event:?}"
                    );
                    next = len.map(|len| position + len);
                    match len {
                        Some(len) => text.push_str(&format!("[{len} {cause:?}]")),
                        None => text.push_str(&format!("[? {cause:?}]")),
                    }
                }
                StreamEvent::End {
                    direction: d,
                    position,
                    ..
                } if *d == direction => {
                    assert!(
                        next.is_none_or(|next| next == *position),
                        "{next:?} {event:?}"
                    );
                    text.push('$');
                }
                _ => {}
            }
        }
        text
    }

    fn order(&self) -> String {
        let mut text = String::new();
        for event in &self.out {
            match event {
                StreamEvent::Open { .. } => text.push('O'),
                StreamEvent::Data {
                    direction: Direction::Sent,
                    ..
                } => text.push('s'),
                StreamEvent::Data {
                    direction: Direction::Received,
                    ..
                } => text.push('r'),
                StreamEvent::Gap { .. } => text.push('g'),
                StreamEvent::Executed { .. } => text.push('E'),
                StreamEvent::Secured { .. } => text.push('S'),
                StreamEvent::End { .. } => text.push('$'),
                StreamEvent::Close { .. } => text.push('C'),
            }
        }
        text
    }
}

/// xorshift: a test must give the same result each time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

fn text(len: usize) -> Vec<u8> {
    (0..len).map(|n| b'a' + (n * 7 % 26) as u8).collect()
}

#[test]
fn a_forgotten_connection_comes_back_as_joined_mid_stream_with_its_addresses() {
    let mut table = Table::with(Limits {
        idle: Duration::from_secs(60),
        connections: 4,
        ..Limits::default()
    });
    let idle = |time| data(Direction::Sent, 10, b"again", time);
    // By idling, and by others that need its place.
    for round in 0..2 {
        let begin = round * 1_000_000 * MILLISECOND;
        if round == 0 {
            table.push(open());
            table.tick(begin + 70_000 * MILLISECOND);
        } else {
            for socket in 2..8 {
                let key = ConnectionKey {
                    socket,
                    generation: 0,
                };
                table.push(open_at(key, begin, [Some(0), Some(0)]));
            }
        }
        table.out.clear();
        table.push(idle(begin + 80_000 * MILLISECOND));
        let [.., opened, bytes] = &table.out[..] else {
            panic!("{:?}", table.out)
        };
        let StreamEvent::Open {
            info,
            positions: [None, None],
            mid_stream: true,
        } = opened
        else {
            panic!("{opened:?}")
        };
        assert_eq!(info.key, KEY);
        assert_eq!(
            (info.local, info.remote),
            (Some(address(80)), Some(address(40_000)))
        );
        assert!(
            matches!(bytes, StreamEvent::Data { position: 10, id, .. } if *id == info.id),
            "{bytes:?}"
        );
    }
    let counters = table.connections.counters();
    assert_eq!(counters.anonymous, 0);
    // Its end is its end: what comes after that is nobody's.
    table.push(close(2_000_000 * MILLISECOND, [None, None]));
    table.out.clear();
    table.push(idle(2_000_001 * MILLISECOND));
    assert!(table.out.is_empty(), "{:?}", table.out);
}

#[test]
fn a_receive_older_than_what_was_sent_is_flagged() {
    let mut table = Table::default();
    table.push(open());
    table.push(data(Direction::Sent, 0, b"answer", 10));
    table.push(data(Direction::Received, 0, b"request", 5));
    let flags: Vec<bool> = table
        .out
        .iter()
        .filter_map(|event| match event {
            StreamEvent::Data {
                order_uncertain, ..
            } => Some(*order_uncertain),
            _ => None,
        })
        .collect();
    assert_eq!(flags, [false, true]);
}
