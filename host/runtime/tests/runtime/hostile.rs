//! Parsers that loop, trap, grow and lie, and what that costs their neighbours.

use std::time::Duration;

use crate::bench::{Bench, CLOSE, DATA, Guest, OPEN, RESTART, data};
use wirespan_capture::Verdict;
use wirespan_runtime::{Engine, EngineConfig, Limits, Origin};

/// One instance, so that all connections are neighbours.
fn one_instance() -> Limits {
    Limits {
        instances: 1,
        ..Limits::default()
    }
}

#[test]
fn a_well_behaved_guest_reports_each_event() {
    let mut bench = Bench::new();
    bench.open(1, 100);
    bench.client(1, 110, b"hello");
    bench.server(1, 120, b"world");
    bench.close(1, 130);
    let spans = bench.run();
    let expected = [
        (1, "test".into(), OPEN),
        (1, "hello".into(), DATA),
        (1, "world".into(), DATA),
        (1, "test".into(), CLOSE & 0x1ff),
    ];
    assert_eq!(spans, expected);
    assert_eq!(bench.verdicts(), [Verdict::Wanted]);
    assert_eq!(
        (bench.worker.connections(), bench.worker.retained_bytes()),
        (0, 0)
    );
}

/// Command of the guest, counter.
const FAULTS: [(&[u8], &str); 8] = [
    (b"T trap", "trap"),
    (b"L loop", "deadline"),
    (b"M memory", "memory"),
    (b"R recursion", "stack"),
    (b"S slice", "nonsense"),
    (b"G gigabyte", "nonsense"),
    (b"C connection", "nonsense"),
    (b"K consumes", "nonsense"),
];

#[test]
fn a_fault_costs_the_connection_that_set_it_off_and_its_neighbours_go_on() {
    for (command, cause) in FAULTS {
        let mut bench = Bench::with(one_instance());
        for id in 1..=3 {
            bench.open(id, 100);
            bench.client(id, 110, b"before");
        }
        assert_eq!(data(&bench.run()).len(), 3);
        bench.client(1, 200, b"one");
        bench.client(2, 201, command);
        bench.client(3, 202, b"three");
        let spans = bench.run();
        let name = String::from_utf8_lossy(command);
        assert_eq!(data(&spans), [(1, "one"), (3, "three")], "{name}");
        assert!(
            spans.iter().all(|(_, _, kind)| kind & RESTART != 0),
            "{name}: {spans:?}"
        );
        // The first fault threw the batch away, the second found the culprit.
        assert_eq!(bench.faults(), [(cause, 2)], "{name}");
        assert_eq!(bench.dropped(), [(cause, 1)], "{name}");
        assert!(bench.verdicts().contains(&Verdict::Ignored), "{name}");
        // After that the neighbours are as before, and the culprit is not heard of again.
        for id in 1..=3 {
            bench.client(id, 300, b"after");
            bench.close(id, 310);
        }
        let spans = bench.run();
        assert_eq!(data(&spans), [(1, "after"), (3, "after")], "{name}");
        bench.open(4, 400);
        bench.client(4, 410, b"fresh");
        let spans = bench.run();
        assert_eq!(
            spans,
            [(4, "test".into(), OPEN), (4, "fresh".into(), DATA)],
            "{name}"
        );
        assert_eq!(bench.worker.connections(), 1, "{name}");
    }
}

#[test]
fn a_connection_that_was_new_in_the_batch_has_lost_nothing() {
    let mut bench = Bench::with(one_instance());
    bench.open(1, 100);
    bench.client(1, 110, b"T trap");
    bench.open(2, 100);
    bench.client(2, 110, b"new");
    let spans = bench.run();
    assert_eq!(spans, [(2, "test".into(), OPEN), (2, "new".into(), DATA)]);
    assert_eq!(bench.parser.restarted.get(), 0);
}

#[test]
fn connections_of_the_other_instance_do_not_notice() {
    let mut bench = Bench::with(Limits {
        instances: 2,
        ..Limits::default()
    });
    for id in 1..=2 {
        bench.open(id, 100);
        bench.client(id, 110, b"before");
    }
    bench.run();
    bench.client(1, 200, b"T trap");
    bench.client(2, 200, b"other");
    let spans = bench.run();
    assert_eq!(spans, [(2, "other".into(), DATA)]);
}

/// CPU time of this thread: that is what a budget is of.
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap()
}

