//! What must come out: for each request a client made, one span at each end, and nothing else.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use crate::Span;

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: Option<String>,
}

impl Request {
    /// `target` as in the request line: a path, and a query if there is one.
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        let (path, query) = target
            .split_once('?')
            .map_or((target, None), |(path, query)| {
                (path, Some(query.to_owned()))
            });
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query,
        }
    }
}

/// What a client has seen.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub request: Request,
    pub status: u16,
    /// From the client's own clock: both spans lie within.
    pub seconds: f64,
    /// The server waited on purpose for this long: no span is shorter.
    pub at_least_seconds: f64,
    /// Of the server.
    pub port: u16,
    pub client_pid: u32,
    /// `service.name` of the client.
    pub client: String,
    pub response_bytes: Option<u64>,
    pub http2: bool,
    /// The server sent it unasked (HTTP/2).
    pub pushed: bool,
    /// Nothing says what the server's TLS library holds: its span may be missing, not be wrong.
    pub server_hidden: bool,
    /// The same of the client's.
    pub client_hidden: bool,
}

impl Exchange {
    #[must_use]
    pub fn new(request: Request, status: u16, seconds: f64, port: u16) -> Self {
        Self {
            request,
            status,
            seconds,
            at_least_seconds: 0.0,
            port,
            client_pid: 0,
            client: String::new(),
            response_bytes: None,
            http2: false,
            pushed: false,
            server_hidden: false,
            client_hidden: false,
        }
    }

    #[must_use]
    pub fn by(mut self, client: &str, pid: u32) -> Self {
        self.client_pid = pid;
        client.clone_into(&mut self.client);
        self
    }
}

/// A server that took part: who answers on which ports.
#[derive(Clone, Debug)]
pub struct Server {
    pub ports: Vec<u16>,
    pub pids: Vec<u32>,
    pub service: String,
}

/// Rounding of a client's own clock (curl gives microseconds).
const CLOCK_SLACK_SECONDS: f64 = 0.000_1;

/// Checks that `spans` are exactly what `exchanges` must give.
///
/// # Errors
/// With every difference, one a line.
pub fn assert_exactly(spans: &[Span], exchanges: &[Exchange], servers: &[Server]) -> Result<()> {
    let mut differences = Vec::new();
    let mut left: BTreeMap<Key, Vec<&Span>> = BTreeMap::new();
    for span in spans {
        left.entry(Key::of(span)).or_default().push(span);
    }
    for exchange in exchanges {
        let server = servers
            .iter()
            .find(|server| server.ports.contains(&exchange.port));
        let Some(server) = server else {
            bail!("no server is known for port {}", exchange.port)
        };
        for (kind, service, pids) in [
            ("SERVER", &*server.service, &*server.pids),
            ("CLIENT", &*exchange.client, &[exchange.client_pid][..]),
        ] {
            let key = Key {
                kind: kind.to_owned(),
                request: Some(exchange.request.clone()),
                status: Some(i64::from(exchange.status)),
            };
            let found = left.get_mut(&key).and_then(|same| {
                let place = same.iter().position(|span| {
                    span.pid()
                        .is_some_and(|pid| pids.iter().any(|known| u64::from(*known) == pid))
                })?;
                Some(same.remove(place))
            });
            match found {
                Some(span) => differences.extend(faults(span, exchange, service)),
                None if kind == "SERVER" && exchange.server_hidden => {}
                None if kind == "CLIENT" && exchange.client_hidden => {}
                None => differences.push(format!(
                    "missing: {kind} {:?} {} at one of {pids:?}",
                    exchange.request, exchange.status
                )),
            }
        }
    }
    differences.extend(
        left.values()
            .flatten()
            .map(|span| format!("not expected: {}", span.summary())),
    );
    if differences.is_empty() {
        return Ok(());
    }
    let got: Vec<String> = spans
        .iter()
        .map(|span| format!("got: {}", span.summary()))
        .collect();
    bail!(
        "{} exchanges, {} spans\n{}\n{}",
        exchanges.len(),
        spans.len(),
        differences.join("\n"),
        got.join("\n")
    )
}

