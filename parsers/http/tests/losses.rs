//! What was not seen: connections joined in the middle, gaps, restarts.

use wirespan_parser_http::Http;
use wirespan_sdk::testkit::{Conversation, SeenSpan, check_cuts, removals, replay};
use wirespan_sdk::{Cause, Flags, Side};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn spans(conversation: Conversation) -> Vec<SeenSpan> {
    let conversation = conversation
        .end(Side::Client)
        .end(Side::Server)
        .close(Cause::Finished);
    check_cuts::<Http>(&conversation, 400, 40).spans
}

fn brief(spans: &[SeenSpan]) -> Vec<(Option<&str>, Option<i64>, Flags)> {
    spans
        .iter()
        .map(|s| {
            (
                s.text("url.path"),
                s.integer("http.response.status_code"),
                s.flags,
            )
        })
        .collect()
}

#[test]
fn a_response_without_its_request_has_no_method() {
    let spans = spans(
        Conversation::mid_stream()
            .server(OK)
            .client("GET /next HTTP/1.1\r\n\r\n")
            .server(OK),
    );
    assert_eq!(
        brief(&spans),
        [
            (None, Some(200), Flags::MID_STREAM),
            (Some("/next"), Some(200), Flags::MID_STREAM)
        ]
    );
    assert_eq!(
        (spans[0].name.as_str(), spans[0].side),
        ("HTTP", Side::Server)
    );
    assert_eq!(spans[0].text("http.request.method"), None);
}

#[test]
fn joined_in_a_body_the_next_exchange_is_found() {
    let spans = spans(
        Conversation::mid_stream()
            .server("ody of something HTTP/1.1 200 OK\r\n\r\n that was asked for before")
            .client("GET /a HTTP/1.1\r\n\r\n")
            .server(OK)
            .client("GET /b HTTP/1.1\r\n\r\n")
            .server(OK),
    );
    assert_eq!(
        brief(&spans),
        [
            (Some("/a"), Some(200), Flags::MID_STREAM),
            (Some("/b"), Some(200), Flags::empty())
        ]
    );
}

#[test]
fn joined_in_an_upload_the_next_exchange_is_found() {
    let spans = spans(
        Conversation::mid_stream()
            .client("rest of an upload\r\nGET /phantom HTTP/1.1\r\n\r\n")
            .server(OK)
            .client("GET /b HTTP/1.1\r\n\r\n")
            .server(OK),
    );
    assert_eq!(
        brief(&spans),
        [
            (None, Some(200), Flags::MID_STREAM),
            (Some("/b"), Some(200), Flags::MID_STREAM)
        ]
    );
}

