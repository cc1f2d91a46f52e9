//! A text as tokens, in one reading.
//!
//! Follows `sql/sql_lex.cc` of MySQL and MariaDB and `src/backend/parser/scan.l` of PostgreSQL where
//! they decide what is a literal, a name or a comment. Numbers are taken more generously: whatever
//! begins with a digit goes whole.

use memchr::{memchr, memchr2, memmem};

use crate::dialect::Dialect;
use crate::quoted::{self, Backslash};
use crate::reading::Reading;
use crate::token::{Kind, Token};

/// Digits of a version in `/*!80000 … */`: five, of later servers six.
const VERSION_DIGITS: (usize, usize) = (5, 6);
/// Digits of a parameter's number: the protocol counts them in 16 bits. What is longer is none.
pub(crate) const PARAMETER_DIGITS: usize = 5;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Lexer<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) dialect: Dialect,
    pub(crate) reading: Reading,
    pub(crate) at: usize,
    /// Where the `*/` of the version comment stands in which the lexer is.
    version_end: Option<usize>,
    /// The last token was a name.
    named: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// May begin a name.
    Name,
    Digit,
    Dollar,
    Space,
    Control,
    /// Punctuation; with what follows it may be more than that.
    Mark,
    /// Mostly the quote of a string or of a name.
    Quote,
    /// May begin a comment, or is punctuation.
    Other,
}

const fn class_of(byte: u8) -> Class {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => Class::Name,
        b'0'..=b'9' => Class::Digit,
        b'$' => Class::Dollar,
        b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r' => Class::Space,
        0..0x20 | 0x7f => Class::Control,
        b'\'' | b'"' | b'`' => Class::Quote,
        b'#' | b'\\' => Class::Other,
        _ => Class::Mark,
    }
}

static CLASSES: [Class; 256] = {
    let mut classes = [Class::Other; 256];
    let mut byte = 0_u8;
    loop {
        #[expect(
            clippy::indexing_slicing,
            reason = "evaluated by the compiler; a byte is below 256"
        )]
        {
            classes[byte as usize] = class_of(byte);
        }
        if byte == u8::MAX {
            break classes;
        }
        byte += 1;
    }
};

