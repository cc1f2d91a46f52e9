//! What a parser is shown, and when: positions, skips, needs, timers, recognition.

use crate::bench::{Bench, CLOSE, DATA, GAP, OPEN, SKIPPED, TIMER, data};
use wirespan_capture::{Layer, Verdict};
use wirespan_runtime::{Fate, Limits, ParsedSpan};
use wirespan_span::Value;
use wirespan_stream::{Direction, Role, StreamEvent};

#[test]
fn what_is_not_consumed_is_shown_again_with_what_follows() {
    let mut bench = Bench::new();
    bench.open(1, 100);
    bench.client(1, 110, b"Never");
    assert_eq!(data(&bench.run()), [(1, "Never")]);
    bench.client(1, 120, b"more");
    // The second chunk is consumed, and the first with it.
    assert_eq!(data(&bench.run()), [(1, "Never"), (1, "more")]);
    bench.client(1, 130, b"last");
    assert_eq!(data(&bench.run()), [(1, "last")]);
    assert_eq!(bench.worker.retained_bytes(), 0);
}

#[test]
fn consuming_one_side_shows_the_other_again() {
    let mut bench = Bench::new();
    bench.open(1, 100);
    bench.server(1, 110, b"No request yet");
    bench.run();
    bench.client(1, 120, b"request");
    // What waits goes with what comes, and again when that was consumed.
    let waits = (1, "No request yet");
    assert_eq!(data(&bench.run()), [waits, (1, "request"), waits]);
}

#[test]
fn a_need_holds_a_side_back_until_it_is_met() {
    let mut bench = Bench::new();
    bench.open(1, 100);
    bench.client(1, 110, b"Eight...");
    assert_eq!(data(&bench.run()), [(1, "Eight...")]);
    bench.client(1, 120, b"eight...");
    assert_eq!(bench.run(), []);
    bench.client(1, 130, b"four");
    assert_eq!(
        data(&bench.run()),
        [(1, "Eight..."), (1, "eight..."), (1, "four")]
    );
}

#[test]
fn a_need_that_is_never_met_ends_with_the_connection() {
    let mut bench = Bench::new();
    bench.open(1, 100);
    bench.client(1, 110, b"Eight...");
    bench.client(1, 120, b"ei");
    bench.run();
    bench.client(1, 130, b"ght");
    assert_eq!(bench.run(), []);
    bench.close(1, 140);
    let spans = bench.run();
    assert_eq!(data(&spans), [(1, "ght")]);
    assert_eq!(spans.last().unwrap().2, CLOSE);
}

#[test]
fn a_skip_drops_what_is_not_wanted_and_tells_when_the_stream_is_there() {
    let mut bench = Bench::new();
    bench.open(1, 100);
    bench.client(1, 110, b"Head");
    bench.run();
    let skip = Verdict::SkipUntil {
        direction: Direction::Received,
        position: 100_004,
    };
    assert_eq!(bench.verdicts(), [Verdict::Wanted, skip]);
    bench.client(1, 120, &[b'x'; 60_000]);
    assert_eq!(bench.run(), []);
    assert_eq!(bench.worker.retained_bytes(), 0);
    bench.gap(1, 130, 39_000);
    let mut rest = vec![b'x'; 1000];
    rest.extend_from_slice(b"next");
    bench.client(1, 140, &rest);
    assert_eq!(
        bench.run(),
        [(1, "test".into(), SKIPPED), (1, "next".into(), DATA)]
    );
    let skipped = bench
        .output
        .spans
        .iter()
        .find(|s| s.span.flags.0 == SKIPPED)
        .unwrap();
    assert_eq!(
        (
            skipped.span.start_unix_nano,
            bench.counters.gone(Fate::Skipped)
        ),
        (140, 61_004)
    );
}

#[test]
fn a_gap_stands_in_its_place() {
    let mut bench = Bench::new();
    bench.open(1, 100);
    bench.client(1, 110, b"Not consumed");
    bench.gap(1, 120, 10);
    bench.client(1, 130, b"Nor this");
    let spans = bench.run();
    let kinds: Vec<u16> = spans.iter().map(|(_, _, kind)| *kind).collect();
    assert_eq!(kinds, [OPEN, DATA, GAP, DATA]);
}

#[test]
fn more_than_is_kept_becomes_a_gap() {
    let mut bench = Bench::with(Limits {
        retained_bytes: 1000,
        ..Limits::default()
    });
    bench.open(1, 100);
    for time in 0..30 {
        bench.client(1, 110 + time, &[b'N'; 100]);
        bench.run();
        assert!(bench.worker.retained_bytes() <= 1000);
    }
    let gaps = bench
        .output
        .spans
        .iter()
        .filter(|s| s.span.flags.0 == GAP)
        .count();
    assert!(gaps >= 1, "{gaps}");
    assert!(bench.parser.retained_limit.get() >= 1);
    bench.client(1, 200, &[b'x'; 200]);
    bench.run();
    assert_eq!(bench.worker.retained_bytes(), 0);
}

