//! The header block of a message: what decides its framing, and the few values that a span has.

use crate::body::{Part, Progress};
use crate::limits::{HEAD_BYTES, HEADER_LINES};
use crate::line::is_token;
use crate::lines::Lines;

/// Headers that are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
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
pub enum Coding {
    #[default]
    None,
    /// The last one is `chunked`.
    Chunked,
    /// The last one is another.
    Other,
}

/// What the head said so far.
#[derive(Debug, Default)]
pub struct Head {
    /// The `x` of `HTTP/1.x`.
    pub minor: u8,
    /// Of a response.
    pub status: u16,
    pub content_length: Option<u64>,
    pub coding: Coding,
    /// `Upgrade` was there.
    pub upgrade: bool,
    /// `Expect: 100-continue` was there.
    pub expect_continue: bool,
    /// Why receivers would disagree where this message ends.
    pub ambiguous: Option<Ambiguity>,
    last: Option<Name>,
    lines: u16,
}

/// Why receivers would disagree where a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ambiguity {
    Folded,
    Name,
    Length,
    Lengths,
    Coding,
    StatusLine,
}

impl Ambiguity {
    /// What the connection is given up for.
    pub fn reason(self) -> &'static str {
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

/// What a head says of the body's length (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Nothing: a request has no body then, a response goes on to the end of the stream.
    Unsaid,
    /// `Content-Length: 0`.
    Empty,
    Known(Part),
    /// The last transfer coding is not `chunked`: to the end of the stream, and none in a request.
    Coded,
    /// Receivers would disagree.
    Unclear(&'static str),
    /// It would end beyond the largest position.
    TooLarge,
}

/// What a line of the head was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
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
    pub fn new(minor: u8) -> Self {
        Self {
            minor,
            ..Self::default()
        }
    }

    /// Takes in the lines that stand whole in `bytes`: those at `at` of a head that began at
    /// `started`. `at` goes on behind each. `take` is given the values that a span may want, and
    /// whether they continue the one before.
    pub fn read<'a>(
        &mut self,
        bytes: &'a [u8],
        started: u64,
        at: &mut u64,
        mut take: impl FnMut(Name, &'a [u8], bool),
    ) -> Progress {
        let (begin, end) = (*at, at.saturating_add(bytes.len() as u64));
        let room = started.saturating_add(HEAD_BYTES).saturating_sub(begin);
        let within = usize::try_from(room)
            .ok()
            .and_then(|room| bytes.get(..room));
        let mut lines = Lines::new(within.unwrap_or(bytes));
        let progress = loop {
            let Some(line) = lines.next() else {
                break match is_too_long(started, end) {
                    true => Progress::TooLong("header too long"),
                    false => Progress::More,
                };
            };
            match self.line(line) {
                Line::Value(name, value) => take(name, value, false),
                Line::Continued(name, value) => take(name, value, true),
                Line::Other => {}
                Line::End => break Progress::Done,
                Line::TooMany => break Progress::TooLong("too many headers"),
            }
        };
        *at = begin.saturating_add(lines.end() as u64);
        progress
    }

    /// Takes in a line, given without its line feed.
    #[inline]
    pub fn line<'a>(&mut self, line: &'a [u8]) -> Line<'a> {
        match line.first() {
            Some(&first) if first > b' ' => {
                self.last = None;
                match self.count() {
                    Line::Other if may_be_wanted(first) => wanted(first, line)
                        .map_or(Line::Other, |(name, rest)| self.value(name, rest)),
                    counted => counted,
                }
            }
            _ => self.odd_line(line),
        }
    }

    /// How long the body is that begins at `at`.
    #[must_use]
    pub fn extent(&self, at: u64) -> Extent {
        match (self.ambiguous, self.coding, self.content_length) {
            (Some(ambiguity), ..) => Extent::Unclear(ambiguity.reason()),
            // Some receivers read the chunks, some do not know of them.
            (None, Coding::Chunked, _) if self.minor == 0 => {
                Extent::Unclear("transfer coding in HTTP/1.0")
            }
            (None, Coding::Chunked, _) => Extent::Known(Part::ChunkSize),
            (None, Coding::Other, _) => Extent::Coded,
            (None, Coding::None, None) => Extent::Unsaid,
            (None, Coding::None, Some(0)) => Extent::Empty,
            (None, Coding::None, Some(length)) => {
                match at.checked_add(length).filter(|&end| end < u64::MAX) {
                    Some(end) => Extent::Known(Part::Length(end)),
                    None => Extent::TooLarge,
                }
            }
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

    /// A header that is looked at, of which `rest` comes behind the name.
    fn value<'a>(&mut self, name: Name, rest: &'a [u8]) -> Line<'a> {
        let Some((&b':', value)) = rest.split_first() else {
            // `Name :` (RFC 9112, 5.1) is refused by some and accepted by others.
            if is_framing(Some(name)) {
                self.ambiguous = Some(Ambiguity::Name);
            }
            return Line::Other;
        };
        self.last = Some(name);
        let value = trim(value.strip_suffix(b"\r").unwrap_or(value));
        match name {
            Name::ContentLength => self.content_length(value),
            Name::TransferEncoding => self.transfer_encoding(value),
            Name::Upgrade => self.upgrade = true,
            Name::Expect => self.expect_continue |= value.eq_ignore_ascii_case(b"100-continue"),
            Name::Host | Name::UserAgent | Name::Traceparent => {}
        }
        Line::Value(name, value)
    }

    /// The empty line, or one that begins with white space.
    fn odd_line<'a>(&mut self, line: &'a [u8]) -> Line<'a> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Line::End;
        }
        match self.count() {
            Line::Other => self.folded(line),
            too_many => too_many,
        }
    }

    /// A line that begins with white space continues the one before (RFC 9112, 5.2): some
    /// receivers join them, some refuse, some take the line for a header.
    fn folded<'a>(&mut self, line: &'a [u8]) -> Line<'a> {
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

    /// A list of the same number is that number (RFC 9112, 6.3).
    fn content_length(&mut self, value: &[u8]) {
        if let (None, Some(length)) = (self.content_length, number(value)) {
            self.content_length = Some(length);
            return;
        }
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
    // The low five bits of a letter are its number, in either case.
    const LETTERS: u32 = letter(b'c') | letter(b'e') | letter(b'h') | letter(b't') | letter(b'u');
    const fn letter(letter: u8) -> u32 {
        1 << (letter & 0x1f)
    }
    letter(first) & LETTERS != 0
}

