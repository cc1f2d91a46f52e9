//! The first line of a message.

use memchr::memchr;

use crate::limits::{HEAD_BYTES, METHOD_BYTES, TARGET_BYTES};
use crate::lines::Lines;

/// What could be read of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<T> {
    /// The bytes could be the beginning of one.
    Incomplete,
    Invalid,
    /// The line, and its length with the line end.
    Line(T, usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLine<'a> {
    pub method: &'a [u8],
    pub target: &'a [u8],
    /// The `x` of `HTTP/1.x`.
    pub minor: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusLine {
    pub minor: u8,
    pub status: u16,
}

/// `method SP target SP HTTP/1.x` (RFC 9112, 3). A target with spaces in it is taken as it is:
/// servers answer it, if only with 400.
pub fn request_line(bytes: &[u8]) -> Parsed<RequestLine<'_>> {
    let bytes = within_limit(bytes);
    let token = bytes
        .iter()
        .take(METHOD_BYTES + 1)
        .position(|&b| !is_token(b));
    let Some(method_len) = token else {
        return if bytes.len() > METHOD_BYTES {
            Parsed::Invalid
        } else {
            Parsed::Incomplete
        };
    };
    let (Some(method), Some(rest)) = (bytes.get(..method_len), bytes.get(method_len..)) else {
        return Parsed::Invalid;
    };
    let Some((&b' ', rest)) = rest.split_first() else {
        return Parsed::Invalid;
    };
    if method.is_empty() {
        return Parsed::Invalid;
    }
    let mut lines = Lines::new(rest);
    let Some(line) = lines.next() else {
        return if has_control(rest.strip_suffix(b"\r").unwrap_or(rest)) {
            Parsed::Invalid
        } else {
            Parsed::Incomplete
        };
    };
    // As where the line end is awaited: what is said does not depend on how much is there.
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if has_control(line) {
        return Parsed::Invalid;
    }
    let Some((target, version)) = line.trim_ascii_end().split_last_chunk::<9>() else {
        return Parsed::Invalid;
    };
    let Some(minor) = minor_version(*version) else {
        return Parsed::Invalid;
    };
    let target = target.trim_ascii();
    if target.is_empty() {
        return Parsed::Invalid;
    }
    Parsed::Line(
        RequestLine {
            method,
            target,
            minor,
        },
        method_len.saturating_add(1).saturating_add(lines.end()),
    )
}

/// `HTTP/1.x NNN reason` (RFC 9112, 4).
pub fn status_line(bytes: &[u8]) -> Parsed<StatusLine> {
    let Some(line) = bytes.first_chunk::<12>() else {
        return match could_be_status_line(bytes) {
            true => Parsed::Incomplete,
            false => Parsed::Invalid,
        };
    };
    let [h, t1, t2, p, slash, one, dot, minor, space, a, b, c] = *line;
    let digit = |byte: u8| byte.wrapping_sub(b'0');
    let fits = u64::from_ne_bytes([h, t1, t2, p, slash, one, dot, space])
        == u64::from_ne_bytes(*b"HTTP/1. ")
        && [minor, a, b, c]
            .map(digit)
            .iter()
            .fold(0, |most, &d| d.max(most))
            <= 9;
    if !fits || digit(a) == 0 || !matches!(bytes.get(12), None | Some(b' ' | b'\r' | b'\n')) {
        return Parsed::Invalid;
    }
    let status = [a, b, c].map(digit).iter().fold(0, |n: u16, &d| {
        n.wrapping_mul(10).wrapping_add(u16::from(d))
    });
    let minor = digit(minor);
    let mut lines = Lines::new(within_limit(bytes));
    match lines.next() {
        Some(_) => Parsed::Line(StatusLine { minor, status }, lines.end()),
        None => Parsed::Incomplete,
    }
}

/// Whether these few bytes can become a status line.
fn could_be_status_line(bytes: &[u8]) -> bool {
    const SHAPE: &[u8] = b"HTTP/1.0 000";
    bytes.iter().zip(SHAPE).all(|(&byte, &shape)| match shape {
        b'0' => byte.is_ascii_digit(),
        shape => byte == shape,
    })
}

