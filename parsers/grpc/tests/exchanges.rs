//! Connections seen from their beginning. Each conversation is checked under other cuts.

#[expect(dead_code, reason = "this file uses a part")]
mod wire;

use wire::{
    END_HEADERS, END_STREAM, Encoder, PADDED, PREFACE, PRIORITY, Peer, begun, closed, data, frame,
    headers, lines, message, reset, settings,
};
use wirespan_parser_grpc::Http2;
use wirespan_sdk::testkit::{Conversation, End, Report, check_cuts, replay};
use wirespan_sdk::{Cause, Flags, Side, Status, fact};

fn run(conversation: &Conversation) -> Report {
    check_cuts::<Http2>(conversation, 300, 30)
}

fn ignored(report: &Report) -> Option<&str> {
    match &report.end {
        Some(End::Ignored(reason)) => Some(reason),
        _ => None,
    }
}

#[test]
fn a_unary_call_has_its_attributes_and_times() {
    let mut peer = Peer::default();
    let report = run(&closed(
        begun()
            .client(peer.call(1, "/shop.v1.Cart/Add"))
            .client(data(1, END_STREAM, &message(b"ping")))
            .server(peer.answer(1))
            .server(data(1, 0, &message(b"pong!")))
            .server(peer.trailers(1, "0")),
    ));
    let [span] = &report.spans[..] else {
        panic!("one span: {report:?}")
    };
    assert_eq!(
        (&span.name[..], &span.protocol[..]),
        ("shop.v1.Cart/Add", "grpc")
    );
    assert_eq!(span.text("rpc.system.name"), Some("grpc"));
    assert_eq!(span.text("rpc.method"), Some("shop.v1.Cart/Add"));
    assert_eq!(span.text("rpc.status_code"), Some("OK"));
    assert_eq!(span.text("server.address"), Some("shop.example"));
    assert_eq!(span.integer("server.port"), Some(50051));
    assert_eq!(span.text("user_agent.original"), Some("grpc-test/1"));
    assert_eq!(span.integer("wirespan.grpc.request.messages"), Some(1));
    assert_eq!(span.integer("wirespan.grpc.request.message_bytes"), Some(4));
    assert_eq!(
        span.integer("wirespan.grpc.response.message_bytes"),
        Some(5)
    );
    assert_eq!(span.text("http.request.method"), None);
    assert_eq!((span.start, span.request_end), (3000, 4000));
    assert_eq!((span.response_start, span.end), (5000, 7000));
    assert_eq!((span.status, span.flags), (Status::Unset, Flags::empty()));
    assert_eq!((span.position, span.side), (33, Side::Client));
}

#[test]
fn other_streams_are_http() {
    let mut peer = Peer::default();
    let mut post = Encoder::plain(&[
        (":method", "PURGE"),
        (":path", "/x#f"),
        (":scheme", "https"),
    ]);
    post.extend(Encoder::plain(&[
        ("host", "[::1]:8443"),
        ("user-agent", "curl/8"),
    ]));
    let report = run(&closed(
        begun()
            .client(peer.get(1, "/users/7?page=2"))
            .client([headers(3, 0, &post), data(3, END_STREAM, b"12345")].concat())
            .server([peer.status(3, 0, "103"), peer.status(3, END_STREAM, "503")].concat())
            .server(
                [
                    peer.status(1, 0, "200"),
                    data(1, 0, b"abc"),
                    data(1, END_STREAM, b""),
                ]
                .concat(),
            ),
    ));
    assert_eq!(lines(&report), ["_OTHER /x 503", "GET /users/7?page=2 200"]);
    let [other, get] = &report.spans[..] else {
        panic!("two spans")
    };
    assert_eq!(get.text("network.protocol.version"), Some("2"));
    assert_eq!(get.text("url.scheme"), Some("http"));
    assert_eq!(get.integer("http.response.body.size"), Some(3));
    assert_eq!((&get.name[..], &get.protocol[..]), ("GET", "http2"));
    assert_eq!(other.name, "HTTP");
    assert_eq!(other.text("http.request.method_original"), Some("PURGE"));
    assert_eq!(other.text("server.address"), Some("::1"));
    assert_eq!(other.integer("server.port"), Some(8443));
    assert_eq!(other.integer("http.request.body.size"), Some(5));
    assert_eq!(
        (other.status, other.text("error.type")),
        (Status::Error, Some("503"))
    );
}

