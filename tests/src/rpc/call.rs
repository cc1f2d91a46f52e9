//! What must come out: for each call that a client made, one span at each end, and nothing else.

use std::collections::{BTreeMap, VecDeque};

use anyhow::{Result, bail};

use super::peer::Report;
use crate::Span;

/// A process at one end of a call.
#[derive(Clone, Copy, Debug)]
pub struct Party {
    pub pid: u32,
    pub service: &'static str,
}

/// A call, as its client has counted it.
#[derive(Clone, Debug)]
pub struct Call {
    pub report: Report,
    /// By the client, for its deadline or by cancelling. Then nobody knows what the server has sent
    /// last: its status, or nothing.
    pub given_up: bool,
    /// The client counts what it has unpacked; transferred was less.
    pub compressed: bool,
    pub client: Party,
    pub server: Party,
    /// The connection is older than the agent. What it had put into its header tables before is not
    /// known, only what it has told since.
    pub joined: Option<Told>,
}

/// What a connection has told since it is watched.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    pub method: bool,
    pub status: bool,
}

/// Rounding of a client's own clock.
const CLOCK_SLACK_SECONDS: f64 = 0.000_1;

/// Checks that `spans` are exactly what `calls` must give.
///
/// # Errors
/// With every difference, one a line.
pub fn assert_exactly(spans: &[Span], calls: &[Call]) -> Result<()> {
    let mut differences = Vec::new();
    let mut left: BTreeMap<String, VecDeque<&Span>> = BTreeMap::new();
    // Calls that are alike are told apart by their order.
    let mut spans: Vec<&Span> = spans.iter().collect();
    spans.sort_unstable_by_key(|span| span.start_unix_nano);
    for span in &spans {
        left.entry(found(span)).or_default().push_back(span);
    }
    for call in calls {
        for kind in ["CLIENT", "SERVER"] {
            let key = call.expected(kind);
            let Some(span) = left.get_mut(&key).and_then(VecDeque::pop_front) else {
                differences.push(format!("missing: {key}"));
                continue;
            };
            differences.extend(call.faults(span));
        }
    }
    for (key, spans) in &left {
        for span in spans {
            let flags = &span.flags;
            differences.push(format!(
                "not expected: {key} {flags:?} {:?}",
                span.attributes
            ));
        }
    }
    if differences.is_empty() {
        return Ok(());
    }
    bail!(
        "{} calls, {} spans\n{}",
        calls.len(),
        spans.len(),
        differences.join("\n")
    )
}

/// Instead of a status, where the client ended the call.
const GIVEN_UP: &str = "given up";

/// Instead of what was asked, where the server may not have listened.
const REFUSED: &str = "what is refused";

fn is_early(status: &str) -> bool {
    status == "UNIMPLEMENTED"
}

impl Call {
    fn told(&self) -> Told {
        self.joined.unwrap_or(Told {
            method: true,
            status: true,
        })
    }

    /// Everything that is exact, as one line.
    fn expected(&self, kind: &str) -> String {
        let report = &self.report;
        let party = if kind == "CLIENT" {
            self.client
        } else {
            self.server
        };
        let told = self.told();
        let method = if told.method { &*report.method } else { "-" };
        let status = match told.status {
            _ if self.given_up => GIVEN_UP,
            true => &*report.status,
            false => "-",
        };
        let bytes = |bytes: u64| {
            if self.compressed {
                "compressed".to_owned()
            } else {
                bytes.to_string()
            }
        };
        let asked = if is_early(&report.status) {
            REFUSED.to_owned()
        } else {
            format!(
                "{} messages {} bytes",
                report.request_messages,
                bytes(report.request_bytes)
            )
        };
        format!(
            "{kind} {} of {} {method} {status} {asked}, {} messages {} bytes",
            party.pid,
            party.service,
            report.response_messages,
            bytes(report.response_bytes),
        )
    }

