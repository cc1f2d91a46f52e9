//! A connection that its parser gives back, one whose beginning is lost, and a skip that the end of
//! the stream cuts short.

use wirespan_capture::Verdict;
use wirespan_runtime::{Engine, EngineConfig, Limits, Origin, ParsedSpan};
use wirespan_span::Status;
use wirespan_stream::Role;

use crate::bench::{Bench, CLOSE, DATA, GAP, GUEST, Guest, OPEN, SKIPPED, add_section, encode};

/// A built-in parser that gives back what begins with `Z`, and a plugin that gives back `second`.
fn two(second: char) -> Bench {
    let engine = Engine::new(&EngineConfig::default()).unwrap();
    let first = engine.load("test", &Guest::default().component()).unwrap();
    let text = GUEST
        .replace("$NAME_LEN", "4")
        .replace("$NAME", "next")
        .replace("$DESCRIBE", "")
        .replace("$START", "")
        .replace("(i32.const 90)", &format!("(i32.const {})", second as u32));
    let mut component = encode(&text);
    add_section(&mut component, "wirespan:parser", b"0.1");
    let next = engine.load("next", &component).unwrap();
    let parsers = vec![(first, Origin::BuiltIn), (next, Origin::Plugin)];
    Bench::of(engine, parsers, Limits::default())
}

#[test]
fn what_a_parser_gives_back_goes_to_the_next_one_from_its_first_byte() {
    let mut bench = two('Q');
    bench.open(1, 100);
    bench.client(1, 110, b"Zebra");
    bench.run();
    bench.server(1, 120, b"stripes");
    let told: Vec<_> = bench.run();
    let by_next: Vec<_> = bench
        .output
        .spans
        .iter()
        .filter(|parsed| parsed.span.parser.starts_with("next"))
        .map(|parsed| parsed.span.name.to_string())
        .collect();
    assert!(by_next.contains(&"Zebra".to_owned()), "{told:?}");
    assert!(by_next.contains(&"stripes".to_owned()), "{told:?}");
    let next = bench.counters.parser("next@1.0.0");
    assert_eq!(
        (bench.parser.recognised.get(), next.recognised.get()),
        (1, 1)
    );
    assert_eq!((bench.parser.not_mine.get(), next.not_mine.get()), (1, 0));
    assert_eq!(bench.counters.unknown.get(), 0);
    assert_eq!(bench.verdicts(), [Verdict::Wanted, Verdict::Wanted]);
}

#[test]
fn what_is_given_back_twice_is_let_go_and_counted() {
    let mut bench = two('Z');
    bench.open(1, 100);
    bench.client(1, 110, b"Zebra");
    bench.run();
    let next = bench.counters.parser("next@1.0.0");
    assert_eq!((bench.parser.not_mine.get(), next.not_mine.get()), (1, 1));
    assert_eq!(bench.counters.unknown.get(), 1);
    assert_eq!(
        bench.verdicts(),
        [Verdict::Wanted, Verdict::Wanted, Verdict::Ignored]
    );
    let spans = bench.output.spans.len();
    bench.client(1, 120, b"nothing of this is looked at");
    bench.close(1, 130);
    bench.run();
    assert_eq!(bench.output.spans.len(), spans);
    assert_eq!(
        (bench.worker.connections(), bench.worker.retained_bytes()),
        (0, 0)
    );
}

/// Which of the two comes first depends on the batch, and that is not told apart.
#[test]
fn a_side_that_begins_with_a_loss_is_opened_alike_before_and_after_the_loss_is_known() {
    let opened = |at_once: bool| {
        let mut bench = Bench::new();
        bench.open(1, 100);
        bench.server(1, 110, b"answer");
        if !at_once {
            bench.run();
        }
        bench.gap(1, 120, 50);
        bench.run();
        let open = |parsed: &&ParsedSpan| parsed.span.flags.0 == OPEN;
        let spans: Vec<_> = bench.output.spans.iter().filter(open).collect();
        assert_eq!(spans.len(), 1);
        spans[0].span.status
    };
    assert_eq!(
        (opened(true), opened(false)),
        (Status::Unset, Status::Unset)
    );
    let mut bench = Bench::new();
    bench.open_as(1, 100, Some(Role::Server), true);
    bench.server(1, 110, b"answer");
    bench.run();
    assert_eq!(bench.output.spans[0].span.status, Status::Ok);
}

#[test]
fn a_loss_before_anything_was_recognised_is_shown_to_whoever_takes_the_connection() {
    let mut bench = Bench::new();
    bench.open(1, 100);
    bench.gap(1, 110, 10);
    bench.client(1, 120, b"and on");
    bench.server(1, 130, b"answer");
    let kinds: Vec<u16> = bench.run().iter().map(|(_, _, kind)| *kind).collect();
    assert_eq!(kinds, [OPEN, GAP, DATA, DATA]);
}

#[test]
fn a_skip_that_the_end_cuts_short_tells_how_far_it_came() {
    let mut bench = Bench::new();
    bench.open(1, 100);
    bench.client(1, 110, b"Head");
    bench.run();
    bench.client(1, 120, &[b'x'; 300]);
    bench.client(1, 130, &[b'x'; 200]);
    bench.close(1, 140);
    let kinds: Vec<u16> = bench.run().iter().map(|(_, _, kind)| *kind).collect();
    assert_eq!(kinds, [SKIPPED, CLOSE]);
    let skipped = &bench.output.spans[bench.output.spans.len() - 2].span;
    assert_eq!(skipped.start_unix_nano, 130, "when its last byte passed");
}
