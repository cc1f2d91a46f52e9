//! Calls a second of this parser compiled natively, on one core: what the component is measured
//! against. Unary calls whose fields do not repeat: each has its own path, request id and trace,
//! so that the header tables churn; texts are Huffman-coded, as clients send them.
//!
//! `cargo run --release -p wirespan-parser-grpc --example throughput [CONNECTIONS]`

#[expect(dead_code, reason = "this program uses a part")]
#[path = "../tests/wire/mod.rs"]
mod wire;

use std::time::Instant;

use wire::{END_STREAM, Encoder, PREFACE, data, headers, message, settings};
use wirespan_parser_grpc::Http2;
use wirespan_sdk::Side;
use wirespan_sdk::bindings::wirespan::parser::types::{Cause, Event, EventKind};
use wirespan_sdk::driver::Driver;

/// Connections, each with the same calls one after the other; one is enough to count instructions.
const CONNECTIONS: u64 = 40;
const CALLS: u32 = 20_000;
/// Calls of one connection in a batch: a chunk for the request, a chunk for the response.
const BATCH: usize = 32;

fn main() {
    let calls = conversation();
    let connections = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let connections: u64 = connections.unwrap_or(CONNECTIONS);
    let size = calls.iter().map(|(a, b)| a.len() + b.len()).sum::<usize>() / calls.len();
    // The best of all: this is to tell the code, not what else the machine does.
    let (mut spans, mut best) = (0usize, u128::MAX);
    let mut driver = Driver::<Http2>::default();
    for conn in 0..connections {
        driver.process(
            vec![event(conn, EventKind::Open, Side::Client, 0, 0, 0)],
            Vec::new(),
            Vec::new(),
        );
        let (mut positions, mut nanos) = ([0u64; 2], 0);
        for batch in calls.chunks(BATCH) {
            let (mut events, mut bytes) = (Vec::new(), Vec::new());
            for (request, response) in batch {
                for (side, chunk) in [(Side::Client, request), (Side::Server, response)] {
                    let position = &mut positions[usize::from(side == Side::Server)];
                    events.push(event(
                        conn,
                        EventKind::Data,
                        side,
                        *position,
                        chunk.len(),
                        bytes.len(),
                    ));
                    bytes.extend_from_slice(chunk);
                    *position += chunk.len() as u64;
                }
            }
            let started = Instant::now();
            let output = driver.process(events, Vec::new(), bytes);
            nanos += started.elapsed().as_nanos();
            spans += output.spans.len();
        }
        best = best.min(nanos);
    }
    assert_eq!(
        spans as u64,
        connections * calls.len() as u64,
        "every call is a span"
    );
    let each = best as f64 / calls.len() as f64;
    println!(
        "native: {:.0} calls/s, {each:.0} ns each of {size} bytes",
        1e9 / each
    );
}

/// What the client and the server send for each call; the first with preface and settings.
fn conversation() -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut client = Encoder::huffman();
    let mut server = Encoder::huffman();
    (0..CALLS)
        .map(|n| {
            let stream = 1 + 2 * n;
            let id = format!(
                "{:016x}",
                u64::from(n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            );
            let request = client.block(&[
                (":method", "POST"),
                (":scheme", "http"),
                (":path", &format!("/shop.v1.CartService/Method{}", n % 500)),
                (":authority", "cart.shop.svc.cluster.local:50051"),
                ("content-type", "application/grpc"),
                ("user-agent", "grpc-go/1.67.1"),
                ("te", "trailers"),
                ("grpc-timeout", &format!("{}u", 100_000 + n)),
                ("traceparent", &format!("00-{id}{id}-{id}-01")),
                ("x-request-id", &format!("{id}-{n}")),
            ]);
            let answer = server.block(&[(":status", "200"), ("content-type", "application/grpc")]);
            let trailers = server.block(&[
                ("grpc-status", if n % 50 == 0 { "5" } else { "0" }),
                ("grpc-message", ""),
                ("x-served-by", &id),
            ]);
            let mut request = [
                headers(stream, 0, &request),
                data(stream, END_STREAM, &message(&[7; 120])),
            ]
            .concat();
            let mut response = [
                headers(stream, 0, &answer),
                data(stream, 0, &message(&[7; 350])),
                headers(stream, END_STREAM, &trailers),
            ]
            .concat();
            if n == 0 {
                request = [PREFACE, &settings(&[]), &request].concat();
                response = [settings(&[]), response].concat();
            }
            (request, response)
        })
        .collect()
}

fn event(
    conn: u64,
    kind: EventKind,
    side: Side,
    position: u64,
    len: usize,
    offset: usize,
) -> Event {
    Event {
        conn,
        time: position + 1,
        position,
        len: len as u64,
        offset: u32::try_from(offset).expect("a batch is small"),
        kind,
        side,
        cause: Cause::None,
    }
}
