//! What connections cost: idle ones, and hostile ones.

#[expect(dead_code, reason = "not all messages are needed here")]
mod messages;

use std::alloc::System;
use std::sync::Mutex;

use messages::*;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use wirespan_parser_mysql::Mysql;
use wirespan_sdk::Side;
use wirespan_sdk::bindings::wirespan::parser::types::{Ask, Cause, Event, EventKind};
use wirespan_sdk::driver::Driver;

/// Bytes of an idle connection after a thousand exchanges, the driver's state included.
const IDLE_BYTES: usize = 1024;

const CONNECTIONS: u64 = 1000;
const EXCHANGES: u64 = 1000;

/// What decoders may hold together, or beginnings of blocks, and as much again for buffers.
const HOSTILE_BYTES: usize = 32 << 20;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What is measured is that of the whole process: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// A driver, and how far each connection's sides are.
struct Run {
    driver: Driver<Mysql>,
    positions: Vec<[u64; 2]>,
    time: u64,
}

impl Run {
    fn new(connections: u64, capabilities: u32) -> Self {
        let mut run = Self {
            driver: Driver::default(),
            positions: vec![[0; 2]; connections as usize],
            time: 1,
        };
        for conn in 0..connections {
            let open = run.event(conn, EventKind::Open, Side::Client, 0, 0);
            run.driver.process(vec![open], Vec::new(), Vec::new());
            run.exchange(
                conn,
                &[
                    (Side::Server, greeting("8.4.0", ALL)),
                    (Side::Client, login(1, capabilities)),
                    (Side::Server, packet(2, &ok(0, 2))),
                ],
            );
        }
        run
    }

    fn event(&self, conn: u64, kind: EventKind, side: Side, len: usize, offset: usize) -> Event {
        Event {
            conn,
            time: self.time,
            position: self.positions[conn as usize][usize::from(side == Side::Server)],
            len: len as u64,
            offset: offset as u32,
            kind,
            side,
            cause: Cause::None,
        }
    }

    /// One batch. Returns how many spans it made.
    fn exchange(&mut self, conn: u64, chunks: &[(Side, Vec<u8>)]) -> u64 {
        self.present(conn, chunks).1
    }

    /// As [`Self::exchange`], and up to where the client was consumed.
    fn present(&mut self, conn: u64, chunks: &[(Side, Vec<u8>)]) -> (u64, u64) {
        let mut consumed = 0;
        let (mut events, mut bytes) = (Vec::new(), Vec::new());
        for (side, chunk) in chunks {
            self.time += 1;
            events.push(self.event(conn, EventKind::Data, *side, chunk.len(), bytes.len()));
            bytes.extend(chunk);
            self.positions[conn as usize][usize::from(*side == Side::Server)] += chunk.len() as u64;
        }
        let mut output = self.driver.process(events, Vec::new(), bytes);
        let mut spans = 0;
        loop {
            spans += output.spans.len() as u64;
            let asks = output.requests.iter();
            let client = asks.filter(|ask| ask.ask == Ask::Consumed && ask.side == Side::Client);
            consumed = client.map(|ask| ask.position).fold(consumed, u64::max);
            if !output.more {
                break;
            }
            output = self.driver.process(Vec::new(), Vec::new(), Vec::new());
        }
        (consumed, spans)
    }
}

