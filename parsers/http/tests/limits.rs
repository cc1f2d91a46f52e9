//! What happens at each limit: nothing is cut without a sign, and the sign does not depend on how
//! the bytes came.

use wirespan_parser_http::Http;
use wirespan_sdk::testkit::{Conversation, End, Report, SeenSpan, Step, replay};
use wirespan_sdk::{Cause, Flags, Side};

const KIB: usize = 1 << 10;
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const REFUSED: &str = "HTTP/1.1 431 Too Large\r\nContent-Length: 0\r\n\r\n";

/// The report of an exchange, presented whole and in pieces.
fn exchange(request: impl AsRef<[u8]>, response: impl AsRef<[u8]>) -> Report {
    let conversation = Conversation::new()
        .client("GET /before HTTP/1.1\r\n\r\n")
        .server(OK)
        .client(request)
        .server(response)
        .end(Side::Client)
        .end(Side::Server)
        .close(Cause::Finished);
    run(&conversation)
}

fn run(conversation: &Conversation) -> Report {
    let whole = replay::<Http>(conversation, 1);
    for size in [997, 16 * KIB] {
        let mut pieces = conversation.clone();
        pieces.steps = conversation
            .steps
            .iter()
            .flat_map(|step| match step {
                Step::Data { side, time, bytes } => bytes
                    .chunks(size)
                    .map(|piece| Step::Data {
                        side: *side,
                        time: *time,
                        bytes: piece.into(),
                    })
                    .collect(),
                other => vec![other.clone()],
            })
            .collect();
        let report = replay::<Http>(&pieces, 1);
        assert_eq!(report.end, whole.end, "in pieces of {size}");
        assert!(
            report.spans == whole.spans,
            "in pieces of {size}\n{report:?}whole\n{whole:?}"
        );
    }
    whole
}

/// The last span, and why the connection was given up.
fn outcome(report: &Report) -> (&SeenSpan, Option<&str>) {
    let reason = match &report.end {
        Some(End::Ignored(reason)) => Some(reason.as_str()),
        _ => None,
    };
    (report.spans.last().expect("a span"), reason)
}

fn status(span: &SeenSpan) -> Option<i64> {
    span.integer("http.response.status_code")
}

#[test]
fn a_request_that_is_too_long_is_cut_and_answered() {
    let endless = "GET /x HTTP/1.1\r\nA: ".to_owned() + &"x".repeat(KIB * KIB);
    let chunked =
        |rest: &str| format!("PUT /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{rest}");
    let cases = [
        (
            format!("GET /x HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(70_000)),
            "header too long",
        ),
        (endless, "header too long"),
        (
            format!("GET /x HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(1025)),
            "too many headers",
        ),
        (
            format!("GET /x HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(100_000)),
            "too many headers",
        ),
        (
            chunked(&format!("1;{}\r\n", "x".repeat(4 * KIB))),
            "chunk line too long",
        ),
        (
            chunked(&format!("0\r\nT: {}\r\n", "x".repeat(4 * KIB))),
            "trailer too long",
        ),
        (
            chunked(&format!("0\r\n{}\r\n", "T: x\r\n".repeat(1025))),
            "too many trailers",
        ),
    ];
    for (request, expected) in cases {
        let report = exchange(request, REFUSED);
        let (span, reason) = outcome(&report);
        assert_eq!(reason, Some(expected));
        assert_eq!(
            (span.text("url.path"), status(span)),
            (Some("/x"), Some(431))
        );
        assert_eq!(span.flags, Flags::REQUEST_TRUNCATED, "{expected}");
        assert_eq!(span.request_end, 0, "its end was not seen");
    }
}

#[test]
fn a_request_line_that_is_too_long_is_cut_and_answered() {
    let request = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70_000));
    let report = exchange(
        request,
        "HTTP/1.0 414 Too Long\r\nContent-Length: 0\r\n\r\n",
    );
    let (span, reason) = outcome(&report);
    assert_eq!(reason, Some("request line too long"));
    assert_eq!((span.name.as_str(), status(span)), ("GET", Some(414)));
    assert_eq!(span.text("url.path").map(str::len), Some(16 * KIB));
    assert_eq!(span.text("network.protocol.version"), Some("1.0"));
    assert!(span.has(Flags::REQUEST_TRUNCATED));
}

#[test]
fn a_request_that_is_answered_before_it_is_too_long_is_cut() {
    let head = "POST /x HTTP/1.1\r\n".to_owned() + &"A: b\r\n".repeat(100);
    let conversation = Conversation::new()
        .client(head)
        .server(REFUSED)
        .client("A: b\r\n".repeat(1000))
        .close(Cause::Finished);
    let report = run(&conversation);
    let (span, reason) = outcome(&report);
    assert_eq!(
        (status(span), reason),
        (Some(431), Some("too many headers"))
    );
    assert_eq!(span.flags, Flags::REQUEST_TRUNCATED);
}

#[test]
fn a_response_that_is_too_long_is_cut() {
    let chunked =
        |rest: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{rest}");
    let cases = [
        (
            format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(70_000)),
            "header too long",
        ),
        (
            format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(1025)),
            "too many headers",
        ),
        (
            chunked(&format!("1;{}\r\n", "x".repeat(4 * KIB))),
            "chunk line too long",
        ),
        (
            chunked(&format!("0\r\nT: {}\r\n", "x".repeat(4 * KIB))),
            "trailer too long",
        ),
        (
            chunked(&format!("0\r\n{}\r\n", "T: x\r\n".repeat(1025))),
            "too many trailers",
        ),
    ];
    for (response, expected) in cases {
        let report = exchange("GET /x HTTP/1.1\r\n\r\n", response);
        let (span, reason) = outcome(&report);
        assert_eq!((status(span), reason), (Some(200), Some(expected)));
        assert_eq!(span.flags, Flags::RESPONSE_TRUNCATED, "{expected}");
    }
    let status_line = format!("HTTP/1.1 200 {}\r\n\r\n", "x".repeat(70_000));
    let report = exchange("GET /x HTTP/1.1\r\n\r\n", status_line);
    let (span, _) = outcome(&report);
    assert_eq!(
        (status(span), span.flags),
        (None, Flags::RESPONSE_TRUNCATED)
    );
}

