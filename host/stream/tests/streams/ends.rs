//! Ends and closes.

use super::*;

#[test]
fn the_end_is_reported_when_the_stream_is_there() {
    let mut table = Table::default();
    table.push(open());
    let end = End {
        key: KEY,
        direction: Direction::Received,
        time: 2,
        position: Some(10),
    };
    table.push(data(Direction::Received, 5, b"world", 1));
    table.push(SocketEvent::End(end));
    assert_eq!(table.order(), "O");
    table.push(data(Direction::Received, 0, b"hello", 3));
    assert_eq!(table.stream(Direction::Received), "helloworld$");
}

#[test]
fn the_close_tells_what_was_missed_last() {
    let mut table = Table::default();
    table.push(open());
    table.push(data(Direction::Received, 0, b"hello", 1));
    table.push(close(2, [Some(0), Some(9)]));
    assert_eq!(table.order(), "Or", "a straggler may still come");
    table.tick(20 * MILLISECOND);
    assert_eq!(table.stream(Direction::Received), "hello[4 Unknown]");
    assert_eq!(table.order(), "OrgC");
    assert!(table.connections.is_empty());
}

/// The source can say that it has not seen everything: an answer that is not here may have come.
#[test]
fn a_connection_that_is_cut_off_may_have_had_more() {
    let mut table = Table::default();
    table.push(open());
    table.push(data(Direction::Received, 0, b"hello", 1));
    table.push(SocketEvent::Close(Close {
        key: KEY,
        time: 2,
        reason: CloseReason::CutOff,
        positions: [Some(0), Some(5)],
    }));
    table.tick(20 * MILLISECOND);
    assert_eq!(table.stream(Direction::Received), "hello[? Unknown]");
    assert_eq!(table.stream(Direction::Sent), "[? Unknown]");
    assert_eq!(table.order(), "OrggC");
}

#[test]
fn a_straggler_before_the_patience_ends_completes_a_closed_connection() {
    let mut table = Table::default();
    table.push(open());
    table.push(close(2, [Some(0), Some(5)]));
    table.push(data(Direction::Received, 0, b"hello", 1));
    table.tick(20 * MILLISECOND);
    assert_eq!(table.stream(Direction::Received), "hello");
    table.push(data(Direction::Received, 5, b"late", 1));
    assert_eq!(table.connections.counters().stray, 4);
    assert!(
        table.connections.is_empty(),
        "a straggler does not open a connection again"
    );
}

#[test]
fn a_connection_that_was_at_rest_goes_on_as_if_it_had_not_been() {
    const LONG: Nanos = 10_000 * MILLISECOND;
    let end = SocketEvent::End(End {
        key: KEY,
        direction: Direction::Received,
        position: Some(13),
        time: 8 * LONG,
    });
    let close = SocketEvent::Close(Close {
        key: KEY,
        time: 9 * LONG,
        reason: CloseReason::Finished,
        positions: [Some(9), Some(13)],
    });
    let events = [
        open(),
        data(Direction::Received, 0, b"one", LONG),
        data(Direction::Sent, 0, b"two", 2 * LONG),
        data(Direction::Received, 3, b"three", 3 * LONG),
        // Three bytes are missing in between.
        data(Direction::Sent, 6, b"six", 4 * LONG),
        data(Direction::Received, 8, b"eight", 5 * LONG),
        end,
        data(Direction::Received, 13, b"stray", 8 * LONG + 1),
        close,
    ];
    let run = |rests: bool| {
        let (mut connections, mut out) = (Connections::default(), Vec::new());
        for (event, time) in events.iter().zip((0..).map(|turn| turn * LONG)) {
            connections.push(event.clone(), &mut out);
            // Patience is over in both; time to rest only in one.
            let until = if rests { LONG } else { 20 * MILLISECOND };
            connections.tick(time + until / 2, &mut out);
            connections.tick(time + until - 1, &mut out);
        }
        assert!(connections.is_empty());
        (format!("{out:?}"), format!("{:?}", connections.counters()))
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn a_connection_that_ends_before_what_was_told_of_it_is_no_balanced_one() {
    let mut connections = Connections::default();
    let mut out = Vec::new();
    for event in [
        open(),
        data(Direction::Received, 0, b"hello", 1),
        data(Direction::Sent, 0, b"hi", 2),
        close(3, [Some(2), Some(3)]),
    ] {
        connections.push(event, &mut out);
    }
    let counters = connections.counters();
    assert_eq!((counters.closed, counters.balanced), (1, 0));
    let unbalanced = counters.unbalanced.expect("it is named");
    assert_eq!((unbalanced.key, unbalanced.differences), (KEY, [0, 2]));
    assert!(counters.is_balanced(), "no byte is missing all the same");
}
