//! What a connection keeps. The program's allocator counts.

#[expect(dead_code, reason = "this file uses a part")]
mod wire;

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use wire::{END_HEADERS, END_STREAM, Encoder, PREFACE, data, frame, headers, message, settings};
use wirespan_parser_grpc::Http2;
use wirespan_sdk::Side;
use wirespan_sdk::bindings::wirespan::parser::types::{Cause, Event, EventKind};
use wirespan_sdk::driver::Driver;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What an idle connection may keep after a thousand calls, with full tables both ways.
const IDLE_BYTES: usize = 12 << 10;

/// Connections that are measured together, so that what they share counts little.
const CONNECTIONS: u64 = 16;

/// Fields of one form: their texts fill the tables, and are kept.
type Fields = fn(u32) -> (String, String);

#[test]
fn an_idle_connection_with_full_tables_is_small() {
    // Most entries, entries of a usual size, and few large ones.
    let forms: [(&str, Fields); 3] = [
        ("short", |n| (format!("/{n}"), format!("{}", n % 1000))),
        ("usual", |n| {
            (
                format!("/shop.v1.CartService/Method{n}"),
                format!("no item {n:030}"),
            )
        }),
        ("long", |n| (format!("/{n:0900}"), format!("{n:0900}"))),
    ];
    for (form, fields) in forms {
        let calls: Vec<_> = calls(fields);
        let region = Region::new(ALLOCATOR);
        let mut driver = Driver::<Http2>::default();
        for conn in 0..CONNECTIONS {
            connection(&mut driver, conn, &calls);
        }
        let stats = region.change();
        let kept = stats.bytes_allocated - stats.bytes_deallocated;
        let each = kept / CONNECTIONS as usize;
        assert_eq!(driver.connections(), CONNECTIONS as usize);
        println!("{form}: {each} bytes a connection");
        assert!(each <= IDLE_BYTES, "{form}: {each} bytes");
        drop(driver);
    }
}

/// What a client and a server send for each of a thousand calls.
fn calls(fields: Fields) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (mut client, mut server) = (Encoder::huffman(), Encoder::huffman());
    (0..1000)
        .map(|n| {
            let stream = 1 + 2 * n;
            let (path, message_text) = fields(n);
            let request = client.block(&[
                (":method", "POST"),
                (":scheme", "http"),
                (":path", &path),
                ("content-type", "application/grpc"),
            ]);
            let trailers = server.block(&[
                (":status", "200"),
                ("content-type", "application/grpc"),
                ("grpc-status", "5"),
                ("grpc-message", &message_text),
            ]);
            let opening = if n == 0 {
                [PREFACE, &settings(&[])].concat()
            } else {
                Vec::new()
            };
            let request = [
                opening,
                headers(stream, 0, &request),
                data(stream, END_STREAM, &message(b"ping")),
            ];
            let opening = if n == 0 { settings(&[]) } else { Vec::new() };
            let response = [
                opening,
                frame(1, END_HEADERS | END_STREAM, stream, &trailers),
            ];
            (request.concat(), response.concat())
        })
        .collect()
}

fn connection(driver: &mut Driver<Http2>, conn: u64, calls: &[(Vec<u8>, Vec<u8>)]) {
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
    let mut positions = [0; 2];
    let mut spans = 0;
    for (request, response) in calls {
        for (side, bytes) in [(Side::Client, request), (Side::Server, response)] {
            let position = &mut positions[usize::from(side == Side::Server)];
            let data = event(EventKind::Data, side, *position, bytes.len() as u64);
            *position += bytes.len() as u64;
            spans += driver
                .process(vec![data], Vec::new(), bytes.clone())
                .spans
                .len();
        }
    }
    assert_eq!(spans, calls.len());
}