    /// What is wrong with a span that is the right one.
    fn faults(&self, span: &Span) -> Vec<String> {
        let report = &self.report;
        let status = span.text("rpc.status_code");
        let error = match (status, span.kind == "CLIENT") {
            (Some("OK"), _) => false,
            (Some(_), true) => true,
            (Some(status), false) => SERVER_ERRORS.contains(&status),
            (None, at_client) => at_client && self.given_up,
        };
        let allowed: &[&str] = if self.given_up {
            &["reset", "no_response"]
        } else {
            &[]
        };
        let flags = span.flags.iter();
        let unexpected: Vec<_> = flags
            .filter(|flag| !allowed.contains(&&***flag))
            .filter(|flag| **flag != "mid_stream" || self.joined.is_none())
            .collect();
        let within = |time| (span.start_unix_nano..=span.end_unix_nano).contains(&time);
        let times = [
            Some(span.start_unix_nano),
            span.request_end_unix_nano,
            span.response_start_unix_nano,
            Some(span.end_unix_nano),
        ];
        // Each half in itself: a stream can be answered before it has been asked to its end.
        let ordered = span.request_end_unix_nano.is_none_or(within)
            && span.response_start_unix_nano.is_none_or(within);
        let message = span
            .text("wirespan.grpc.status_message")
            .unwrap_or_default();
        let packed = |attribute, unpacked: u64| {
            let bytes = span
                .integer(attribute)
                .and_then(|bytes| u64::try_from(bytes).ok());
            !self.compressed || bytes.is_some_and(|bytes| bytes < unpacked)
        };
        let refused = span
            .integer("wirespan.grpc.request.messages")
            .and_then(|messages| u64::try_from(messages).ok());
        let named = span.text("wirespan.http2.path_ref").is_none();
        let checks = [
            (unexpected.is_empty(), format!("flags {unexpected:?}")),
            (span.protocol == "grpc", "protocol is not grpc".to_owned()),
            (
                span.parser.starts_with("grpc@"),
                "parser is not grpc@…".to_owned(),
            ),
            (
                span.text("rpc.system.name") == Some("grpc"),
                "rpc.system.name is not grpc".to_owned(),
            ),
            (
                span.status == if error { "ERROR" } else { "UNSET" },
                format!("status {} after {status:?}", span.status),
            ),
            (
                self.given_up || message == report.details,
                format!("status message {message:?}"),
            ),
            (
                named == self.told().method && (!named || span.name == report.method),
                format!("name {}", span.name),
            ),
            (
                packed("wirespan.grpc.request.message_bytes", report.request_bytes)
                    && packed(
                        "wirespan.grpc.response.message_bytes",
                        report.response_bytes,
                    ),
                "not fewer bytes than unpacked".to_owned(),
            ),
            (
                refused.is_some_and(|messages| messages <= report.request_messages),
                format!("{refused:?} messages asked"),
            ),
            (ordered, format!("times out of order: {times:?}")),
            (
                // A request can go on when it has been answered, then its end is not part of the call.
                span.response_start_unix_nano.is_some() || self.given_up,
                format!("a time is absent: {times:?}"),
            ),
            (
                // A server can take longer to see the end of a call that its client gave up.
                self.given_up || span.seconds() <= report.seconds + CLOCK_SLACK_SECONDS,
                format!(
                    "{:.6} s, longer than the client's {:.6} s",
                    span.seconds(),
                    report.seconds
                ),
            ),
        ];
        let wrong = checks.into_iter().filter(|(right, _)| !right);
        wrong
            .map(|(_, fault)| format!("{fault}: {} {:?}", found(span), span.attributes))
            .collect()
    }
}

/// Which codes are errors at the server's end (OpenTelemetry).
const SERVER_ERRORS: [&str; 6] = [
    "UNKNOWN",
    "DEADLINE_EXCEEDED",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
];

/// As [`Call::expected`], of a span.
fn found(span: &Span) -> String {
    let status = match span.text("rpc.status_code") {
        Some("CANCELLED" | "DEADLINE_EXCEEDED") => GIVEN_UP,
        Some(status) => status,
        None if span.has_flag("reset")
            && span.text("wirespan.http2.reset_by") == Some("client")
            && span.text("wirespan.http2.error_code") == Some("CANCEL") =>
        {
            GIVEN_UP
        }
        None => "-",
    };
    let compressed = span.attributes.contains_key("wirespan.grpc.compressed");
    let number = |attribute: &str| {
        span.integer(attribute)
            .map_or_else(|| "-".to_owned(), |number| number.to_string())
    };
    let bytes = |attribute: &str| {
        if compressed {
            "compressed".to_owned()
        } else {
            number(attribute)
        }
    };
    let asked = if is_early(status) {
        REFUSED.to_owned()
    } else {
        format!(
            "{} messages {} bytes",
            number("wirespan.grpc.request.messages"),
            bytes("wirespan.grpc.request.message_bytes"),
        )
    };
    format!(
        "{} {} of {} {} {status} {asked}, {} messages {} bytes",
        span.kind,
        span.pid().unwrap_or(0),
        span.service().unwrap_or("-"),
        span.text("rpc.method").unwrap_or("-"),
        number("wirespan.grpc.response.messages"),
        bytes("wirespan.grpc.response.message_bytes"),
    )
}
