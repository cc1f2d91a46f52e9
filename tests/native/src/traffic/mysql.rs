//! MySQL: text queries of 60 to 300 bytes, three rows each. A server reads the four bytes of a
//! packet's header first, then the packet.

use super::statement::statement;
use super::{Chunk, Traffic, client, server};

pub(super) const TRAFFIC: Traffic = Traffic {
    name: "mysql",
    what: "MySQL: text queries of 60 to 300 B, read in two chunks; three rows in one",
    port: 3306,
    opening,
    exchange,
};

/// Protocol 4.1, secure connection, plugins, a database at login.
const CAPABILITIES: u32 = 1 | 1 << 3 | 1 << 9 | 1 << 15 | 1 << 19;

fn opening() -> Vec<Chunk> {
    let [a, b, c, d] = CAPABILITIES.to_le_bytes();
    let greeting = [
        &b"\x0a8.4.0\0\x07\0\0\0abcdefgh\0"[..],
        &[a, b, 45, 2, 0, c, d, 21],
        &[0; 10],
        b"ijklmnopqrst\0caching_sha2_password\0",
    ]
    .concat();
    let login = [
        &CAPABILITIES.to_le_bytes()[..],
        &[0, 0, 0, 1, 45],
        &[0; 23],
        b"alice\0\x06secretshop\0caching_sha2_password\0",
    ]
    .concat();
    vec![
        server(packet(0, &greeting)),
        client(packet(1, &login)),
        server(packet(2, &[0, 0, 0, 2, 0, 0, 0])),
    ]
}

fn exchange(number: u64) -> Vec<Chunk> {
    let query = packet(0, &[&[3], statement(number).as_bytes()].concat());
    let (header, body) = query.split_at(4);
    let column = |name: &str| {
        [
            &b"\x03def\x04shop\x08products\x08products"[..],
            &text(name),
            &text(name),
            &[12, 45, 0, 0, 1, 0, 0, 253, 0, 0, 0, 0, 0],
        ]
        .concat()
    };
    let end = vec![0xfe, 0, 0, 2, 0];
    let row = [text("417283"), text("A name of some length"), text("1995")].concat();
    let payloads = [
        vec![3],
        column("id"),
        column("name"),
        column("price"),
        end.clone(),
        row.clone(),
        row.clone(),
        row,
        end,
    ];
    let answer: Vec<u8> = (1..)
        .zip(&payloads)
        .flat_map(|(sequence, payload)| packet(sequence, payload))
        .collect();
    vec![client(header), client(body), server(answer)]
}

fn text(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap_or(0);
    [&[length], text.as_bytes()].concat()
}

fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_le_bytes();
    [&length[..3], &[sequence], payload].concat()
}