#[test]
fn many_streams_interleave_and_finish_out_of_order() {
    let mut peer = Peer::default();
    let mut conversation = begun();
    let streams: Vec<u32> = (0..200).map(|n| 1 + 2 * n).collect();
    let mut client = Vec::new();
    for &stream in &streams {
        client.extend(peer.call(stream, &format!("/s.S/M{stream}")));
    }
    for &stream in streams.iter().rev() {
        client.extend(data(stream, END_STREAM, &message(b"x")));
    }
    conversation = conversation.client(client);
    let mut server = Vec::new();
    for &stream in &streams {
        server.extend(peer.answer(stream));
    }
    for &stream in streams.iter().rev() {
        server.extend(data(stream, 0, &[message(b"a"), message(b"bc")].concat()));
        server.extend(peer.trailers(stream, "0"));
    }
    let report = check_cuts::<Http2>(&closed(conversation.server(server)), 20, 5);
    assert_eq!(report.spans.len(), 200);
    assert_eq!(lines(&report)[0], "rpc s.S/M399 OK 1/2");
    assert_eq!(lines(&report)[199], "rpc s.S/M1 OK 1/2");
}

#[test]
fn messages_go_over_frames_with_padding_and_large_ones_are_stepped_over() {
    let mut peer = Peer::default();
    let large = message(&vec![7; 40_000]);
    let mut padded = vec![5];
    padded.extend(&large[..3]);
    padded.extend([0; 5]);
    let mut conversation =
        begun().client([peer.call(1, "/s.S/Upload"), frame(0, PADDED, 1, &padded)].concat());
    for chunk in large[3..].chunks(16_384) {
        conversation = conversation.client(data(1, 0, chunk));
    }
    let gzip = Encoder::plain(&[
        (":status", "200"),
        ("content-type", "application/grpc+proto"),
        ("grpc-encoding", "gzip"),
    ]);
    let report = check_cuts::<Http2>(
        &closed(
            conversation
                .client(data(1, 0, &[message(b"1"), message(b"")].concat()))
                .client(data(1, END_STREAM, b""))
                .server(headers(1, 0, &gzip))
                .server(data(1, 0, b"\x01\0\0\0\x02zz"))
                .server(peer.trailers(1, "0")),
        ),
        60,
        10,
    );
    assert_eq!(lines(&report), ["rpc s.S/Upload OK 3/1"]);
    let span = &report.spans[0];
    assert_eq!(
        span.integer("wirespan.grpc.request.message_bytes"),
        Some(40_001)
    );
    assert_eq!(span.text("wirespan.grpc.response.encoding"), Some("gzip"));
    assert!(span.values.contains_key("wirespan.grpc.compressed"));
}

#[test]
fn blocks_go_over_continuations_with_padding_and_priority() {
    let mut peer = Peer::default();
    let block = peer.client.block(&[
        (":method", "POST"),
        (":path", "/s.S/M"),
        (":scheme", "http"),
        ("content-type", "application/grpc"),
        ("grpc-timeout", "250m"),
    ]);
    let mut first = vec![3, 0, 0, 0, 0, 16];
    first.extend(&block[..5]);
    first.extend([0; 3]);
    let client = [
        frame(1, PADDED | PRIORITY | END_STREAM, 1, &first),
        frame(9, 0, 1, &block[5..6]),
        frame(9, 0, 1, b""),
        frame(9, END_HEADERS, 1, &block[6..]),
    ];
    let report = run(&closed(
        begun()
            .client(client.concat())
            .server(peer.trailers(1, "4")),
    ));
    assert_eq!(lines(&report), ["rpc s.S/M DEADLINE_EXCEEDED 0/0"]);
    let span = &report.spans[0];
    assert_eq!(
        span.integer("wirespan.grpc.timeout_nanos"),
        Some(250_000_000)
    );
    assert_eq!(span.status, Status::Error);
}

