//! What is known of a statement.

use std::borrow::Cow;

use crate::dialect::Dialect;
use crate::reader::Reader;

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
    Reader::new(text, dialect, complete).read()
}