#[test]
fn up_to_a_limit_nothing_is_cut() {
    let request = format!(
        "GET /{} HTTP/1.1\r\nUser-Agent: {}\r\n{}\r\n",
        "p".repeat(16 * KIB - 1),
        "u".repeat(4 * KIB),
        "A: b\r\n".repeat(1023)
    );
    let report = exchange(request, OK);
    let (span, reason) = outcome(&report);
    assert_eq!((reason, span.flags), (None, Flags::empty()));
    assert_eq!(span.text("url.path").map(str::len), Some(16 * KIB));
    assert_eq!(
        span.text("user_agent.original").map(str::len),
        Some(4 * KIB)
    );
}

#[test]
fn a_value_that_is_too_long_is_cut_or_left_out_and_flagged() {
    let long = "v".repeat(5000);
    let with = |request: String| {
        let report = exchange(request, OK);
        let (span, reason) = outcome(&report);
        assert_eq!(reason, None, "the connection goes on");
        assert_eq!(span.flags, Flags::REQUEST_TRUNCATED);
        span.clone()
    };
    let agent = with(format!("GET / HTTP/1.1\r\nUser-Agent: {long}\r\n\r\n"));
    assert_eq!(agent.text("user_agent.original"), Some(&long[..4096]));
    let folded = with(format!(
        "GET / HTTP/1.1\r\nUser-Agent: a\r\n {long}\r\n\r\n"
    ));
    assert_eq!(folded.text("user_agent.original").map(str::len), Some(4096));
    let host = with(format!("GET / HTTP/1.1\r\nHost: {long}\r\n\r\n"));
    assert_eq!(host.text("server.address"), None);
    let folded = with(format!("GET / HTTP/1.1\r\nHost: a\r\n {long}\r\n\r\n"));
    assert_eq!(folded.text("server.address"), None);
    let trace = with(format!("GET / HTTP/1.1\r\ntraceparent: {long}\r\n\r\n"));
    assert_eq!(trace.trace, "");
    let target = with(format!("GET /a?{} HTTP/1.1\r\n\r\n", "q".repeat(20_000)));
    assert_eq!(target.text("url.path"), Some("/a"));
    assert_eq!(target.text("url.query").map(str::len), Some(16 * KIB - 3));
    let authority = with(format!(
        "GET http://{} HTTP/1.1\r\n\r\n",
        "h".repeat(20_000)
    ));
    assert_eq!(authority.text("server.address"), None);
    let tunnel = with(format!("CONNECT {}:1 HTTP/1.1\r\n\r\n", "h".repeat(20_000)));
    assert_eq!(tunnel.text("server.address"), None);
}

#[test]
fn more_requests_in_flight_than_the_limit_are_reported_unfinished() {
    let unfinished = |report: &Report, expected| {
        let reason = outcome(report).1.map(str::to_owned);
        assert_eq!(reason.as_deref(), Some(expected));
        let flagged = |span: &SeenSpan| span.has(Flags::UNFINISHED);
        assert!(report.spans.iter().all(flagged));
    };
    let many = Conversation::new().client("GET /x HTTP/1.1\r\n\r\n".repeat(1100));
    let report = run(&many);
    assert_eq!(report.spans.len(), 1024);
    unfinished(&report, "too many requests in flight");
    let request = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(10_000));
    let report = run(&Conversation::new().client(request.repeat(30)));
    assert_eq!(report.spans.len(), 27);
    unfinished(&report, "too many bytes of requests in flight");
}

#[test]
fn what_is_no_message_is_looked_over_so_often_and_no_more() {
    let start = |steps: usize| {
        let begin = Conversation::new()
            .client("GET /a HTTP/1.1\r\n\r\n")
            .server(OK);
        (0..steps).fold(begin, |c, _| {
            c.client("\x01\x02\x03\x04").server("\x05\x06\x07\x08")
        })
    };
    let report = run(&start(40));
    let (_, reason) = outcome(&report);
    assert_eq!(reason, Some("no requests where they should be"));
    let few = start(3).client("GET /b HTTP/1.1\r\n\r\n").server(OK);
    let few = few.close(Cause::Finished);
    let report = run(&few);
    let (span, reason) = outcome(&report);
    assert_eq!((span.text("url.path"), reason), (Some("/b"), None));
    assert_eq!(span.flags, Flags::GAP);
}

#[test]
fn a_method_that_is_too_long_is_none() {
    let report = exchange(
        format!("{} / HTTP/1.1\r\n\r\n", "M".repeat(33)),
        "HTTP/1.1 501 No\r\nContent-Length: 0\r\n\r\n",
    );
    let (span, _) = outcome(&report);
    assert_eq!(
        (span.text("http.request.method"), status(span)),
        (None, Some(501))
    );
    assert_eq!(span.flags, Flags::GAP);
    let report = exchange(format!("{} / HTTP/1.1\r\n\r\n", "M".repeat(32)), OK);
    assert_eq!(outcome(&report).0.flags, Flags::empty());
}
