//! What goes in cut, shuffled and doubled comes out as the same streams; what does not go in comes
//! out as a gap of exact length.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wirespan_capture::{
    Close, CloseReason, Confirmed, ConnectionKey, Data, Direction, End, Layer, Missing, Nanos,
    Open, Process, ProcessKey, Role, Secured, SocketEvent, Transport,
};
use wirespan_stream::{Connections, GapCause, Limits, StreamClose, StreamEvent};

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
        assert!(
            self.connections.counters().is_balanced(),
            "{:?}",
            self.connections.counters()
        );
        self
    }

    fn tick(&mut self, time: Nanos) -> &mut Self {
        self.connections.tick(time, &mut self.out);
        assert!(
            self.connections.counters().is_balanced(),
            "{:?}",
            self.connections.counters()
        );
        self
    }

    fn finish(&mut self, time: Nanos) -> &mut Self {
        self.connections.finish(time, &mut self.out);
        let counters = self.connections.counters();
        assert!(counters.is_balanced(), "{counters:?}");
        assert_eq!(
            (counters.held, counters.held_cost),
            (0, 0),
            "memory is given back"
        );
        self
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

/// Pieces of both streams: cut anywhere, overlapping backwards now and then.
fn pieces(random: &mut Random, streams: [&[u8]; 2]) -> Vec<(Direction, usize, usize)> {
    let mut pieces = Vec::new();
    for (direction, stream) in Direction::BOTH.into_iter().zip(streams) {
        let mut position = 0;
        while position < stream.len() {
            let end = (position + 1 + random.below(40)).min(stream.len());
            let start = if random.below(4) == 0 {
                position.saturating_sub(random.below(30))
            } else {
                position
            };
            pieces.push((direction, start, end));
            if random.below(5) == 0 {
                pieces.push((direction, start, end));
            }
            position = end;
        }
    }
    for n in (1..pieces.len()).rev() {
        let near = n.saturating_sub(random.below(8));
        pieces.swap(n, near);
    }
    pieces
}

#[test]
fn any_cut_reordering_and_duplication_gives_the_same_streams() {
    for packets in [false, true] {
        for seed in 1..400 {
            let mut random = Random(seed);
            let streams = [text(random.below(900)), text(random.below(900))];
            let mut table = Table::default();
            table.push(open());
            let mut time = 0;
            for (direction, start, end) in pieces(&mut random, [&streams[0], &streams[1]]) {
                time += 1 + random.below(1000) as u64;
                if packets && start > 0 && random.below(3) == 0 {
                    // Acknowledged before the capture shows it.
                    table.push(confirmed(direction, end as u64, time));
                }
                table.push(data(
                    direction,
                    start as u64,
                    &streams[direction.index()][start..end],
                    time,
                ));
                table.tick(time.saturating_sub(100_000));
            }
            let positions = [Some(streams[0].len() as u64), Some(streams[1].len() as u64)];
            table.push(close(time, positions)).finish(time);
            for direction in Direction::BOTH {
                let expected = String::from_utf8(streams[direction.index()].clone()).unwrap();
                assert_eq!(
                    table.stream(direction),
                    expected,
                    "seed {seed} packets {packets}"
                );
            }
            assert_eq!(table.connections.counters().gaps.total(), 0);
        }
    }
}

#[test]
fn dropped_pieces_are_gaps_of_exactly_what_is_missing() {
    for packets in [false, true] {
        for seed in 1..400 {
            let mut random = Random(seed);
            let stream = text(50 + random.below(900));
            let mut there = vec![false; stream.len()];
            let mut table = Table::default();
            table.push(open());
            let mut time = 0;
            for (_, start, end) in pieces(&mut random, [&stream, &[]]) {
                time += 1;
                if random.below(4) > 0 {
                    there[start..end].fill(true);
                    table.push(data(
                        Direction::Sent,
                        start as u64,
                        &stream[start..end],
                        time,
                    ));
                }
            }
            if packets {
                table.push(confirmed(Direction::Sent, stream.len() as u64, time));
                table.tick(time + 1000 * MILLISECOND);
            } else {
                table.tick(time + 20 * MILLISECOND);
            }
            table.push(close(time, [Some(stream.len() as u64), Some(0)]));
            table.tick(time + 20 * MILLISECOND);
            let cause = if packets {
                GapCause::Packet
            } else {
                GapCause::Unknown
            };
            let mut expected = String::new();
            for run in there
                .iter()
                .zip(&stream)
                .collect::<Vec<_>>()
                .chunk_by(|a, b| a.0 == b.0)
            {
                if *run[0].0 {
                    expected.extend(run.iter().map(|(_, byte)| char::from(**byte)));
                } else {
                    expected.push_str(&format!("[{} {cause:?}]", run.len()));
                }
            }
            // Gaps that touch may come in parts.
            assert_eq!(
                merged(&table.stream(Direction::Sent)),
                expected,
                "seed {seed} packets {packets}"
            );
        }
    }
}

/// `[2 X][3 X]` as `[5 X]`.
fn merged(text: &str) -> String {
    let mut merged = text.to_owned();
    while let Some(middle) = merged.find("][") {
        let left = merged[..middle].rfind('[').unwrap();
        let right = middle + merged[middle..].find("]").unwrap() + 1;
        let end = right + merged[right..].find(']').unwrap() + 1;
        let number = |part: &str| {
            part.trim_matches(['[', ']'])
                .split(' ')
                .next()
                .unwrap()
                .parse::<u64>()
                .unwrap()
        };
        let sum = number(&merged[left..=middle]) + number(&merged[right..end]);
        let cause = merged[left..middle].split(' ').nth(1).unwrap().to_owned();
        merged.replace_range(left..end, &format!("[{sum} {cause}]"));
    }
    merged
}

#[test]
fn what_was_not_copied_is_a_gap_behind_what_was() {
    let mut table = Table::default();
    table.push(open());
    table.push(shortened(
        Direction::Received,
        0,
        b"abc",
        10,
        Missing::Limit,
        1,
    ));
    table.push(shortened(
        Direction::Received,
        10,
        b"",
        5,
        Missing::Unobserved,
        2,
    ));
    table.push(data(Direction::Received, 15, b"xyz", 3));
    assert_eq!(
        table.stream(Direction::Received),
        "abc[7 Limit][5 Unobserved]xyz"
    );
}

#[test]
fn a_second_copy_with_more_bytes_fills_what_the_first_did_not_have_while_it_waits() {
    let mut table = Table::default();
    table.push(open());
    table.push(shortened(
        Direction::Received,
        5,
        b"fg",
        5,
        Missing::Limit,
        1,
    ));
    table.push(data(Direction::Received, 5, b"fghij", 2));
    table.push(data(Direction::Received, 0, b"abcde", 3));
    assert_eq!(table.stream(Direction::Received), "abcdefghij");
}

#[test]
fn the_first_copy_wins_and_a_contradiction_is_counted() {
    let mut table = Table::default();
    table.push(open());
    table.push(data(Direction::Received, 5, b"fghij", 1));
    table.push(data(Direction::Received, 3, b"deXXh", 2));
    table.push(data(Direction::Received, 0, b"abc", 3));
    assert_eq!(table.stream(Direction::Received), "abcdefghij");
    assert_eq!(table.connections.counters().contradictory, 3);
}

#[test]
fn a_hole_becomes_a_gap_only_after_the_watermark_has_passed_what_is_behind_it() {
    let mut table = Table::default();
    table.push(open());
    table.push(data(Direction::Received, 5, b"world", 100 * MILLISECOND));
    table.tick(105 * MILLISECOND);
    assert_eq!(table.stream(Direction::Received), "");
    table.tick(111 * MILLISECOND);
    assert_eq!(table.stream(Direction::Received), "[5 Unknown]world");
    table.push(data(Direction::Received, 0, b"hello", 90 * MILLISECOND));
    assert_eq!(table.stream(Direction::Received), "[5 Unknown]world");
    assert_eq!(table.connections.counters().duplicates, 5);
}

#[test]
fn the_other_direction_waits_while_one_has_a_hole() {
    // It is filled.
    let mut table = Table::default();
    table.push(open());
    table.push(data(Direction::Received, 5, b"world", 1));
    table.push(data(Direction::Sent, 0, b"answer", 2));
    assert_eq!(table.order(), "O");
    table.push(data(Direction::Received, 0, b"hello", 1));
    assert_eq!(table.order(), "Orrs");
    // It is not.
    let mut table = Table::default();
    table.push(open());
    table.push(data(Direction::Received, 5, b"world", 1));
    table.push(data(Direction::Sent, 0, b"answer", 2));
    table.push(data(Direction::Received, 10, b"!", 3));
    table.tick(11 * MILLISECOND);
    assert_eq!(table.order(), "Ogrsr");
}

#[test]
fn an_answer_waits_while_it_is_open_whether_the_acknowledged_request_was_captured() {
    // The segment comes after its acknowledgement.
    let mut table = Table::default();
    table.push(open());
    table.push(confirmed(Direction::Received, 0, 0));
    table.push(confirmed(Direction::Received, 7, 1));
    table.push(data(Direction::Sent, 0, b"answer", 2));
    assert_eq!(table.order(), "O");
    table.push(data(Direction::Received, 0, b"request", 3));
    assert_eq!(table.order(), "Ors");
    // It never comes.
    let mut table = Table::default();
    table.push(open());
    table.push(confirmed(Direction::Received, 7, 1));
    table.push(data(Direction::Sent, 0, b"answer", 2));
    table.push(data(Direction::Received, 7, b"next", 60 * MILLISECOND));
    assert_eq!(table.order(), "Ogsr");
    assert_eq!(table.stream(Direction::Received), "[7 Packet]next");
}

#[test]
fn an_unacknowledged_hole_in_packets_waits_for_the_retransmission() {
    let mut table = Table::default();
    table.push(open());
    table.push(confirmed(Direction::Received, 0, 0));
    table.push(data(Direction::Received, 5, b"world", 1));
    table.tick(3_000 * MILLISECOND);
    table.push(data(Direction::Received, 0, b"hello", 3_000 * MILLISECOND));
    assert_eq!(table.stream(Direction::Received), "helloworld");
}

#[test]
fn positions_that_are_unknown_at_the_opening_come_with_the_first_data() {
    let mut table = Table::default();
    table.push(open_at(KEY, 0, [None, None]));
    table.push(data(Direction::Sent, 1_000, b"abc", 1));
    table.push(data(Direction::Sent, 1_003, b"def", 2));
    assert_eq!(table.stream(Direction::Sent), "abcdef");
}

#[test]
fn the_end_is_reported_when_the_stream_is_there() {
    let mut table = Table::default();
    table.push(open());
    let end = End {
        key: KEY,
        direction: Direction::Received,
        time: 2,
        position: Some(10),
    };
    table.push(data(Direction::Received, 5, b"world", 1));
    table.push(SocketEvent::End(end));
    assert_eq!(table.order(), "O");
    table.push(data(Direction::Received, 0, b"hello", 3));
    assert_eq!(table.stream(Direction::Received), "helloworld$");
}

#[test]
fn the_close_tells_what_was_missed_last() {
    let mut table = Table::default();
    table.push(open());
    table.push(data(Direction::Received, 0, b"hello", 1));
    table.push(close(2, [Some(0), Some(9)]));
    assert_eq!(table.order(), "Or", "a straggler may still come");
    table.tick(20 * MILLISECOND);
    assert_eq!(table.stream(Direction::Received), "hello[4 Unknown]");
    assert_eq!(table.order(), "OrgC");
    assert!(table.connections.is_empty());
}

/// The source can say that it has not seen everything: an answer that is not here may have come.
#[test]
fn a_connection_that_is_cut_off_may_have_had_more() {
    let mut table = Table::default();
    table.push(open());
    table.push(data(Direction::Received, 0, b"hello", 1));
    table.push(SocketEvent::Close(Close {
        key: KEY,
        time: 2,
        reason: CloseReason::CutOff,
        positions: [Some(0), Some(5)],
    }));
    table.tick(20 * MILLISECOND);
    assert_eq!(table.stream(Direction::Received), "hello[? Unknown]");
    assert_eq!(table.stream(Direction::Sent), "[? Unknown]");
    assert_eq!(table.order(), "OrggC");
}

#[test]
fn a_straggler_before_the_patience_ends_completes_a_closed_connection() {
    let mut table = Table::default();
    table.push(open());
    table.push(close(2, [Some(0), Some(5)]));
    table.push(data(Direction::Received, 0, b"hello", 1));
    table.tick(20 * MILLISECOND);
    assert_eq!(table.stream(Direction::Received), "hello");
    table.push(data(Direction::Received, 5, b"late", 1));
    assert_eq!(table.connections.counters().stray, 4);
    assert!(
        table.connections.is_empty(),
        "a straggler does not open a connection again"
    );
}

#[test]
fn plaintext_replaces_ciphertext() {
    let mut table = Table::default();
    table.push(open());
    table.push(data(Direction::Received, 0, b"~~~~", 1));
    let secured = Secured {
        key: KEY,
        time: 2,
        positions: [0, 0],
        mid_stream: false,
    };
    table.push(SocketEvent::Secured(secured));
    table.push(plaintext(Direction::Received, 0, b"GET", 3));
    table.push(data(Direction::Received, 4, b"~~~~", 3));
    table.push(plaintext(Direction::Received, 5, b"x", 4));
    table.push(close(5, [Some(0), Some(8)]));
    table.tick(20 * MILLISECOND);
    assert_eq!(table.stream(Direction::Received), "~~~~|GET[2 Unknown]x");
    assert_eq!(table.connections.counters().ciphertext, 4);
}

#[test]
fn plaintext_waits_for_the_event_that_announces_it() {
    let mut table = Table::default();
    table.push(open());
    table.push(plaintext(Direction::Received, 0, b"GET", 1));
    assert_eq!(table.order(), "O");
    let secured = Secured {
        key: KEY,
        time: 2,
        positions: [0, 0],
        mid_stream: false,
    };
    table.push(SocketEvent::Secured(secured));
    assert_eq!(table.order(), "OSr");
    // And without it is joined where it was first seen.
    let mut table = Table::default();
    table.push(open());
    table.push(plaintext(Direction::Received, 7, b"GET", 1));
    table.tick(20 * MILLISECOND);
    table.push(plaintext(Direction::Sent, 900, b"200", 21 * MILLISECOND));
    assert_eq!(table.order(), "OSrgs");
    assert!(table.out.iter().any(|event| matches!(
        event,
        StreamEvent::Secured {
            mid_stream: true,
            ..
        }
    )));
}

#[test]
fn data_waits_for_its_opening_and_goes_on_without_a_name_when_that_is_lost() {
    let mut table = Table::default();
    table.push(data(Direction::Received, 3, b"lo", 2));
    table.push(data(Direction::Received, 0, b"hel", 1));
    table.push(open());
    assert_eq!(table.stream(Direction::Received), "hello");
    assert_eq!(table.connections.counters().anonymous, 0);

    let mut table = Table::default();
    table.push(data(Direction::Received, 100, b"hello", 1));
    table.tick(20 * MILLISECOND);
    assert_eq!(table.stream(Direction::Received), "hello");
    let StreamEvent::Open {
        info, mid_stream, ..
    } = &table.out[0]
    else {
        panic!("{:?}", table.out)
    };
    assert!(*mid_stream && info.local.is_none() && info.role.is_none());
    assert_eq!(table.connections.counters().anonymous, 1);
}

#[test]
fn a_connection_knows_the_process_that_was_described_before_it() {
    let mut table = Table::default();
    let process = Process {
        pid: 7,
        started: 70,
        command: "nginx".into(),
        ..Process::default()
    };
    table.push(SocketEvent::Process(Arc::new(process)));
    let SocketEvent::Open(mut event) = open() else {
        unreachable!()
    };
    event.process = Some(ProcessKey {
        pid: 7,
        started: 70,
    });
    table.push(SocketEvent::Open(event));
    let StreamEvent::Open { info, .. } = &table.out[0] else {
        panic!()
    };
    assert_eq!(info.process.as_ref().unwrap().command, "nginx");
}

#[test]
fn more_connections_than_the_limit_forget_the_least_recently_used() {
    let mut table = Table::with(Limits {
        connections: 8,
        ..Limits::default()
    });
    for socket in 0..100 {
        table.push(open_at(
            ConnectionKey {
                socket,
                generation: 0,
            },
            socket,
            [Some(0), Some(0)],
        ));
        assert!(table.connections.len() <= 8);
    }
    let evicted = |event: &&StreamEvent| {
        matches!(
            event,
            StreamEvent::Close {
                reason: StreamClose::Evicted,
                ..
            }
        )
    };
    assert_eq!(table.out.iter().filter(evicted).count(), 92);
    assert_eq!(table.connections.counters().evicted, 92);
    table.finish(1_000);
    assert_eq!(table.connections.counters().closed, 100);
}

#[test]
fn an_idle_connection_is_forgotten() {
    let mut table = Table::with(Limits {
        idle: Duration::from_secs(60),
        ..Limits::default()
    });
    table.push(open());
    table.tick(59_000 * MILLISECOND);
    assert_eq!(table.connections.len(), 1);
    table.tick(70_000 * MILLISECOND);
    assert!(table.connections.is_empty());
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
fn what_is_held_back_is_bounded() {
    let limits = Limits {
        held_per_direction: 4_096,
        held_total: 10_000,
        ..Limits::default()
    };
    let mut table = Table::with(limits);
    for socket in 0..10 {
        let key = ConnectionKey {
            socket,
            generation: 0,
        };
        table.push(open_at(key, 0, [Some(0), Some(0)]));
        for n in 0..200_u64 {
            let SocketEvent::Data(mut event) = data(Direction::Sent, 10 + n * 2, b"x", n) else {
                unreachable!()
            };
            event.key = key;
            table.push(SocketEvent::Data(event));
            assert!(table.connections.counters().held_cost <= 10_000 + 256);
        }
    }
    assert!(table.connections.counters().impatient > 0);
    table.finish(1_000);
    assert!(table.connections.counters().gaps.limit > 0);
}

#[test]
fn impossible_positions_and_lengths_do_no_harm() {
    let mut table = Table::default();
    table.push(open());
    for position in [u64::MAX, u64::MAX - 1, 1 << 63, 3] {
        for len in [0, 1, 5, u64::MAX] {
            for bytes in [b"".as_slice(), b"abc"] {
                table.push(shortened(
                    Direction::Sent,
                    position,
                    bytes,
                    len,
                    Missing::Ring,
                    5,
                ));
            }
        }
        table.push(confirmed(Direction::Sent, position, u64::MAX));
        table.push(SocketEvent::End(End {
            key: KEY,
            direction: Direction::Sent,
            time: 0,
            position: Some(position),
        }));
    }
    table.tick(u64::MAX);
    table.push(close(0, [Some(u64::MAX), Some(u64::MAX)]));
    table.connections.finish(0, &mut table.out);
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

#[test]
fn a_direction_of_unknown_position_that_had_to_wait_begins_with_what_waited() {
    for finished in [false, true] {
        let mut table = Table::default();
        table.push(open_at(KEY, 0, [None, Some(0)]));
        table.push(confirmed(Direction::Received, 7, 1));
        table.push(data(Direction::Sent, 500, b"answer", 2));
        assert_eq!(table.order(), "O");
        if finished {
            table.finish(3);
            assert_eq!(table.order(), "OgsC");
        } else {
            table.push(data(Direction::Received, 0, b"request", 3));
            assert_eq!(table.order(), "Ors");
        }
        assert_eq!(table.stream(Direction::Sent), "answer");
    }
}

#[test]
fn a_connection_that_was_at_rest_goes_on_as_if_it_had_not_been() {
    const LONG: Nanos = 10_000 * MILLISECOND;
    let end = SocketEvent::End(End {
        key: KEY,
        direction: Direction::Received,
        position: Some(13),
        time: 8 * LONG,
    });
    let close = SocketEvent::Close(Close {
        key: KEY,
        time: 9 * LONG,
        reason: CloseReason::Finished,
        positions: [Some(9), Some(13)],
    });
    let events = [
        open(),
        data(Direction::Received, 0, b"one", LONG),
        data(Direction::Sent, 0, b"two", 2 * LONG),
        data(Direction::Received, 3, b"three", 3 * LONG),
        // Three bytes are missing in between.
        data(Direction::Sent, 6, b"six", 4 * LONG),
        data(Direction::Received, 8, b"eight", 5 * LONG),
        end,
        data(Direction::Received, 13, b"stray", 8 * LONG + 1),
        close,
    ];
    let run = |rests: bool| {
        let (mut connections, mut out) = (Connections::default(), Vec::new());
        for (event, time) in events.iter().zip((0..).map(|turn| turn * LONG)) {
            connections.push(event.clone(), &mut out);
            // Patience is over in both; time to rest only in one.
            let until = if rests { LONG } else { 20 * MILLISECOND };
            connections.tick(time + until / 2, &mut out);
            connections.tick(time + until - 1, &mut out);
        }
        assert!(connections.is_empty());
        (format!("{out:?}"), format!("{:?}", connections.counters()))
    };
    assert_eq!(run(true), run(false));
}
