//! Is this PostgreSQL? A startup packet is certain. In mid-connection it takes messages that end
//! where they say and stop at a point where the other side speaks.

use wirespan_parser_sql::{Look, is_plain, look};
use wirespan_sdk::{Pattern, PatternSide, Prefix, Recognition};

use crate::wire::{Read, Startup, client_header, cstring, is_ready, server_header, startup};

/// A startup packet's length begins with two zeros, as does that of no tagged message; a message's
/// tag is a letter or a digit, and its length begins with a zero below 16 MiB.
pub(crate) const PATTERNS: &[Pattern] = &[
    Pattern {
        side: PatternSide::Either,
        offset: 0,
        mask: &[0xff, 0xff],
        value: &[0, 0],
    },
    Pattern {
        side: PatternSide::Either,
        offset: 0,
        mask: &[0xc0, 0xff],
        value: &[0x40, 0],
    },
    Pattern {
        side: PatternSide::Either,
        offset: 0,
        mask: &[0xf8, 0xff],
        value: &[0x30, 0],
    },
];

/// A startup packet: no other protocol begins like it.
const CERTAIN: u8 = 95;

/// Messages in mid-connection.
const LIKELY: u8 = 75;

/// Bytes of a startup packet whose parameters are checked before it is believed without its end.
const PARAMETERS: usize = 512;

pub(crate) fn recognise(prefix: &Prefix<'_>) -> Recognition {
    look(prefix, |client, server| {
        [from_client(client), from_server(server)]
    })
}

fn from_client(bytes: &[u8]) -> Look {
    if bytes.is_empty() {
        return Look::Nothing;
    }
    match startup(bytes) {
        Read::Ok((Startup::Session, length)) => return session(bytes, length as usize),
        Read::Ok((_, length)) if bytes.len() >= length as usize => return Look::Yes(CERTAIN),
        Read::Ok(_) | Read::Incomplete => return Look::Undecided,
        Read::Invalid => {}
    }
    let mut rest = bytes;
    let mut extended = false;
    loop {
        let (header, body, after) = match message(rest, client_header) {
            Ok(found) => found,
            Err(look) => return look,
        };
        let complete = after.is_some();
        match header {
            b'Q' if !is_statement(body, complete) => return Look::No,
            // Others have a `Q` and a short length in front too: what follows has to fit as well.
            b'Q' if after.is_some_and(goes_on) => return Look::Yes(LIKELY),
            b'Q' if complete => return Look::No,
            b'P' if !is_parse(body, complete) => return Look::No,
            b'P' => extended |= complete,
            b'S' if extended => return Look::Yes(LIKELY),
            b'B' => extended |= complete && cstring(body).is_some(),
            // Without one of the above these are too little.
            b'Q' | b'D' | b'E' | b'C' | b'H' => {}
            _ if !extended => return Look::No,
            _ => {}
        }
        match after {
            Some(after) => rest = after,
            None => return Look::Undecided,
        }
    }
}

fn from_server(bytes: &[u8]) -> Look {
    if bytes.is_empty() {
        return Look::Nothing;
    }
    let mut rest = bytes;
    loop {
        let (tag, _, after) = match message(rest, server_header) {
            Ok(found) => found,
            Err(look) => return look,
        };
        if tag == b'Z' && rest.get(..6).is_some_and(|ready| !is_ready(ready)) {
            return Look::No;
        }
        let Some(after) = after else {
            return Look::Undecided;
        };
        if tag == b'Z' && rest.len() < bytes.len() {
            return Look::Yes(LIKELY);
        }
        rest = after;
    }
}

/// Tag, what is there of the body, and what is after the message, when all of it is there.
#[expect(clippy::type_complexity, reason = "three parts of one message")]
fn message(
    bytes: &[u8],
    header: impl Fn(&[u8]) -> Read<crate::wire::Header>,
) -> Result<(u8, &[u8], Option<&[u8]>), Look> {
    match header(bytes) {
        Read::Ok(header) => {
            let rest = bytes.get(5..).unwrap_or_default();
            let (body, after) = match rest.split_at_checked(header.body as usize) {
                Some((body, after)) => (body, Some(after)),
                None => (rest, None),
            };
            Ok((header.tag, body, after))
        }
        Read::Incomplete => Err(Look::Undecided),
        Read::Invalid => Err(Look::No),
    }
}

/// Nothing, or the beginning of a message of the client.
fn goes_on(after: &[u8]) -> bool {
    !matches!(client_header(after), Read::Invalid)
}

/// Parameters are pairs of texts, and the first name is one of a setting.
fn session(bytes: &[u8], length: usize) -> Look {
    let packet = bytes.get(8..length.min(bytes.len())).unwrap_or_default();
    let complete = bytes.len() >= length;
    let mut rest = packet;
    let mut read = 0_usize;
    loop {
        match cstring(rest) {
            // The end of the parameters is the end of the packet.
            Some(([], after)) => {
                let ends = complete && after.is_empty() && read > 0;
                return if ends { Look::Yes(CERTAIN) } else { Look::No };
            }
            Some((name, after)) => {
                if !name
                    .iter()
                    .all(|b| b.is_ascii_alphanumeric() || b"_.".contains(b))
                {
                    return Look::No;
                }
                match cstring(after) {
                    Some((_, after)) => rest = after,
                    None => break,
                }
                read = read.saturating_add(1);
            }
            None => {
                if !rest
                    .iter()
                    .all(|b| b.is_ascii_alphanumeric() || b"_.".contains(b))
                {
                    return Look::No;
                }
                break;
            }
        }
    }
    match (complete, packet.len() >= PARAMETERS && read > 0) {
        (true, _) => Look::No,
        (false, true) => Look::Yes(CERTAIN),
        (false, false) => Look::Undecided,
    }
}

/// A text without control characters that ends with the message.
fn is_statement(body: &[u8], complete: bool) -> bool {
    let text = match (body.split_last(), complete) {
        (Some((0, text)), true) => text,
        (_, true) => return false,
        (_, false) => body,
    };
    is_plain(text)
}

/// Name, text, and types of parameters, four bytes each.
fn is_parse(body: &[u8], complete: bool) -> bool {
    let Some((name, rest)) = cstring(body) else {
        return !complete && is_plain(body);
    };
    let Some((text, types)) = cstring(rest) else {
        return !complete && is_plain(rest);
    };
    let fits = match types.first_chunk::<2>() {
        Some(&count) => {
            let bytes = usize::from(u16::from_be_bytes(count))
                .saturating_mul(4)
                .saturating_add(2);
            !complete || types.len() == bytes
        }
        None => !complete,
    };
    fits && is_plain(name) && is_plain(text)
}
