//! The text with some ranges replaced.

use std::borrow::Cow;

use crate::token::Token;

/// The text with some ranges replaced.
pub(crate) struct Output<'a> {
    source: &'a str,
    text: String,
    /// What lies before is in `text`, or was replaced.
    kept: usize,
}

impl<'a> Output<'a> {
    pub(crate) const fn new(source: &'a str) -> Self {
        Self {
            source,
            text: String::new(),
            kept: 0,
        }
    }

    pub(crate) fn text_of(&self, token: Token) -> &'a str {
        self.source.get(token.start..token.end).unwrap_or_default()
    }

    /// Ranges come in their order.
    #[inline]
    pub(crate) fn replace(&mut self, start: usize, end: usize, with: &str) {
        if self.text.capacity() == 0 {
            self.text.reserve(self.source.len());
        }
        self.text
            .push_str(self.source.get(self.kept..start).unwrap_or_default());
        self.text.push_str(with);
        self.kept = end;
    }

    /// A comment separates what stands around it.
    pub(crate) fn remove_comment(&mut self, token: Token) {
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
    pub(crate) fn remove_version(&mut self, token: Token) {
        let opening = self.text_of(token);
        let length = opening.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        if length < opening.len() {
            self.replace(token.start + length, token.end, "");
        }
    }

    /// Behind a text whose rest was replaced inside of a version comment.
    pub(crate) fn close_version(&mut self) {
        self.text.push_str(" */");
    }

    pub(crate) fn finish(mut self) -> Cow<'a, str> {
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