/// Spans of an exchange have the same key at both ends but for the kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    kind: String,
    request: Option<Request>,
    status: Option<i64>,
}

impl Key {
    fn of(span: &Span) -> Self {
        let request = span
            .method()
            .zip(span.path())
            .map(|(method, path)| Request {
                method: method.to_owned(),
                path: path.to_owned(),
                query: span.text("url.query").map(str::to_owned),
            });
        Self {
            kind: span.kind.clone(),
            request,
            status: span.http_status(),
        }
    }
}

/// What is wrong with a span that is the right one.
fn faults(span: &Span, exchange: &Exchange, service: &str) -> Vec<String> {
    let client = span.kind == "CLIENT";
    let (protocol, parser) = if exchange.http2 {
        ("http2", "grpc@")
    } else {
        ("http", "http@")
    };
    // Absent where there is none.
    let body = span.integer("http.response.body.size").unwrap_or(0);
    let body = u64::try_from(body).ok();
    let pushed = span.attributes.contains_key("wirespan.http2.pushed");
    let error = exchange.status >= 500 || (client && exchange.status >= 400);
    let times = [
        Some(span.start_unix_nano),
        span.request_end_unix_nano,
        span.response_start_unix_nano,
        Some(span.end_unix_nano),
    ];
    let known: Vec<u64> = times.into_iter().flatten().collect();
    let seconds = span.seconds();
    let checks = [
        (
            span.service() == Some(service),
            format!("service.name is not {service}"),
        ),
        (
            span.protocol == protocol,
            format!("protocol is not {protocol}"),
        ),
        (
            span.parser.starts_with(parser),
            format!("parser is not {parser}…"),
        ),
        (
            !exchange.http2 || span.text("network.protocol.version") == Some("2"),
            "version is not 2".to_owned(),
        ),
        (
            exchange.response_bytes.is_none() || body == exchange.response_bytes,
            format!("{body:?} bytes, not {:?}", exchange.response_bytes),
        ),
        (pushed == exchange.pushed, format!("pushed is {pushed}")),
        (
            span.text("network.protocol.version").is_some(),
            "no network.protocol.version".to_owned(),
        ),
        (
            span.status == if error { "ERROR" } else { "UNSET" },
            format!("status {} after {}", span.status, exchange.status),
        ),
        (known.is_sorted(), format!("times out of order: {times:?}")),
        (
            // That of a stream which an upgrade began ended with the request of HTTP/1.1.
            known.len() == 4 || exchange.http2 && span.response_start_unix_nano.is_some(),
            format!("a time is absent: {times:?}"),
        ),
        (
            // A push is promised, answered and over in one piece.
            seconds > 0.0 || exchange.pushed,
            "no duration".to_owned(),
        ),
        (
            seconds <= exchange.seconds + CLOCK_SLACK_SECONDS,
            format!("longer than the client's {:.6} s", exchange.seconds),
        ),
        (
            seconds >= exchange.at_least_seconds,
            format!(
                "shorter than the server's {:.6} s",
                exchange.at_least_seconds
            ),
        ),
        (
            span.trace_id.len() == 32 && span.span_id.len() == 16,
            "ids of the wrong length".to_owned(),
        ),
    ];
    let wrong = checks.into_iter().filter(|(right, _)| !right);
    wrong
        .map(|(_, fault)| format!("{fault}: {}", span.summary()))
        .collect()
}

/// No two spans share an id.
///
/// # Errors
/// Naming the first that do.
pub fn assert_distinct_ids(spans: &[Span]) -> Result<()> {
    let mut seen: BTreeMap<&str, &Span> = BTreeMap::new();
    for span in spans {
        if let Some(other) = seen.insert(&span.span_id, span) {
            bail!(
                "one id for two spans:\n{}\n{}",
                other.summary(),
                span.summary()
            );
        }
    }
    Ok(())
}