/// Error or not, by code and end; and what stands for a status that was not sent.
#[test]
fn outcomes_by_the_end_that_is_observed() {
    let cases = [
        ("0", Some("OK"), false, false),
        ("5", Some("NOT_FOUND"), false, true),
        ("2", Some("UNKNOWN"), true, true),
        ("16", Some("UNAUTHENTICATED"), false, true),
        ("99", Some("99"), true, true),
        ("x", None, false, false),
        ("", None, true, true),
    ];
    for (code, name, at_server, at_client) in cases {
        for (side, error) in [(Side::Server, at_server), (Side::Client, at_client)] {
            let mut peer = Peer::default();
            let mut fields = vec![(":status", "200"), ("content-type", "application/grpc")];
            if !code.is_empty() {
                fields.extend([("grpc-status", code), ("grpc-message", "no%20item%2")]);
            }
            let answer = headers(1, END_STREAM, &peer.server.block(&fields));
            let (request, _) = peer.unary(1, "/s.S/M");
            let report = run(&closed(begun().client(request).server(answer)).observed(side));
            let span = &report.spans[0];
            assert_eq!(span.text("rpc.status_code"), name, "{code}");
            assert_eq!(span.status == Status::Error, error, "{code} {side:?}");
            if !code.is_empty() {
                assert_eq!(span.text("wirespan.grpc.status_message"), Some("no item%2"));
            }
        }
    }
}

#[test]
fn resets_say_who_and_why() {
    let mut peer = Peer::default();
    let conversation = closed(
        begun()
            .client(
                [
                    peer.call(1, "/s.S/A"),
                    peer.call(3, "/s.S/B"),
                    peer.get(5, "/c"),
                ]
                .concat(),
            )
            .server(peer.answer(1))
            .client(reset(1, 8))
            .server(reset(3, 7))
            .server(
                [
                    peer.status(5, END_STREAM, "200"),
                    reset(5, 0),
                    data(1, 1, b"late"),
                ]
                .concat(),
            ),
    );
    let report = run(&conversation);
    let expected = [
        "rpc s.S/A - 0/0 reset",
        "rpc s.S/B - 0/0 unanswered reset",
        "GET /c 200",
    ];
    assert_eq!(lines(&report), expected);
    let [cancelled, refused, _] = &report.spans[..] else {
        panic!("three spans")
    };
    assert_eq!(cancelled.text("wirespan.http2.reset_by"), Some("client"));
    assert_eq!(cancelled.text("wirespan.http2.error_code"), Some("CANCEL"));
    // That the client cancels is no error of the server, only of the client.
    assert_eq!(cancelled.status, Status::Unset);
    assert_eq!(refused.text("error.type"), Some("REFUSED_STREAM"));
    let client = run(&conversation.observed(Side::Client));
    assert_eq!(client.spans[0].status, Status::Error);
}

#[test]
fn goaway_refuses_the_streams_after_the_last() {
    let mut peer = Peer::default();
    let goaway = frame(7, 0, 0, b"\0\0\0\x01\0\0\0\x0bcalm down");
    let report = run(&closed(
        begun()
            .client([peer.get(1, "/a"), peer.get(3, "/b")].concat())
            .server(goaway)
            .server(peer.status(1, END_STREAM, "200")),
    ));
    assert_eq!(lines(&report), ["GET /a 200", "GET /b - unanswered"]);
    assert_eq!(
        report.spans[1].text("error.type"),
        Some("ENHANCE_YOUR_CALM")
    );
}

#[test]
fn a_pushed_response_has_the_promised_request() {
    let mut peer = Peer::default();
    let fields = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/style.css"),
    ];
    let mut promise = vec![0, 0, 0, 2];
    promise.extend(peer.server.block(&fields));
    let report = run(&closed(
        begun()
            .client(peer.get(1, "/"))
            .server(frame(5, END_HEADERS, 1, &promise))
            .server([peer.status(2, 0, "200"), peer.status(1, END_STREAM, "404")].concat())
            .server(data(2, END_STREAM, b"body {}")),
    ));
    assert_eq!(lines(&report), ["GET / 404", "GET /style.css 200"]);
    assert!(report.spans[1].values.contains_key("wirespan.http2.pushed"));
}

