//! Reading messages of the protocol (PostgreSQL documentation, "Message Formats"): pure functions
//! over bytes.

use memchr::memchr;

use wirespan_parser_sql::limits::TEXT_BYTES;

use crate::limits::{ERROR_BYTES, MESSAGE_BYTES, NAME_BYTES, STARTUP_BYTES, TAG_BYTES};

/// What a look at some bytes came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read<T> {
    Ok(T),
    Incomplete,
    Invalid,
}

/// Bytes of a header: the tag and the length.
pub(crate) const HEADER: u64 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub tag: u8,
    /// Bytes after the header.
    pub body: u32,
}

impl Header {
    /// The whole message.
    #[expect(
        clippy::len_without_is_empty,
        reason = "a message has a header at the least"
    )]
    pub fn len(self) -> u64 {
        HEADER.saturating_add(u64::from(self.body))
    }
}

/// A ReadyForQuery, but for its last byte.
pub(crate) const READY: [u8; 5] = [b'Z', 0, 0, 0, 5];

/// One outside a transaction.
pub(crate) const READY_IDLE: [u8; 6] = [b'Z', 0, 0, 0, 5, b'I'];

/// Whether these are the bytes of a ReadyForQuery.
pub fn is_ready(bytes: &[u8]) -> bool {
    matches!(bytes.split_last(), Some((b'I' | b'T' | b'E', before)) if *before == READY)
}

fn header(bytes: &[u8], fits: impl Fn(u8, u32) -> bool) -> Read<Header> {
    let Some((&tag, rest)) = bytes.split_first() else {
        return Read::Incomplete;
    };
    // The shortest length that is possible for what is there of it: an impossible tag is known
    // from its first byte.
    let Some(&length) = rest.first_chunk::<4>() else {
        let possible = fits(tag, u32::MAX) && rest.first().is_none_or(|&high| high < 0x40);
        return if possible {
            Read::Incomplete
        } else {
            Read::Invalid
        };
    };
    let length = u32::from_be_bytes(length);
    match length.checked_sub(4) {
        Some(body) if length <= MESSAGE_BYTES && fits(tag, body) => Read::Ok(Header { tag, body }),
        _ => Read::Invalid,
    }
}

/// Header of a message of the client. `u32::MAX` as a body fits any tag.
pub fn client_header(bytes: &[u8]) -> Read<Header> {
    header(bytes, |tag, body| match tag {
        // Flush, Sync, Terminate, CopyDone.
        b'H' | b'S' | b'X' | b'c' => body == 0 || body == u32::MAX,
        b'Q' | b'f' => body >= 1,
        b'C' | b'D' => body >= 2,
        b'P' => body >= 4,
        b'E' => body >= 5,
        b'B' => body >= 8,
        b'F' => body >= 10,
        b'd' | b'p' => true,
        _ => false,
    })
}

/// Header of a message of the server.
pub fn server_header(bytes: &[u8]) -> Read<Header> {
    header(bytes, |tag, body| match tag {
        // ParseComplete, BindComplete, CloseComplete, NoData, EmptyQuery, PortalSuspended, CopyDone.
        b'1' | b'2' | b'3' | b'n' | b'I' | b's' | b'c' => body == 0 || body == u32::MAX,
        b'Z' => body == 1 || body == u32::MAX,
        b'C' | b'E' | b'N' => body >= 1,
        b'T' | b'D' | b't' | b'S' => body >= 2,
        b'G' | b'H' | b'W' => body >= 3,
        b'R' | b'V' => body >= 4,
        b'A' => body >= 6,
        b'K' | b'v' => body >= 8,
        b'd' => true,
        _ => false,
    })
}

/// How much of a message's body is looked at: the rest is stepped over. Of what can carry a
/// password, a key, a row or a parameter that is nothing, but for the names in front.
pub fn wanted(side: wirespan_sdk::Side, header: Header) -> u32 {
    let text = TEXT_BYTES as u32;
    let names = 2 * (NAME_BYTES as u32 + 1);
    let limit = match (side, header.tag) {
        (wirespan_sdk::Side::Client, b'Q') => text + 1,
        (wirespan_sdk::Side::Client, b'P') => text + names,
        (wirespan_sdk::Side::Client, b'B' | b'C' | b'D' | b'E') => names,
        (wirespan_sdk::Side::Server, b'C') => TAG_BYTES,
        (wirespan_sdk::Side::Server, b'E') => ERROR_BYTES,
        (wirespan_sdk::Side::Server, b'Z') => 1,
        _ => 0,
    };
    header.body.min(limit)
}

