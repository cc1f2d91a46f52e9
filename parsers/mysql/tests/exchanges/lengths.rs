//! Long payloads, compressed frames, and lengths that lie.

use super::*;

#[test]
fn payloads_of_16_mib_go_on_in_the_next_packet() {
    let full = (1 << 24) - 1;
    // Exactly as long as one packet: an empty one follows.
    let text = "x".repeat(full - 1);
    let exact = [command(3, text.as_bytes()), packet(1, b"")].concat();
    let mut wide = vec![0xfe];
    wide.resize(full, 0);
    let result = [
        packets(2, &[vec![1], definition(), eof(2), wide]),
        packet(6, &[9; 10]),
        packets(7, &[row(), eof(2)]),
    ]
    .concat();
    let conversation = started(0)
        .client(exact)
        .server(result)
        .client(query("select 2"))
        .server(messages::result(1, &rows(1), false, 2))
        .close(Cause::Finished);
    for batch in [1, 100] {
        let report = wirespan_sdk::testkit::replay::<Mysql>(&conversation, batch);
        assert_eq!(report.spans.len(), 2);
        let long = &report.spans[0];
        assert!(long.has(Flags::REQUEST_TRUNCATED));
        assert_eq!(long.text("db.query.text").map(str::len), Some(65_536));
        assert_eq!(long.integer("db.response.returned_rows"), Some(2));
        assert_eq!(long.request_bytes, full as u64 + 8);
        assert_eq!(brief(&report.spans[1..]), ["select 2 ok 1"]);
    }
}

#[test]
fn compressed_frames_have_nothing_to_do_with_packets() {
    let long = format!("select '{}'", "abc ".repeat(20_000));
    let many = result(1, &rows(200), false, 2);
    let (begin, rest) = many.split_at(1001);
    for (capability, compress) in [
        (COMPRESS, deflated as fn(u8, &[u8]) -> Vec<u8>),
        (ZSTD, zstandard),
        (COMPRESS, stored),
    ] {
        let both = [query("select 1"), query("select 2")].concat();
        let (half, other) = both.split_at(7);
        let long_query = query(&long);
        let (first, second) = long_query.split_at(40_000);
        let conversation = started(capability)
            .client(stored(0, &query("select 0")))
            .server(compress(1, &result(1, &rows(1), false, 2)))
            .client([compress(0, half), compress(1, other)].concat())
            .server([compress(1, begin), compress(2, rest)].concat())
            .server(compress(3, &packet(1, &error(1064, "42000"))))
            .client([compress(0, first), compress(1, second)].concat())
            .server(stored(1, &packet(1, &ok(0, 2))))
            .end(Side::Client)
            .end(Side::Server)
            .close(Cause::Finished);
        let report = check_cuts::<Mysql>(&conversation, 200, 20);
        assert_eq!(
            brief(&report.spans[..3]),
            ["select 0 ok 1", "select 1 ok 200", "select 2 1064"]
        );
        let [.., last] = &report.spans[..] else {
            panic!("four spans")
        };
        assert_eq!(last.text("db.query.text").map(str::len), Some(65_536));
        assert!(last.has(Flags::REQUEST_TRUNCATED) && !last.has(Flags::GAP));
        assert_eq!(report.spans.len(), 4);
    }
}

