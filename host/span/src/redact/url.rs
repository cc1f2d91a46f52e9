//! Credentials in URLs: found in any text, replaced by `REDACTED`.
//!
//! In doubt more is removed: which characters end a value depends on who reads the URL, and that
//! reader is not known here.

use std::borrow::Cow;

const REDACTED: &str = "REDACTED";

/// Levels of percent-encoding looked through in a parameter's value: a URL that carries a URL that
/// carries a URL.
const MAX_DEPTH: usize = 3;

/// What kind of text it is, by the name of its attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `url.query`: parameters from the first byte on.
    Query,
    /// A URL or the target of a request: may begin with an authority.
    Url,
    /// Host names and addresses: nothing before an `@` belongs there.
    Address,
    /// Anything else.
    Text,
}

impl Place {
    pub(super) fn of(attribute: &str) -> Self {
        match attribute {
            "url.query" | "url.fragment" => Self::Query,
            "url.path" | "url.template" | "http.route" => Self::Text,
            "http.url" | "http.target" => Self::Url,
            "url.domain" => Self::Address,
            name if name.starts_with("url.") => Self::Url,
            name if name.ends_with(".address") || name.ends_with(".host") => Self::Address,
            _ => Self::Text,
        }
    }
}

#[derive(Debug)]
pub(super) struct Scrubber {
    /// In lower case.
    parameters: Vec<String>,
}

impl Scrubber {
    pub(super) fn new(parameters: Vec<String>) -> Self {
        Self { parameters }
    }

    /// The text without credentials; borrowed when there were none.
    pub(super) fn scrub<'a>(&self, text: &'a str, place: Place) -> Cow<'a, str> {
        self.scrub_at(text, place, 0)
    }

    fn scrub_at<'a>(&self, text: &'a str, place: Place, depth: usize) -> Cow<'a, str> {
        let without_user = match place {
            Place::Address => return address(text),
            Place::Query | Place::Text | Place::Url => user_info(text, place),
        };
        match self.query(&without_user, place, depth) {
            Some(scrubbed) => Cow::Owned(scrubbed),
            None => without_user,
        }
    }

    /// `None` when nothing is to be replaced.
    fn query(&self, text: &str, place: Place, depth: usize) -> Option<String> {
        let mut out: Option<String> = None;
        let mut kept = 0;
        let mut at = if place == Place::Query {
            Some(0)
        } else {
            after_separator(text, 0, b"?#")
        };
        while let Some(start) = at {
            let rest = text.get(start..).unwrap_or_default();
            let name_len = rest.find(['=', '&', ';', '?', '#']).unwrap_or(rest.len());
            let (name, tail) = rest.split_at(name_len);
            let Some(value) = tail.strip_prefix('=') else {
                at = after_separator(text, start + name_len, b"&;?#");
                continue;
            };
            let value_at = start + name_len + 1;
            // A secret may hold what some readers take for a separator, so its end is the last
            // that is possible; for all others the next parameter is looked for at the first.
            let value_len = value.find(['&', '#']).unwrap_or(value.len());
            let value = value.split_at(value_len).0;
            if !value.is_empty() && value != REDACTED && self.is_secret(name, value, depth) {
                let out = out.get_or_insert_with(String::new);
                out.push_str(text.get(kept..value_at).unwrap_or_default());
                out.push_str(REDACTED);
                kept = value_at + value_len;
                at = after_separator(text, kept, b"&#");
            } else {
                at = after_separator(text, value_at, b"&;?#");
            }
        }
        let mut out = out?;
        out.push_str(text.get(kept..).unwrap_or_default());
        Some(out)
    }

    fn is_secret(&self, name: &str, value: &str, depth: usize) -> bool {
        self.is_secret_name(name) || self.holds_credentials(value, depth)
    }

    fn is_secret_name(&self, name: &str) -> bool {
        let name = decode(name);
        let name = String::from_utf8_lossy(&name);
        let name = name.trim_matches(|c: char| c.is_whitespace() || c.is_control());
        // `sig[]` and `sig[0]` are the same parameter to some readers.
        let name = name.split('[').next().unwrap_or_default();
        self.parameters
            .iter()
            .any(|parameter| parameter.eq_ignore_ascii_case(name))
    }

    /// A percent-encoded URL as a value: its credentials cannot be replaced without decoding it, so
    /// the value goes whole.
    fn holds_credentials(&self, value: &str, depth: usize) -> bool {
        if depth == MAX_DEPTH || !value.contains('%') {
            return false;
        }
        let decoded = decode(value);
        let decoded = String::from_utf8_lossy(&decoded);
        matches!(
            self.scrub_at(&decoded, Place::Url, depth + 1),
            Cow::Owned(_)
        ) || (decoded != value && self.holds_credentials(&decoded, depth + 1))
    }
}

/// The place behind the next of `separators` at or after `from`.
fn after_separator(text: &str, from: usize, separators: &[u8]) -> Option<usize> {
    let rest = text.as_bytes().get(from..)?;
    let at = match separators {
        [a, b] => memchr::memchr2(*a, *b, rest),
        _ => rest.iter().position(|byte| separators.contains(byte)),
    };
    at.map(|at| from + at + 1)
}

