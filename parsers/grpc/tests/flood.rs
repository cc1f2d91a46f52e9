//! Floods, at the size that attacks have.

#[expect(dead_code, reason = "this file uses a part")]
mod wire;

use wire::{END_HEADERS, PREFACE, Peer, frame, reset, settings};
use wirespan_parser_grpc::Http2;
use wirespan_sdk::Side;
use wirespan_sdk::bindings::wirespan::parser::types::{Ask, Cause, Event, EventKind, Output};
use wirespan_sdk::driver::Driver;

/// A connection to which bytes are presented as they come, so that a flood need not be kept.
struct Connection {
    driver: Driver<Http2>,
    positions: [u64; 2],
    time: u64,
    spans: usize,
    reason: Option<String>,
}

impl Connection {
    fn begun() -> Self {
        let mut connection = Self {
            driver: Driver::default(),
            positions: [0; 2],
            time: 1,
            spans: 0,
            reason: None,
        };
        connection.event(EventKind::Open, Side::Server, &[]);
        connection.data(Side::Client, &[PREFACE, &settings(&[])].concat());
        connection.data(Side::Server, &settings(&[]));
        connection
    }

    fn data(&mut self, side: Side, bytes: &[u8]) {
        self.event(EventKind::Data, side, bytes);
    }

    fn event(&mut self, kind: EventKind, side: Side, bytes: &[u8]) {
        let position = &mut self.positions[usize::from(side == Side::Server)];
        self.time += 1000;
        let event = Event {
            conn: 1,
            time: self.time,
            position: *position,
            len: bytes.len() as u64,
            offset: 0,
            kind,
            side,
            cause: Cause::None,
        };
        *position += bytes.len() as u64;
        let mut output = self.driver.process(vec![event], Vec::new(), bytes.to_vec());
        self.take(&output);
        while output.more {
            output = self.driver.process(Vec::new(), Vec::new(), Vec::new());
            self.take(&output);
        }
    }

    fn take(&mut self, output: &Output) {
        self.spans += output.spans.len();
        for request in output.requests.iter().filter(|r| r.ask == Ask::Ignore) {
            let from = request.text.start as usize;
            let reason = &output.text[from..from + request.text.len as usize];
            self.reason = Some(String::from_utf8(reason.to_vec()).unwrap());
        }
    }
}

/// 100,000 frames without END_HEADERS: given up, with a reason that is counted, and nothing kept.
#[test]
fn a_header_block_without_end_is_given_up() {
    let mut connection = Connection::begun();
    connection.data(Side::Client, &frame(1, 0, 1, b"\x82"));
    let mut given_up = None;
    for n in 0..100_000 {
        connection.data(Side::Client, &frame(9, 0, 1, b"\x84\x86"));
        if connection.reason.is_some() && given_up.is_none() {
            given_up = Some(n);
        }
    }
    assert_eq!(
        connection.reason.as_deref(),
        Some("header block without end")
    );
    assert_eq!(given_up, Some(256));
    assert_eq!(connection.driver.connections(), 0);
}

/// A million streams, each reset at once: those before the limit are spans, then it is given up.
#[test]
fn rapid_resets_are_given_up() {
    let mut peer = Peer::default();
    let mut connection = Connection::begun();
    for batch in 0..1000u32 {
        let mut bytes = Vec::new();
        for n in 0..1000 {
            let stream = 1 + 2 * (1000 * batch + n);
            bytes.extend(peer.get(stream, "/"));
            bytes.extend(reset(stream, 8));
        }
        connection.data(Side::Client, &bytes);
    }
    assert_eq!(connection.reason.as_deref(), Some("rapid reset"));
    assert_eq!(connection.spans, 1001);
    assert_eq!(connection.driver.connections(), 0);
}

/// Calls that the client gives up after their deadline are no flood, however many they are: each
/// is a span, and none is kept.
#[test]
fn deadlines_are_no_flood() {
    let mut peer = Peer::default();
    let mut connection = Connection::begun();
    for n in 0..5000 {
        let stream = 1 + 2 * n;
        connection.data(Side::Client, &peer.call(stream, "/s.S/Slow"));
        connection.time += 50_000_000;
        connection.data(Side::Client, &reset(stream, 8));
    }
    assert_eq!((connection.reason, connection.spans), (None, 5000));
}

/// Table sizes that are announced again and again, and a block that inserts without end, keep no
/// more than the table's limit.
#[test]
fn a_table_that_grows_is_bounded() {
    let mut connection = Connection::begun();
    connection.data(Side::Server, &settings(&[(1, u32::MAX)]));
    let mut block = vec![
        0x3f, 0xe1, 0xff, 0xff, 0x7f, 0x20, 0x3f, 0xe1, 0xff, 0xff, 0x7f,
    ];
    for n in 0..400u32 {
        // A path of 100 bytes, put into the table.
        block.extend([0x44, 100]);
        block.extend(format!("/{n:099}").bytes());
    }
    for n in 0..200 {
        let mut bytes = Vec::new();
        let parts: Vec<&[u8]> = block.chunks(16_000).collect();
        for (index, part) in parts.iter().enumerate() {
            let kind = if index == 0 { 1 } else { 9 };
            let ends = index + 1 == parts.len();
            let flags = u8::from(index == 0) | if ends { END_HEADERS } else { 0 };
            bytes.extend(frame(kind, flags, 1 + 2 * n, part));
        }
        connection.data(Side::Client, &bytes);
        connection.data(Side::Server, &frame(3, 0, 1 + 2 * n, &[0, 0, 0, 1]));
    }
    assert_eq!((connection.reason, connection.spans), (None, 200));
}
