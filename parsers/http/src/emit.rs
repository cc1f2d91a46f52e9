//! An exchange as a span.

use memchr::{memchr, memchr2, memrchr, memrchr3};
use wirespan_sdk::{Context, Flags, Side, SpanBuilder, Status};

use crate::exchange::{Exchange, Method, Text, UNKNOWN_MINOR};
use crate::fields::{
    ERROR_TYPE, METHOD, METHOD_ORIGINAL, PATH, QUERY, REQUEST_BODY, RESPONSE_BODY, SCHEME,
    SERVER_ADDRESS, SERVER_PORT, STATUS, USER_AGENT, VERSION,
};
use crate::head::number;
use crate::limits::TARGET_BYTES;

/// What a span takes from its connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    pub(crate) observed: Side,
    pub(crate) tls: bool,
}

pub(crate) fn emit(exchange: &Exchange, scene: Scene, cx: &mut Context<'_>) {
    let texts = &exchange.texts;
    let mut span = cx.span(exchange.method.name().unwrap_or("HTTP"));
    span.starts(exchange.position, exchange.start)
        .side(if exchange.method == Method::Unseen {
            Side::Server
        } else {
            Side::Client
        })
        .request_ends(exchange.request_end)
        .response_starts(exchange.response_start)
        .ends(exchange.end.max(exchange.start))
        .sizes(exchange.request_bytes, exchange.response_bytes)
        .flags(exchange.flags);
    if let Some(trace) = texts.get(Text::Traceparent) {
        span.trace(trace);
    }
    match (exchange.method, exchange.method.name()) {
        (Method::Unseen, _) => {}
        (_, Some(name)) => drop(span.text(METHOD, name.as_bytes())),
        (_, None) => {
            span.text(METHOD, b"_OTHER")
                .text(METHOD_ORIGINAL, texts.get(Text::Method).unwrap_or_default());
        }
    }
    let target = texts
        .get(Text::Target)
        .map(|target| Target::of(exchange.method, target))
        .unwrap_or_default();
    // Where the target was cut, an authority without anything behind it can be a part of one.
    let authority = target.authority.filter(|_| {
        let cut = texts
            .get(Text::Target)
            .is_some_and(|t| t.len() == TARGET_BYTES);
        !cut || target.path.is_some_and(|path| path != b"/")
    });
    if let Some(path) = target.path {
        span.uri_text(PATH, path);
    }
    if let Some(query) = target.query {
        span.uri_text(QUERY, query);
    }
    if exchange.method != Method::Unseen {
        let scheme: &[u8] = if scene.tls { b"https" } else { b"http" };
        span.text(SCHEME, target.scheme.unwrap_or(scheme));
    }
    // The authority of the target goes before Host (RFC 9112, 3.2.2).
    if let Some(authority) = authority.or(texts.get(Text::Host)) {
        let (host, port) = server(authority);
        if !host.is_empty() {
            span.text(SERVER_ADDRESS, host);
        }
        if let Some(port) = port {
            span.integer(SERVER_PORT, i64::from(port));
        }
    }
    if exchange.status != 0 {
        span.integer(STATUS, i64::from(exchange.status));
    }
    match exchange.minor {
        UNKNOWN_MINOR => {}
        0 => drop(span.text(VERSION, b"1.0")),
        _ => drop(span.text(VERSION, b"1.1")),
    }
    if let Some(agent) = texts.get(Text::UserAgent) {
        span.text(USER_AGENT, agent);
    }
    if let Some(size) = exchange.request_body {
        span.count(REQUEST_BODY, size);
    }
    if let Some(size) = exchange.response_body {
        span.count(RESPONSE_BODY, size);
    }
    outcome(&mut span, exchange, scene);
    span.emit();
}

/// 5xx is an error at both ends, 4xx at the client's; so is a connection that was reset, or closed
/// instead of a response.
fn outcome(span: &mut SpanBuilder<'_>, exchange: &Exchange, scene: Scene) {
    let has = |flag: Flags| exchange.flags.bits() & flag.bits() != 0;
    let digit = |n: u16| b'0'.wrapping_add((n % 10) as u8);
    if exchange.status >= 500 || exchange.status >= 400 && scene.observed == Side::Client {
        let code = [
            digit(exchange.status / 100),
            digit(exchange.status / 10),
            digit(exchange.status),
        ];
        span.status(Status::Error).text(ERROR_TYPE, &code);
    } else if has(Flags::RESET) {
        span.status(Status::Error).text(ERROR_TYPE, b"reset");
    }
}

/// The parts of a request target (RFC 9112, 3.2).
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    pub(crate) scheme: Option<&'a [u8]>,
    pub(crate) authority: Option<&'a [u8]>,
    pub(crate) path: Option<&'a [u8]>,
    pub(crate) query: Option<&'a [u8]>,
}

