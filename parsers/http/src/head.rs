//! The header block of a message: what decides its framing, and the few values that a span has.

use crate::limits::{HEAD_BYTES, HEADER_LINES};

/// Headers that are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    ContentLength,
    TransferEncoding,
    Host,
    UserAgent,
    Traceparent,
    Upgrade,
    Expect,
}

/// The transfer codings of a message, in the order in which they stand (RFC 9112, 6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Coding {
    #[default]
    None,
    /// The last one is `chunked`.
    Chunked,
    /// The last one is another.
    Other,
}

/// What the head said so far.
#[derive(Debug, Default)]
pub(crate) struct Head {
    /// The `x` of `HTTP/1.x`.
    pub(crate) minor: u8,
    /// Of a response.
    pub(crate) status: u16,
    pub(crate) content_length: Option<u64>,
    pub(crate) coding: Coding,
    /// `Upgrade` was there.
    pub(crate) upgrade: bool,
    /// `Expect: 100-continue` was there.
    pub(crate) expect_continue: bool,
    /// Why receivers would disagree where this message ends.
    pub(crate) ambiguous: Option<Ambiguity>,
    last: Option<Name>,
    lines: u16,
}

/// Why receivers would disagree where a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ambiguity {
    Folded,
    Name,
    Length,
    Lengths,
    Coding,
    StatusLine,
}

impl Ambiguity {
    /// What the connection is given up for.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Folded => "folded framing header",
            Self::Name => "white space in the name of a framing header",
            Self::Length => "content length is not a number",
            Self::Lengths => "contradictory content lengths",
            Self::Coding => "transfer coding after chunked",
            Self::StatusLine => "odd status line",
        }
    }
}

/// What a line of the head was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// The empty line: the head is complete.
    End,
    /// A header that a span may want.
    Value(Name, &'a [u8]),
    /// More of the value of the header before (obsolete folding).
    Continued(Name, &'a [u8]),
    Other,
    TooMany,
}

impl Head {
    pub(crate) fn new(minor: u8) -> Self {
        Self {
            minor,
            ..Self::default()
        }
    }

    /// Takes in a line, given without its line feed.
    #[inline]
    pub(crate) fn line<'a>(&mut self, line: &'a [u8]) -> Line<'a> {
        match line.first() {
            // Most lines: no header that is looked at begins with this letter.
            Some(&first) if first > b' ' && !may_be_wanted(first) => {
                self.last = None;
                self.count()
            }
            _ => self.read_line(line),
        }
    }

    /// One more line of the head.
    #[inline]
    fn count<'a>(&mut self) -> Line<'a> {
        self.lines = self.lines.saturating_add(1);
        match self.lines > HEADER_LINES {
            true => Line::TooMany,
            false => Line::Other,
        }
    }

    fn read_line<'a>(&mut self, line: &'a [u8]) -> Line<'a> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(&first) = line.first() else {
            return Line::End;
        };
        if self.count() == Line::TooMany {
            return Line::TooMany;
        }
        if first <= b' ' {
            return self.odd_line(line);
        }
        self.last = None;
        let Some((name, rest)) = wanted(first, line) else {
            return Line::Other;
        };
        let Some((&b':', value)) = rest.split_first() else {
            return self.odd_name(name, rest);
        };
        self.last = Some(name);
        let value = trim(value);
        match name {
            Name::ContentLength => self.content_length(value),
            Name::TransferEncoding => self.transfer_encoding(value),
            Name::Upgrade => self.upgrade = true,
            Name::Expect => self.expect_continue |= value.eq_ignore_ascii_case(b"100-continue"),
            Name::Host | Name::UserAgent | Name::Traceparent => {}
        }
        Line::Value(name, value)
    }

    /// A line that begins with white space continues the one before (RFC 9112, 5.2): some
    /// receivers join them, some refuse, some take the line for a header.
    fn odd_line<'a>(&mut self, line: &'a [u8]) -> Line<'a> {
        let text = trim(line);
        let name = text.iter().position(u8::is_ascii_alphabetic);
        let named = name.and_then(|at| text.get(at..)).unwrap_or_default();
        let looks = named
            .first()
            .and_then(|&first| wanted(first, named))
            .map(|(name, _)| name);
        if is_framing(looks) || is_framing(self.last) {
            self.ambiguous = Some(Ambiguity::Folded);
        }
        match self.last {
            Some(name) if matches!(line.first(), Some(b' ' | b'\t')) => Line::Continued(name, text),
            _ => Line::Other,
        }
    }

    /// `Name :` (RFC 9112, 5.1) is refused by some and accepted by others; `Namefoo:` is another.
    fn odd_name<'a>(&mut self, name: Name, rest: &[u8]) -> Line<'a> {
        if is_framing(Some(name)) && rest.first().is_none_or(|&b| !crate::line::is_token(b)) {
            self.ambiguous = Some(Ambiguity::Name);
        }
        Line::Other
    }

    /// A list of the same number is that number (RFC 9112, 6.3).
    fn content_length(&mut self, value: &[u8]) {
        for item in value.split(|&b| b == b',') {
            match (number(trim(item)), self.content_length) {
                (None, _) => self.ambiguous = Some(Ambiguity::Length),
                (Some(new), Some(old)) if new != old => {
                    self.ambiguous = Some(Ambiguity::Lengths);
                }
                (new, _) => self.content_length = new,
            }
        }
    }

    fn transfer_encoding(&mut self, value: &[u8]) {
        for item in value.split(|&b| b == b',') {
            let item = trim(item);
            if self.coding == Coding::Chunked {
                self.ambiguous = Some(Ambiguity::Coding);
            }
            self.coding = if item.eq_ignore_ascii_case(b"chunked") {
                Coding::Chunked
            } else if item.eq_ignore_ascii_case(b"identity") || item.is_empty() {
                self.coding
            } else {
                Coding::Other
            };
        }
    }
}

