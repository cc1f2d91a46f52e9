//! What a segment of a path looks like.

/// A segment with so many digits is an identifier. Words with fewer are common: `sha256`, `oauth2`,
/// `h264`, `v1beta1`.
const IDENTIFIER_DIGITS: usize = 4;

/// Hexadecimal digits of which at least one is a decimal digit are a digest from this length on:
/// abbreviated commit ids have 7 to 12, and no English word with a digit has so many.
const DIGEST_LEN: usize = 8;

/// A segment so long in which capitals and small letters take turns is a token: with a digit in it
/// from 16 characters on, without one from 20. 16 characters of base64 are 12 random bytes.
const TOKEN_LEN: usize = 16;
const TOKEN_LEN_WITHOUT_DIGIT: usize = 20;

/// Words put together (`getUserPreferencesById`) change between capitals and small letters seldom; a
/// random text does so at every second letter.
const TOKEN_CHANGES_IN_TEN: usize = 4;

/// An extension of a file name has at most so many characters.
const MAX_EXTENSION: usize = 5;

/// What stands for an identifier.
pub const PLACEHOLDER: &str = "{id}";

/// How a segment goes into a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape<'a> {
    /// Could be a name.
    Name,
    Identifier,
    /// An identifier with this extension, as in `4711.png`.
    File(&'a str),
}

/// Tells by the look of it whether a segment is an identifier.
///
/// The answer depends on nothing else, so it is the same in whatever order paths come.
#[must_use]
pub fn shape(segment: &str) -> Shape<'_> {
    if !segment.contains('@')
        && let Some((stem, extension)) = segment.rsplit_once('.')
        && extension.len() <= MAX_EXTENSION
        && extension.bytes().any(|byte| byte.is_ascii_alphabetic())
        && extension.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && is_identifier(stem)
    {
        return Shape::File(extension);
    }
    if is_identifier(segment) {
        return Shape::Identifier;
    }
    Shape::Name
}

fn is_identifier(segment: &str) -> bool {
    let digits = count(segment, |byte| byte.is_ascii_digit());
    let by_digits =
        digits >= IDENTIFIER_DIGITS || digits > 0 && (is_number(segment) || is_digest(segment));
    by_digits || segment.contains('@') || is_token(segment, digits > 0)
}

/// Digits, with the signs that numbers, coordinates and lists of ids have.
fn is_number(segment: &str) -> bool {
    segment.bytes().all(|byte| {
        byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b',' | b':' | b'~')
    })
}

fn is_digest(segment: &str) -> bool {
    segment.len() >= DIGEST_LEN && segment.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_token(segment: &str, has_digit: bool) -> bool {
    let least = if has_digit {
        TOKEN_LEN
    } else {
        TOKEN_LEN_WITHOUT_DIGIT
    };
    if segment.len() < least {
        return false;
    }
    let cases: Vec<bool> = segment
        .bytes()
        .filter(u8::is_ascii_alphabetic)
        .map(|byte| byte.is_ascii_uppercase())
        .collect();
    let changes = cases
        .iter()
        .zip(cases.iter().skip(1))
        .filter(|(a, b)| a != b)
        .count();
    changes.saturating_mul(10) >= cases.len().saturating_mul(TOKEN_CHANGES_IN_TEN)
        && !cases.is_empty()
}

fn count(segment: &str, what: impl Fn(u8) -> bool) -> usize {
    segment.bytes().filter(|byte| what(*byte)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_told_from_names() {
        for identifier in [
            "7",
            "-7",
            "1,2,3",
            "52.5",
            "2026-11-22",
            "10.0.0.7",
            "9b2f6f3e-0c5c-4b7e-9a53-d9d4ad5b4a3c",
            "deadbeef1",
            "3f2a91c",
            "da39a3ee5e6b4b0d3255bfef95601890afd80709",
            "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "cus_NffrFeUfNV2Hib",
            "order-12345",
            "someone@example.com",
            "aGVsbG8gd29ybGQgZnJvbSBiYXNlNjQ",
            "dGhJcyBpUyBhIHRPa0Vu",
        ] {
            assert_eq!(shape(identifier), Shape::Identifier, "{identifier}");
        }
        for name in [
            "users",
            "v1",
            "v1beta1",
            "v2.0",
            "oauth2",
            "sha256",
            "ipv4",
            "s3",
            "app.js",
            "jquery.min.js",
            "robots.txt",
            "getUserPreferencesById",
            "INTERNATIONALIZATION-SETTINGS",
            "well-known-openid-configuration",
            ".well-known",
            // No decimal digit: a word as far as can be seen.
            "feedface",
            "",
        ] {
            assert_eq!(shape(name), Shape::Name, "{name}");
        }
        assert_eq!(shape(".7"), Shape::Identifier);
        assert_eq!(shape("4711.png"), Shape::File("png"));
        assert_eq!(shape("main.8f3c2a1b.js"), Shape::File("js"));
        assert_eq!(shape("0.txt"), Shape::File("txt"));
    }
}
