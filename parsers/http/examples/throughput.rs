//! Exchanges a second of this parser compiled natively, on one core: what the component is
//! measured against. Requests of 350 bytes with eight headers, responses of 500 bytes.
//!
//! `cargo run --profile parser -p wirespan-parser-http --example throughput -- [BATCHES]`. Few batches
//! are for a program that counts instructions.

use std::time::Instant;

use wirespan_parser_http::Http;
use wirespan_sdk::Side;
use wirespan_sdk::bindings::wirespan::parser::types::{Cause, Event, EventKind};
use wirespan_sdk::driver::Driver;

const CONNECTIONS: u64 = 64;
/// Batches unless it is said how many.
const BATCHES: u64 = 20_000;
/// Exchanges of one connection in a batch: one chunk for the request, one for the response.
const EXCHANGES: u64 = 32;

fn main() {
    let batches = std::env::args()
        .nth(1)
        .map_or(BATCHES, |count| count.parse().expect("BATCHES is a number"));
    let request = padded(
        "GET /api/v1/users/7?page=2 HTTP/1.1\r\nHost: users.example:8080\r\nUser-Agent: bench/1.0\r\n\
         Accept: application/json\r\nAccept-Encoding: gzip, br\r\nConnection: keep-alive\r\n\
         Cookie: session=0123456789abcdef0123456789abcdef\r\nX-Request-Id: 5f2b6c1e\r\nX-Padding: ",
        "\r\n\r\n",
        350,
    );
    let response = padded(
        "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sun, 22 Nov 2026 03:00:00 GMT\r\n\
         Content-Type: application/json\r\nContent-Length: 250\r\nConnection: keep-alive\r\n\
         Cache-Control: no-store\r\nX-Padding: ",
        "\r\n\r\n",
        250,
    );
    let response = [response, vec![b'x'; 250]].concat();
    let mut driver = Driver::<Http>::default();
    let mut positions = vec![[0, 0]; CONNECTIONS as usize];
    let opens = (0..CONNECTIONS).map(|conn| event(conn, EventKind::Open, Side::Server, 0, 0, 0));
    driver.process(opens.collect(), Vec::new(), Vec::new());

    let (mut spans, mut bytes) = (0, 0);
    let started = Instant::now();
    for batch in 0..batches {
        let conn = batch % CONNECTIONS;
        let [client, server] = &mut positions[conn as usize];
        let mut events = Vec::with_capacity(2 * EXCHANGES as usize);
        for n in 0..EXCHANGES {
            let offset = n as usize * request.len();
            events.push(event(
                conn,
                EventKind::Data,
                Side::Client,
                *client,
                request.len(),
                offset,
            ));
            *client += request.len() as u64;
            let offset = EXCHANGES as usize * request.len() + n as usize * response.len();
            events.push(event(
                conn,
                EventKind::Data,
                Side::Server,
                *server,
                response.len(),
                offset,
            ));
            *server += response.len() as u64;
        }
        let data = [
            request.repeat(EXCHANGES as usize),
            response.repeat(EXCHANGES as usize),
        ]
        .concat();
        bytes += data.len();
        spans += driver.process(events, Vec::new(), data).spans.len();
    }
    let seconds = started.elapsed().as_secs_f64();
    assert_eq!(
        spans as u64,
        batches * EXCHANGES,
        "every exchange is a span"
    );
    println!(
        "native: {:.0} exchanges/s, {:.0} ns each, {:.0} MB/s",
        spans as f64 / seconds,
        seconds * 1e9 / spans as f64,
        bytes as f64 / seconds / 1e6
    );
}

fn padded(head: &str, tail: &str, len: usize) -> Vec<u8> {
    let padding = len.saturating_sub(head.len() + tail.len());
    format!("{head}{}{tail}", "x".repeat(padding)).into_bytes()
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
