//! Messages in order: framing, pairing, attributes. Each conversation is checked under other cuts.

mod framing;
mod switches;

use wirespan_parser_http::Http;
use wirespan_sdk::testkit::{Conversation, End, Report, check_cuts};
use wirespan_sdk::{Cause, Flags, Side, Status, fact};

fn run(conversation: &Conversation) -> Report {
    check_cuts::<Http>(conversation, 400, 40)
}

/// `METHOD target status flags` of each span.
fn lines(report: &Report) -> Vec<String> {
    report
        .spans
        .iter()
        .map(|span| {
            let method = span
                .text("http.request.method_original")
                .or(span.text("http.request.method"));
            let mut target = span.text("url.path").unwrap_or("-").to_owned();
            if let Some(query) = span.text("url.query") {
                target = format!("{target}?{query}");
            }
            let status = span
                .integer("http.response.status_code")
                .map_or("-".into(), |s| s.to_string());
            let names = [
                (Flags::MID_STREAM, "mid"),
                (Flags::GAP, "gap"),
                (Flags::REQUEST_TRUNCATED, "request-cut"),
                (Flags::RESPONSE_TRUNCATED, "response-cut"),
                (Flags::NO_RESPONSE, "unanswered"),
                (Flags::RESET, "reset"),
                (Flags::UNFINISHED, "unfinished"),
                (Flags::ORDER_UNCERTAIN, "order"),
                (Flags::PARSER_RESTART, "restart"),
            ];
            let mut line = format!("{} {target} {status}", method.unwrap_or("-"));
            for (flag, name) in names {
                if span.has(flag) {
                    line = format!("{line} {name}");
                }
            }
            line
        })
        .collect()
}

fn ignored(report: &Report) -> Option<&str> {
    match &report.end {
        Some(End::Ignored(reason)) => Some(reason),
        _ => None,
    }
}

fn closed(conversation: Conversation) -> Conversation {
    conversation
        .end(Side::Client)
        .end(Side::Server)
        .close(Cause::Finished)
}

#[test]
fn an_exchange_has_its_attributes_and_times() {
    let conversation = closed(
        Conversation::new()
            .client("GET /users/7?page=2 HTTP/1.1\r\nHost: shop.example:8080\r\nUser-Agent: curl/8.5.0\r\n")
            .client("traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n")
            .server("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
            .server("hello"),
    );
    let report = run(&conversation);
    let [span] = &report.spans[..] else {
        panic!("one span: {report:?}")
    };
    assert_eq!(span.name, "GET");
    assert_eq!(span.text("http.request.method"), Some("GET"));
    assert_eq!(span.text("url.path"), Some("/users/7"));
    assert_eq!(span.text("url.query"), Some("page=2"));
    assert_eq!(span.text("url.scheme"), Some("http"));
    assert_eq!(span.text("server.address"), Some("shop.example"));
    assert_eq!(span.integer("server.port"), Some(8080));
    assert_eq!(span.text("user_agent.original"), Some("curl/8.5.0"));
    assert_eq!(span.text("network.protocol.version"), Some("1.1"));
    assert_eq!(span.integer("http.response.status_code"), Some(200));
    assert_eq!(span.integer("http.response.body.size"), Some(5));
    assert_eq!(span.integer("http.request.body.size"), None);
    assert_eq!(
        span.trace,
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    );
    assert_eq!((span.start, span.request_end), (1000, 2000));
    assert_eq!((span.response_start, span.end), (3000, 4000));
    assert_eq!((span.request_bytes, span.response_bytes), (151, 43));
    assert_eq!(span.status, Status::Unset);
    assert_eq!(span.flags, Flags::empty());
}

#[test]
fn the_end_of_a_connection_is_told() {
    let request = "GET /x HTTP/1.1\r\n\r\n";
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";
    let cases = [
        (
            Conversation::new().client(request).close(Cause::Finished),
            "GET /x - unanswered",
        ),
        (
            Conversation::new().client(request).close(Cause::Reset),
            "GET /x - unanswered reset",
        ),
        (
            Conversation::new()
                .client(request)
                .server(half)
                .close(Cause::Reset),
            "GET /x 200 response-cut reset",
        ),
        (
            Conversation::new()
                .client(request)
                .server(half)
                .close(Cause::CutOff),
            "GET /x 200 response-cut",
        ),
        (
            Conversation::new()
                .client("POST /x HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc")
                .close(Cause::Evicted),
            "POST /x - request-cut unanswered",
        ),
        (
            Conversation::new()
                .client(request)
                .server("HTTP/1.1 200 OK\r\n\r\nabc")
                .close(Cause::Reset),
            "GET /x 200 response-cut reset",
        ),
    ];
    for (conversation, expected) in cases {
        assert_eq!(lines(&run(&conversation)), [expected]);
    }
}

#[test]
fn errors_depend_on_the_end_observed() {
    let with = |status: u16, side| {
        let conversation = Conversation::new()
            .observed(side)
            .client("GET / HTTP/1.1\r\n\r\n")
            .server(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"));
        let report = run(&closed(conversation));
        (
            report.spans[0].status,
            report.spans[0].text("error.type").map(str::to_owned),
        )
    };
    assert_eq!(with(404, Side::Server), (Status::Unset, None));
    assert_eq!(with(404, Side::Client), (Status::Error, Some("404".into())));
    assert_eq!(with(503, Side::Server), (Status::Error, Some("503".into())));
    assert_eq!(with(503, Side::Client), (Status::Error, Some("503".into())));
}

#[test]
fn odd_values_are_left_out_or_escaped() {
    let conversation = closed(
        Conversation::new()
            .fact(fact::TLS, 1, "")
            .client(b"GET /\xff\xfe/\xc3\xa9?\x80=1 HTTP/1.1\r\nHost: a\r\nHost: b\r\nUser-Agent: x\r\n y\r\n\r\n")
            .server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    );
    let report = run(&conversation);
    let [span] = &report.spans[..] else {
        panic!("one span")
    };
    assert_eq!(span.text("url.path"), Some("/%FF%FE/é"));
    assert_eq!(span.text("url.query"), Some("%80=1"));
    assert_eq!(span.text("url.scheme"), Some("https"));
    assert_eq!(span.text("server.address"), None);
    assert_eq!(span.text("user_agent.original"), Some("x y"));
}
