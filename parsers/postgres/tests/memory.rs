//! What a connection keeps. The program's allocator counts.

#[expect(dead_code, reason = "not all messages are needed here")]
mod messages;

use std::alloc::System;

use messages::{bind, complete, execute, message, packet, parse, query, ready, rows, sync};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use wirespan_parser_postgres::Postgres;
use wirespan_sdk::Side;
use wirespan_sdk::bindings::wirespan::parser::types::{Cause, Event, EventKind};
use wirespan_sdk::driver::Driver;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What an idle connection may keep after a thousand exchanges, beside its statements.
const IDLE_BYTES: usize = 1 << 10;

/// A statement without a name, with its text and its place in the table.
const STATEMENT_BYTES: usize = 256;

/// Connections that are measured together, so that what they share counts little.
const CONNECTIONS: u64 = 512;

type Turns = Vec<(Vec<u8>, Vec<u8>)>;

#[test]
fn an_idle_connection_is_small() {
    let simple = |n: usize| {
        let answer = [rows(n % 5), complete("SELECT 1"), ready(b'I')].concat();
        (query(&format!("select {n}")), answer)
    };
    let one = |n: usize| {
        let asked = [
            parse("", &format!("select {n}")),
            bind("", ""),
            execute("", 0),
        ]
        .concat();
        let answer = [message(b'1', b""), message(b'2', b""), complete("SELECT 0")].concat();
        (asked, answer)
    };
    let extended = |n: usize| {
        let (asked, answer) = one(n);
        ([asked, sync()].concat(), [answer, ready(b'I')].concat())
    };
    // A hundred executions in flight leave nothing behind.
    let pipelined = |n: usize| {
        let (asked, answer) = one(n);
        (
            [asked.repeat(100), sync()].concat(),
            [answer.repeat(100), ready(b'I')].concat(),
        )
    };
    let shapes: [(&str, Turns, usize); 3] = [
        ("simple", (0..1000).map(simple).collect(), 0),
        (
            "extended",
            (0..1000).map(extended).collect(),
            STATEMENT_BYTES,
        ),
        (
            "pipelined",
            (0..10).map(pipelined).collect(),
            STATEMENT_BYTES,
        ),
    ];
    for (shape, turns, statements) in shapes {
        let region = Region::new(ALLOCATOR);
        let mut driver = Driver::<Postgres>::default();
        for conn in 0..CONNECTIONS {
            connection(&mut driver, conn, &turns);
        }
        let stats = region.change();
        let kept = stats.bytes_allocated - stats.bytes_deallocated;
        let each = kept / CONNECTIONS as usize;
        assert_eq!(driver.connections(), CONNECTIONS as usize);
        println!("{shape}: {each} bytes a connection");
        assert!(each <= IDLE_BYTES + statements, "{shape}: {each} bytes");
        drop(driver);
    }
}

fn connection(driver: &mut Driver<Postgres>, conn: u64, turns: &[(Vec<u8>, Vec<u8>)]) {
    let event = |kind, side, position, len| Event {
        conn,
        time: position + 1,
        position,
        len,
        offset: 0,
        kind,
        side,
        cause: Cause::None,
    };
    let open = event(EventKind::Open, Side::Server, 0, 0);
    driver.process(vec![open], Vec::new(), Vec::new());
    let login = (
        packet(0x3_0000, b"user\0alice\0database\0shop\0\0"),
        [message(b'R', &[0; 4]), ready(b'I')].concat(),
    );
    let mut positions = [0; 2];
    for (request, response) in std::iter::once(&login).chain(turns) {
        for (side, bytes) in [(Side::Client, request), (Side::Server, response)] {
            let position = &mut positions[usize::from(side == Side::Server)];
            let data = event(EventKind::Data, side, *position, bytes.len() as u64);
            *position += bytes.len() as u64;
            driver.process(vec![data], Vec::new(), bytes.clone());
        }
    }
}
