//! Messages in order: framing, pairing, attributes. Each conversation is checked under other cuts.

use wirespan_parser_http::Http;
use wirespan_sdk::testkit::{Conversation, End, Report, Step, check_cuts};
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

/// Client, server, expected spans, on a connection that then ends in order.
#[test]
fn messages_are_framed_as_rfc_9112_says() {
    type Case<'a> = (&'a str, &'a [(Side, &'a str)], &'a [&'a str]);
    use Side::{Client as C, Server as S};
    let cases: &[Case<'_>] = &[
        (
            "keep-alive",
            &[
                (C, "GET /a HTTP/1.1\r\n\r\n"),
                (S, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
                (C, "POST /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"),
                (S, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"),
                (C, "DELETE /c HTTP/1.1\r\n\r\n"),
                (S, "HTTP/1.1 204 No Content\r\n\r\n"),
            ],
            &["GET /a 200", "POST /b 201", "DELETE /c 204"],
        ),
        (
            "pipelined",
            &[
                (
                    C,
                    "GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nHEAD /3 HTTP/1.1\r\n\r\nGET /4 HTTP/1.1\r\n\r\n",
                ),
                (
                    S,
                    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\n22",
                ),
                (S, "HTTP/1.1 200 OK\r\nContent-Length: 333\r\n\r\n"),
            ],
            &[
                "GET /1 200",
                "GET /2 404",
                "HEAD /3 200",
                "GET /4 - unanswered",
            ],
        ),
        (
            "chunked with extensions and trailers, both ways",
            &[
                (
                    C,
                    "PUT /u HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4;x=\"y\"\r\nwiki\r\n0\r\nT: v\r\n\r\n",
                ),
                (
                    S,
                    "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, Chunked\r\n\r\n00a \r\n0123456789\r\n1\r\n\n\r\n0\r\n\r\n",
                ),
                (C, "GET /next HTTP/1.1\r\n\r\n"),
                (S, "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n"),
            ],
            &["PUT /u 200", "GET /next 304"],
        ),
        (
            "interim responses",
            &[
                (
                    C,
                    "POST /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
                ),
                (S, "HTTP/1.1 100 Continue\r\n\r\n"),
                (C, "body"),
                (
                    S,
                    "HTTP/1.1 103 Early Hints\r\nLink: </s>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                ),
            ],
            &["POST /x 200"],
        ),
        (
            "a body that was refused and not sent",
            &[
                (
                    C,
                    "POST /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 400\r\n\r\n",
                ),
                (S, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"),
                (C, "GET /y HTTP/1.1\r\n\r\n"),
                (S, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            ],
            &["POST /x 413", "GET /y 200"],
        ),
        (
            "close-delimited, HTTP/1.0",
            &[
                (C, "GET /old HTTP/1.0\r\n\r\n"),
                (S, "HTTP/1.0 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n"),
                (S, "more"),
            ],
            &["GET /old 200"],
        ),
        (
            "a response before its request is complete",
            &[
                (C, "POST /big HTTP/1.1\r\nContent-Length: 10\r\n\r\n01234"),
                (S, "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n"),
                (C, "56789GET /after HTTP/1.1\r\n\r\n"),
                (S, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            ],
            &["POST /big 400", "GET /after 200"],
        ),
        (
            "more responses than requests",
            &[
                (C, "GET /1 HTTP/1.1\r\n\r\n"),
                (
                    S,
                    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 201 OK\r\nContent-Length: 2\r\n\r\nok",
                ),
                (S, "HTTP/1.1 202 OK\r\nContent-Length: 0\r\n\r\n"),
                (C, "GET /2 HTTP/1.1\r\n\r\n"),
                (S, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            ],
            &["GET /1 200", "- - 201", "- - 202", "GET /2 200"],
        ),
        (
            "a time-out that nobody asked for",
            &[
                (C, "GET /a HTTP/1.1\r\n\r\n"),
                (S, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
                (
                    S,
                    "HTTP/1.1 408 Request Timeout\r\nContent-Length: 1\r\n\r\nx",
                ),
            ],
            &["GET /a 200", "- - 408"],
        ),
        (
            "targets",
            &[
                (C, "OPTIONS * HTTP/1.1\r\n\r\n"),
                (S, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
                (
                    C,
                    "GET http://h.example/p?q HTTP/1.1\r\nHost: other\r\n\r\n",
                ),
                (S, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
                (C, "GET /empty? HTTP/1.1\r\n\r\n"),
                (S, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
                (C, "PURGE /x HTTP/1.1\r\n\r\n"),
                (S, "HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n"),
            ],
            &[
                "OPTIONS * 200",
                "GET /p?q 200",
                "GET /empty? 200",
                "PURGE /x 405",
            ],
        ),
        (
            "bare line feeds, empty lines before a request, the same length twice",
            &[
                (C, "\r\n\r\nGET /lf HTTP/1.1\nHost: a\n\n"),
                (
                    S,
                    "HTTP/1.1 200 OK\nContent-Length: 002, 2\nContent-Length: 2\n\nok",
                ),
                (C, "GET /n HTTP/1.1\r\n\r\n"),
                (S, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            ],
            &["GET /lf 200", "GET /n 200"],
        ),
    ];
    for (what, messages, expected) in cases {
        let conversation = messages
            .iter()
            .fold(Conversation::new(), |c, (side, bytes)| c.data(*side, bytes));
        let report = run(&closed(conversation));
        assert_eq!(lines(&report), *expected, "{what}");
    }
}

#[test]
fn a_response_told_before_its_request_finds_it_by_its_time() {
    let mut conversation = closed(
        Conversation::new()
            .server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
            .client("HEAD /r HTTP/1.1\r\n\r\n"),
    );
    let [
        Step::Data { time: response, .. },
        Step::Data { time: request, .. },
        ..,
    ] = &mut conversation.steps[..]
    else {
        panic!("two messages")
    };
    std::mem::swap(response, request);
    let report = run(&conversation);
    assert_eq!(lines(&report), ["HEAD /r 200"]);
    assert!(report.spans[0].start < report.spans[0].response_start);
}

#[test]
fn odd_answers_are_answers() {
    let answer = |bytes: &str| {
        let report = run(&closed(
            Conversation::new()
                .client("GET / HTTP/1.1\r\n\r\n")
                .server(bytes),
        ));
        lines(&report)
    };
    assert_eq!(
        answer("HTTP/1.10 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ["GET / 200"]
    );
    assert_eq!(answer("HTTP/2.0 404 No\r\n\r\n"), ["GET / 404"]);
    assert_eq!(answer("HTTP/1.1 0200 OK\r\n\r\n"), ["GET / - response-cut"]);
    assert_eq!(answer("HTTP/1.1 20x OK\r\n\r\n"), ["GET / - response-cut"]);
    assert_eq!(answer("SSH-2.0-OpenSSH_9.6\r\n"), ["GET / - response-cut"]);
}

#[test]
fn ambiguous_framing_ends_with_its_exchange_and_brings_no_phantoms() {
    let heads: &[&str] = &[
        "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /phantom HTTP/1.1\r\n\r\n",
        "Content-Length: 5\r\nContent-Length: 40\r\n\r\nabcdeGET /phantom HTTP/1.1\r\n\r\n",
        "Content-Length: -1\r\n\r\nGET /phantom HTTP/1.1\r\n\r\n",
        "Content-Length: +5\r\n\r\nabcdeGET /phantom HTTP/1.1\r\n\r\n",
        "Content-Length: 99999999999999999999999\r\n\r\nGET /phantom HTTP/1.1\r\n\r\n",
        "Content-Length: 18446744073709551615\r\n\r\nGET /phantom HTTP/1.1\r\n\r\n",
        "Content-Length: 0x10\r\n\r\nGET /phantom HTTP/1.1\r\n\r\n",
        "Content-Length:\r\n\r\nGET /phantom HTTP/1.1\r\n\r\n",
        "Content-Length\0: 5\r\n\r\nGET /phantom HTTP/1.1\r\n\r\n",
        "Content-Length : 5\r\n\r\nabcdeGET /phantom HTTP/1.1\r\n\r\n",
        "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\nGET /phantom HTTP/1.1\r\n\r\n",
        "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\nGET /phantom HTTP/1.1\r\n\r\n",
        " Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /phantom HTTP/1.1\r\n\r\n",
        "\x0bTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /phantom HTTP/1.1\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\nGET /phantom HTTP/1.1\r\n\r\n",
        "Transfer-Encoding: chunked, identity, gzip\r\n\r\n0\r\n\r\nGET /phantom HTTP/1.1\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\nGET /phantom HTTP/1.1\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nGET /phantom HTTP/1.1\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\r;abcd\r\n34\r\nE\r\n0\r\n\r\nGET /phantom HTTP/1.1\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n2;a\nxx\r\n0\r\n\r\nGET /phantom HTTP/1.1\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n-1\r\nGET /phantom HTTP/1.1\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n1\r\nabGET /phantom HTTP/1.1\r\n\r\n",
    ];
    for head in heads {
        let conversation = closed(
            Conversation::new()
                .client(format!("POST /x HTTP/1.1\r\nHost: a\r\n{head}"))
                .server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .client("GET /later HTTP/1.1\r\n\r\n")
                .server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        );
        let report = run(&conversation);
        assert_eq!(lines(&report), ["POST /x 200"], "{head:?}");
        assert!(
            ignored(&report).is_some(),
            "{head:?} is given up: {:?}",
            report.end
        );
    }
}

#[test]
fn lengths_that_agree_are_not_ambiguous() {
    let conversation = closed(
        Conversation::new()
            .client("POST /x HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
            .client("GET /real HTTP/1.1\r\n\r\n")
            .server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    );
    assert_eq!(lines(&run(&conversation)), ["POST /x 200", "GET /real 200"]);
}

#[test]
fn an_upgrade_is_one_exchange_and_ends_the_connection() {
    let request =
        "GET /chat?x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let response = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n\r\n";
    let conversation = Conversation::new()
        .client(request)
        .server(format!("{response}\x01\x05hello"))
        .client("\x01");
    let report = run(&conversation);
    assert_eq!(lines(&report), ["GET /chat?x 101"]);
    let end = End::Upgraded {
        protocol: "websocket".into(),
        client: request.len() as u64,
        server: response.len() as u64,
        context: Vec::new(),
    };
    assert_eq!(report.end, Some(end));
}

#[test]
fn an_upgrade_to_http2_hands_the_request_over() {
    let conversation = Conversation::new()
        .client("GET /h2 HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n")
        .server(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n\0\0\0",
        );
    let Some(End::Upgraded {
        protocol, context, ..
    }) = run(&conversation).end
    else {
        panic!("upgraded")
    };
    assert_eq!(protocol, "h2c");
    assert_eq!(
        context,
        b"GET /h2 HTTP/1.1\r\nhost: a\r\nstart-nanos: 1000\r\n\r\n"
    );
}

#[test]
fn a_refused_upgrade_goes_on_as_http() {
    let conversation = closed(
        Conversation::new()
            .client("GET /1 HTTP/1.1\r\nUpgrade: h2c\r\n\r\nGET /2 HTTP/1.1\r\n\r\n")
            .server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 204 OK\r\n\r\n"),
    );
    assert_eq!(lines(&run(&conversation)), ["GET /1 200", "GET /2 204"]);
}

#[test]
fn a_tunnel_ends_with_its_connect() {
    let request = "CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\n\r\n";
    let response = "HTTP/1.1 200 Connection established\r\n\r\n";
    let conversation = Conversation::new()
        .client(request)
        .server(response)
        .client("GET /inside HTTP/1.1\r\n\r\n")
        .server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let report = run(&conversation);
    assert_eq!(lines(&report), ["CONNECT - 200"]);
    assert_eq!(report.spans[0].text("server.address"), Some("db.example"));
    let Some(End::Upgraded {
        protocol,
        client,
        server,
        ..
    }) = report.end
    else {
        panic!("upgraded")
    };
    assert_eq!(
        (protocol.as_str(), client, server),
        ("", request.len() as u64, response.len() as u64)
    );

    let refused = closed(
        Conversation::new()
            .client(request)
            .server("HTTP/1.1 407 Auth\r\nContent-Length: 2\r\n\r\nno")
            .client(request)
            .server("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"),
    );
    assert_eq!(lines(&run(&refused)), ["CONNECT - 407", "CONNECT - 403"]);
}

/// The client need not wait for the answer: what it sent ahead is the next protocol's, or a request
/// after all.
#[test]
fn what_is_sent_ahead_of_a_switch_is_behind_it() {
    let cases = [
        (
            "CONNECT db.example:5432 HTTP/1.1\r\n\r\n",
            "GET /inside HTTP/1.1\r\n\r\n",
            "HTTP/1.1 200 Connection established\r\n\r\n",
        ),
        (
            "GET /chat HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
            "\x01\x05hello",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        ),
    ];
    for (request, ahead, response) in cases {
        let together = Conversation::new()
            .client(format!("{request}{ahead}"))
            .server(format!("{response}first bytes of the server"));
        let apart = Conversation::new()
            .client(request)
            .client(ahead)
            .server(response)
            .server("more");
        for conversation in [together, apart] {
            let report = run(&conversation);
            assert_eq!(report.spans.len(), 1);
            let Some(End::Upgraded { client, server, .. }) = report.end else {
                panic!("upgraded: {report}")
            };
            let ends = (request.len() as u64, response.len() as u64);
            assert_eq!((client, server), ends, "{request:?}");
        }
    }
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
fn a_large_body_is_stepped_over_to_its_last_byte() {
    let body = vec![b'x'; 3_000];
    let mut conversation = Conversation::new()
        .client("GET /big HTTP/1.1\r\n\r\n")
        .server("HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n");
    for _ in 0..3 {
        conversation = conversation.server(&body);
    }
    let report = check_cuts::<Http>(&closed(conversation), 20, 2);
    let [span] = &report.spans[..] else {
        panic!("one span")
    };
    assert_eq!((span.response_start, span.end), (2000, 5000));
    assert_eq!(span.integer("http.response.body.size"), Some(9_000));
}

#[test]
fn an_endless_response_is_reported_once() {
    let minute = 61_000_000_000;
    let conversation = closed(
        Conversation::new()
            .client("GET /events HTTP/1.1\r\n\r\n")
            .server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ndata\n\r\n")
            .pause(minute)
            .server("5\r\ndata\n\r\n")
            .pause(minute)
            .server("0\r\n\r\n")
            .client("GET /next HTTP/1.1\r\n\r\n")
            .server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    );
    assert_eq!(
        lines(&run(&conversation)),
        ["GET /events 200 unfinished", "GET /next 200"]
    );
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
