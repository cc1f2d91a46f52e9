//! The first line of a message.

use memchr::{memchr, memrchr};

use crate::limits::{HEAD_BYTES, METHOD_BYTES, TARGET_BYTES};

/// What could be read of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parsed<T> {
    /// The bytes could be the beginning of one.
    Incomplete,
    Invalid,
    /// The line, and its length with the line end.
    Line(T, usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestLine<'a> {
    pub(crate) method: &'a [u8],
    pub(crate) target: &'a [u8],
    /// The `x` of `HTTP/1.x`.
    pub(crate) minor: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StatusLine {
    pub(crate) minor: u8,
    pub(crate) status: u16,
}

/// `method SP target SP HTTP/1.x` (RFC 9112, 3). A target with spaces in it is taken as it is:
/// servers answer it, if only with 400.
pub(crate) fn request_line(bytes: &[u8]) -> Parsed<RequestLine<'_>> {
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
    let Some(end) = memchr(b'\n', rest) else {
        let printable = rest
            .strip_suffix(b"\r")
            .unwrap_or(rest)
            .iter()
            .all(|&b| b >= b' ');
        return if printable {
            Parsed::Incomplete
        } else {
            Parsed::Invalid
        };
    };
    let line = rest.get(..end).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line).trim_ascii_end();
    let Some(space) = memrchr(b' ', line) else {
        return Parsed::Invalid;
    };
    let (target, version) = line.split_at(space);
    let target = target.trim_ascii();
    let Some(minor) = version.get(1..).and_then(minor_version) else {
        return Parsed::Invalid;
    };
    if target.is_empty() || target.iter().any(|&b| b < b' ') {
        return Parsed::Invalid;
    }
    Parsed::Line(
        RequestLine {
            method,
            target,
            minor,
        },
        method_len + 1 + end + 1,
    )
}

/// `HTTP/1.x NNN reason` (RFC 9112, 4).
pub(crate) fn status_line(bytes: &[u8]) -> Parsed<StatusLine> {
    const SHAPE: &[u8] = b"HTTP/1.0 000";
    let fits = bytes.iter().zip(SHAPE).all(|(&byte, &shape)| match shape {
        b'0' => byte.is_ascii_digit(),
        shape => byte == shape,
    });
    if !fits {
        return Parsed::Invalid;
    }
    let (Some(&minor), Some(&[a, b, c])) = (bytes.get(7), bytes.get(9..12)) else {
        return Parsed::Incomplete;
    };
    let status = [a, b, c]
        .iter()
        .fold(0, |n: u16, d| n * 10 + u16::from(d.wrapping_sub(b'0')));
    if !matches!(bytes.get(12), None | Some(b' ' | b'\r' | b'\n')) || status < 100 {
        return Parsed::Invalid;
    }
    let minor = minor.wrapping_sub(b'0');
    let bytes = within_limit(bytes);
    match memchr(b'\n', bytes) {
        Some(end) => Parsed::Line(StatusLine { minor, status }, end + 1),
        None => Parsed::Incomplete,
    }
}

/// A status line with an odd version or odd space before the status: some clients take it, so it
/// counts where a response is awaited, but nobody agrees on what follows.
pub(crate) fn odd_status_line(bytes: &[u8]) -> Option<(u16, usize)> {
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

fn minor_version(version: &[u8]) -> Option<u8> {
    match version.strip_prefix(b"HTTP/1.")? {
        [digit] if digit.is_ascii_digit() => Some(digit.wrapping_sub(b'0')),
        _ => None,
    }
}

/// What a first line may have of `bytes`: one that ends later is too long, however much is shown.
fn within_limit(bytes: &[u8]) -> &[u8] {
    let limit = usize::try_from(HEAD_BYTES).unwrap_or(usize::MAX);
    bytes.get(..limit).unwrap_or(bytes)
}

/// The method and the beginning of the target of a request line that is too long.
pub(crate) fn long_request_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
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
pub(crate) const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}
