//! SQL statements without their literals, and what they are about.
//!
//! [`read`] goes through a statement once and gives its text with `?` in the place of each literal
//! and without comments, a summary of its operations and targets, and the trace context that
//! sqlcommenter put into a comment. It needs no grammar: it is a lexer that **fails closed**.
//!
//! Where literals end depends on settings of the session that are not known here: whether a
//! backslash escapes a quote (`NO_BACKSLASH_ESCAPES`, `standard_conforming_strings`), whether `"`
//! quotes a string or a name (`ANSI_QUOTES`), the character set. Text is kept only where each
//! reading that the server could have taken finds no literal; from where two possible readings part,
//! everything is replaced. So it is behind whatever cannot be in a statement: control characters,
//! bytes that are no text, a string without an end.
//!
//! A statement may be cut off anywhere, but what is given must be its beginning: its end alone may
//! begin inside a literal, and nothing in it tells.
//!
//! Time is linear in the length of the text, memory is that of the results.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod certain;
mod commenter;
mod comments;
mod dialect;
mod keyword;
mod lexer;
mod output;
mod quoted;
mod reader;
mod reading;
mod secrets;
mod statement;
mod summary;
mod token;
mod word;

pub use dialect::Dialect;
pub use statement::{PLACEHOLDER, Statement, read};
pub use summary::SUMMARY_CHARACTERS;