#[test]
fn an_upgrade_from_http1_is_answered_on_stream_1() {
    let mut peer = Peer::default();
    let handover = "GET /a?b HTTP/1.1\r\nhost: shop.example:81\r\nuser-agent: curl/8\r\nstart-nanos: 500\r\n\r\n";
    let report = run(&closed(
        begun()
            .fact(fact::HANDOVER, 0, handover)
            .server([peer.status(1, 0, "200"), data(1, END_STREAM, b"ok")].concat())
            .client(peer.get(3, "/next"))
            .server(peer.status(3, END_STREAM, "204")),
    ));
    assert_eq!(lines(&report), ["GET /a?b 200", "GET /next 204"]);
    assert_eq!(report.spans[0].start, 500);
    assert_eq!(report.spans[0].integer("server.port"), Some(81));
    assert_eq!(report.spans[0].text("user_agent.original"), Some("curl/8"));
}

#[test]
fn settings_change_table_and_frame_size() {
    let mut peer = Peer::default();
    let mut block = vec![0x3f, 0xe1, 0x3f]; // a table of 8192 bytes
    peer.client.room = 8192;
    block.extend(peer.client.block(&[
        (":method", "GET"),
        (":path", "/a"),
        ("x", &"y".repeat(6000)),
    ]));
    let again = peer.client.block(&[(":method", "GET"), (":path", "/a")]);
    let report = run(&closed(
        Conversation::new()
            .client([PREFACE, &settings(&[])].concat())
            .server(settings(&[(1, 8192), (5, 20_000), (3, 100)]))
            .client(frame(4, 1, 0, b""))
            .client(headers(1, 0, &block))
            .client(data(1, END_STREAM, &[0; 20_000]))
            .client(headers(3, END_STREAM, &again))
            .server(
                [
                    peer.status(1, END_STREAM, "200"),
                    peer.status(3, END_STREAM, "200"),
                ]
                .concat(),
            ),
    ));
    assert_eq!(lines(&report), ["GET /a 200", "GET /a 200"]);
    assert_eq!(report.end, None);
}

#[test]
fn a_decoding_error_closes_one_direction_only() {
    let mut peer = Peer::default();
    let report = run(&closed(
        begun()
            .client(peer.get(1, "/a"))
            .server(headers(
                1,
                END_STREAM,
                &[0x88, 0xff, 0xff, 0xff, 0xff, 0xff],
            ))
            .client(peer.get(3, "/b"))
            .server(peer.status(3, END_STREAM, "200")),
    ));
    assert_eq!(
        lines(&report),
        ["GET /a - response-cut", "GET /b - response-cut"]
    );
}

#[test]
fn connections_that_are_not_http2_are_given_back_or_given_up() {
    let report = replay::<Http2>(&Conversation::new().client("PRI * HTTP/1.1\r\n\r\n"), 1);
    assert_eq!(report.end, Some(End::NotMine));
    let mut peer = Peer::default();
    let report = run(&begun_without_server()
        .client(peer.get(1, "/a"))
        .server("HTTP/1.1 400 Bad Request\r\n\r\n"));
    assert_eq!(ignored(&report), Some("no SETTINGS first"));
    assert_eq!(lines(&report), ["GET /a - unfinished"]);
}

fn begun_without_server() -> Conversation {
    Conversation::new().client([PREFACE, &settings(&[])].concat())
}