/// The header that `line` begins with, if it is one of those looked at, and what follows its name.
/// Letter and length tell nearly all others apart.
fn wanted(first: u8, line: &[u8]) -> Option<(Name, &[u8])> {
    let (name, rest) = match first | 0x20 {
        b'c' => (Name::ContentLength, named(line, b"content-length")),
        b't' => match named(line, b"traceparent") {
            None => (Name::TransferEncoding, named(line, b"transfer-encoding")),
            rest => (Name::Traceparent, rest),
        },
        b'h' => (Name::Host, named(line, b"host")),
        b'u' => match named(line, b"user-agent") {
            None => (Name::Upgrade, named(line, b"upgrade")),
            rest => (Name::UserAgent, rest),
        },
        b'e' => (Name::Expect, named(line, b"expect")),
        _ => return None,
    };
    Some((name, rest?))
}

/// What follows `name`, which is in lower case, where that is the name that `line` begins with.
#[inline]
fn named<'a, const N: usize>(line: &'a [u8], name: &[u8; N]) -> Option<&'a [u8]> {
    let (head, rest) = line.split_first_chunk::<N>()?;
    let ends = rest.first().is_none_or(|&byte| !is_token(byte));
    (ends && equals(head, name)).then_some(rest)
}

/// Whether `text` is `name`, which is in lower case, apart from the case of letters. By words of
/// eight or four that overlap: a loop over bytes takes several times as long.
#[inline]
fn equals<const N: usize>(text: &[u8; N], name: &[u8; N]) -> bool {
    // Letters have bit 6 set, the hyphen has not: that bit, moved, is the bit of the case.
    let same_8 = |text: &[u8; 8], name: &[u8; 8]| {
        let (text, name) = (u64::from_ne_bytes(*text), u64::from_ne_bytes(*name));
        text | (name & 0x4040_4040_4040_4040) >> 1 == name
    };
    let same_4 = |text: &[u8; 4], name: &[u8; 4]| {
        let (text, name) = (u32::from_ne_bytes(*text), u32::from_ne_bytes(*name));
        text | (name & 0x4040_4040) >> 1 == name
    };
    match (text.last_chunk(), name.last_chunk()) {
        (Some(last), Some(name_last)) => {
            let (words, _) = text.as_chunks();
            let (name_words, _) = name.as_chunks();
            same_8(last, name_last) && words.iter().zip(name_words).all(|(a, b)| same_8(a, b))
        }
        _ => match (
            text.first_chunk(),
            text.last_chunk(),
            name.first_chunk(),
            name.last_chunk(),
        ) {
            (Some(first), Some(last), Some(name_first), Some(name_last)) => {
                same_4(first, name_first) && same_4(last, name_last)
            }
            _ => text.eq_ignore_ascii_case(name),
        },
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
#[inline]
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    /// So many digits are less than 2^64 whatever they are: no test of each step.
    const SHORT: usize = 19;
    if text.is_empty() {
        return None;
    }
    if text.len() > SHORT {
        return long_number(text);
    }
    let mut number = 0u64;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
    }
    Some(number)
}

#[cold]
fn long_number(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0u64, |number, byte| {
        let digit = byte
            .is_ascii_digit()
            .then(|| u64::from(byte.wrapping_sub(b'0')))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
