//! What a client and a server of a database say to each other, from a list.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};

/// Who says it, and what.
enum Turn {
    Client(Vec<u8>),
    Server(Vec<u8>),
}

pub(super) fn mysql() -> Result<()> {
    // Protocol 4.1, secure connection, with a database, authentication by plugin.
    const CAPABILITIES: u32 = 0x0000_0200 | 0x0000_8000 | 0x0000_0008 | 0x0008_0000;
    const PLUGIN: &[u8] = b"mysql_native_password\0";
    let [a, b, c, d] = CAPABILITIES.to_le_bytes();
    let greeting = [
        &b"\x0a8.0.36\0"[..],
        &[1, 0, 0, 0],
        b"abcdefgh\0",
        &[a, b, 45, 2, 0, c, d, 21],
        &[0; 10],
        b"ijklmnopqrst\0",
        PLUGIN,
    ];
    let login = [
        &[a, b, c, d][..],
        &[0, 0, 0, 1, 45],
        &[0; 23],
        b"tester\0",
        &[20],
        &[7; 20],
        b"kernels\0",
        PLUGIN,
    ];
    let column = [
        &b"\x03def\x07kernels\x0ckernel_mysql\x0ckernel_mysql\x02id\x02id"[..],
        // A number, 11 digits.
        &[0x0c, 63, 0, 11, 0, 0, 0, 3, 0, 0, 0, 0, 0],
    ];
    let ok: &[&[u8]] = &[&[0, 0, 0, 2, 0, 0, 0]];
    let end: &[&[u8]] = &[&[0xfe, 0, 0, 2, 0]];
    let result = [
        packet(1, &[&[1]]),
        packet(2, &column),
        packet(3, end),
        packet(4, &[b"\x017"]),
        packet(5, end),
    ];
    converse(
        "127.0.0.1:3306",
        vec![
            Turn::Server(packet(0, &greeting)),
            Turn::Client(packet(1, &login)),
            Turn::Server(packet(2, ok)),
            Turn::Client(packet(0, &[b"\x03SELECT id FROM kernel_mysql"])),
            Turn::Server(result.concat()),
            Turn::Client(packet(0, &[b"\x01"])),
        ],
    )
}

/// Length and number, then the payload.
fn packet(number: u8, payload: &[&[u8]]) -> Vec<u8> {
    let payload = payload.concat();
    let [a, b, c, _] = u32::try_from(payload.len()).unwrap_or(0).to_le_bytes();
    [&[a, b, c, number][..], &payload].concat()
}

pub(super) fn postgres() -> Result<()> {
    let startup = &b"\x00\x03\x00\x00user\0tester\0database\0kernels\0\0"[..];
    let len = u32::try_from(startup.len() + 4).unwrap_or(0).to_be_bytes();
    let ready = message(b'Z', &[b"I"]);
    let column = [
        &[0, 1][..],
        b"id\0",
        // Table, column, an int4 of four bytes, no modifier, as text.
        &[
            0, 0, 0, 0, 0, 0, 0, 0, 0, 23, 0, 4, 0xff, 0xff, 0xff, 0xff, 0, 0,
        ],
    ];
    let result = [
        message(b'T', &column),
        message(b'D', &[&[0, 1, 0, 0, 0, 1], b"7"]),
        message(b'C', &[b"SELECT 1\0"]),
        ready.clone(),
    ];
    converse(
        "127.0.0.1:5432",
        vec![
            Turn::Client([&len[..], startup].concat()),
            Turn::Server([message(b'R', &[&[0; 4]]), ready].concat()),
            Turn::Client(message(b'Q', &[b"SELECT id FROM kernel_postgres\0"])),
            Turn::Server(result.concat()),
            Turn::Client(message(b'X', &[])),
        ],
    )
}

/// Type and length, then the content.
fn message(kind: u8, content: &[&[u8]]) -> Vec<u8> {
    let content = content.concat();
    let len = u32::try_from(content.len() + 4).unwrap_or(0).to_be_bytes();
    [&[kind][..], &len, &content].concat()
}

/// Lets both sides say their turns and check the other's.
fn converse(address: &str, turns: Vec<Turn>) -> Result<()> {
    let listener = TcpListener::bind(address).context("the server cannot listen")?;
    let (ours, theirs): (Vec<_>, Vec<_>) = turns
        .into_iter()
        .map(|turn| match turn {
            Turn::Client(bytes) => ((true, bytes.clone()), (false, bytes)),
            Turn::Server(bytes) => ((false, bytes.clone()), (true, bytes)),
        })
        .unzip();
    let server = thread::spawn(move || side(listener.accept()?.0, theirs));
    let client = side(TcpStream::connect(address)?, ours);
    let served = server.join().map_err(|_| anyhow!("the server panicked"))?;
    client.and(served)
}

fn side(mut stream: TcpStream, turns: Vec<(bool, Vec<u8>)>) -> Result<()> {
    for (is_ours, bytes) in turns {
        if is_ours {
            stream.write_all(&bytes)?;
        } else {
            let mut heard = vec![0; bytes.len()];
            stream.read_exact(&mut heard)?;
            ensure!(heard == bytes, "the other end said something else");
        }
    }
    Ok(())
}