/// A status line with an odd version or odd space before the status: some clients take it, so it
/// counts where a response is awaited, but nobody agrees on what follows.
pub fn odd_status_line(bytes: &[u8]) -> Option<(u16, usize)> {
    let end = memchr(b'\n', within_limit(bytes))?;
    let line = bytes.get(..end)?.strip_prefix(b"HTTP/")?;
    let version = line
        .iter()
        .take_while(|b| b.is_ascii_digit() || **b == b'.')
        .count();
    let rest = line.get(version..)?;
    let space = rest
        .iter()
        .take_while(|b| matches!(b, b' ' | b'\t' | 0))
        .count();
    let [a, b, c, rest @ ..] = rest.get(space..)? else {
        return None;
    };
    let digits = [a, b, c].iter().all(|d| d.is_ascii_digit());
    if !digits || *a == b'0' || space == 0 || rest.first().is_some_and(|&b| is_token(b)) {
        return None;
    }
    let status = [a, b, c]
        .iter()
        .fold(0, |n: u16, d| n * 10 + u16::from(d.wrapping_sub(b'0')));
    Some((status, end + 1))
}

/// The `x` of ` HTTP/1.x`.
fn minor_version([space, name @ .., minor]: [u8; 9]) -> Option<u8> {
    let fits = space == b' ' && name == *b"HTTP/1." && minor.is_ascii_digit();
    fits.then(|| minor.wrapping_sub(b'0'))
}

/// Whether there is a byte below the space in `text`.
fn has_control(text: &[u8]) -> bool {
    let (blocks, rest) = text.as_chunks::<32>();
    let (words, _) = rest.as_chunks::<8>();
    let in_blocks = blocks.iter().any(|block| {
        let (words, _) = block.as_chunks::<8>();
        // The shifts, which lose nothing, keep the compiler from vectors: it puts their parts together
        // by shuffles, and the oldest CPUs that components are compiled for have none.
        words.iter().fold(0, |all, word| all >> 1 | controls(word)) != 0
    });
    in_blocks
        || words.iter().any(|word| controls(word) != 0)
        || match text.last_chunk() {
            Some(last) => controls(last) != 0,
            None => text.iter().any(|&b| b < b' '),
        }
}

/// Something, when one of eight bytes is below the space.
fn controls(word: &[u8; 8]) -> u64 {
    const SPACES: u64 = 0x2020_2020_2020_2020;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let word = u64::from_ne_bytes(*word);
    word.wrapping_sub(SPACES) & !word & HIGH
}

/// `bytes`, which stand at `at`, from the first line on that is not empty; `at` goes there.
pub(crate) fn past_empty_lines<'a>(bytes: &'a [u8], at: &mut u64) -> &'a [u8] {
    let empty = bytes
        .iter()
        .take_while(|b| matches!(b, b'\r' | b'\n'))
        .count();
    *at = at.saturating_add(empty as u64);
    bytes.get(empty..).unwrap_or_default()
}

/// What a first line may have of `bytes`: one that ends later is too long, however much is shown.
fn within_limit(bytes: &[u8]) -> &[u8] {
    let limit = usize::try_from(HEAD_BYTES).unwrap_or(usize::MAX);
    bytes.get(..limit).unwrap_or(bytes)
}

/// The method and the beginning of the target of a request line that is too long.
pub fn long_request_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes
        .iter()
        .take(METHOD_BYTES + 1)
        .position(|&b| b == b' ')?;
    let (method, rest) = bytes.split_at_checked(end)?;
    let target = rest.get(1..)?.get(..TARGET_BYTES + 1)?;
    let fits = !method.is_empty()
        && method.iter().all(|&b| is_token(b))
        && target.iter().all(|&b| b > b' ');
    fits.then_some((method, target))
}

/// `tchar` of RFC 9110, 5.6.2.
#[inline]
pub(crate) fn is_token(byte: u8) -> bool {
    // A bit for each of the first 128 bytes.
    const TOKENS: u128 = {
        let mut tokens = 0;
        let mut byte = 0;
        while byte < 128u8 {
            if byte.is_ascii_alphanumeric()
                || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+')
                || matches!(byte, b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
            {
                tokens |= 1 << byte;
            }
            byte += 1;
        }
        tokens
    };
    const LOW: u64 = TOKENS as u64;
    const HIGH: u64 = (TOKENS >> 64) as u64;
    let tokens = if byte & 0x40 == 0 { LOW } else { HIGH };
    byte < 0x80 && tokens >> (byte & 0x3f) & 1 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_is_seen_at_any_place_of_any_length() {
        for len in 0..140 {
            for usual in [b' ', 0x7f, 0x80, 0xff] {
                let mut text = vec![usual; len];
                assert!(!has_control(&text));
                for at in 0..len {
                    for byte in [0, b'\t', 0x1f] {
                        text[at] = byte;
                        assert!(has_control(&text), "{len} {at}");
                    }
                    text[at] = usual;
                }
            }
        }
    }
}