#[test]
fn a_timer_comes_before_what_happens_after_it() {
    let mut bench = Bench::new();
    bench.open(1, 100);
    bench.client(1, 110, b"Wake");
    bench.run();
    bench.client(1, 200, b"later");
    let spans = bench.run();
    let kinds: Vec<u16> = spans.iter().map(|(_, _, kind)| *kind).collect();
    assert_eq!(
        kinds,
        [DATA, TIMER, DATA],
        "the first chunk was not consumed, only answered with a request"
    );
    let timer = bench
        .output
        .spans
        .iter()
        .find(|s| s.span.flags.0 == TIMER)
        .unwrap();
    assert_eq!(timer.span.start_unix_nano, 120);
}

#[test]
fn a_timer_fires_when_nothing_else_happens() {
    let mut bench = Bench::new();
    bench.open(1, 100);
    bench.client(1, 110, b"Wake");
    bench.run();
    bench.worker.advance(119);
    assert_eq!(bench.run(), []);
    bench.worker.advance(121);
    let spans = bench.run();
    assert_eq!(spans[0], (1, "test".into(), TIMER));
}

#[test]
fn a_connection_that_was_at_rest_goes_on_as_if_it_had_not_been() {
    const SECOND: u64 = 1_000_000_000;
    let mut bench = Bench::new();
    bench.open(1, 100);
    bench.client(1, 110, b"one");
    bench.server(1, 120, b"two");
    bench.run();
    bench.open(2, 130);
    bench.client(2, 140, b"Never");
    bench.run();
    for turn in 1..=10 {
        bench.worker.advance(turn * SECOND);
        assert_eq!(bench.run(), []);
    }
    assert_eq!(bench.worker.resting(), 1, "what is not consumed is awake");
    bench.client(1, 20 * SECOND, b"three");
    assert_eq!(data(&bench.run()), [(1, "three")]);
    assert_eq!(bench.worker.resting(), 0);
    for turn in 21..=30 {
        bench.worker.advance(turn * SECOND);
        bench.run();
    }
    assert_eq!(bench.worker.resting(), 1);
    bench.close(1, 40 * SECOND);
    assert_eq!(bench.run(), [(1, "test".into(), CLOSE)]);
    assert_eq!(bench.worker.connections(), 1);
}

#[test]
fn a_connection_that_its_parser_ignores_only_ends() {
    let mut bench = Bench::new();
    bench.open(1, 100);
    bench.client(1, 110, b"Ignore me");
    bench.run();
    assert_eq!(bench.verdicts(), [Verdict::Wanted, Verdict::Ignored]);
    bench.client(1, 120, b"nobody listens");
    bench.close(1, 130);
    assert_eq!(bench.run(), [(1, "test".into(), CLOSE)]);
    assert_eq!(bench.parser.ignored(), [(String::new(), 1)]);
    assert_eq!(bench.worker.connections(), 0);
}

#[test]
fn after_an_upgrade_what_follows_is_recognised_anew() {
    let mut bench = Bench::new();
    bench.open(1, 100);
    bench.client(1, 110, b"Upgrade");
    bench.run();
    bench.client(1, 120, b"other protocol");
    let spans = bench.run();
    assert_eq!(
        spans,
        [(1, "test".into(), OPEN), (1, "other protocol".into(), DATA)]
    );
    assert_eq!(
        (bench.parser.recognised.get(), bench.parser.upgrades.get()),
        (2, 1)
    );
    bench.client(1, 130, b"Upgrade");
    bench.client(1, 140, b"-nothing known");
    bench.close(1, 150);
    bench.run();
    assert_eq!(
        (bench.counters.unknown.get(), bench.worker.connections()),
        (1, 0)
    );
}

#[test]
fn a_connection_that_is_given_back_is_left_when_nobody_else_wants_it() {
    let mut bench = Bench::new();
    bench.open(1, 100);
    bench.client(1, 110, b"Zero interest");
    bench.run();
    assert_eq!(bench.verdicts(), [Verdict::Wanted, Verdict::Ignored]);
    assert_eq!(
        (bench.parser.not_mine.get(), bench.counters.unknown.get()),
        (1, 1)
    );
}

#[test]
fn a_byte_at_a_time_is_recognised_when_there_is_enough() {
    let mut bench = Bench::new();
    bench.open(1, 100);
    for (index, byte) in b"abcd".iter().enumerate() {
        bench.client(1, 110 + index as u64, &[*byte]);
        bench.run();
    }
    let spans: Vec<_> = bench.output.spans.iter().map(crate::bench::told).collect();
    assert_eq!(data(&spans), [(1, "a"), (1, "b"), (1, "c"), (1, "d")]);
    assert_eq!(
        bench.output.spans[1].span.start_unix_nano, 110,
        "each byte keeps its time"
    );
}