#[test]
fn a_loop_is_ended_within_twice_its_budget() {
    let budget = Duration::from_millis(40);
    let mut bench = Bench::with(Limits {
        process_budget: budget,
        ..one_instance()
    });
    bench.open(1, 100);
    bench.client(1, 110, b"L loop");
    let started = thread_time();
    bench.run();
    // Two calls: the batch, and the connection alone. What ends them is another thread, which may have to
    // wait for a processor.
    let spent = thread_time() - started;
    assert!(spent >= budget * 2, "{spent:?}");
    assert!(spent < budget * 2 * 2 + Duration::from_secs(2), "{spent:?}");
    assert_eq!(bench.dropped(), [("deadline", 1)]);
}

#[test]
fn a_span_per_byte_is_nonsense_and_an_impossible_time_is_left_out() {
    let mut bench = Bench::with(one_instance());
    bench.open(1, 100);
    bench.client(1, 110, b"B many");
    bench.open(2, 100);
    bench.client(2, 110, b"J time");
    let spans = bench.run();
    assert_eq!(spans, [(2, "test".into(), OPEN)]);
    assert_eq!(bench.dropped(), [("nonsense", 1)]);
    assert_eq!(bench.parser.impossible_times.get(), 1);
}

#[test]
fn text_that_is_not_utf8_is_replaced_and_counted() {
    let mut bench = Bench::new();
    bench.open(1, 100);
    bench.client(1, 110, b"a\xffb");
    assert_eq!(data(&bench.run()), [(1, "a\u{fffd}b")]);
    assert_eq!(bench.parser.invalid_text.get(), 1);
}

#[test]
fn a_trap_in_recognise_costs_no_connection_anything() {
    let mut bench = Bench::with(one_instance());
    bench.open(1, 100);
    bench.client(1, 110, b"fine");
    bench.run();
    bench.open(2, 100);
    bench.client(2, 110, b"!trap");
    bench.client(1, 120, b"still");
    let spans = bench.run();
    assert_eq!(spans, [(1, "still".into(), DATA)]);
    assert_eq!(bench.faults(), [("trap", 1)]);
    assert_eq!(bench.counters.unknown.get(), 1);
}

#[test]
fn a_parser_that_fails_again_and_again_is_suspended_and_then_disabled() {
    let limits = Limits {
        faults: 4,
        suspensions: 2,
        suspension: Duration::from_nanos(1000),
        ..one_instance()
    };
    let mut bench = Bench::with(limits);
    let mut time = 100;
    let mut id = 0;
    for _ in 0..30 {
        id += 1;
        time += 10_000;
        bench.open(id, time);
        bench.client(id, time, b"T trap");
        bench.run();
    }
    assert_eq!(
        (bench.parser.suspensions.get(), bench.parser.disabled.get()),
        (3, 1)
    );
    id += 1;
    bench.open(id, time * 10);
    bench.client(id, time * 10, b"fine");
    assert_eq!(bench.run(), []);
    assert_eq!(bench.faults(), [("trap", 12)]);
}

#[test]
fn a_suspended_parser_comes_back() {
    let limits = Limits {
        faults: 2,
        suspension: Duration::from_nanos(1000),
        ..one_instance()
    };
    let mut bench = Bench::with(limits);
    bench.open(1, 100);
    bench.client(1, 110, b"neighbour");
    bench.run();
    bench.open(2, 120);
    bench.client(2, 130, b"T trap");
    bench.run();
    assert_eq!(
        (bench.parser.suspensions.get(), bench.parser.let_go.get()),
        (1, 1)
    );
    bench.open(3, 200);
    bench.client(3, 210, b"left");
    assert_eq!(bench.run(), []);
    bench.open(4, 5000);
    bench.client(4, 5010, b"back");
    assert_eq!(data(&bench.run()), [(4, "back")]);
}

#[test]
fn a_plugin_that_fails_leaves_another_parser_alone() {
    let engine = Engine::new(&EngineConfig::default()).unwrap();
    let good = engine.load("good", &Guest::default().component()).unwrap();
    let bad = engine
        .load(
            "evil",
            &Guest {
                name: "evil",
                ..Guest::default()
            }
            .component(),
        )
        .unwrap();
    let mut bench = Bench::of(
        engine,
        vec![(bad, Origin::Plugin), (good, Origin::BuiltIn)],
        one_instance(),
    );
    bench.open(1, 100);
    bench.client(1, 110, b"mine");
    let spans = bench.run();
    assert_eq!(spans[0].1, "test", "the built-in one goes first");
}