#[test]
fn a_response_to_an_unseen_head_has_no_body() {
    let spans = spans(
        Conversation::mid_stream()
            .server("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            .client("GET /b HTTP/1.1\r\n\r\n")
            .server(OK),
    );
    assert_eq!(brief(&spans)[1].0, Some("/b"));
    assert_eq!(brief(&spans)[1].1, Some(200));
}

#[test]
fn a_gap_in_a_body_of_known_extent_is_no_gap_of_the_span() {
    let spans = spans(
        Conversation::new()
            .client("POST /a HTTP/1.1\r\nContent-Length: 8\r\n\r\n")
            .gap(Side::Client, 6)
            .client("gh")
            .server("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01")
            .gap(Side::Server, 8)
            .client("GET /b HTTP/1.1\r\n\r\n")
            .server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n01")
            .gap(Side::Server, 5)
            .server("7\r\n0\r\n\r\n")
            .client("GET /c HTTP/1.1\r\n\r\n")
            .server(OK),
    );
    assert_eq!(
        brief(&spans),
        [
            (Some("/a"), Some(200), Flags::empty()),
            (Some("/b"), Some(200), Flags::empty()),
            (Some("/c"), Some(200), Flags::empty())
        ]
    );
    assert_eq!(spans[0].integer("http.request.body.size"), Some(8));
    assert_eq!(spans[0].integer("http.response.body.size"), Some(10));
}

#[test]
fn a_lost_head_harms_its_exchange_only() {
    let request_lost = spans(
        Conversation::new()
            .gap(Side::Client, 40)
            .server(OK)
            .client("GET /b HTTP/1.1\r\n\r\n")
            .server(OK)
            .client("GET /c HTTP/1.1\r\n\r\n")
            .server(OK),
    );
    assert_eq!(
        brief(&request_lost),
        [
            (None, Some(200), Flags::GAP),
            (Some("/b"), Some(200), Flags::GAP),
            (Some("/c"), Some(200), Flags::empty())
        ]
    );
    let response_lost = spans(
        Conversation::new()
            .client("GET /a HTTP/1.1\r\n\r\n")
            .gap(Side::Server, 40)
            .client("GET /b HTTP/1.1\r\n\r\n")
            .server(OK)
            .client("GET /c HTTP/1.1\r\n\r\n")
            .server(OK),
    );
    assert_eq!(
        brief(&response_lost),
        [
            (Some("/a"), None, Flags::GAP),
            (Some("/b"), Some(200), Flags::empty()),
            (Some("/c"), Some(200), Flags::empty())
        ]
    );
}

#[test]
fn gaps_of_unknown_length_are_survived() {
    let spans = spans(
        Conversation::new()
            .client("GET /a HTTP/1.1\r\n\r\n")
            .server("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
            .gap_unknown(Side::Server)
            .server("rest")
            .client("GET /b HTTP/1.1\r\n\r\n")
            .server(OK),
    );
    assert_eq!(
        brief(&spans),
        [
            (Some("/a"), Some(200), Flags::GAP),
            (Some("/b"), Some(200), Flags::empty())
        ]
    );
}

/// The first of a batch is lost, and of its length nothing is known: the first response is not that
/// of the first request seen, nor the second that of the second.
#[test]
fn responses_to_a_batch_of_which_the_beginning_is_lost_have_no_request() {
    let batch = [
        "GET /b HTTP/1.1\r\n\r\n",
        "GET /c HTTP/1.1\r\n\r\n",
        "GET /d HTTP/1.1\r\n\r\n",
    ];
    let responses = [
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\n404",
        "HTTP/1.1 500 Error\r\nContent-Length: 4\r\n\r\n1234",
    ];
    let spans = spans(
        Conversation::mid_stream()
            .client(batch.concat())
            .server(responses.concat())
            .client("GET /e HTTP/1.1\r\n\r\n")
            .server(OK)
            .client("GET /f HTTP/1.1\r\n\r\n")
            .server(OK),
    );
    let joined = Flags::MID_STREAM;
    assert_eq!(
        brief(&spans),
        [
            (Some("/b"), None, joined),
            (Some("/c"), None, joined),
            (Some("/d"), None, joined),
            (None, Some(204), joined),
            (None, Some(200), joined),
            (None, Some(404), joined),
            (None, Some(500), joined),
            (Some("/e"), Some(200), joined),
            (Some("/f"), Some(200), Flags::empty())
        ]
    );
}

#[test]
fn the_end_of_a_method_is_no_method() {
    let spans = spans(
        Conversation::mid_stream()
            .client("E /a HTTP/1.1\r\n\r\n")
            .server("HTTP/1.1 204 No Content\r\n\r\n")
            .client("PURGE /b HTTP/1.1\r\n\r\n")
            .server(OK),
    );
    assert_eq!(
        brief(&spans),
        [
            (None, Some(204), Flags::MID_STREAM),
            (Some("/b"), Some(200), Flags::MID_STREAM)
        ]
    );
}

/// The loss of a response shows when the next one comes, which is after the next request.
#[test]
fn a_response_whose_loss_shows_with_an_interim_one_harms_two_exchanges() {
    let get = |path: &str| format!("GET /{path} HTTP/1.1\r\n\r\n");
    let begin = || {
        Conversation::new()
            .client(get("a"))
            .server(OK)
            .client(get("b"))
            .client("PUT /c HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
            .gap(Side::Server, 40)
    };
    let resumed = spans(
        begin()
            .server("HTTP/1.1 100 Continue\r\n\r\n")
            .client("body")
            .server(OK)
            .client(get("d"))
            .server(OK),
    );
    assert_eq!(
        brief(&resumed),
        [
            (Some("/a"), Some(200), Flags::empty()),
            (Some("/b"), None, Flags::GAP),
            (Some("/c"), Some(200), Flags::GAP),
            (Some("/d"), Some(200), Flags::empty())
        ]
    );
    // Hints may be for the first of the two, and so may be a final response.
    for answer in ["HTTP/1.1 103 Early Hints\r\n\r\n", OK] {
        let spans = spans(begin().server(answer).client("body").server(OK));
        let found = brief(&spans);
        assert_eq!(found[1], (Some("/b"), None, Flags::GAP));
        assert_eq!(found[2].1, None, "{found:?}");
    }
}

#[test]
fn a_response_whose_loss_shows_late_harms_two_exchanges_and_the_next() {
    let get = |path: &str| format!("GET /{path} HTTP/1.1\r\n\r\n");
    let begin = || {
        Conversation::new()
            .client(get("a"))
            .server(OK)
            .client(get("b"))
            .client(get("c"))
            .gap(Side::Server, 40)
    };
    let resumed = spans(
        begin()
            .server(OK)
            .client(get("d"))
            .server(OK)
            .client(get("e"))
            .server(OK),
    );
    assert_eq!(
        brief(&resumed),
        [
            (Some("/a"), Some(200), Flags::empty()),
            (Some("/b"), None, Flags::GAP),
            (Some("/c"), None, Flags::GAP),
            (Some("/d"), Some(200), Flags::GAP),
            (Some("/e"), Some(200), Flags::empty())
        ]
    );
    // Anything else than one response up to the next request: which one is whose cannot be told.
    let pipelined = [
        begin().server(OK).server(OK),
        begin().server("rest of a body").server(OK),
        begin().server("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok"),
        begin(),
    ];
    for conversation in pipelined {
        let spans = spans(conversation.client(get("d")).server(OK).client(get("e")));
        let found = brief(&spans);
        let answered = found.iter().filter(|span| span.1.is_some()).count();
        assert_eq!(answered, 1, "{found:?}");
        assert_eq!(
            found[1..],
            [
                (Some("/b"), None, Flags::GAP),
                (Some("/c"), None, Flags::GAP)
            ]
        );
    }
}

/// With any one piece lost, an exchange that does not overlap it is as before, but for two after it.
#[test]
fn what_is_lost_harms_only_its_neighbourhood() {
    let mut conversation = Conversation::new();
    for n in 0..8 {
        conversation = match n % 4 {
            0 => conversation
                .client(format!("GET /{n} HTTP/1.1\r\n"))
                .client("Host: a\r\n\r\n")
                .server("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234")
                .server("56789"),
            1 => conversation
                .client(format!("POST /{n} HTTP/1.1\r\nContent-Length: 6\r\n\r\n"))
                .client("abcdef")
                .server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nab")
                .server("cd\r\n2\r\n")
                .server("ef\r\n0\r\n\r\n"),
            2 => conversation
                .client(format!("HEAD /{n} HTTP/1.1\r\n\r\n"))
                .server("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"),
            _ => conversation
                .client(format!(
                    "PUT /{n} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
                ))
                .client("0\r\n\r\n")
                .server("HTTP/1.1 100 Continue\r\n\r\n")
                .server("HTTP/1.1 204 No\r\n\r\n"),
        };
    }
    let conversation = conversation
        .end(Side::Client)
        .end(Side::Server)
        .close(Cause::Finished);
    let whole = replay::<Http>(&conversation, 1).spans;
    assert_eq!(whole.len(), 8);
    for (step, damaged) in removals(&conversation) {
        let report = check_cuts::<Http>(&damaged, 40, 4);
        let time = damaged.steps[step].time();
        let harmed = whole
            .iter()
            .position(|span| span.end >= time)
            .unwrap_or(whole.len());
        for (n, span) in whole
            .iter()
            .enumerate()
            .filter(|(n, _)| *n < harmed || *n > harmed + 2)
        {
            assert!(
                report.spans.contains(span),
                "without step {step}, exchange {n} is not as before: {report:#?}"
            );
        }
        for span in &report.spans {
            let known = whole.iter().any(|other| {
                let same = |field| other.text(field) == span.text(field);
                let status = span.integer("http.response.status_code");
                same("url.path")
                    && same("http.request.method")
                    && (status.is_none() || status == other.integer("http.response.status_code"))
            });
            let orphan = span.text("http.request.method").is_none() && span.flags != Flags::empty();
            assert!(
                known || orphan,
                "without step {step}, this is wrong: {span:#?}"
            );
        }
    }
}

/// The requests before the only one that was seen are answered first: nothing but the number of the
/// responses tells that there were others.
#[test]
fn responses_to_a_pipeline_of_which_only_the_last_is_seen_have_no_request() {
    let one = |status: &str, body: &str| {
        format!(
            "HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let joined = Flags::MID_STREAM;
    let after = |conversation: Conversation| {
        conversation
            .client("GET /d HTTP/1.1\r\n\r\n")
            .server(one("500", "four"))
            .client("GET /e HTTP/1.1\r\n\r\n")
            .server(OK)
    };
    let begin = || Conversation::mid_stream().client("GET /c HTTP/1.1\r\n\r\n");
    let expected = [
        (Some("/c"), None, joined),
        (None, Some(200), joined),
        (None, Some(404), joined),
        (Some("/d"), Some(500), joined),
        (Some("/e"), Some(200), Flags::empty()),
    ];
    let together = begin().server([one("200", "one"), one("404", "two")].concat());
    assert_eq!(brief(&spans(after(together))), expected);
    let apart = begin().server(one("200", "one")).server(one("404", "two"));
    assert_eq!(brief(&spans(after(apart))), expected);
    // The client goes on: it had its response. So does what servers say to clients that do not.
    let alone = spans(after(begin().server(one("200", "one"))));
    assert_eq!(brief(&alone)[0], (Some("/c"), Some(200), joined));
    let timeout = spans(begin().server(one("200", "one")).server(one("408", "")));
    assert_eq!(brief(&timeout)[0], (Some("/c"), Some(200), joined));
    // Of a request that is not over, or of one sent ahead, the response begins too early.
    let ahead = begin()
        .server("HTTP/1.1 200 x\r\nContent-Length: 4\r\n\r\non")
        .client("GET /d HTTP/1.1\r\n\r\n")
        .server("e.")
        .server(one("404", "two"));
    let found = spans(ahead);
    assert!(
        brief(&found)
            .iter()
            .all(|(path, status, _)| path.is_none() || status.is_none())
    );
}

/// What nobody saw behind a response does not say whose the response is.
#[test]
fn what_is_lost_behind_the_response_to_a_lone_request_leaves_it_its_own() {
    let joined = Flags::MID_STREAM;
    let begin = || {
        Conversation::mid_stream()
            .client("GET /a HTTP/1.1\r\n\r\n")
            .server(OK)
    };
    let lost = [
        begin().gap(Side::Server, 1),
        begin().gap(Side::Server, 300),
        begin().gap_unknown(Side::Server),
        begin().gap(Side::Server, 300).gap(Side::Server, 300),
        begin().gap(Side::Server, 300).server(OK),
    ];
    for conversation in lost {
        let found = spans(conversation.clone());
        assert_eq!(brief(&found), [(Some("/a"), Some(200), joined)]);
        let later = replay::<Http>(&conversation.clone().pause(61_000_000_000), 1).spans;
        assert_eq!(brief(&later), brief(&found));
        // The client lost something too: that may be what the server answered.
        let both = spans(
            conversation
                .gap(Side::Client, 40)
                .server(OK)
                .client("GET /c HTTP/1.1\r\n\r\n")
                .server(OK),
        );
        assert_eq!(brief(&both)[0], (Some("/a"), Some(200), joined));
        assert_eq!(both.last().unwrap().text("url.path"), Some("/c"));
    }
    // So little is no response.
    let short = spans(
        begin()
            .gap(Side::Server, 15)
            .client("GET /b HTTP/1.1\r\n\r\n")
            .server(OK),
    );
    assert_eq!(
        brief(&short),
        [
            (Some("/a"), Some(200), joined),
            (Some("/b"), Some(200), Flags::empty())
        ]
    );
}

/// However often something of it is lost, it is one response.
#[test]
fn a_response_to_a_lone_request_that_is_lost_in_parts_is_its_own() {
    let found = spans(
        Conversation::mid_stream()
            .client("GET /a HTTP/1.1\r\n\r\n")
            .server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nab")
            .gap(Side::Server, 300)
            .server("some more of it")
            .gap(Side::Server, 300)
            .server("\r\n0\r\n\r\n")
            .client("GET /b HTTP/1.1\r\n\r\n")
            .server(OK),
    );
    assert_eq!(
        brief(&found),
        [
            (Some("/a"), Some(200), Flags::MID_STREAM | Flags::GAP),
            (Some("/b"), Some(200), Flags::empty())
        ]
    );
}

/// The server went on without being asked again: of the requests that it had, one was seen.
#[test]
fn a_response_that_is_lost_before_the_client_goes_on_was_to_an_unseen_request() {
    let joined = Flags::MID_STREAM;
    let found = spans(
        Conversation::mid_stream()
            .client("GET /a HTTP/1.1\r\n\r\n")
            .server(OK)
            .gap(Side::Server, 300)
            .client("GET /b HTTP/1.1\r\n\r\n")
            .server(OK)
            .client("GET /c HTTP/1.1\r\n\r\n")
            .server(OK),
    );
    assert_eq!(
        brief(&found),
        [
            (Some("/a"), None, joined),
            (None, Some(200), joined),
            (Some("/b"), Some(200), joined),
            (Some("/c"), Some(200), Flags::empty())
        ]
    );
}

/// A response of which only the first byte came: what the client sends next shows that nothing follows it,
/// in however many pieces that comes.
#[test]
fn the_beginning_of_a_response_is_over_when_the_client_goes_on() {
    let joined = Flags::MID_STREAM;
    let found = spans(
        Conversation::mid_stream()
            .server("rest of a body")
            .client("GET /a HTTP/1.1\r\n\r\n")
            .server("H")
            .client("GET /b HTTP/1.1\r\n\r\n")
            .server(OK),
    );
    assert_eq!(
        brief(&found),
        [(Some("/a"), None, joined), (Some("/b"), Some(200), joined)]
    );
}

/// Nobody waits for ever to be told of the last exchange of a connection that stays open.
#[test]
fn what_nothing_follows_is_told_after_a_minute() {
    let conversation = Conversation::mid_stream()
        .client("GET /c HTTP/1.1\r\n\r\n")
        .server(OK);
    assert_eq!(replay::<Http>(&conversation, 1).spans.len(), 0);
    let later = conversation.pause(61_000_000_000);
    let told = replay::<Http>(&later, 1).spans;
    assert_eq!(brief(&told), [(Some("/c"), Some(200), Flags::MID_STREAM)]);
    assert!(told[0].end < 10_000);
}
