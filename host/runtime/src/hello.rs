//! What a client says in the clear before TLS begins: the name of the server it wants, and the
//! protocols it offers (RFC 8446 §4.1.2, RFC 6066 §3, RFC 7301 §3.1).
//!
//! Which protocol the server chose is encrypted since TLS 1.3, so only the offer is told.

/// A ClientHello has 200 to 2,000 bytes; of a longer one nothing is told.
pub(crate) const HELLO_BYTES: usize = 16 << 10;

/// RFC 1035 §2.3.4.
const NAME_BYTES: usize = 255;

/// Protocols of an offer that are told; browsers have two.
const PROTOCOLS: usize = 8;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;

/// Both are ASCII without white space or commas, and empty where the client said nothing of the kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) server_name: Box<str>,
    /// In the order of the client, separated by commas.
    pub(crate) protocols: Box<str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    Whole(Hello),
    /// There may be more.
    Partial,
    /// No ClientHello, or one that cannot be read.
    None,
}

/// Reads what a client has sent so far.
pub(crate) fn read(bytes: &[u8]) -> Reading {
    let mut message = Vec::new();
    let mut rest = bytes;
    loop {
        if let Some(hello) = body(&message) {
            return extensions(hello).map_or(Reading::None, Reading::Whole);
        }
        if message.first().is_some_and(|kind| *kind != CLIENT_HELLO) || message.len() >= HELLO_BYTES
        {
            return Reading::None;
        }
        let [kind, _, _, high, low, behind @ ..] = rest else {
            return Reading::Partial;
        };
        if *kind != HANDSHAKE {
            return Reading::None;
        }
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        let there = behind.get(..len).unwrap_or(behind);
        message.extend_from_slice(there);
        if there.len() < len {
            // A part of a record: the rest of the message may be in it all the same.
            let whole = body(&message).and_then(extensions);
            return whole.map_or(Reading::Partial, Reading::Whole);
        }
        rest = behind.get(len..).unwrap_or_default();
    }
}

/// The message without its header, when all of it is there.
fn body(message: &[u8]) -> Option<&[u8]> {
    let [CLIENT_HELLO, a, b, c, body @ ..] = message else {
        return None;
    };
    let len = usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).ok()?;
    body.get(..len)
}

fn extensions(hello: &[u8]) -> Option<Hello> {
    // Version and random.
    let mut rest = hello.get(34..)?;
    let _session = take(&mut rest, 1)?;
    let _ciphers = take(&mut rest, 2)?;
    let _compressions = take(&mut rest, 1)?;
    let mut told = Hello::default();
    if rest.is_empty() {
        return Some(told);
    }
    let mut list = take(&mut rest, 2)?;
    while !list.is_empty() {
        let (kind, behind) = list.split_first_chunk()?;
        list = behind;
        let content = take(&mut list, 2)?;
        match u16::from_be_bytes(*kind) {
            SERVER_NAME => told.server_name = server_name(content).unwrap_or_default(),
            ALPN => told.protocols = protocols(content).unwrap_or_default(),
            _ => {}
        }
    }
    Some(told)
}

/// The first of type `host_name`; no other has ever been defined.
fn server_name(mut content: &[u8]) -> Option<Box<str>> {
    let list = take(&mut content, 2)?;
    let (0, mut rest) = list.split_first().map(|(kind, rest)| (*kind, rest))? else {
        return None;
    };
    let name = plain(take(&mut rest, 2)?)?;
    (name.len() <= NAME_BYTES).then(|| name.into())
}

fn protocols(mut content: &[u8]) -> Option<Box<str>> {
    let mut list = take(&mut content, 2)?;
    let mut told = String::new();
    let mut count = 0;
    while !list.is_empty() && count < PROTOCOLS {
        let name = take(&mut list, 1)?;
        // What is no text is a value that clients make up so that servers ignore it (RFC 8701).
        if let Some(name) = plain(name) {
            if count > 0 {
                told.push(',');
            }
            told.push_str(name);
            count += 1;
        }
    }
    Some(told.into())
}

fn plain(bytes: &[u8]) -> Option<&str> {
    let allowed = |byte: &u8| byte.is_ascii_graphic() && *byte != b',';
    let text = std::str::from_utf8(bytes).ok()?;
    (!bytes.is_empty() && bytes.iter().all(allowed)).then_some(text)
}

/// A stretch behind its length of `width` bytes.
fn take<'a>(rest: &mut &'a [u8], width: usize) -> Option<&'a [u8]> {
    let (length, behind) = rest.split_at_checked(width)?;
    let len = length
        .iter()
        .fold(0, |len, byte| len << 8 | usize::from(*byte));
    let (content, behind) = behind.split_at_checked(len)?;
    *rest = behind;
    Some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sized(width: usize, content: &[u8]) -> Vec<u8> {
        let len = content.len().to_be_bytes();
        [&len[len.len() - width..], content].concat()
    }

    fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &sized(2, content)].concat()
    }

    fn hello(extensions: &[Vec<u8>]) -> Vec<u8> {
        let body = [
            &[3, 3][..],
            &[7; 32],
            &sized(1, &[9; 32]),
            &sized(2, &[0x13, 1, 0x13, 2]),
            &sized(1, &[0]),
            &sized(2, &extensions.concat()),
        ]
        .concat();
        [&[CLIENT_HELLO][..], &sized(3, &body)].concat()
    }

    fn record(content: &[u8]) -> Vec<u8> {
        [&[HANDSHAKE, 3, 1][..], &sized(2, content)].concat()
    }

    fn usual() -> Vec<u8> {
        let name = sized(2, &[&[0][..], &sized(2, b"shop.example")].concat());
        let alpn = sized(2, b"\x02h2\x02\xea\xea\x08http/1.1");
        hello(&[
            extension(0x0a0a, b""),
            extension(SERVER_NAME, &name),
            extension(ALPN, &alpn),
            extension(43, b"\x02\x03\x04"),
        ])
    }

    #[test]
    fn the_name_and_the_offer_are_read() {
        let expected = Hello {
            server_name: "shop.example".into(),
            protocols: "h2,http/1.1".into(),
        };
        assert_eq!(read(&record(&usual())), Reading::Whole(expected.clone()));
        // In two records, and with what follows.
        let message = usual();
        let (one, two) = message.split_at(60);
        let mut split = [record(one), record(two)].concat();
        split.extend(b"\x14\x03\x03\x00\x01\x01");
        assert_eq!(read(&split), Reading::Whole(expected));
        assert_eq!(read(&record(&hello(&[]))), Reading::Whole(Hello::default()));
    }

    #[test]
    fn each_beginning_is_partial_until_the_last_byte() {
        let whole = record(&usual());
        for len in 0..whole.len() {
            assert_eq!(read(&whole[..len]), Reading::Partial, "{len}");
        }
    }

    #[test]
    fn damage_is_nothing_and_does_no_harm() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"\x17\x03\x03\x00\x05hello",
            b"\x16\x03\x03\x00\x04\x02\x00\x00\x00",
        ] {
            assert_eq!(read(bytes), Reading::None, "{bytes:?}");
        }
        let whole = record(&usual());
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = value;
                read(&damaged);
            }
        }
        // A message that claims 16 MiB is waited for only so long.
        let mut endless = Vec::new();
        for _ in 0..2 {
            let content = [&b"\x01\xff\xff\xff"[..], &[0; 16_000]].concat();
            endless.extend(record(&content));
        }
        assert_eq!(read(&endless), Reading::None);
    }
}