#[inline]
pub(crate) fn class(byte: u8) -> Class {
    CLASSES
        .get(usize::from(byte))
        .copied()
        .unwrap_or(Class::Control)
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str, dialect: Dialect) -> Self {
        Self {
            bytes: text.as_bytes(),
            dialect,
            reading: Reading::default_of(dialect),
            at: 0,
            version_end: None,
            named: false,
        }
    }

    /// The same text from `at` on in another reading. `at` is where a quoted token begins.
    pub(crate) const fn reread(&self, at: usize, reading: Reading) -> Self {
        Self {
            at,
            reading,
            ..*self
        }
    }

    /// Goes on at `at`, where a token begins; it is written onto a name if `named`.
    pub(crate) const fn go_on(&mut self, at: usize, named: bool) {
        self.at = at;
        self.named = named;
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    /// Behind the bytes from `from` on that `fits` holds for.
    #[inline]
    fn run(&self, from: usize, fits: impl Fn(u8) -> bool) -> usize {
        let rest = self.bytes.get(from..).unwrap_or_default();
        let length = rest.iter().position(|byte| !fits(*byte));
        length.map_or(self.bytes.len(), |length| from + length)
    }

    fn name_end(&self, from: usize) -> usize {
        self.run(from, |byte| {
            matches!(class(byte), Class::Name | Class::Digit | Class::Dollar)
        })
    }

    fn token(&self, start: usize, first: u8) -> Found {
        match class(first) {
            Class::Space => Found::new(
                Kind::Space,
                self.run(start + 1, |byte| class(byte) == Class::Space),
            ),
            Class::Name => self.word(start),
            Class::Digit => Found::new(Kind::Literal, self.number_end(start)),
            Class::Dollar => self.dollar(start),
            Class::Control => Found::Refused,
            Class::Mark | Class::Quote | Class::Other => self.other(start, first),
        }
    }

    fn other(&self, start: usize, first: u8) -> Found {
        let second = self.byte(start + 1);
        match (self.dialect, first, second) {
            (_, b'\'', _) => self.string(start + 1, b'\'', self.plain_rule()),
            (Dialect::MySql, b'"', _) => {
                self.string(start + 1, b'"', self.rule(self.reading.double))
            }
            (Dialect::Postgres, b'"', _) => self.quoted_name(start + 1),
            (Dialect::MySql, b'`', _) => self.backticks(start + 1),
            (Dialect::MySql, b'#', _) => self.line_comment(start),
            (_, b'-', Some(b'-')) if self.begins_comment(start) => self.line_comment(start),
            (_, b'/', Some(b'*')) => self.comment(start),
            (_, b'.', Some(b'0'..=b'9')) if !self.named => {
                Found::new(Kind::Literal, self.number_end(start))
            }
            // NULL, until MySQL 8.0.
            (Dialect::MySql, b'\\', Some(b'N')) if self.name_end(start + 1) == start + 2 => {
                Found::new(Kind::Word, start + 2)
            }
            (_, b'\\', _) => Found::Refused,
            _ => Found::new(Kind::Punctuation(first), start + 1),
        }
    }

    /// MySQL wants white space, a control character or the end behind `--`; for others `5--5` is a
    /// difference.
    fn begins_comment(&self, start: usize) -> bool {
        self.dialect == Dialect::Postgres
            || self
                .byte(start + 2)
                .is_none_or(|byte| matches!(class(byte), Class::Space | Class::Control))
    }

    fn line_comment(&self, start: usize) -> Found {
        let rest = self.bytes.get(start..).unwrap_or_default();
        let length = match self.dialect {
            Dialect::MySql => memchr(b'\n', rest),
            Dialect::Postgres => memchr2(b'\n', b'\r', rest),
        };
        Found::new(
            Kind::Comment,
            length.map_or(self.bytes.len(), |length| start + length),
        )
    }

    fn comment(&self, start: usize) -> Found {
        let end = match self.dialect {
            Dialect::MySql => {
                let rest = self.bytes.get(start..).unwrap_or_default();
                if rest.starts_with(b"/*!") {
                    return self.version_comment(start, start + 3);
                }
                if rest.starts_with(b"/*M!") {
                    return self.version_comment(start, start + 4);
                }
                quoted::comment_end(self.bytes, start + 2)
            }
            Dialect::Postgres => quoted::nested_comment_end(self.bytes, start + 2),
        };
        end.map_or(Found::Refused, |end| Found::new(Kind::Comment, end))
    }

    /// `/*!` is code for a server of that version and a comment for others, and which it is may
    /// decide where it ends: only one that ends in the same place for both is read.
    fn version_comment(&self, start: usize, content: usize) -> Found {
        let Some(end) = quoted::comment_end(self.bytes, content) else {
            return Found::Refused;
        };
        let inside = self.bytes.get(content..end).unwrap_or_default();
        if self.version_end.is_some() || memmem::find(inside, b"/*").is_some() {
            return Found::Unsure;
        }
        let (least, most) = VERSION_DIGITS;
        let digits = inside.iter().take(most).take_while(|b| b.is_ascii_digit());
        let digits = digits.count();
        let version = if digits < least { 0 } else { digits };
        debug_assert!(start < content, "the opening has a length");
        Found::Version {
            end: content + version,
            closes: end - 2,
        }
    }

    fn word(&self, start: usize) -> Found {
        let end = self.name_end(start + 1);
        let word = self.bytes.get(start..end).unwrap_or_default();
        let next = self.byte(end);
        if let Some(quote @ (b'\'' | b'"' | b'&')) = next
            && let Some(found) = self.prefixed(word, end, quote)
        {
            return found;
        }
        if !word.is_ascii() && memmem::find(word, "\u{fffd}".as_bytes()).is_some() {
            return Found::Unsure;
        }
        Found::new(Kind::Word, end)
    }

    /// `word` may be the prefix of a string that begins at `at`.
    fn prefixed(&self, word: &[u8], at: usize, quote: u8) -> Option<Found> {
        match (self.dialect, word, quote) {
            (Dialect::MySql, [b'n' | b'N' | b'x' | b'X' | b'b' | b'B'] | [b'_', ..], b'\'') => {
                Some(self.string(at + 1, b'\'', self.plain_rule()))
            }
            (Dialect::MySql, [b'_', ..], b'"') => {
                Some(self.string(at + 1, b'"', self.rule(self.reading.double)))
            }
            (Dialect::Postgres, [b'e' | b'E'], b'\'') => Some(self.escape_string(at + 1)),
            (Dialect::Postgres, [b'n' | b'N'], b'\'') => {
                Some(self.string(at + 1, b'\'', self.plain_rule()))
            }
            (Dialect::Postgres, [b'b' | b'B' | b'x' | b'X'], b'\'') => {
                let rest = self.bytes.get(at + 1..)?;
                Some(memchr(b'\'', rest).map_or(Found::Refused, |length| {
                    Found::new(Kind::Literal, at + 1 + length + 1)
                }))
            }
            (Dialect::Postgres, [b'u' | b'U'], b'&') => match self.byte(at + 1)? {
                b'\'' => Some(self.string(at + 2, b'\'', Backslash::Ordinary)),
                b'"' => Some(self.quoted_name(at + 2)),
                _ => None,
            },
            _ => None,
        }
    }

    const fn plain_rule(&self) -> Backslash {
        self.rule(self.reading.single)
    }

    const fn rule(&self, escapes: bool) -> Backslash {
        match (escapes, self.reading.wide) {
            (false, _) => Backslash::Ordinary,
            (true, false) => Backslash::Escapes,
            (true, true) => Backslash::EscapesAfterAscii,
        }
    }

    fn string(&self, from: usize, quote: u8, rule: Backslash) -> Found {
        quoted::end(self.bytes, from, quote, rule).map_or(Found::Refused, |end| Found::Token {
            kind: Kind::Literal,
            end: end.at,
            suspicious: end.backslash,
        })
    }

    /// `E'…'`; one that goes on behind a line break goes on with escapes.
    fn escape_string(&self, from: usize) -> Found {
        let mut from = from;
        let mut suspicious = false;
        loop {
            let Some(end) = quoted::end(self.bytes, from, b'\'', self.rule(true)) else {
                return Found::Refused;
            };
            suspicious |= end.backslash;
            match self.continuation(end.at) {
                Some(next) => from = next,
                None => {
                    return Found::Token {
                        kind: Kind::Literal,
                        end: end.at,
                        suspicious,
                    };
                }
            }
        }
    }

    /// Behind the quote with which a string goes on after white space that holds a line break.
    fn continuation(&self, from: usize) -> Option<usize> {
        let mut at = from;
        let mut broken = false;
        loop {
            match self.byte(at)? {
                b'\n' | b'\r' => broken = true,
                byte if class(byte) == Class::Space => {}
                b'\'' if broken => return Some(at + 1),
                b'-' if self.byte(at + 1) == Some(b'-') => {
                    at = self.run(at, |byte| !matches!(byte, b'\n' | b'\r'));
                    continue;
                }
                _ => return None,
            }
            at += 1;
        }
    }

    fn quoted_name(&self, from: usize) -> Found {
        quoted::end(self.bytes, from, b'"', Backslash::Ordinary)
            .map_or(Found::Refused, |end| Found::new(Kind::Quoted, end.at))
    }

    fn backticks(&self, from: usize) -> Found {
        let end = quoted::backtick_end(self.bytes, from, self.reading.wide);
        end.map_or(Found::Refused, |end| Found::Token {
            kind: Kind::Quoted,
            end,
            suspicious: quoted::follows_unknown(self.bytes, end - 1),
        })
    }

    fn dollar(&self, start: usize) -> Found {
        let digits = self.digits_end(start + 1);
        match self.dialect {
            Dialect::MySql => {
                let end = self.name_end(start + 1);
                let rest = self.bytes.get(start + 1..end).unwrap_or_default();
                // MySQL 9 quotes the code of stored programs like PostgreSQL does; to older servers
                // it is a name.
                if memchr(b'$', rest).is_some() || !rest.is_ascii() {
                    return Found::Unsure;
                }
                Found::new(Kind::Word, end)
            }
            Dialect::Postgres if digits > start + 1 => {
                let kind = if digits - start - 1 > PARAMETER_DIGITS {
                    Kind::Literal
                } else {
                    Kind::Parameter
                };
                Found::new(kind, digits)
            }
            Dialect::Postgres => {
                let tag = self.run(start + 1, |byte| {
                    matches!(class(byte), Class::Name | Class::Digit)
                });
                if self.byte(tag) != Some(b'$') {
                    return Found::Refused;
                }
                let delimiter = self.bytes.get(start..=tag).unwrap_or_default();
                let rest = self.bytes.get(tag + 1..).unwrap_or_default();
                memmem::find(rest, delimiter).map_or(Found::Refused, |length| {
                    Found::new(Kind::Literal, tag + 1 + length + delimiter.len())
                })
            }
        }
    }

    /// Everything that may be in a number that begins with a digit or a `.`, and whatever is written onto it: `1.5e-3`, `0xff`,
    /// `1_000`, `12abc`.
    #[inline]
    pub(crate) fn digits_end(&self, from: usize) -> usize {
        let mut at = from;
        while self.bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        at
    }

    #[inline]
    pub(crate) fn number_end(&self, start: usize) -> usize {
        let digits = self.digits_end(start);
        match self.byte(digits).map(|byte| (class(byte), byte)) {
            Some((Class::Name | Class::Dollar, _) | (_, b'.')) => self.long_number_end(start),
            _ => digits,
        }
    }

    #[inline(never)]
    fn long_number_end(&self, start: usize) -> usize {
        let mut at = start;
        let mut point = false;
        let mut decimal = true;
        while let Some(byte) = self.byte(at) {
            match (class(byte), byte) {
                (Class::Digit, _) => {}
                (Class::Name, b'_') => {}
                (Class::Name, b'e' | b'E') if decimal => {
                    decimal = false;
                    if matches!(self.byte(at + 1), Some(b'+' | b'-'))
                        && self.byte(at + 2).is_some_and(|byte| byte.is_ascii_digit())
                    {
                        at += 1;
                    }
                }
                (Class::Name, _) => decimal = false,
                (Class::Dollar, _) if self.dialect == Dialect::MySql => {}
                (Class::Mark, b'.') if !point && decimal => point = true,
                _ => break,
            }
            at += 1;
        }
        at
    }
}