#[test]
fn frames_that_come_byte_by_byte_are_shown_once() {
    let text = format!("select '{}'", "abc ".repeat(12_000));
    // Does not become less: the frames are as long as what they hold.
    let mut random = wirespan_sdk::testkit::Random::of(1);
    let noise: Vec<u8> = (0..60_000).map(|_| random.below(256) as u8).collect();
    let wide = [&[0xfd, 0x60, 0xea, 0][..], &noise].concat();
    let answer = result(1, &[wide], false, 2);
    for (capability, compress) in [
        (COMPRESS, deflated as fn(u8, &[u8]) -> Vec<u8>),
        (ZSTD, zstandard),
        (COMPRESS, stored),
    ] {
        let (asks, answers) = (compress(0, &query(&text)), compress(1, &answer));
        let total = asks.len() + answers.len();
        assert!(answers.len() > 60_000);
        let mut conversation = started(capability);
        for byte in asks {
            conversation = conversation.client([byte]);
        }
        for byte in answers {
            conversation = conversation.server([byte]);
        }
        let conversation = conversation.close(Cause::Finished);
        for batch in [1, 7] {
            let report = wirespan_sdk::testkit::replay::<Mysql>(&conversation, batch);
            assert_eq!(report.spans.len(), 1);
            assert_eq!(
                report.spans[0].integer("db.response.returned_rows"),
                Some(1)
            );
            // A header of seven bytes is shown until it is whole, and so is the login.
            let presented = wirespan_sdk::testkit::presented::<Mysql>(&conversation, batch);
            assert!(presented < total + 1000, "{presented} bytes of {total}");
        }
    }
}

#[test]
fn hostile_lengths_end_in_nothing_wrong() {
    let answers: &[&[u8]] = &[
        b"\xff\xff\xff\x01\xfe",
        b"\0\0\0\x01",
        b"\x09\0\0\x01\xfe\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x03\0\0\x01\xfc\xff\xff",
        b"\x07\0\0\x01\0\xfe\xff\xff\xff\xff\xff",
    ];
    for answer in answers {
        for capability in [0, COMPRESS, ZSTD] {
            let compressed = capability != 0;
            let wrap = |bytes: &[u8]| {
                if compressed {
                    stored(0, bytes)
                } else {
                    bytes.to_vec()
                }
            };
            let report = run(started(capability)
                .client(wrap(&query("select 1")))
                .server(wrap(answer))
                .server([0xff; 64]));
            for span in &report.spans {
                assert_eq!(span.text("db.query.text"), Some("select 1"));
                assert_eq!(span.integer("db.response.returned_rows"), None);
                assert_ne!(span.flags, Flags::empty());
            }
        }
    }
    let bombs: [Vec<u8>; 3] = [
        frame(1, b"\x28\xb5\x2f\xfd\x80\x58\xff\xff\xff\x7f", 1 << 23),
        frame(1, &[0x78, 0x9c, 0xff, 0xff, 0xff, 0xff], 100),
        deflated(1, &vec![0; 1 << 20]),
    ];
    for bomb in bombs {
        let report = run(started(COMPRESS)
            .client(stored(0, &query("select 1")))
            .server(bomb));
        assert!(report.spans.iter().all(|span| span.flags != Flags::empty()));
    }
}

#[test]
fn a_hundred_thousand_prepares_and_commands_ahead_are_bounded() {
    let mut conversation = started(DEPRECATE_EOF);
    for block in 0..100_u32 {
        let ids = block * 1000..(block + 1) * 1000;
        let ask: Vec<u8> = ids
            .clone()
            .flat_map(|id| prepare(&format!("do {id}")))
            .collect();
        let answer: Vec<u8> = ids.flat_map(|id| prepared(id, 0, 0, true)).collect();
        conversation = conversation.client(ask).server(answer);
    }
    conversation = conversation
        .client([execute(99_999, 0), execute(0, 0)].concat())
        .server([packet(1, &ok(0, 2)), packet(1, &ok(0, 2))].concat());
    let report = wirespan_sdk::testkit::replay::<Mysql>(&conversation.close(Cause::Finished), 1);
    assert_eq!(brief(&report.spans), ["do 99999 ok", "- ok"]);
    let ahead = started(0).client(command(0x0e, b"").repeat(40_000));
    let report = wirespan_sdk::testkit::replay::<Mysql>(&ahead.close(Cause::Finished), 1);
    let reason = Some(End::Ignored("too many commands in flight".into()));
    assert_eq!(report.end, reason);
}
