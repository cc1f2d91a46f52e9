//! Packets of both sides, built for tests.

use wirespan_sdk::testkit::Conversation;

/// Capabilities: protocol 4.1, secure connection, plugins.
pub(crate) const BASE: u32 = 1 | 1 << 9 | 1 << 15 | 1 << 19;
pub(crate) const CONNECT_WITH_DB: u32 = 1 << 3;
pub(crate) const COMPRESS: u32 = 1 << 5;
pub(crate) const SSL: u32 = 1 << 11;
pub(crate) const MULTI_STATEMENTS: u32 = 1 << 16;
pub(crate) const SESSION_TRACK: u32 = 1 << 23;
pub(crate) const DEPRECATE_EOF: u32 = 1 << 24;
pub(crate) const ZSTD: u32 = 1 << 26;
pub(crate) const ATTRIBUTES: u32 = 1 << 27;
pub(crate) const ALL: u32 = u32::MAX;

pub(crate) const MORE: u16 = 8;
pub(crate) const CURSOR: u16 = 0x40;

pub(crate) fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_le_bytes();
    [&length[..3], &[sequence], payload].concat()
}

/// Packets with sequences from `first` on.
pub(crate) fn packets(first: u8, payloads: &[Vec<u8>]) -> Vec<u8> {
    payloads
        .iter()
        .enumerate()
        .flat_map(|(n, payload)| packet(first.wrapping_add(n as u8), payload))
        .collect()
}

pub(crate) fn greeting(version: &str, capabilities: u32) -> Vec<u8> {
    let [a, b, c, d] = capabilities.to_le_bytes();
    let payload = [
        &[10],
        version.as_bytes(),
        b"\0\x07\0\0\0abcdefgh\0",
        &[a, b, 45, 2, 0, c, d, 21],
        &[0; 10],
        b"ijklmnopqrst\0caching_sha2_password\0",
    ]
    .concat();
    packet(0, &payload)
}

pub(crate) fn login(sequence: u8, capabilities: u32) -> Vec<u8> {
    let payload = [
        &capabilities.to_le_bytes()[..],
        &[0, 0, 0, 1, 45],
        &[0; 23],
        b"alice\0\x06secret",
        if capabilities & CONNECT_WITH_DB != 0 {
            b"shop\0"
        } else {
            b""
        },
        b"caching_sha2_password\0",
    ]
    .concat();
    packet(sequence, &payload)
}

/// After the client has logged in with these capabilities.
pub(crate) fn started(capabilities: u32) -> Conversation {
    logged_in(BASE | CONNECT_WITH_DB | capabilities)
}

/// After a login with exactly these.
pub(crate) fn logged_in(capabilities: u32) -> Conversation {
    Conversation::new()
        .server(greeting("8.4.0", ALL))
        .client(login(1, capabilities))
        .server(packet(2, &ok(0, 2)))
}

pub(crate) fn ok(affected: u8, status: u16) -> Vec<u8> {
    let [low, high] = status.to_le_bytes();
    vec![0, affected, 0, low, high, 0, 0]
}

/// The OK that ends rows with `CLIENT_DEPRECATE_EOF`.
pub(crate) fn ok_end(status: u16) -> Vec<u8> {
    let mut payload = ok(0, status);
    payload[0] = 0xfe;
    payload
}

/// An OK that says that another database is in use.
pub(crate) fn ok_schema(name: &str) -> Vec<u8> {
    let len = name.len() as u8;
    let mut payload = ok(0, 2 | 1 << 14);
    payload.extend([0, len + 3, 1, len + 1, len]);
    payload.extend(name.as_bytes());
    payload
}

pub(crate) fn eof(status: u16) -> Vec<u8> {
    let [low, high] = status.to_le_bytes();
    vec![0xfe, 0, 0, low, high]
}

pub(crate) fn error(number: u16, state: &str) -> Vec<u8> {
    [
        &[0xff][..],
        &number.to_le_bytes(),
        b"#",
        state.as_bytes(),
        b"no",
    ]
    .concat()
}

pub(crate) fn query(text: &str) -> Vec<u8> {
    command(3, text.as_bytes())
}

pub(crate) fn prepare(text: &str) -> Vec<u8> {
    command(0x16, text.as_bytes())
}

pub(crate) fn execute(id: u32, flags: u8) -> Vec<u8> {
    command(
        0x17,
        &[&id.to_le_bytes()[..], &[flags, 1, 0, 0, 0]].concat(),
    )
}

pub(crate) fn command(code: u8, body: &[u8]) -> Vec<u8> {
    packet(0, &[&[code], body].concat())
}

pub(crate) fn definition() -> Vec<u8> {
    b"\x03def\x04shop\x01t\x01t\x01a\x01a\x0c\x2d\0\x01\0\0\0\xfd\0\0\0\0\0".to_vec()
}

/// A text row that looks like the beginning of a command.
pub(crate) fn row() -> Vec<u8> {
    b"\x06\x01\0\0\0\x0ex".to_vec()
}

/// A binary row whose value looks like EOF and ERR.
pub(crate) fn binary_row() -> Vec<u8> {
    b"\0\0\x05\xfe\0\0\xff\x02".to_vec()
}

/// One result with one column, from `sequence` on: with or without `CLIENT_DEPRECATE_EOF`.
pub(crate) fn result(sequence: u8, rows: &[Vec<u8>], deprecate: bool, status: u16) -> Vec<u8> {
    let mut payloads = vec![vec![1], definition()];
    if !deprecate {
        payloads.push(eof(2));
    }
    payloads.extend_from_slice(rows);
    payloads.push(if deprecate {
        ok_end(status)
    } else {
        eof(status)
    });
    packets(sequence, &payloads)
}

pub(crate) fn rows(count: usize) -> Vec<Vec<u8>> {
    vec![row(); count]
}

/// The answer to a prepare.
pub(crate) fn prepared(id: u32, columns: u8, parameters: u8, deprecate: bool) -> Vec<u8> {
    let mut first = vec![0];
    first.extend(id.to_le_bytes());
    first.extend([columns, 0, parameters, 0, 0, 0, 0]);
    let mut payloads = vec![first];
    for count in [parameters, columns] {
        payloads.extend(vec![definition(); usize::from(count)]);
        if count > 0 && !deprecate {
            payloads.push(eof(2));
        }
    }
    packets(1, &payloads)
}

/// A frame that is not compressed.
pub(crate) fn stored(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let len = payload.len().to_le_bytes();
    [&len[..3], &[sequence, 0, 0, 0], payload].concat()
}

/// A frame with what a compressor made of `plain` bytes.
pub(crate) fn frame(sequence: u8, compressed: &[u8], plain: usize) -> Vec<u8> {
    let (len, plain) = (compressed.len().to_le_bytes(), plain.to_le_bytes());
    [&len[..3], &[sequence], &plain[..3], compressed].concat()
}

/// A frame compressed by zlib.
pub(crate) fn deflated(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let compressed = miniz_oxide::deflate::compress_to_vec_zlib(payload, 6);
    frame(sequence, &compressed, payload.len())
}

/// A frame compressed by zstd.
pub(crate) fn zstandard(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    let compressed = ruzstd::encoding::compress_to_vec(payload, level);
    frame(sequence, &compressed, payload.len())
}
