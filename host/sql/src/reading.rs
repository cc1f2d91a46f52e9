//! The ways in which a server may read the same text.

use crate::dialect::Dialect;

/// What of a session's settings decides where a quoted token ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// A backslash escapes the next character of `'…'`.
    pub(crate) single: bool,
    /// It does so in `"…"`.
    pub(crate) double: bool,
    /// Bytes before an ASCII character may be the first half of a character in GBK, Big5 or
    /// Shift-JIS, whose second half may look like a backslash or a backtick.
    pub(crate) wide: bool,
}

/// How many other readings there are at most.
pub(crate) const OTHERS: usize = 3;

impl Reading {
    /// That of a server with its default settings.
    pub(crate) const fn default_of(dialect: Dialect) -> Self {
        match dialect {
            Dialect::MySql => Self {
                single: true,
                double: true,
                wide: false,
            },
            Dialect::Postgres => Self {
                single: false,
                double: false,
                wide: false,
            },
        }
    }

    pub(crate) const fn others(dialect: Dialect) -> [Option<Self>; OTHERS] {
        let default = Self::default_of(dialect);
        let wide = Some(Self {
            wide: true,
            ..default
        });
        match dialect {
            Dialect::MySql => [
                // NO_BACKSLASH_ESCAPES
                Some(Self {
                    single: false,
                    double: false,
                    wide: false,
                }),
                // ANSI_QUOTES
                Some(Self {
                    double: false,
                    ..default
                }),
                wide,
            ],
            Dialect::Postgres => [
                // standard_conforming_strings = off
                Some(Self {
                    single: true,
                    ..default
                }),
                wide,
                None,
            ],
        }
    }
}