enum Found {
    Token {
        kind: Kind,
        end: usize,
        suspicious: bool,
    },
    Version {
        end: usize,
        closes: usize,
    },
    Refused,
    Unsure,
}

impl Found {
    const fn new(kind: Kind, end: usize) -> Self {
        Self::Token {
            kind,
            end,
            suspicious: false,
        }
    }
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let start = self.at;
        let first = self.byte(start)?;
        let length = self.bytes.len();
        let found = if self.version_end == Some(start) {
            self.version_end = None;
            Found::new(Kind::VersionClose, start + 2)
        } else {
            self.token(start, first)
        };
        let (kind, end, suspicious) = match found {
            Found::Token {
                kind,
                end,
                suspicious,
            } => (kind, end, suspicious),
            Found::Version { end, closes } => {
                self.version_end = Some(closes);
                (Kind::VersionOpen, end, false)
            }
            Found::Refused => (Kind::Refused, length, false),
            Found::Unsure => (Kind::Unsure, length, false),
        };
        let crosses = self.version_end.is_some_and(|closes| end > closes);
        let (kind, end) = if crosses {
            (Kind::Unsure, length)
        } else {
            (kind, end)
        };
        self.at = end;
        self.named = matches!(kind, Kind::Word | Kind::Quoted | Kind::Parameter);
        Some(Token {
            kind,
            start,
            end,
            suspicious,
        })
    }
}