#[test]
fn what_nobody_recognises_is_counted_and_left() {
    let mut bench = Bench::new();
    bench.open(1, 100);
    bench.client(1, 110, b"-no");
    bench.client(1, 120, b"more of it");
    assert_eq!(bench.run(), []);
    assert_eq!(
        (bench.verdicts(), bench.counters.unknown.get()),
        (vec![Verdict::Ignored], 1)
    );
    bench.close(1, 130);
    bench.run();
    assert_eq!(
        (bench.worker.connections(), bench.worker.retained_bytes()),
        (0, 0)
    );
}

#[test]
fn a_connection_joined_in_the_middle_is_recognised_at_a_later_chunk() {
    let mut bench = Bench::new();
    bench.open_as(1, 100, Some(Role::Server), true);
    bench.client(1, 110, b"-middle of something");
    bench.client(1, 120, b"-and on");
    bench.client(1, 130, b"beginning");
    assert_eq!(data(&bench.run()), [(1, "beginning")]);
    let mut bench = Bench::new();
    bench.open_as(1, 100, Some(Role::Server), false);
    bench.client(1, 110, b"-beginning of something else");
    bench.client(1, 130, b"beginning");
    assert_eq!(
        bench.run(),
        [],
        "one that was seen from its beginning is not"
    );
}

#[test]
fn tls_is_set_aside_until_its_plaintext_comes() {
    let mut bench = Bench::new();
    bench.open(1, 100);
    bench.client(1, 110, &[0x16, 3, 1, 2, 0, 1]);
    assert_eq!(bench.run(), []);
    // The rest of what the client says first is waited for, until the server speaks.
    assert_eq!(bench.counters.encrypted.get(), 0);
    bench.server(1, 115, &[0x16, 3, 3, 0, 1, 2]);
    assert_eq!(bench.run(), []);
    assert_eq!(
        (bench.counters.encrypted.get(), bench.verdicts()),
        (1, vec![Verdict::Ignored]),
        "the ciphertext is nobody's"
    );
    bench.worker.handle(StreamEvent::Secured {
        id: 1,
        positions: [0, 0],
        mid_stream: false,
        time: 120,
    });
    let bytes = bytes::Bytes::from_static(b"plain");
    let direction = Direction::Received;
    bench.worker.handle(StreamEvent::Data {
        id: 1,
        direction,
        position: 0,
        bytes,
        time: 130,
        order_uncertain: false,
    });
    assert_eq!(
        bench.run(),
        [(1, "test".into(), OPEN), (1, "plain".into(), DATA)]
    );
    let tls = |span: &ParsedSpan| span.span.attribute("wirespan.tls") == Some(&Value::from(true));
    assert!(bench.output.spans.iter().all(tls));
    let said = bench.output.verdicts.drain(..);
    assert_eq!(
        said.map(|said| (said.layer, said.verdict))
            .collect::<Vec<_>>(),
        [(Some(Layer::Plaintext), Verdict::Wanted)]
    );
}

#[test]
fn a_parser_that_goes_on_with_the_plaintext_gets_all_of_it() {
    let mut bench = Bench::new();
    bench.open(1, 100);
    bench.client(1, 110, b"Never");
    bench.run();
    bench.worker.handle(StreamEvent::Secured {
        id: 1,
        positions: [0, 0],
        mid_stream: false,
        time: 120,
    });
    bench.run();
    let said = bench.output.verdicts.drain(..);
    assert_eq!(
        said.map(|said| (said.layer, said.verdict))
            .collect::<Vec<_>>(),
        [
            (Some(Layer::Socket), Verdict::Wanted),
            (Some(Layer::Plaintext), Verdict::Wanted)
        ]
    );
}

#[test]
fn a_message_that_drips_costs_a_constant_factor_of_its_length() {
    let mut bench = Bench::new();
    bench.open(1, 100);
    bench.client(1, 101, b"Nnn");
    for time in 0..20_000 {
        bench.client(1, 110 + time, b"N");
        bench.run();
    }
    let presented = bench.counters.presented_bytes.get();
    assert!(presented < 20 * 20_000, "{presented}");
}

#[test]
fn the_same_events_give_the_same_spans_however_they_are_batched() {
    let spans = |every: usize| {
        let mut bench = Bench::new();
        for id in 1..=20 {
            bench.open(id, 100);
        }
        for step in 0..200u64 {
            let id = step % 20 + 1;
            bench.client(id, 110 + step, format!("request {step}").as_bytes());
            if (step as usize).is_multiple_of(every) {
                bench.run();
            }
        }
        bench.run();
        let told = bench.output.spans.iter().filter(|s| s.span.flags.0 == DATA);
        let mut spans: Vec<_> = told
            .map(|s| (s.span.name.clone(), s.span.span_id, s.span.start_unix_nano))
            .collect();
        spans.sort();
        spans
    };
    assert_eq!(spans(1), spans(7));
    assert_eq!(spans(1), spans(1000));
}