/// An address is what stands behind the last `@`.
fn address(text: &str) -> Cow<'_, str> {
    match text.rsplit_once('@') {
        Some((_, host)) => Cow::Owned(host.to_owned()),
        None => Cow::Borrowed(text),
    }
}

/// Replaces `user:password@` behind each `//`, and in a [`Place::Url`] at its beginning (targets
/// of CONNECT have no scheme).
fn user_info(text: &str, place: Place) -> Cow<'_, str> {
    if !text.contains('@') {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    let mut kept = 0;
    let mut at = (place == Place::Url && !text.starts_with('/')).then_some(0);
    if at.is_none() {
        at = text.find("//").map(|found| found + 2);
    }
    while let Some(start) = at {
        let rest = text.get(start..).unwrap_or_default();
        if let Some(len) = user_info_len(rest) {
            let user = rest.get(..len).unwrap_or_default();
            let mark = if user.contains(':') {
                "REDACTED:REDACTED"
            } else {
                REDACTED
            };
            out.push_str(text.get(kept..start).unwrap_or_default());
            out.push_str(mark);
            kept = start + len;
        }
        let from = start.max(kept);
        at = text
            .get(from..)
            .and_then(|rest| rest.find("//"))
            .map(|found| from + found + 2);
    }
    if kept == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(text.get(kept..).unwrap_or_default());
    if out == text {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(out)
    }
}

/// Length of the user information at the beginning of an authority, without its `@`.
fn user_info_len(text: &str) -> Option<usize> {
    let end_of_url = text
        .find([' ', '\t', '\n', '\r', '"', '\'', '<', '>'])
        .unwrap_or(text.len());
    let url = text.get(..end_of_url)?;
    let authority = url.get(..url.find(['/', '?', '#']).unwrap_or(url.len()))?;
    if let Some(at) = authority.rfind('@') {
        return Some(at);
    }
    // `user:pa/ss@host`: what looks like the port is not one, so the authority ends later than the
    // syntax says.
    let (host, port) = authority.rsplit_once(':')?;
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
    (!is_port && !host.is_empty() && !host.starts_with('['))
        .then(|| url.rfind('@'))
        .flatten()
}

/// Percent-decoding; a `%` that begins no escape stays, and `+` is a blank.
fn decode(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    loop {
        rest = match rest {
            [] => return out,
            [b'%', high, low, after @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                out.push(hex(*high) << 4 | hex(*low));
                after
            }
            [b'+', after @ ..] => {
                out.push(b' ');
                after
            }
            [byte, after @ ..] => {
                out.push(*byte);
                after
            }
        };
    }
}

const fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::SECRET_PARAMETERS;

    fn scrubber() -> Scrubber {
        Scrubber::new(SECRET_PARAMETERS.map(str::to_owned).into())
    }

    fn check(place: Place, table: &[(&str, &str)]) {
        let scrubber = scrubber();
        for (text, expected) in table {
            let scrubbed = scrubber.scrub(text, place);
            assert_eq!(scrubbed, *expected, "{text}");
            assert_eq!(
                matches!(scrubbed, Cow::Owned(_)),
                text != expected,
                "{text}"
            );
            assert_eq!(scrubber.scrub(&scrubbed, place), scrubbed, "{text}: again");
        }
    }

    #[test]
    fn values_of_secret_parameters_are_replaced() {
        check(
            Place::Query,
            &[
                ("", ""),
                ("a=b", "a=b"),
                ("sig=1", "sig=REDACTED"),
                ("sig=", "sig="),
                ("sig", "sig"),
                ("sig=REDACTED", "sig=REDACTED"),
                ("sig=1&sig=2&a=3", "sig=REDACTED&sig=REDACTED&a=3"),
                ("a=1&Signature=x%2By==&b=2", "a=1&Signature=REDACTED&b=2"),
                (
                    "X-Amz-Signature=f00&X-Amz-Credential=k",
                    "X-Amz-Signature=REDACTED&X-Amz-Credential=REDACTED",
                ),
                ("x-amz-SECURITY-token=t", "x-amz-SECURITY-token=REDACTED"),
                ("AWSAccessKeyId=AKIA", "AWSAccessKeyId=REDACTED"),
                ("X-Goog-Signature=1", "X-Goog-Signature=REDACTED"),
                ("X%2DAmz%2dSignature=1", "X%2DAmz%2dSignature=REDACTED"),
                ("%73ig=1", "%73ig=REDACTED"),
                ("+sig=1", "+sig=REDACTED"),
                ("sig%00=1", "sig%00=REDACTED"),
                ("sig[]=1&sig%5B0%5D=2", "sig[]=REDACTED&sig%5B0%5D=REDACTED"),
                ("a=b;sig=1;2&c=3", "a=b;sig=REDACTED&c=3"),
                ("a=b&amp;sig=1", "a=b&amp;sig=REDACTED"),
                ("a?sig=1", "a?sig=REDACTED"),
                ("design=1&sigma=2&tokens=3", "design=1&sigma=2&tokens=3"),
                ("=sig&sig==", "=sig&sig=REDACTED"),
                ("%=1&%z=2&sig%=3&%ff%fe=4", "%=1&%z=2&sig%=3&%ff%fe=4"),
                ("q=%E9&sig=%E9", "q=%E9&sig=REDACTED"),
                ("email=a@b.example", "email=a@b.example"),
                ("a=1#access_token=2", "a=1#access_token=REDACTED"),
            ],
        );
    }

    #[test]
    fn a_url_inside_a_value_is_searched_too() {
        check(
            Place::Query,
            &[
                ("u=https://h/?sig=1&b=2", "u=https://h/?sig=REDACTED&b=2"),
                ("u=https%3A%2F%2Fh%2F%3Fsig%3D1&b=2", "u=REDACTED&b=2"),
                ("u=https%3A%2F%2Fu%3Ap%40h%2F", "u=REDACTED"),
                ("u=https%253A%252F%252Fu%253Ap%2540h", "u=REDACTED"),
                (
                    "u=https%3A%2F%2Fh%2F%3Fa%3D1",
                    "u=https%3A%2F%2Fh%2F%3Fa%3D1",
                ),
                ("u=https://me:pw@h/", "u=https://REDACTED:REDACTED@h/"),
            ],
        );
    }

    #[test]
    fn users_and_passwords_are_replaced() {
        check(
            Place::Url,
            &[
                ("http://h/p", "http://h/p"),
                ("http://u:p@h/p", "http://REDACTED:REDACTED@h/p"),
                ("http://u:p@h", "http://REDACTED:REDACTED@h"),
                ("http://token@h/", "http://REDACTED@h/"),
                ("http://:p@h/", "http://REDACTED:REDACTED@h/"),
                ("http://@h/", "http://REDACTED@h/"),
                ("http://u:p@x@h:80/", "http://REDACTED:REDACTED@h:80/"),
                ("http://u:p%40@h/", "http://REDACTED:REDACTED@h/"),
                ("http://u:p/w@h/", "http://REDACTED:REDACTED@h/"),
                ("http://[::1]:80/a@b", "http://[::1]:80/a@b"),
                ("http://h:80/a@b", "http://h:80/a@b"),
                ("http://h/a@b", "http://h/a@b"),
                ("//u:p@h/", "//REDACTED:REDACTED@h/"),
                ("u:p@h:443", "REDACTED:REDACTED@h:443"),
                ("/a@b", "/a@b"),
                (
                    "/?x=http://u:p@h/&sig=1",
                    "/?x=http://REDACTED:REDACTED@h/&sig=REDACTED",
                ),
                ("/p?sig=1#f", "/p?sig=REDACTED#f"),
            ],
        );
    }

    #[test]
    fn other_texts_are_searched_for_urls() {
        check(
            Place::Text,
            &[
                ("GET", "GET"),
                ("GET /users/{id}", "GET /users/{id}"),
                ("mail a@b", "mail a@b"),
                (
                    "see https://u:p@h/x and http://a:b@c",
                    "see https://REDACTED:REDACTED@h/x and http://REDACTED:REDACTED@c",
                ),
                ("GET /x?token=1", "GET /x?token=REDACTED"),
                ("ünï http://ü:ï@h/ü", "ünï http://REDACTED:REDACTED@h/ü"),
            ],
        );
    }

    #[test]
    fn an_address_has_no_user() {
        check(
            Place::Address,
            &[
                ("h", "h"),
                ("u:p@h", "h"),
                ("u@v@h", "h"),
                ("10.0.0.1", "10.0.0.1"),
            ],
        );
        for name in [
            "server.address",
            "client.address",
            "network.peer.address",
            "url.domain",
        ] {
            assert_eq!(Place::of(name), Place::Address, "{name}");
        }
        for name in ["url.full", "url.original", "http.url", "http.target"] {
            assert_eq!(Place::of(name), Place::Url, "{name}");
        }
        assert_eq!(Place::of("url.query"), Place::Query);
    }

    #[test]
    fn nothing_makes_it_panic_or_leak() {
        // Every text of up to five of these pieces.
        const PIECES: [&str; 12] = [
            "sig", "=", "&", ";", "%", "%3D", "@", "//", ":", "?", "é", "#",
        ];
        let scrubber = scrubber();
        for number in 0..PIECES.len().pow(5) {
            let mut text = String::new();
            let mut rest = number;
            while rest > 0 {
                text.push_str(PIECES[rest % PIECES.len()]);
                rest /= PIECES.len();
            }
            for place in [Place::Query, Place::Url, Place::Address, Place::Text] {
                let once = scrubber.scrub(&text, place);
                assert_eq!(
                    scrubber.scrub(&once, place),
                    once,
                    "{text} as {place:?}: again"
                );
            }
            let secret = format!("{text}&sig=hunter2&x");
            assert!(
                !scrubber.scrub(&secret, Place::Query).contains("hunter2"),
                "{secret}"
            );
        }
    }
}
