//! Connections that were joined in the middle, and bytes that are missing.

#[expect(dead_code, reason = "this file uses a part")]
mod wire;

use std::collections::HashMap;

use wire::{
    END_STREAM, Encoder, PREFACE, Peer, begun, closed, data, frame, headers, lines, message, reset,
    settings,
};
use wirespan_parser_grpc::Http2;
use wirespan_sdk::testkit::{
    Conversation, Report, SeenSpan, check_cuts, recognise_prefixes, removals, replay,
};
use wirespan_sdk::{Flags, Recognition, Side};

fn run(conversation: &Conversation) -> Report {
    check_cuts::<Http2>(conversation, 300, 30)
}

/// A peer whose tables hold two methods and everything else by now.
fn warm() -> Peer {
    let mut peer = Peer::default();
    for (stream, path) in [(1, "/s.S/A"), (3, "/s.S/B")] {
        peer.unary(stream, path);
    }
    peer
}

#[test]
fn entries_since_joining_resolve_and_unknown_paths_keep_apart() {
    let mut peer = warm();
    let mut conversation = Conversation::mid_stream();
    for (stream, path) in [
        (5, "/s.S/A"),
        (7, "/s.S/B"),
        (9, "/s.S/A"),
        (11, "/s.S/C"),
        (13, "/s.S/B"),
        (15, "/s.S/C"),
    ] {
        let (request, response) = peer.unary(stream, path);
        conversation = conversation.client(request).server(response);
    }
    let report = run(&closed(conversation));
    let expected = [
        "rpc - - 1/1 mid",
        "rpc - - 1/1 mid",
        "rpc - - 1/1 mid",
        "rpc s.S/C - 1/1 mid",
        "rpc - - 1/1 mid",
        "rpc s.S/C - 1/1 mid",
    ];
    assert_eq!(lines(&report), expected);
    let path = |index: usize| report.spans[index].text("wirespan.http2.path_ref");
    assert!(path(0).is_some());
    assert_eq!(path(0), path(2));
    assert_ne!(path(0), path(1));
    assert_eq!(path(1), path(4));
    assert_eq!(path(3), None);
    assert_eq!(report.spans[0].status, wirespan_sdk::Status::Unset);
}

/// As the C core does: it need not wait for the frame with which a client ends its request.
#[test]
fn a_call_answered_before_its_request_ended_is_one_by_its_form() {
    for (bytes, expected) in [
        (&message(b"abc")[..], "rpc - - 1/1 mid"),
        // A message that has not ended, and no messages at all.
        (&message(b"abc")[..7], "POST - 200 mid"),
        (b"a=b&c=d", "POST - 200 mid"),
    ] {
        let mut peer = warm();
        let (request, response) = peer.unary(5, "/s.S/A");
        let len = 9 + usize::from(request[2]);
        let request = [&request[..len], &data(5, 0, bytes)].concat();
        let report = run(&closed(
            Conversation::mid_stream()
                .client(request)
                .server([response, reset(5, 0)].concat()),
        ));
        assert_eq!(lines(&report), [expected]);
    }
}

#[test]
fn a_connection_is_joined_within_a_frame() {
    let mut peer = warm();
    let tail = b"e rest of a body that looks like nothing \0\0\0\0\0\0\0\0\0\0\0\0";
    let (request, response) = peer.unary(5, "/s.S/New");
    let (second, answer) = peer.unary(7, "/s.S/New");
    let report = run(&closed(
        Conversation::mid_stream()
            .client([tail, &request[..]].concat())
            .server([tail, &response[..]].concat())
            .client(second)
            .server(answer),
    ));
    let names = lines(&report);
    assert_eq!(names, ["rpc s.S/New - 1/1 mid", "rpc s.S/New - 1/1 mid"]);
}

#[test]
fn a_stream_from_before_is_a_response_without_a_request() {
    let mut peer = warm();
    let (request, response) = peer.unary(9, "/s.S/New");
    let trailers = headers(5, END_STREAM, &Encoder::plain(&[("grpc-status", "5")]));
    let report = run(&closed(
        Conversation::mid_stream()
            .server(
                [
                    data(5, 0, &message(b"x")),
                    peer.status(7, END_STREAM, "200"),
                ]
                .concat(),
            )
            .client(request)
            .server(trailers)
            .server(response),
    ));
    let expected = [
        "- - 200 mid",
        "rpc - NOT_FOUND -/- mid",
        "rpc s.S/New - 1/1 mid",
    ];
    assert_eq!(lines(&report), expected);
}

#[test]
fn a_beginning_taken_for_a_middle_is_found_out() {
    let mut peer = Peer::default();
    let (request, response) = peer.unary(1, "/s.S/M");
    let report = run(&closed(
        Conversation::mid_stream()
            .client([PREFACE, &settings(&[])].concat())
            .server(settings(&[]))
            .client(request)
            .server(response),
    ));
    assert_eq!(lines(&report), ["rpc s.S/M OK 1/1"]);
}

