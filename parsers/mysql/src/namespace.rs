//! Which database a session uses after a statement.

/// What a statement that succeeded did to the database in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect<'a> {
    Nothing,
    Use(&'a [u8]),
    /// Something.
    Unknown,
    /// What is not seen of the text may do something.
    Perhaps,
}

/// Looks for `USE` where a statement can begin, and for databases that are dropped. `single`: it is
/// one statement, however it goes on.
pub(crate) fn effect(text: &[u8], truncated: bool, single: bool) -> Effect<'_> {
    let text = text.trim_ascii();
    let text = text.strip_suffix(b";").unwrap_or(text).trim_ascii_end();
    let plain = match text.first() {
        Some(b'u' | b'U') => match alone(text) {
            Some(name) if !truncated => return Effect::Use(name),
            _ => false,
        },
        Some(b'd' | b'D') => {
            let drops = starts_with_words(text, b"drop", b"database")
                || starts_with_words(text, b"drop", b"schema");
            if drops {
                return Effect::Unknown;
            }
            true
        }
        // Comments, and statements that run others.
        Some(b'/' | b'-' | b'#' | b'e' | b'E' | b'b' | b'B') => false,
        _ => true,
    };
    if plain && (single || !truncated && !text.contains(&b';')) {
        return Effect::Nothing;
    }
    match (mentions(text), truncated) {
        (true, _) => Effect::Unknown,
        (false, true) => Effect::Perhaps,
        (false, false) => Effect::Nothing,
    }
}

/// The name after a `USE` that is all there is.
fn alone(text: &[u8]) -> Option<&[u8]> {
    let (word, rest) = text.split_at_checked(3)?;
    if !word.eq_ignore_ascii_case(b"use") {
        return None;
    }
    let first = rest.first()?;
    if !first.is_ascii_whitespace() && *first != b'`' {
        return None;
    }
    let name = rest.trim_ascii_start();
    if let Some(quoted) = name.strip_prefix(b"`") {
        let name = quoted.strip_suffix(b"`")?;
        return (!name.is_empty() && !name.contains(&b'`')).then_some(name);
    }
    let fits = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$' | 0x80..);
    (!name.is_empty() && name.iter().all(fits)).then_some(name)
}

fn starts_with_words(text: &[u8], first: &[u8], second: &[u8]) -> bool {
    let Some((word, rest)) = text.split_at_checked(first.len()) else {
        return false;
    };
    word.eq_ignore_ascii_case(first)
        && rest
            .first()
            .is_some_and(|b| b.is_ascii_whitespace() || *b == b'/')
        && mentions_word(rest, second, |_| true)
}

/// Whether `USE`, or the dropping of a database, stands where a statement can begin.
fn mentions(text: &[u8]) -> bool {
    let begins = |before: &[u8]| {
        let before = before.trim_ascii_end();
        match before.last() {
            None | Some(b';' | b'/' | b'!' | b'\'' | b'"') => true,
            // /*!40000 USE
            Some(b'0'..=b'9') => {
                let digits = before
                    .iter()
                    .rev()
                    .take_while(|b| b.is_ascii_digit())
                    .count();
                let before = before.get(..before.len().saturating_sub(digits));
                before.is_some_and(|before| before.ends_with(b"!"))
            }
            // The end of a line comment, or of a label.
            Some(_) => text.first().is_some_and(|b| matches!(b, b'-' | b'#')),
        }
    };
    mentions_word(text, b"use", begins)
        || (mentions_word(text, b"drop", begins)
            && (mentions_word(text, b"database", |_| true)
                || mentions_word(text, b"schema", |_| true)))
}

fn mentions_word(text: &[u8], word: &[u8], fits: impl Fn(&[u8]) -> bool) -> bool {
    let is_part = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$' | 0x80..);
    text.windows(word.len()).enumerate().any(|(at, window)| {
        window.eq_ignore_ascii_case(word)
            && text
                .get(at.saturating_add(word.len()))
                .is_none_or(|b| !is_part(b))
            && text
                .get(..at)
                .is_some_and(|before| before.last().is_none_or(|b| !is_part(b)) && fits(before))
    })
}

#[cfg(test)]
mod tests {
    use super::{Effect, effect};

    #[test]
    fn only_statements_that_can_change_the_database_do() {
        let cases: &[(&str, Effect<'_>)] = &[
            ("use shop", Effect::Use(b"shop")),
            (" USE\t`my shop` ; ", Effect::Use(b"my shop")),
            ("use`shop`", Effect::Use(b"shop")),
            ("use shop; select 1", Effect::Unknown),
            ("select 1; use shop", Effect::Unknown),
            ("/*!40000 use shop */", Effect::Unknown),
            ("-- hm\nuse shop", Effect::Unknown),
            ("execute immediate 'use shop'", Effect::Unknown),
            ("drop  database shop", Effect::Unknown),
            ("drop schema if exists shop", Effect::Unknown),
            ("select 1; drop database shop", Effect::Unknown),
            ("drop table shop", Effect::Nothing),
            ("select * from t use index (i)", Effect::Nothing),
            ("select 1; select * from t1 use index (i)", Effect::Nothing),
            ("insert into t values ('; use x')", Effect::Unknown),
            ("update t set a = 1", Effect::Nothing),
            ("", Effect::Nothing),
        ];
        for (text, expected) in cases {
            assert_eq!(effect(text.as_bytes(), false, false), *expected, "{text}");
        }
        assert_eq!(
            effect(b"insert into t values (1", true, false),
            Effect::Perhaps
        );
        assert_eq!(
            effect(b"insert into t values (1", true, true),
            Effect::Nothing
        );
        let several = b"select 1; use shop";
        assert_eq!(effect(several, false, false), Effect::Unknown);
        assert_eq!(effect(several, false, true), Effect::Nothing);
    }
}
