//! Where quoted tokens and comments end.

use memchr::{memchr, memchr2, memmem};

/// The end of a quoted token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// Behind the closing quote.
    pub(crate) at: usize,
    /// It holds a backslash.
    pub(crate) backslash: bool,
}

/// How backslashes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backslash {
    Ordinary,
    Escapes,
    /// Escapes, but not behind a byte that may be the first half of a character.
    EscapesAfterAscii,
}

/// Finds the end of what was opened before `from`; a doubled `quote` stands for itself. `None` when
/// there is no end.
pub(crate) fn end(bytes: &[u8], from: usize, quote: u8, rule: Backslash) -> Option<End> {
    let mut at = from;
    let mut backslash = false;
    loop {
        let found = at.checked_add(memchr2(quote, b'\\', bytes.get(at..)?)?)?;
        if bytes.get(found) == Some(&quote) {
            if bytes.get(found + 1) != Some(&quote) {
                return Some(End {
                    at: found + 1,
                    backslash,
                });
            }
            at = found + 2;
            continue;
        }
        backslash = true;
        let escapes = match rule {
            Backslash::Ordinary => false,
            Backslash::Escapes => true,
            Backslash::EscapesAfterAscii => !follows_wide(bytes, found),
        };
        at = if escapes { found + 2 } else { found + 1 };
    }
}

/// The end of what was opened before `from` where there is no doubt about it: it holds neither a
/// backslash nor a quote, and the byte before its end is ASCII.
#[inline]
pub(crate) fn plain_end(bytes: &[u8], from: usize, quote: u8) -> Option<usize> {
    let found = from.checked_add(memchr2(quote, b'\\', bytes.get(from..)?)?)?;
    let is_plain = bytes.get(found) == Some(&quote)
        && bytes.get(found + 1) != Some(&quote)
        && bytes.get(found - 1).is_some_and(u8::is_ascii);
    is_plain.then_some(found + 1)
}

/// The end of a name in backticks, in which nothing is escaped.
pub(crate) fn backtick_end(bytes: &[u8], from: usize, wide: bool) -> Option<usize> {
    let mut at = from;
    loop {
        let found = at.checked_add(memchr(b'`', bytes.get(at..)?)?)?;
        if wide && follows_unknown(bytes, found) {
            at = found + 1;
        } else if bytes.get(found + 1) == Some(&b'`') {
            at = found + 2;
        } else {
            return Some(found + 1);
        }
    }
}

/// Whether a byte that is not ASCII stands before `at`.
fn follows_wide(bytes: &[u8], at: usize) -> bool {
    at.checked_sub(1)
        .and_then(|before| bytes.get(before))
        .is_some_and(|byte| !byte.is_ascii())
}

/// Whether bytes that are not UTF-8 stood before `at`: U+FFFD was put there instead.
pub(crate) fn follows_unknown(bytes: &[u8], at: usize) -> bool {
    bytes
        .get(..at)
        .is_some_and(|before| before.ends_with("\u{fffd}".as_bytes()))
}

/// Behind the `*/` of a comment that does not nest.
pub(crate) fn comment_end(bytes: &[u8], from: usize) -> Option<usize> {
    let found = memmem::find(bytes.get(from..)?, b"*/")?;
    Some(from + found + 2)
}

/// Behind the last `*/` of a comment in which comments nest.
pub(crate) fn nested_comment_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut depth = 1_usize;
    let mut at = from;
    loop {
        let found = at.checked_add(memchr2(b'/', b'*', bytes.get(at..)?)?)?;
        match (bytes.get(found), bytes.get(found + 1)) {
            (Some(b'*'), Some(b'/')) => {
                depth -= 1;
                if depth == 0 {
                    return Some(found + 2);
                }
                at = found + 2;
            }
            (Some(b'/'), Some(b'*')) => {
                depth += 1;
                at = found + 2;
            }
            _ => at = found + 1,
        }
    }
}
