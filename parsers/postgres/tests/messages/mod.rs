//! Messages of both sides, built for tests.

use wirespan_sdk::testkit::Conversation;

pub(crate) fn packet(code: u32, body: &[u8]) -> Vec<u8> {
    let length = body.len() as u32 + 8;
    [&length.to_be_bytes()[..], &code.to_be_bytes(), body].concat()
}

pub(crate) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = body.len() as u32 + 4;
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

/// After the client has logged in.
pub(crate) fn started() -> Conversation {
    Conversation::new()
        .client(
            [
                packet(0x3_0000, b"user\0alice\0database\0shop\0\0"),
                message(b'p', b"secret\0"),
            ]
            .concat(),
        )
        .server(
            [
                message(b'R', &[0, 0, 0, 3]),
                message(b'R', &[0; 4]),
                parameter_status(),
                message(b'K', &[0; 8]),
                ready(b'I'),
            ]
            .concat(),
        )
}

pub(crate) fn query(text: &str) -> Vec<u8> {
    message(b'Q', &[text.as_bytes(), b"\0"].concat())
}

pub(crate) fn parse(name: &str, text: &str) -> Vec<u8> {
    message(b'P', format!("{name}\0{text}\0\0\0").as_bytes())
}

pub(crate) fn bind(portal: &str, statement: &str) -> Vec<u8> {
    message(
        b'B',
        format!("{portal}\0{statement}\0\0\0\0\0\0\0").as_bytes(),
    )
}

pub(crate) fn execute(portal: &str, rows: u8) -> Vec<u8> {
    message(b'E', &[portal.as_bytes(), &[0, 0, 0, 0, rows]].concat())
}

pub(crate) fn close(kind: u8, name: &str) -> Vec<u8> {
    message(b'C', &[&[kind], name.as_bytes(), b"\0"].concat())
}

pub(crate) fn sync() -> Vec<u8> {
    message(b'S', b"")
}

/// Parse, Bind and Execute.
pub(crate) fn execute_all(name: &str, text: &str) -> Vec<u8> {
    [parse(name, text), bind("", name), execute("", 0)].concat()
}

pub(crate) fn parsed() -> Vec<u8> {
    message(b'1', b"")
}

/// What answers [`execute_all`].
pub(crate) fn executed(tag: &str) -> Vec<u8> {
    [parsed(), message(b'2', b""), row(), complete(tag)].concat()
}

pub(crate) fn row() -> Vec<u8> {
    message(b'D', b"\0\x01\0\0\0\x06Z\0\0\0\x05I")
}

pub(crate) fn rows(count: usize) -> Vec<u8> {
    [message(b'T', b"\0\x01a\0"), row().repeat(count)].concat()
}

pub(crate) fn complete(tag: &str) -> Vec<u8> {
    message(b'C', &[tag.as_bytes(), b"\0"].concat())
}

pub(crate) fn ready(status: u8) -> Vec<u8> {
    message(b'Z', &[status])
}

pub(crate) fn error(code: &str) -> Vec<u8> {
    message(b'E', format!("SERROR\0VERROR\0C{code}\0Mno\0\0").as_bytes())
}

pub(crate) fn notice() -> Vec<u8> {
    message(b'N', b"SNOTICE\0C00000\0Mhm\0\0")
}

pub(crate) fn parameter_status() -> Vec<u8> {
    message(b'S', b"TimeZone\0UTC\0")
}
