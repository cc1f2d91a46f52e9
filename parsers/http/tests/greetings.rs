//! Requests to servers of other protocols, which may be the first to speak.

use wirespan_parser_http::Http;
use wirespan_sdk::testkit::{Conversation, End, Report, check_cuts};
use wirespan_sdk::{Cause, Flags, Side};

const REQUEST: &str = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n";

fn run(conversation: Conversation) -> Report {
    let closed = conversation
        .end(Side::Client)
        .end(Side::Server)
        .close(Cause::Finished);
    check_cuts::<Http>(&closed, 400, 40)
}

/// Status and flags of each span.
fn outcomes(report: &Report) -> Vec<(Option<i64>, Flags)> {
    let flags = [Flags::NO_RESPONSE, Flags::RESPONSE_TRUNCATED, Flags::GAP];
    report
        .spans
        .iter()
        .map(|span| {
            assert_eq!(span.text("url.path"), Some("/health"));
            let set = flags.into_iter().filter(|flag| span.has(*flag));
            let all = set.fold(Flags::empty(), |all, flag| all | flag);
            (span.integer("http.response.status_code"), all)
        })
        .collect()
}

#[test]
fn what_a_server_says_before_the_request_answers_none() {
    for greeting in [
        &b"SSH-2.0-OpenSSH_9.6\r\n"[..],
        b"220 mail.example ESMTP\r\n",
        b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64",
    ] {
        let silent = Conversation::new().server(greeting).client(REQUEST);
        assert_eq!(outcomes(&run(silent)), [(None, Flags::NO_RESPONSE)]);
        let refused = Conversation::new()
            .server(greeting)
            .client(REQUEST)
            .server("what?\r\n");
        assert_eq!(outcomes(&run(refused)), [(None, Flags::RESPONSE_TRUNCATED)]);
        // Nor does it hide the responses.
        let answered = Conversation::new()
            .server(greeting)
            .client(REQUEST)
            .server("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            .client(REQUEST)
            .server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(
            outcomes(&run(answered)),
            [(Some(400), Flags::empty()), (Some(200), Flags::empty())]
        );
    }
}

/// Where it is cut does not matter: no part of it is a response.
#[test]
fn a_response_within_what_a_server_says_first_answers_none() {
    let conversation = Conversation::new()
        .server("220 ready\r\n")
        .server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        .client(REQUEST)
        .server("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(outcomes(&run(conversation)), [(Some(400), Flags::empty())]);
}

#[test]
fn a_greeting_without_end_is_given_up() {
    let long = Conversation::new()
        .server(vec![b'x'; 70_000])
        .client(REQUEST);
    let report = run(long);
    assert!(report.spans.is_empty(), "{report:?}");
    assert!(
        matches!(&report.end, Some(End::Ignored(_))),
        "{:?}",
        report.end
    );
}
