//! Patterns of a manifest: what the host tests before it asks a parser.

/// Whose first bytes a pattern is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternSide {
    Client,
    Server,
    Either,
}

/// Fits when `byte & mask == value` for each byte from `offset` on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    pub side: PatternSide,
    pub offset: usize,
    /// Mask and value of each byte.
    pub bytes: Box<[(u8, u8)]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Match {
    Never,
    /// As far as there are bytes.
    Undecided,
    Fits,
}

impl Pattern {
    pub(crate) fn test(&self, client: &[u8], server: &[u8]) -> Match {
        match self.side {
            PatternSide::Client => self.test_one(client),
            PatternSide::Server => self.test_one(server),
            PatternSide::Either => self.test_one(client).max(self.test_one(server)),
        }
    }

    fn test_one(&self, bytes: &[u8]) -> Match {
        let rest = bytes.get(self.offset..).unwrap_or_default();
        if rest
            .iter()
            .zip(&self.bytes)
            .any(|(byte, (mask, value))| byte & mask != *value)
        {
            Match::Never
        } else if rest.len() < self.bytes.len() {
            Match::Undecided
        } else {
            Match::Fits
        }
    }
}

/// The best of several; a parser without any is asked for everything.
pub(crate) fn test(patterns: &[Pattern], client: &[u8], server: &[u8]) -> Match {
    if patterns.is_empty() {
        return Match::Fits;
    }
    patterns
        .iter()
        .map(|pattern| pattern.test(client, server))
        .max()
        .unwrap_or(Match::Never)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(side: PatternSide, offset: usize, text: &[u8]) -> Pattern {
        Pattern {
            side,
            offset,
            bytes: text.iter().map(|byte| (0xff, *byte)).collect(),
        }
    }

    #[test]
    fn a_prefix_of_a_pattern_is_undecided_and_anything_else_never_fits() {
        let get = pattern(PatternSide::Client, 0, b"GET ");
        for length in 0..4 {
            assert_eq!(get.test(&b"GET "[..length], b"GET "), Match::Undecided);
        }
        assert_eq!(get.test(b"GET /", b""), Match::Fits);
        assert_eq!(get.test(b"GEX", b""), Match::Never);
    }

    #[test]
    fn offset_mask_and_side_count() {
        let mysql = Pattern {
            side: PatternSide::Server,
            offset: 3,
            bytes: vec![(0xff, 0), (0xfe, 0x0a)].into(),
        };
        assert_eq!(mysql.test(b"", b"\x4a\0\0\0\x0b"), Match::Fits);
        assert_eq!(mysql.test(b"\x4a\0\0\0\x0a", b""), Match::Undecided);
        assert_eq!(mysql.test(b"", b"\x4a\0\0\x01"), Match::Never);
        let either = pattern(PatternSide::Either, 0, b"X");
        assert_eq!(either.test(b"Y", b"X"), Match::Fits);
        assert_eq!(either.test(b"Y", b""), Match::Undecided);
    }

    #[test]
    fn one_of_several_is_enough_and_none_asks_for_all() {
        let several = [
            pattern(PatternSide::Client, 0, b"A"),
            pattern(PatternSide::Client, 0, b"B"),
        ];
        assert_eq!(test(&several, b"B", b""), Match::Fits);
        assert_eq!(test(&several, b"C", b""), Match::Never);
        assert_eq!(test(&[], b"", b""), Match::Fits);
    }
}
