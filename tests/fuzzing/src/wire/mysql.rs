//! Payloads of MySQL's packets.

use wirespan_parser_mysql::wire_readers::{
    Reader, attributed, change_user, command_fits, ending, failure, greeting, has_attributes,
    header, login,
};

use super::is_part;

pub(crate) fn run(input: &[u8]) {
    packets(input);
    payload(input, u32::try_from(input.len()).unwrap_or(u32::MAX));
}

/// Packets one behind the other; the last may have been cut.
fn packets(mut rest: &[u8]) {
    while let Some(header) = header(rest) {
        let body = &rest[4..];
        assert!(header.len <= 0xff_ffff && header.sequence == rest[3]);
        let shown = &body[..body.len().min(header.len as usize)];
        payload(shown, header.len);
        rest = &body[shown.len()..];
    }
}

fn payload(bytes: &[u8], len: u32) {
    if let Some(&code) = bytes.first() {
        let _ = command_fits(code, len);
    }
    if let Some(ending) = ending(bytes, len) {
        assert!(is_part(ending.schema.unwrap_or_default(), bytes));
    }
    if let Some(state) = failure(bytes).and_then(|failure| failure.state) {
        assert!(state.iter().all(u8::is_ascii_alphanumeric));
    }
    let _ = greeting(bytes);
    if let Some(login) = login(bytes, len) {
        let database = login.database.unwrap_or_default();
        assert!(is_part(database, bytes));
        assert!(!login.asks_for_tls || database.is_empty());
    }
    assert!(is_part(change_user(bytes).unwrap_or_default(), bytes));
    let query = attributed(bytes);
    assert!(is_part(query.text.unwrap_or_default(), bytes));
    assert!(is_part(query.traceparent.unwrap_or_default(), bytes));
    assert_eq!(has_attributes(bytes).is_none(), bytes.len() < 2);
    numbers(bytes);
}

/// Length-encoded numbers and texts, up to where there are none.
fn numbers(bytes: &[u8]) {
    let mut reader = Reader(bytes);
    loop {
        let before = reader.0.len();
        let mut text = reader;
        let Some(number) = reader.lenenc() else {
            break;
        };
        assert!(reader.0.len() < before, "something was read of no length");
        match text.lenenc_text() {
            Some(text) => assert_eq!(text.len() as u64, number, "a text of another length"),
            None => assert!(number > reader.0.len() as u64, "a text that is there"),
        }
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let packet = |sequence: u8, payload: &[u8]| {
        let len = (payload.len() as u32).to_le_bytes();
        [&len[..3], &[sequence], payload].concat()
    };
    let login = [
        &(1_u32 | 1 << 3 | 1 << 9 | 1 << 15 | 1 << 21).to_le_bytes()[..],
        &[0, 0, 0, 1, 45],
        &[0; 23],
        b"app\0\x02ab\x00shop\0mysql_native_password\0",
    ]
    .concat();
    vec![
        packet(0, b"\x0a10.11.6-MariaDB\0\x07\0\0\0abcdefgh\0\xfe\xf7\x2d\x02\0\xff\xc1\x15\0\0\0\0\0\0\x1d\0\0\0ijklmnopqrst\0mysql_native_password\0"),
        packet(1, &login),
        packet(2, &[0, 0, 0, 2, 0, 0, 0]),
        packet(2, b"\0\0\0\x02\x40\0\0\0\x07\x01\x05\x04shop"),
        packet(1, b"\xff\x7a\x04#42S02No such table"),
        packet(0, b"\x03select 1"),
        b"\x02\x01\x00\x01\xfe\0\x0btraceparent\x03\0\x01n\x0200\x07\0\0\0select 1".to_vec(),
        packet(0, b"\x11app\0\x02abshop\0"),
        [packet(1, &[1]), packet(2, &[0xfe, 0, 0, 2, 0])].concat(),
    ]
}
