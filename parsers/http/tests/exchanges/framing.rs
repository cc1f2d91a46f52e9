//! Where messages begin and end, and which ones belong together.

use wirespan_parser_http::Http;
use wirespan_sdk::Side;
use wirespan_sdk::testkit::{Conversation, Step, check_cuts};

use crate::{closed, ignored, lines, run};

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
