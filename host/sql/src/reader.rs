//! One way through a text: what is kept, what is replaced, what it is about.
//!
//! Words, numbers, blanks and punctuation are read here; in no reading are they others. All that
//! begins with a quote or may be a comment is left to the lexer.

use crate::certain::Certain;
use crate::comments::Comments;
use crate::dialect::Dialect;
use crate::keyword::{Keyword, keyword};
use crate::lexer::{Class, Lexer, PARAMETER_DIGITS, class};
use crate::output::Output;
use crate::quoted;
use crate::secrets::{Secrets, Treatment};
use crate::statement::{PLACEHOLDER, Statement};
use crate::summary::Summary;
use crate::token::{Kind, Token};
use crate::word::Word;

pub(crate) struct Reader<'a> {
    source: &'a str,
    bytes: &'a [u8],
    dialect: Dialect,
    tokens: Certain<'a>,
    output: Output<'a>,
    summary: Summary<'a>,
    secrets: Secrets,
    comments: Comments,
    certain: bool,
    /// A `.` came last: what follows it is a name, whatever the word.
    qualified: bool,
    /// Inside of a version comment.
    version: bool,
    /// Behind the last name or parameter.
    name_end: usize,
    /// Behind the last `-`.
    minus_end: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str, dialect: Dialect, complete: bool) -> Self {
        Self {
            source: text,
            bytes: text.as_bytes(),
            dialect,
            tokens: Certain::new(Lexer::new(text, dialect), complete),
            output: Output::new(text),
            summary: Summary::new(dialect),
            secrets: Secrets::new(dialect),
            comments: Comments::default(),
            certain: true,
            qualified: false,
            version: false,
            name_end: usize::MAX,
            minus_end: usize::MAX,
        }
    }

    pub(crate) fn read(mut self) -> Statement<'a> {
        let mut at = 0;
        while let Some(first) = self.bytes.get(at) {
            let end = match class(*first) {
                Class::Name => self.words(at),
                Class::Space => at + 1,
                Class::Digit => self.number(at),
                Class::Dollar => self.dollar(at),
                Class::Mark => self.mark(at, *first),
                Class::Quote => self.quoted(at, *first),
                Class::Other | Class::Control => self.token(at),
            };
            // A blank follows most words.
            at = end + usize::from(self.bytes.get(end) == Some(&b' '));
        }
        let (summary, procedure) = self.summary.finish();
        Statement {
            text: self.output.finish(),
            summary,
            procedure,
            traceparent: self.comments.traceparent(self.certain),
            certain: self.certain,
        }
    }

    /// A word, or two with a point between them: so are most names of columns written, and what
    /// comes next need not be found out each time.
    #[inline(always)]
    fn words(&mut self, start: usize) -> usize {
        let end = self.word(start);
        let behind = self.bytes.get(end..).unwrap_or_default();
        match behind {
            [b'.', next, ..] if class(*next) == Class::Name => {
                let next = self.punctuation(end, b'.');
                self.word(next)
            }
            _ => end,
        }
    }

    #[inline(always)]
    fn word(&mut self, start: usize) -> usize {
        let word = Word::at(self.bytes, start);
        // It may be the prefix of a string, or hold bytes that were no text.
        let next = self.bytes.get(word.end);
        if !word.is_ascii || matches!(next, Some(b'\'' | b'"' | b'&')) {
            return self.token(start);
        }
        self.take_word(word)
    }

    #[inline(always)]
    fn take_word(&mut self, word: Word) -> usize {
        let keyword = if self.qualified {
            None
        } else {
            keyword(word, self.bytes)
        };
        let Word { start, end, .. } = word;
        self.name_end = end;
        if !self.secrets.are_unlikely() {
            let bytes = self.bytes;
            match self.secrets.word(keyword, || is_called(bytes, end)) {
                Treatment::Keep => {}
                Treatment::Replace => return self.replace(start, end),
                Treatment::ReplaceRest => return self.replace_rest(start),
            }
        }
        if matches!(keyword, Some(Keyword::True | Keyword::False)) {
            return self.replace(start, end);
        }
        self.summary.word(self.source, start, end, keyword);
        self.code(start);
        end
    }

    #[inline]
    fn number(&mut self, start: usize) -> usize {
        let end = self.tokens.lexer.number_end(start);
        self.secrets.literal();
        self.replace(start, end)
    }

    /// Without backslashes and quotes inside it ends in the same place in each reading.
    #[inline]
    fn quoted(&mut self, start: usize, quote: u8) -> usize {
        let Some(end) = quoted::plain_end(self.bytes, start + 1, quote) else {
            return self.token(start);
        };
        // The end of a version comment may lie inside.
        match (self.dialect, quote) {
            _ if self.version => self.token(start),
            (_, b'\'') | (Dialect::MySql, b'"') => {
                self.secrets.literal();
                self.replace(start, end)
            }
            (Dialect::Postgres, b'"') | (Dialect::MySql, b'`') => self.quoted_name(start, end),
            _ => self.token(start),
        }
    }

    /// `$1` of PostgreSQL, mostly.
    #[inline]
    fn dollar(&mut self, start: usize) -> usize {
        let end = self.tokens.lexer.digits_end(start + 1);
        let digits = end - (start + 1);
        if self.dialect == Dialect::MySql || !(1..=PARAMETER_DIGITS).contains(&digits) {
            return self.token(start);
        }
        self.parameter(start, end)
    }

    #[inline]
    fn parameter(&mut self, start: usize, end: usize) -> usize {
        self.secrets.literal();
        self.summary.literal();
        self.name_end = end;
        self.code(start);
        end
    }

    /// A byte of punctuation that may begin a comment, a number or the end of a version comment.
    #[inline(always)]
    fn mark(&mut self, start: usize, byte: u8) -> usize {
        let next = self.bytes.get(start + 1);
        let begins_more = match byte {
            b'-' => next == Some(&b'-'),
            b'/' => next == Some(&b'*'),
            b'*' => self.version,
            b'.' => self.name_end != start && next.is_some_and(u8::is_ascii_digit),
            _ => false,
        };
        if begins_more {
            return self.token(start);
        }
        self.punctuation(start, byte)
    }

    #[inline(always)]
    fn punctuation(&mut self, start: usize, byte: u8) -> usize {
        match byte {
            b'(' | b')' | b',' | b'.' | b';' | b'=' | b'?' | b'@' => {
                self.secrets.punctuation(byte);
                self.summary.punctuation(byte);
            }
            b'-' => {
                // `5--5` is a difference to MySQL; nobody shall take it for a comment.
                if self.minus_end == start {
                    self.output.replace(start, start, " ");
                }
                self.minus_end = start + 1;
                self.summary.operator();
            }
            _ => self.summary.operator(),
        }
        if byte != b';' {
            self.code(start);
        }
        self.qualified = byte == b'.';
        start + 1
    }

    /// Whatever begins at `start`, in each reading.
    #[inline(never)]
    fn token(&mut self, start: usize) -> usize {
        let Some(token) = self.tokens.next_at(start, self.name_end == start) else {
            return self.bytes.len();
        };
        let Token { kind, end, .. } = token;
        match kind {
            Kind::Space => {}
            Kind::Comment => {
                let text = self.bytes.get(start..end).unwrap_or_default();
                self.comments.comment(start, text);
                self.output.remove_comment(token);
            }
            Kind::Word => return self.take_word(Word::at(self.bytes, start).until(end)),
            Kind::Quoted => return self.quoted_name(start, end),
            Kind::Literal => {
                self.secrets.literal();
                return self.replace(start, end);
            }
            Kind::Parameter => return self.parameter(start, end),
            Kind::Punctuation(byte) => return self.punctuation(start, byte),
            Kind::VersionOpen => {
                self.output.remove_version(token);
                self.version = true;
            }
            Kind::VersionClose => self.version = false,
            Kind::Refused | Kind::Unsure => return self.replace_rest(start),
        }
        end
    }

    fn quoted_name(&mut self, start: usize, end: usize) -> usize {
        self.name_end = end;
        let bytes = self.bytes;
        match self.secrets.value(|| is_called(bytes, end)) {
            Treatment::Keep => {}
            Treatment::Replace => return self.replace(start, end),
            Treatment::ReplaceRest => return self.replace_rest(start),
        }
        self.summary.name(self.source, start, end);
        self.code(start);
        end
    }

    /// A literal, or a value that is written like a name.
    #[inline]
    fn replace(&mut self, start: usize, end: usize) -> usize {
        self.output.replace(start, end, PLACEHOLDER);
        self.summary.literal();
        self.code(start);
        end
    }

    fn replace_rest(&mut self, start: usize) -> usize {
        let end = self.bytes.len();
        self.output.replace(start, end, PLACEHOLDER);
        if self.version {
            self.output.close_version();
        }
        self.certain = false;
        end
    }

    /// What stands at `start` is neither white space nor a comment.
    #[inline]
    const fn code(&mut self, start: usize) {
        self.comments.code(start);
        self.qualified = false;
    }
}

/// Whether a parenthesis follows, as behind the name of a function.
fn is_called(bytes: &[u8], from: usize) -> bool {
    let rest = bytes.get(from..).unwrap_or_default();
    rest.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'(')
}