fn is_framing(name: Option<Name>) -> bool {
    matches!(name, Some(Name::ContentLength | Name::TransferEncoding))
}

/// Whether a head that began at `start` and goes on at `position` is longer than the limit.
pub(crate) fn is_too_long(start: u64, position: u64) -> bool {
    position.saturating_sub(start) > HEAD_BYTES
}

/// Whether a header that is looked at begins with this letter: what [`wanted`] tells apart.
#[inline]
fn may_be_wanted(first: u8) -> bool {
    matches!(first | 0x20, b'c' | b't' | b'h' | b'u' | b'e')
}

/// The header that `line` begins with, if it is one of those looked at, and what follows its name.
fn wanted(first: u8, line: &[u8]) -> Option<(Name, &[u8])> {
    let starts = |name: &[u8]| {
        let (head, rest) = line.split_at_checked(name.len())?;
        head.eq_ignore_ascii_case(name).then_some(rest)
    };
    match first | 0x20 {
        b'c' => starts(b"content-length").map(|rest| (Name::ContentLength, rest)),
        b't' => starts(b"transfer-encoding")
            .map(|rest| (Name::TransferEncoding, rest))
            .or_else(|| starts(b"traceparent").map(|rest| (Name::Traceparent, rest))),
        b'h' => starts(b"host").map(|rest| (Name::Host, rest)),
        b'u' => starts(b"user-agent")
            .map(|rest| (Name::UserAgent, rest))
            .or_else(|| starts(b"upgrade").map(|rest| (Name::Upgrade, rest))),
        b'e' => starts(b"expect").map(|rest| (Name::Expect, rest)),
        _ => None,
    }
}

/// `OWS` of RFC 9110, 5.6.3: nothing but space and tab.
pub(crate) fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// `1*DIGIT`. Leading zeros are digits.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |number, byte| {
        let digit = byte
            .is_ascii_digit()
            .then(|| u64::from(byte.wrapping_sub(b'0')))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
