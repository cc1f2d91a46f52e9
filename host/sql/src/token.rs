//! What the lexer finds.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Space,
    Comment,
    /// A name without quotes, or a keyword.
    Word,
    /// A name in quotes.
    Quoted,
    /// A string or a number, its prefix included.
    Literal,
    /// `$1`
    Parameter,
    /// One byte of an operator or of punctuation.
    Punctuation(u8),
    /// `/*!` or `/*M!` with a version: what follows is code.
    VersionOpen,
    /// The `*/` of a [`Kind::VersionOpen`].
    VersionClose,
    /// No server of the dialect accepts the text; the token reaches to its end.
    Refused,
    /// How the text goes on depends on more than is known here; the token reaches to its end.
    Unsure,
}

/// A range of bytes; both ends lie between characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// A quoted token whose end may be another in another reading.
    pub(crate) suspicious: bool,
}