/// The bytes before the first NUL and those after it.
pub fn cstring(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(0, bytes)?;
    Some((bytes.get(..end)?, bytes.get(end.checked_add(1)?..)?))
}

/// A packet without a tag, as the client begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Startup {
    Ssl,
    Gss,
    Cancel,
    Session,
}

/// Startup packet at the beginning of `bytes`: what it is and its length.
pub fn startup(bytes: &[u8]) -> Read<(Startup, u32)> {
    let Some(&[a, b, c, d]) = bytes.first_chunk::<4>() else {
        let possible = [0, 0, 0x27];
        let fits = bytes.iter().zip(possible).all(|(&byte, most)| byte <= most);
        return if fits {
            Read::Incomplete
        } else {
            Read::Invalid
        };
    };
    let length = u32::from_be_bytes([a, b, c, d]);
    if !(8..=STARTUP_BYTES).contains(&length) {
        return Read::Invalid;
    }
    let code = bytes.get(4..bytes.len().min(8)).unwrap_or_default();
    let is = |value: u32| value.to_be_bytes().starts_with(code);
    let (kind, fits) = match length {
        8 => match (is(80_877_103), is(80_877_104)) {
            (_, true) if code.len() == 4 => (Startup::Gss, true),
            (ssl, gss) => (Startup::Ssl, ssl || gss),
        },
        // 3.2 has keys of up to 256 bytes.
        12..=268 if is(80_877_102) => (Startup::Cancel, true),
        // 3.0, 3.2 and the version that asks whether servers negotiate.
        9.. => (
            Startup::Session,
            is(0x3_0000) || is(0x3_0001) || is(0x3_0002) || is(0x3_270f),
        ),
        _ => (Startup::Session, false),
    };
    match (fits, code.len()) {
        (false, _) => Read::Invalid,
        (true, 4) => Read::Ok((kind, length)),
        (true, _) => Read::Incomplete,
    }
}

/// Value of a parameter of a startup packet whose body, after the version, this is.
pub fn parameter<'a>(mut body: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    while let Some((key, rest)) = cstring(body).filter(|(key, _)| !key.is_empty()) {
        let (value, rest) = cstring(rest)?;
        if key == name {
            return Some(value);
        }
        body = rest;
    }
    None
}

/// A SQLSTATE: five digits and capital letters.
pub type SqlState = [u8; 5];

/// The code of an ErrorResponse.
pub fn sqlstate(mut body: &[u8]) -> Option<SqlState> {
    while let Some((&field, rest)) = body.split_first() {
        let (value, rest) = cstring(rest)?;
        if field == b'C' {
            let code = *value.first_chunk::<5>().filter(|_| value.len() == 5)?;
            let fits = |b: &u8| b.is_ascii_digit() || b.is_ascii_uppercase();
            return code.iter().all(fits).then_some(code);
        }
        body = rest;
    }
    None
}

/// What a command tag says: the command, and how many rows it says were affected or returned.
pub fn tag(body: &[u8]) -> Option<(&[u8], Option<u64>)> {
    let (tag, _) = cstring(body)?;
    let digits = tag.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let (words, number) = tag.split_at_checked(tag.len().checked_sub(digits)?)?;
    let count = match words.last() {
        None | Some(b' ') if digits > 0 => number.iter().try_fold(0_u64, |count, digit| {
            let digit = u64::from(digit.saturating_sub(b'0'));
            count.checked_mul(10)?.checked_add(digit)
        }),
        _ => None,
    };
    // INSERT has two numbers.
    let end = words.iter().position(u8::is_ascii_digit);
    let command = words.get(..end.unwrap_or(words.len()))?;
    Some((command.trim_ascii(), count))
}
