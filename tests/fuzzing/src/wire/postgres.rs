//! Headers, startup packets and bodies of PostgreSQL.

use wirespan_parser_postgres::wire_readers::{
    Header, Read, client_header, cstring, is_ready, parameter, server_header, sqlstate, startup,
    tag, wanted,
};
use wirespan_sdk::Side;

use super::{Said, is_part, says_the_same_from_any_prefix_on};

pub(crate) fn run(input: &[u8]) {
    says_the_same_from_any_prefix_on(input, |bytes| said(startup(bytes)));
    for side in [Side::Client, Side::Server] {
        messages(side, input);
    }
    body(input);
}

fn said<T>(read: Read<T>) -> Said<T> {
    match read {
        Read::Ok(read) => Said::Read(read),
        Read::Incomplete => Said::Incomplete,
        Read::Invalid => Said::Invalid,
    }
}

fn header(side: Side, bytes: &[u8]) -> Read<Header> {
    match side {
        Side::Client => client_header(bytes),
        Side::Server => server_header(bytes),
    }
}

/// Messages one behind the other; the last may have been cut.
fn messages(side: Side, mut rest: &[u8]) {
    says_the_same_from_any_prefix_on(rest, |bytes| said(header(side, bytes)));
    while let Read::Ok(header) = header(side, rest) {
        assert!(header.len() == u64::from(header.body) + 5 && wanted(side, header) <= header.body);
        let after = &rest[5..];
        let shown = &after[..after.len().min(header.body as usize)];
        body(shown);
        rest = &after[shown.len()..];
    }
}

fn body(bytes: &[u8]) {
    if let Some((text, rest)) = cstring(bytes) {
        assert_eq!(text.len() + 1 + rest.len(), bytes.len());
        assert!(!text.contains(&0));
    }
    let value = parameter(bytes, b"database").unwrap_or_default();
    assert!(is_part(value, bytes) && !value.contains(&0));
    if let Some(state) = sqlstate(bytes) {
        assert!(
            state
                .iter()
                .all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
        );
    }
    if let Some((command, _)) = tag(bytes) {
        assert!(is_part(command, bytes) && !command.iter().any(u8::is_ascii_digit));
    }
    let _ = is_ready(bytes);
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    [
        &b"\0\0\0\x08\x04\xd2\x16\x2f"[..],
        b"\0\0\0\x22\0\x03\0\0user\0app\0database\0shop\0\0\0\0\0\0",
        b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02",
        b"Q\0\0\0\x0dselect 1\0P\0\0\0\x08a\0\0\0B\0\0\0\x0c\0a\0\0\0\0\0\0E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04",
        b"T\0\0\0\x06\0\0D\0\0\0\x06\0\0C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I",
        b"E\0\0\0\x1aSERROR\0C42P01\0Mmissing\0\0Z\0\0\0\x05E",
        b"SERROR\0C42P01\0Mmissing\0\0",
        b"INSERT 0 5\0",
        b"user\0app\0database\0shop\0\0",
    ]
    .map(<[u8]>::to_vec)
    .to_vec()
}