#[test]
fn bytes_lost_within_a_message_harm_nothing() {
    let mut peer = Peer::default();
    let body = message(&[1; 5000]);
    let frame = data(1, END_STREAM, &body);
    let report = run(&closed(
        begun()
            .client(peer.call(1, "/s.S/M"))
            .client(&frame[..100])
            .gap(Side::Client, 4000)
            .client(&frame[4100..])
            .server([peer.answer(1), peer.trailers(1, "0")].concat()),
    ));
    assert_eq!(lines(&report), ["rpc s.S/M OK 1/0"]);
}

/// A dozen calls, each step a chunk. What overlaps the lost chunk may be missing or flagged, and
/// what follows may have unknown fields; but no value is ever wrong, and no stream gets another's.
#[test]
fn a_lost_chunk_never_makes_a_value_wrong() {
    let mut peer = Peer::default();
    let mut conversation = begun();
    for n in 0..12u32 {
        let stream = 1 + 2 * n;
        let path = format!("/s.S/M{n}");
        conversation = conversation
            .client(peer.call(stream, &path))
            .client(data(stream, END_STREAM, &message(path.as_bytes())))
            .server(peer.answer(stream))
            .server(data(stream, 0, &message(b"pong")))
            .server(peer.trailers(stream, if n % 3 == 0 { "0" } else { "5" }));
    }
    let conversation = closed(conversation);
    let whole: HashMap<(bool, u64), SeenSpan> = replay::<Http2>(&conversation, 1)
        .spans
        .into_iter()
        .map(|span| ((span.side == Side::Client, span.start), span))
        .collect();
    assert_eq!(whole.len(), 12);
    for (index, damaged) in removals(&conversation).skip(2) {
        let report = check_cuts::<Http2>(&damaged, 10, 3);
        let mut met = 0;
        for span in &report.spans {
            let Some(original) = whole.get(&(true, span.start)) else {
                assert!(span.has(Flags::GAP), "{index}: {span:?}");
                continue;
            };
            met += 1;
            if span.flags == Flags::empty() {
                assert_eq!(span, original, "{index}");
            }
            for field in ["rpc.method", "rpc.status_code"] {
                let text = span.text(field);
                assert!(
                    text.is_none() || text == original.text(field),
                    "{index}: {span:?}"
                );
            }
        }
        assert!(met >= 10, "{index}: {:?}", lines(&report));
    }
}

#[test]
fn a_gap_of_unknown_length_is_got_over() {
    let mut peer = Peer::default();
    let (a, answer_a) = peer.unary(1, "/s.S/A");
    let (b, answer_b) = peer.unary(3, "/s.S/B");
    let report = run(&closed(
        begun()
            .client(a)
            .server(&answer_a[..20])
            .gap_unknown(Side::Server)
            .client(b)
            .server(answer_b),
    ));
    let lines = lines(&report);
    assert!(lines.contains(&"rpc s.S/B - 1/1 gap".into()), "{lines:?}");
    assert!(lines.contains(&"rpc s.S/A - 1/- gap".into()), "{lines:?}");
}

#[test]
fn every_prefix_of_the_preface_could_become_it_and_nothing_else_does() {
    let client = [PREFACE, &settings(&[(3, 100)])].concat();
    for (len, answer) in recognise_prefixes::<Http2>(&client, b"")
        .into_iter()
        .enumerate()
    {
        let yes = matches!(
            answer,
            Recognition::Yes {
                confidence: 99,
                swapped: false,
                ..
            }
        );
        assert_eq!(yes, len >= PREFACE.len(), "{len}: {answer:?}");
        assert!(yes || answer == Recognition::NeedMore, "{len}: {answer:?}");
    }
    // The server may be first, with any settings: these are of gRPC's own (0xfe03).
    for server in [
        &[(3, 100)][..],
        &[(4, 0x003f_ffff), (0xfe03, 1)],
        &[],
        &[(0x4a4a, 7)],
    ] {
        let server = [settings(server), frame(8, 0, 0, &[0, 0x3f, 0, 0])].concat();
        for answer in recognise_prefixes::<Http2>(b"", &server) {
            assert_eq!(answer, Recognition::NeedMore);
        }
    }
    let others: [(&[u8], &[u8]); 8] = [
        (
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
        ),
        (b"\0\0\0\x08\x04\xd2\x16\x2f", b"S"),
        (
            b"\0\0\0\x54\0\x03\0\0user\0postgres\0",
            b"R\0\0\0\x08\0\0\0\0",
        ),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", b"\x16\x03\x03"),
        (b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n"),
        (b"SSH-2.0-x\r\n", b"SSH-2.0-y\r\n"),
        (
            b"\0\0\0\x23\0\x12\0\x03\0\0\0\x01\0\x0aclient-1\0",
            b"\0\0\x01\x20\0\0\0\x01",
        ),
        (
            b"\x20\0\0\x01\x85\xa6\xff\x01\0\0\0\x01",
            b"\x4a\0\0\0\x0a8.0.36\0",
        ),
    ];
    for (client, server) in others {
        for answer in recognise_prefixes::<Http2>(client, server) {
            assert!(!matches!(answer, Recognition::Yes { .. }), "{client:?}");
        }
    }
}

#[test]
fn ping_and_window_updates_alone_do_not_make_a_connection() {
    let answers = recognise_prefixes::<Http2>(&frame(8, 0, 0, &[0, 0, 0, 1]), b"");
    assert!(
        answers
            .iter()
            .all(|answer| *answer == Recognition::NeedMore)
    );
}
