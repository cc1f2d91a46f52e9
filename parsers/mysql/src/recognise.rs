//! Is this MySQL? The greeting is certain, and so is the login. In mid-connection it takes a query,
//! or another command with its answer.

use wirespan_parser_sql::{Look, is_plain, look};
use wirespan_sdk::{Pattern, PatternSide, Prefix, Recognition};

use crate::frames::{first_frame, is_frame};
use crate::limits::{GREETING_BYTES, MAX_LOGIN_BYTES, NAME_BYTES};
use crate::wire::{self, Header, command};

/// The sequence of the first packet of a side is 0, 1, or within TLS 2.
pub(crate) const PATTERNS: &[Pattern] = &[Pattern {
    side: PatternSide::Either,
    offset: 3,
    mask: &[0xfc],
    value: &[0],
}];

/// A greeting or a login: no other protocol begins like it.
const CERTAIN: u8 = 95;

/// Commands in mid-connection.
const LIKELY: u8 = 70;

/// Bytes of a login that are looked at before it is believed without its end.
const LOGIN_HEAD: usize = 36;

pub(crate) fn recognise(prefix: &Prefix<'_>) -> Recognition {
    look(prefix, |client, server| {
        [greeting(server), login(client), commands(client, server)]
    })
}

/// The payload of the first packet, as far as it is there.
fn first(bytes: &[u8]) -> Option<(Header, &[u8])> {
    let header = wire::header(bytes)?;
    let payload = bytes.get(wire::HEADER as usize..)?;
    Some((
        header,
        payload.get(..header.len as usize).unwrap_or(payload),
    ))
}

fn greeting(bytes: &[u8]) -> Look {
    let Some((header, payload)) = first(bytes) else {
        return waiting(bytes);
    };
    if header.sequence != 0 || !(16..=GREETING_BYTES).contains(&(header.len as usize)) {
        return Look::No;
    }
    let whole = payload.len() == header.len as usize;
    let possible = payload.first().is_none_or(|&version| version == 10)
        && payload
            .iter()
            .skip(1)
            .take_while(|&&b| b != 0)
            .all(|b| (b' '..0x7f).contains(b));
    match (possible, whole) {
        (false, _) => Look::No,
        (true, false) => Look::Undecided,
        (true, true) if wire::greeting(payload).is_some() => Look::Yes(CERTAIN),
        (true, true) => Look::No,
    }
}

fn login(bytes: &[u8]) -> Look {
    let Some((header, payload)) = first(bytes) else {
        return waiting(bytes);
    };
    if !(1..=2).contains(&header.sequence) || !(32..=MAX_LOGIN_BYTES).contains(&header.len) {
        return Look::No;
    }
    let protocol = payload.get(1).is_none_or(|byte| byte & 2 != 0);
    let zeros = payload.iter().skip(9).take(19).all(|&byte| byte == 0);
    if !protocol || !zeros {
        return Look::No;
    }
    if payload.len() < (header.len as usize).min(LOGIN_HEAD) {
        return Look::Undecided;
    }
    let head = wire::login(payload, header.len);
    match head {
        Some(_) => Look::Yes(CERTAIN),
        // The name of the user goes on.
        None if payload.len() < header.len as usize && payload.len() < 512 => Look::Undecided,
        None => Look::No,
    }
}

/// Commands as they are, or within compressed frames.
fn commands(client: &[u8], server: &[u8]) -> Look {
    match is_frame(client) {
        Some(true) => {
            let (Some(client), Some(server)) = (first_frame(client), first_frame(server)) else {
                return Look::No;
            };
            match plain_commands(&client, &server) {
                Look::Nothing => Look::Undecided,
                look => look,
            }
        }
        Some(false) => plain_commands(client, server),
        // A plain one can be told from fewer bytes.
        None => match plain_commands(client, server) {
            Look::No if client.get(3) == Some(&0) => Look::Undecided,
            look => look,
        },
    }
}