#[test]
fn broken_frames_end_it() {
    for (bytes, reason) in [
        (frame(6, 0, 0, b"short"), "frame of a wrong length"),
        (frame(0, 0, 0, b""), "frame on a wrong stream"),
        (frame(0, 0, 1, &[0; 17_000]), "frame larger than agreed"),
        (frame(9, 0, 1, b""), "header block interrupted"),
        (
            [frame(1, 0, 3, b""), frame(6, 0, 0, &[0; 8])].concat(),
            "header block interrupted",
        ),
        (
            frame(0, PADDED, 1, &[5, 0]),
            "padding longer than the frame",
        ),
        (
            frame(4, 0, 0, &[0, 5, 0, 0, 0, 1]),
            "frame size that is not allowed",
        ),
    ] {
        let mut peer = Peer::default();
        let report = run(&begun().client(peer.call(1, "/s.S/M")).client(bytes));
        assert_eq!(ignored(&report), Some(reason));
        assert_eq!(lines(&report), ["rpc s.S/M - 0/0 unfinished"]);
    }
}

#[test]
fn floods_are_bounded() {
    let mut endless = begun().client(frame(1, 0, 1, b"\x82"));
    for _ in 0..1000 {
        endless = endless.client(frame(9, 0, 1, b""));
    }
    let report = replay::<Http2>(&endless, 10);
    assert_eq!(ignored(&report), Some("header block without end"));
    let mut peer = Peer::default();
    let mut rapid = begun();
    for stream in (1..4001).step_by(2) {
        rapid = rapid.client([peer.get(stream, "/"), reset(stream, 8)].concat());
    }
    let report = replay::<Http2>(&rapid, 100);
    assert_eq!(ignored(&report), Some("rapid reset"));
    assert_eq!(report.spans.len(), 1001);
    let mut many = begun();
    for stream in (1..20_001).step_by(2) {
        many = many.client(peer.get(stream, "/"));
    }
    let report = replay::<Http2>(&many, 100);
    assert_eq!(ignored(&report), Some("too many streams"));
    assert_eq!(report.spans.len(), 8192);
}

#[test]
fn what_is_in_flight_at_the_end_is_reported_as_it_is() {
    let conversation = |cause| {
        let mut peer = Peer::default();
        begun()
            .client([peer.call(1, "/s.S/A"), peer.get(3, "/b"), peer.get(5, "/c")].concat())
            .server(
                [
                    peer.answer(1),
                    data(1, 0, &message(b"x")),
                    peer.status(3, 0, "200"),
                ]
                .concat(),
            )
            .close(cause)
    };
    let report = run(&conversation(Cause::Finished));
    let expected = [
        "rpc s.S/A - 0/1 request-cut response-cut",
        "GET /b 200 response-cut",
        "GET /c - unanswered",
    ];
    assert_eq!(lines(&report), expected);
    let report = run(&conversation(Cause::Reset));
    let expected = [
        "rpc s.S/A - 0/1 request-cut response-cut reset",
        "GET /b 200 response-cut reset",
        "GET /c - unanswered reset",
    ];
    assert_eq!(lines(&report), expected);
    assert_eq!(report.spans[2].text("error.type"), Some("reset"));
}

#[test]
fn a_stream_that_outlives_the_limit_is_reported_once() {
    let mut peer = Peer::default();
    let conversation = closed(
        begun()
            .client(peer.call(1, "/s.S/Watch"))
            .server([peer.answer(1), data(1, 0, &message(b"x"))].concat())
            .client(peer.call(3, "/s.S/Other"))
            .pause(61_000_000_000)
            .server(data(1, 0, &message(b"y")))
            .server([peer.answer(3), peer.trailers(3, "0")].concat())
            .server(peer.trailers(1, "0")),
    );
    let report = run(&conversation);
    let expected = [
        "rpc s.S/Watch - 0/1 unfinished",
        "rpc s.S/Other OK 0/0 request-cut",
    ];
    assert_eq!(lines(&report)[..1], expected[..1]);
    assert_eq!(report.spans.len(), 2);
    assert_eq!(
        report.spans[0].end,
        report.spans[0].response_start + 60_000_000_000
    );
}

#[test]
fn an_answer_seen_before_its_request_finds_it() {
    let mut peer = Peer::default();
    let (request, response) = peer.unary(1, "/s.S/M");
    let report = run(&closed(begun().server(response).client(request)));
    assert_eq!(lines(&report), ["rpc s.S/M OK 1/1"]);
}
