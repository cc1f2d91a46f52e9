//! One way through a text: what is kept, what is replaced, what it is about.

use std::borrow::Cow;

use crate::certain::Certain;
use crate::commenter;
use crate::dialect::Dialect;
use crate::keyword::{Keyword, keyword};
use crate::lexer::Lexer;
use crate::secrets::{Secrets, Treatment};
use crate::summary::Summary;
use crate::token::{Kind, Token};

/// What stands in the place of a literal, as the semantic conventions have it.
pub const PLACEHOLDER: &str = "?";

/// What [`read`] makes of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    /// The text with a [`PLACEHOLDER`] for each literal, and for everything behind the place from
    /// which nothing is certain; without comments and without white space at its ends. All else is
    /// as it was sent.
    pub text: Cow<'a, str>,
    /// Operations and their targets in the order of the text and as they are written there
    /// (`SELECT orders customers`), at most [`crate::SUMMARY_CHARACTERS`]. Empty when it does not
    /// begin with an operation that is known.
    pub summary: String,
    /// The procedure, where the text is one `CALL`.
    pub procedure: Option<String>,
    /// `traceparent` of a sqlcommenter comment that stands before or behind the statement; decoded,
    /// not validated.
    pub traceparent: Option<String>,
    /// Every reading of the text that is possible finds the same literals in it.
    pub certain: bool,
}

/// Reads a statement, or several.
///
/// `text` is the beginning of what was sent, with U+FFFD for what was not UTF-8; `complete` says
/// that it is all of it. If in doubt, it is not: then a string in which a backslash stands before a
/// quote may cost the rest of the text.
#[must_use]
pub fn read(text: &str, dialect: Dialect, complete: bool) -> Statement<'_> {
    let tokens = Certain::new(Lexer::new(text, dialect), complete);
    let mut output = Output::new(text);
    let mut summary = Summary::new(dialect);
    let mut secrets = Secrets::new(dialect);
    let mut comments = Comments::default();
    let mut certain = true;
    // Whether a `.` came last: what follows it is a name, whatever the word.
    let mut qualified = false;
    let mut minus = None;
    // Inside of a version comment.
    let mut version = false;
    for token in tokens {
        let word = match token.kind {
            Kind::Word if !qualified => keyword(output.bytes(token)),
            _ => None,
        };
        let treatment = secrets.token(token.kind, word, || is_called(text, token.end));
        match (token.kind, treatment) {
            (Kind::Refused | Kind::Unsure, _) | (_, Treatment::ReplaceRest) => {
                output.replace(token.start, text.len(), PLACEHOLDER);
                if version {
                    output.text.push_str(" */");
                }
                certain = false;
                break;
            }
            (Kind::Space, _) => continue,
            (Kind::Comment, _) => {
                comments.comment(token, output.bytes(token));
                output.remove_comment(token);
                continue;
            }
            (Kind::VersionOpen, _) => {
                output.remove_version(token);
                version = true;
                continue;
            }
            (Kind::VersionClose, _) => {
                version = false;
                continue;
            }
            (Kind::Literal, _) | (_, Treatment::Replace) => {
                output.replace(token.start, token.end, PLACEHOLDER);
                summary.literal();
            }
            (Kind::Word, _) if matches!(word, Some(Keyword::True | Keyword::False)) => {
                output.replace(token.start, token.end, PLACEHOLDER);
                summary.literal();
            }
            (Kind::Word, _) => summary.word(output.text_of(token), word),
            (Kind::Quoted, _) => summary.name(output.text_of(token)),
            (Kind::Parameter, _) => summary.literal(),
            (Kind::Punctuation(byte), _) => {
                // `5--5` is a difference to MySQL; nobody shall take it for a comment.
                if byte == b'-' && minus == Some(token.start) {
                    output.replace(token.start, token.start, " ");
                }
                minus = (byte == b'-').then_some(token.end);
                summary.punctuation(byte);
            }
        }
        if token.kind != Kind::Punctuation(b';') {
            comments.code();
        }
        qualified = token.kind == Kind::Punctuation(b'.');
    }
    let (summary, procedure) = summary.finish();
    Statement {
        text: output.finish(),
        summary,
        procedure,
        traceparent: comments.traceparent(certain),
        certain,
    }
}

/// Whether a parenthesis follows, as behind the name of a function.
fn is_called(text: &str, from: usize) -> bool {
    text.get(from..)
        .and_then(|rest| rest.bytes().find(|byte| !byte.is_ascii_whitespace()))
        == Some(b'(')
}

/// sqlcommenter's context stands before or behind all code.
#[derive(Default)]
struct Comments {
    seen_code: bool,
    leading: Option<String>,
    trailing: Option<String>,
}

impl Comments {
    fn comment(&mut self, token: Token, text: &[u8]) {
        debug_assert_eq!(token.kind, Kind::Comment);
        let slot = if self.seen_code {
            &mut self.trailing
        } else {
            &mut self.leading
        };
        if let Some(found) = commenter::traceparent(text) {
            *slot = Some(found);
        }
    }

    fn code(&mut self) {
        self.seen_code = true;
        self.trailing = None;
    }

    /// What stands last was not seen when the text is not `certain`.
    fn traceparent(self, certain: bool) -> Option<String> {
        self.trailing.filter(|_| certain).or(self.leading)
    }
}

/// The text with some ranges replaced.
struct Output<'a> {
    source: &'a str,
    text: String,
    /// What lies before is in `text`, or was replaced.
    kept: usize,
}

impl<'a> Output<'a> {
    const fn new(source: &'a str) -> Self {
        Self {
            source,
            text: String::new(),
            kept: 0,
        }
    }

    fn text_of(&self, token: Token) -> &'a str {
        self.source.get(token.start..token.end).unwrap_or_default()
    }

    fn bytes(&self, token: Token) -> &'a [u8] {
        self.text_of(token).as_bytes()
    }

    /// Ranges come in their order.
    fn replace(&mut self, start: usize, end: usize, with: &str) {
        if self.text.capacity() == 0 {
            self.text.reserve(self.source.len());
        }
        self.text
            .push_str(self.source.get(self.kept..start).unwrap_or_default());
        self.text.push_str(with);
        self.kept = end;
    }

    /// A comment separates what stands around it.
    fn remove_comment(&mut self, token: Token) {
        let before = self.source.get(self.kept..token.start).unwrap_or_default();
        let last = before
            .chars()
            .next_back()
            .or_else(|| self.text.chars().next_back());
        let next = self.source.as_bytes().get(token.end);
        let separated = last.is_none_or(|c| c.is_ascii_whitespace())
            || next.is_none_or(u8::is_ascii_whitespace);
        let with = if separated { "" } else { " " };
        self.replace(token.start, token.end, with);
    }

    /// The version may be five digits and a number, or six digits.
    fn remove_version(&mut self, token: Token) {
        let opening = self.text_of(token);
        let length = opening.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        if length < opening.len() {
            self.replace(token.start + length, token.end, "");
        }
    }

    fn finish(mut self) -> Cow<'a, str> {
        if self.kept == 0 {
            return Cow::Borrowed(self.source.trim_ascii());
        }
        self.text
            .push_str(self.source.get(self.kept..).unwrap_or_default());
        let trimmed = self.text.trim_ascii();
        if trimmed.len() == self.text.len() {
            Cow::Owned(self.text)
        } else {
            Cow::Owned(trimmed.to_owned())
        }
    }
}
