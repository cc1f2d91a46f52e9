//! What a connection costs while nothing is in flight on it.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use wirespan_parser_http::Http;
use wirespan_sdk::Side;
use wirespan_sdk::bindings::wirespan::parser::types::{Cause, Event, EventKind};
use wirespan_sdk::driver::Driver;

/// Bytes of an idle connection after a thousand exchanges, the driver's state included.
const IDLE_BYTES: usize = 512;

const CONNECTIONS: u64 = 2000;
const EXCHANGES: u64 = 1000;

/// Those of one batch: some pipelined.
const TOGETHER: u64 = 50;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[test]
fn an_idle_connection_holds_half_a_kibibyte() {
    let request = b"GET /users/7?page=2 HTTP/1.1\r\nHost: shop.example:8080\r\nUser-Agent: curl/8.5.0\r\n\r\n";
    let response = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody";
    let region = Region::new(ALLOCATOR);
    let mut driver = Driver::<Http>::default();
    for conn in 0..CONNECTIONS {
        driver.process(
            vec![event(conn, EventKind::Open, Side::Server, 0, 0, 0)],
            Vec::new(),
            Vec::new(),
        );
    }
    let mut spans = 0;
    for batch in 0..EXCHANGES / TOGETHER {
        for conn in 0..CONNECTIONS {
            let length = |one: &[u8]| TOGETHER * one.len() as u64;
            let events = [
                (Side::Client, length(request), 0),
                (Side::Server, length(response), length(request)),
            ]
            .map(|(side, len, offset)| {
                event(conn, EventKind::Data, side, batch * len, len, offset)
            });
            let bytes = [
                request.repeat(TOGETHER as usize),
                response.repeat(TOGETHER as usize),
            ]
            .concat();
            spans += driver.process(events.into(), Vec::new(), bytes).spans.len() as u64;
        }
    }
    assert_eq!(spans, CONNECTIONS * EXCHANGES);
    let change = region.change();
    let held = change.bytes_allocated - change.bytes_deallocated;
    let each = held / CONNECTIONS as usize;
    println!("{each} bytes");
    assert!(each <= IDLE_BYTES, "{each} bytes each");
}

fn event(conn: u64, kind: EventKind, side: Side, position: u64, len: u64, offset: u64) -> Event {
    Event {
        conn,
        // Responses come after their requests.
        time: 1 + 2 * position.div_ceil(len.max(1)) + u64::from(side == Side::Server),
        position,
        len,
        offset: offset as u32,
        kind,
        side,
        cause: Cause::None,
    }
}