/// A query that says what it is, or another command and the beginning of its answer.
fn plain_commands(client: &[u8], server: &[u8]) -> Look {
    let Some((header, payload)) = first(client) else {
        return waiting(client);
    };
    let Some((&code, body)) = payload.split_first() else {
        return if header.sequence == 0 && header.len > 0 {
            Look::Undecided
        } else {
            Look::No
        };
    };
    if header.sequence != 0 || !wire::command_fits(code, header.len) {
        return Look::No;
    }
    let whole = payload.len() == header.len as usize;
    match code {
        command::QUERY | command::STMT_PREPARE => {
            let text = match body {
                [0, 1, text @ ..] => text,
                [0] if !whole => return Look::Undecided,
                _ => body,
            };
            if !is_plain(text) {
                return Look::No;
            }
            match (whole, text.len() >= STATEMENT_HEAD) {
                (false, false) => return Look::Undecided,
                _ if is_word(text) => return Look::Yes(LIKELY),
                _ => {}
            }
        }
        command::INIT_DB if body.len() > NAME_BYTES || !is_plain(body) => return Look::No,
        command::INIT_DB
        | command::PING
        | command::STATISTICS
        | command::STMT_EXECUTE
        | command::STMT_FETCH
        | command::STMT_RESET
        | command::RESET_CONNECTION => {}
        // Too rare, and too short, to be worth waiting for an answer.
        _ => return Look::No,
    }
    if !whole {
        return Look::Undecided;
    }
    if server.is_empty() {
        return Look::Undecided;
    }
    answers(server)
}

/// Bytes of a statement that are enough to know it by.
const STATEMENT_HEAD: usize = 16;

/// An answer's first packet, that of one packet whole.
fn answers(server: &[u8]) -> Look {
    let Some((header, payload)) = first(server) else {
        return Look::Undecided;
    };
    if header.sequence != 1 || header.len == 0 {
        return Look::No;
    }
    let whole = payload.len() == header.len as usize;
    match payload.first() {
        None => Look::Undecided,
        Some(0) if header.len >= 7 && header.len < 1024 => match whole {
            false => Look::Undecided,
            true if wire::ending(payload, header.len).is_some_and(|ending| ending.exact) => {
                Look::Yes(LIKELY)
            }
            true => Look::No,
        },
        Some(0xff) if header.len >= 9 && header.len < 1024 => match whole {
            false => Look::Undecided,
            true if wire::failure(payload).is_some_and(|failure| failure.state.is_some()) => {
                Look::Yes(LIKELY)
            }
            true => Look::No,
        },
        Some(1..=0xfa) if header.len <= 3 => {
            let next = server.get(4_usize.saturating_add(header.len as usize)..);
            match next.and_then(first) {
                None => Look::Undecided,
                Some((header, _)) if header.sequence != 2 => Look::No,
                Some((_, definition)) if definition.starts_with(b"\x03def") => Look::Yes(LIKELY),
                Some((_, definition)) if b"\x03def".starts_with(definition) => Look::Undecided,
                Some(_) => Look::No,
            }
        }
        Some(_) => Look::No,
    }
}

fn waiting(bytes: &[u8]) -> Look {
    match bytes.get(3) {
        _ if bytes.is_empty() => Look::Nothing,
        None => Look::Undecided,
        Some(_) => Look::No,
    }
}

/// Begins with a comment or with a word that statements begin with.
fn is_word(text: &[u8]) -> bool {
    const WORDS: &[&[u8]] = &[
        b"ALTER",
        b"ANALYZE",
        b"BEGIN",
        b"CALL",
        b"CHECK",
        b"COMMIT",
        b"CREATE",
        b"DEALLOCATE",
        b"DELETE",
        b"DESC",
        b"DESCRIBE",
        b"DO",
        b"DROP",
        b"EXECUTE",
        b"EXPLAIN",
        b"FLUSH",
        b"GRANT",
        b"HANDLER",
        b"INSERT",
        b"KILL",
        b"LOAD",
        b"LOCK",
        b"OPTIMIZE",
        b"PREPARE",
        b"RELEASE",
        b"RENAME",
        b"REPLACE",
        b"RESET",
        b"REVOKE",
        b"ROLLBACK",
        b"SAVEPOINT",
        b"SELECT",
        b"SET",
        b"SHOW",
        b"START",
        b"TRUNCATE",
        b"UNLOCK",
        b"UPDATE",
        b"USE",
        b"VALUES",
        b"WITH",
        b"XA",
    ];
    let text = text.trim_ascii_start();
    let text = text.strip_prefix(b"(").unwrap_or(text);
    if text.starts_with(b"/*") || text.starts_with(b"-- ") {
        return true;
    }
    let end = text
        .iter()
        .position(|b| !b.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let word = text.get(..end).unwrap_or_default();
    WORDS.iter().any(|known| known.eq_ignore_ascii_case(word))
}