#[test]
fn an_idle_connection_holds_a_kibibyte_beside_its_statements() {
    let _alone = ALONE.lock();
    for (capabilities, compress) in [
        (0, None),
        (COMPRESS, Some(deflated as fn(u8, &[u8]) -> Vec<u8>)),
        (ZSTD, Some(zstandard)),
    ] {
        let wrap = |sequence: u8, bytes: Vec<u8>| match compress {
            Some(compress) => compress(sequence, &bytes),
            None => bytes,
        };
        let text = "select name, price from products where id = 417283 and kind = 'book'";
        let chunks = [
            (Side::Client, wrap(0, query(text))),
            (Side::Server, wrap(1, result(1, &rows(3), false, 2))),
        ];
        let together: Vec<_> = (0..EXCHANGES / 4).flat_map(|_| chunks.clone()).collect();
        let region = Region::new(ALLOCATOR);
        let mut run = Run::new(CONNECTIONS, BASE | CONNECT_WITH_DB | capabilities);
        let mut spans = 0;
        for conn in (0..4).flat_map(|_| 0..CONNECTIONS) {
            spans += run.exchange(conn, &together);
        }
        assert_eq!(spans, CONNECTIONS * EXCHANGES);
        let change = region.change();
        let held = change.bytes_allocated - change.bytes_deallocated;
        let each = held / CONNECTIONS as usize;
        println!("{each} bytes with {capabilities:#x}");
        assert!(each <= IDLE_BYTES, "{each} bytes each");
    }
}

#[test]
fn frames_that_grow_a_thousandfold_hold_no_more_than_the_limits() {
    let _alone = ALONE.lock();
    // 16 MiB of zeros in 16 KiB, as a row without an end; and zstd that repeats one byte in each of
    // its 128 blocks of 128 KiB.
    let row = packet(
        1,
        &[vec![0xfd, 0xff, 0xff, 0xff], vec![0; 0xff_0000]].concat(),
    );
    let zlib = deflated(1, &row[..0xff_ffff.min(row.len())]);
    let mut zstd = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
    let block = |last: u32| ((128 << 10) << 3 | 1 << 1 | last).to_le_bytes();
    for _ in 0..127 {
        zstd.extend(&block(0)[..3]);
        zstd.push(0);
    }
    let zstd = frame(1, &zstd, 0xff_ffff);
    for bomb in [zlib, zstd] {
        let together = [
            (Side::Client, stored(0, &query("select 1"))),
            (Side::Server, bomb),
        ];
        for connections in [1, 200] {
            let region = Region::new(ALLOCATOR);
            let mut run = Run::new(connections, BASE | COMPRESS);
            for conn in (0..connections).flat_map(|conn| [conn; 2]) {
                run.exchange(conn, &together);
                let change = region.change();
                let held = change.bytes_allocated - change.bytes_deallocated;
                assert!(held <= HOSTILE_BYTES, "{held} bytes");
            }
        }
    }
}

#[test]
fn blocks_that_are_never_whole_hold_no_more_than_their_limit_and_lose_nothing() {
    let _alone = ALONE.lock();
    let text = "x".repeat(15_000);
    let ask = stored(0, &query(&text));
    let (most, last) = ask.split_at(ask.len() - 1);
    let (mut unread, mut spans) = (0, 0);
    let region = Region::new(ALLOCATOR);
    let mut run = Run::new(2 * CONNECTIONS, BASE | COMPRESS);
    let mut left = Vec::new();
    for conn in 0..2 * CONNECTIONS {
        let (consumed, _) = run.present(conn, &[(Side::Client, most.to_vec())]);
        let here = run.positions[conn as usize][0];
        if consumed < here {
            // There is no room: the host keeps it.
            unread += 1;
            run.positions[conn as usize][0] = consumed;
            left.push(conn);
        }
    }
    let change = region.change();
    let held = change.bytes_allocated - change.bytes_deallocated;
    assert!(held <= HOSTILE_BYTES, "{held} bytes");
    assert!((500..CONNECTIONS).contains(&unread), "{unread}");
    for conn in 0..2 * CONNECTIONS {
        let rest = if left.contains(&conn) {
            // All behind the frame's header.
            ask[7..].to_vec()
        } else {
            last.to_vec()
        };
        spans += run.exchange(
            conn,
            &[
                (Side::Client, rest),
                (Side::Server, stored(1, &packet(1, &ok(1, 2)))),
            ],
        );
    }
    assert_eq!(spans, 2 * CONNECTIONS);
}
