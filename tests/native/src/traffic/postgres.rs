//! PostgreSQL, the simple protocol: statements of 60 to 300 bytes, three rows each.

use super::statement::statement;
use super::{Chunk, Traffic, client, server};

pub(super) const TRAFFIC: Traffic = Traffic {
    name: "postgres",
    what: "PostgreSQL: simple queries of 60 to 300 B, three rows; a chunk each way",
    port: 5432,
    opening,
    exchange,
};

fn opening() -> Vec<Chunk> {
    let startup = packet(0x3_0000, b"user\0alice\0database\0shop\0\0");
    let status = |name: &str, value: &str| message(b'S', format!("{name}\0{value}\0").as_bytes());
    vec![
        client(startup),
        server(
            [
                message(b'R', &[0; 4]),
                status("server_version", "18.1"),
                status("TimeZone", "UTC"),
                message(b'K', &[0; 8]),
                ready(),
            ]
            .concat(),
        ),
    ]
}

fn exchange(number: u64) -> Vec<Chunk> {
    let columns = ["id", "name", "price"].map(|name| {
        let mut column = format!("{name}\0").into_bytes();
        column.extend([
            0, 0, 0x40, 1, 0, 1, 0, 0, 0, 23, 0, 4, 255, 255, 255, 255, 0, 0,
        ]);
        column
    });
    let description = message(b'T', &[&3u16.to_be_bytes()[..], &columns.concat()].concat());
    let values = [&b"417283"[..], b"A name of some length", b"1995"].map(|value| {
        let length = u32::try_from(value.len()).unwrap_or(0);
        [&length.to_be_bytes()[..], value].concat()
    });
    let row = message(b'D', &[&3u16.to_be_bytes()[..], &values.concat()].concat());
    vec![
        client(message(b'Q', format!("{}\0", statement(number)).as_bytes())),
        server(
            [
                description,
                row.repeat(3),
                message(b'C', b"SELECT 3\0"),
                ready(),
            ]
            .concat(),
        ),
    ]
}

fn packet(code: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 8).unwrap_or(0);
    [&length.to_be_bytes()[..], &code.to_be_bytes(), body].concat()
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or(0);
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}