impl<'a> Target<'a> {
    pub(crate) fn of(method: Method, target: &'a [u8]) -> Self {
        if method == Method::Connect {
            return Self {
                authority: Some(target),
                ..Self::default()
            };
        }
        let (scheme, rest) = match target {
            // Nearly all.
            [b'/', ..] => (None, target),
            _ => absolute(target).map_or((None, target), |(scheme, rest)| (Some(scheme), rest)),
        };
        let (authority, rest) = match scheme {
            Some(_) => {
                let end = rest
                    .iter()
                    .position(|b| matches!(b, b'/' | b'?' | b'#'))
                    .unwrap_or(rest.len());
                let (authority, rest) = rest.split_at(end);
                (Some(authority), rest)
            }
            None => (None, rest),
        };
        // A fragment is not sent; where it is, it is no part of path or query.
        let (path, query) = match memchr2(b'?', b'#', rest) {
            None => (rest, None),
            Some(at) => {
                let (path, rest) = rest.split_at(at);
                let query = rest.strip_prefix(b"?").map(|query| {
                    let end = memchr(b'#', query).unwrap_or(query.len());
                    query.get(..end).unwrap_or_default()
                });
                (path, query)
            }
        };
        // An empty path of an absolute form is `/` (RFC 9110, 4.2.3).
        let path = if path.is_empty() && scheme.is_some() {
            b"/"
        } else {
            path
        };
        Self {
            scheme,
            authority,
            path: Some(path),
            query,
        }
    }
}

/// `http://…` or `https://…`.
fn absolute(target: &[u8]) -> Option<(&'static [u8], &[u8])> {
    [&b"http"[..], b"https"].into_iter().find_map(|scheme| {
        let (name, rest) = target.split_at_checked(scheme.len())?;
        let rest = rest.strip_prefix(b"://")?;
        name.eq_ignore_ascii_case(scheme).then_some((scheme, rest))
    })
}

/// `host`, `host:port` or `[address]:port`, without the credentials before an `@`.
fn server(authority: &[u8]) -> (&[u8], Option<u16>) {
    // A colon within the brackets is one of the address, one before an `@` of the credentials.
    let (host, port) = match memrchr3(b'@', b':', b']', authority) {
        Some(at) if authority.get(at) == Some(&b':') => {
            let (host, port) = authority.split_at(at);
            (host, port.get(1..).unwrap_or_default())
        }
        _ => (authority, &[][..]),
    };
    let begin = memrchr(b'@', host).map_or(0, |at| at.saturating_add(1));
    let host = host.get(begin..).unwrap_or_default();
    let host = host
        .strip_prefix(b"[")
        .and_then(|host| host.strip_suffix(b"]"))
        .unwrap_or(host);
    (host, number(port).and_then(|port| u16::try_from(port).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_a_host_and_a_port() {
        let cases: [(&str, &str, Option<u16>); 14] = [
            ("shop.example", "shop.example", None),
            ("shop.example:8080", "shop.example", Some(8080)),
            ("shop.example:", "shop.example", None),
            ("shop.example:65536", "shop.example", None),
            ("shop.example:+80", "shop.example", None),
            ("shop.example:8o", "shop.example", None),
            ("[2001:db8::7]", "2001:db8::7", None),
            ("[2001:db8::7]:443", "2001:db8::7", Some(443)),
            ("user:secret@shop.example", "shop.example", None),
            ("user:secret@shop.example:81", "shop.example", Some(81)),
            ("us:er@x@[::1]:82", "::1", Some(82)),
            (":80", "", Some(80)),
            ("user@", "", None),
            ("", "", None),
        ];
        for (authority, host, port) in cases {
            assert_eq!(
                server(authority.as_bytes()),
                (host.as_bytes(), port),
                "{authority}"
            );
        }
    }

    #[test]
    fn a_target_is_a_path_and_a_query() {
        let cases = [
            ("/", "/", None),
            ("/a?b=1", "/a", Some("b=1")),
            ("/a?", "/a", Some("")),
            ("/a?b?c", "/a", Some("b?c")),
            ("/a#b?c", "/a", None),
            ("/a?b#c?d", "/a", Some("b")),
            ("*", "*", None),
            ("http://shop.example?b", "/", Some("b")),
            ("HTTPS://shop.example/a#b", "/a", None),
        ];
        for (target, path, query) in cases {
            let found = Target::of(Method::Get, target.as_bytes());
            assert_eq!(found.path, Some(path.as_bytes()), "{target}");
            assert_eq!(found.query, query.map(str::as_bytes), "{target}");
        }
    }
}
