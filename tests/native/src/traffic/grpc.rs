//! gRPC: unary calls one after the other, with fields whose values do not repeat, so that each call
//! writes into the tables and evicts from them.

use super::hpack::{indexed, literal, named};
use super::http::scattered;
use super::{Chunk, Traffic, client, server};

pub(super) const TRAFFIC: Traffic = Traffic {
    name: "grpc",
    what: "gRPC: unary calls, 10 request fields of which 6 never repeat, messages of 100 B and 200 B; request and response in a chunk each",
    port: 50_051,
    opening,
    exchange,
};

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn opening() -> Vec<Chunk> {
    let settings = frame(4, 0, 0, &[0, 3, 0, 0, 0, 100, 0, 4, 0, 0x40, 0, 0]);
    let acknowledged = frame(4, 1, 0, &[]);
    vec![
        client([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..]].concat()),
        server([settings, acknowledged.clone()].concat()),
        client(acknowledged),
    ]
}

fn exchange(number: u64) -> Vec<Chunk> {
    let stream = u32::try_from(number * 2 + 1).unwrap_or(u32::MAX) & 0x7fff_ffff;
    let (one, two) = (scattered(number), scattered(number + 7));
    let request = [
        indexed(3),
        indexed(6),
        named(4, &format!("/shop.v1.Orders/Get{}x{number}", number % 97)),
        named(1, &format!("orders-{}.shop.svc:50051", one % 10_000)),
        named(31, "application/grpc"),
        literal("te", "trailers"),
        literal("grpc-timeout", &format!("{}m", 1_000 + number % 9_000)),
        literal("x-request-id", &format!("{one:016x}{two:016x}")),
        literal(
            "traceparent",
            &format!("00-{one:016x}{two:016x}-{two:016x}-01"),
        ),
        named(58, &format!("grpc-go/1.76.0 build {}", two % 100_000)),
    ]
    .concat();
    let response = [
        indexed(8),
        named(31, "application/grpc"),
        literal("x-served-by", &format!("orders-{:08x}", two % 0xffff_ffff)),
    ]
    .concat();
    let trailers = [
        literal("grpc-status", "0"),
        literal("x-cost", &format!("{}", one % 1_000_000)),
    ]
    .concat();
    vec![
        client(
            [
                frame(1, END_HEADERS, stream, &request),
                frame(0, END_STREAM, stream, &message(100)),
            ]
            .concat(),
        ),
        server(
            [
                frame(1, END_HEADERS, stream, &response),
                frame(0, 0, stream, &message(200)),
                frame(1, END_HEADERS | END_STREAM, stream, &trailers),
            ]
            .concat(),
        ),
    ]
}

fn message(len: usize) -> Vec<u8> {
    let length = u32::try_from(len).unwrap_or(0);
    [&[0][..], &length.to_be_bytes(), &vec![b'm'; len]].concat()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(0);
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}
