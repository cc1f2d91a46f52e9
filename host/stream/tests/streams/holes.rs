//! What is missing, and who waits for it.

use super::*;

#[test]
fn what_was_not_copied_is_a_gap_behind_what_was() {
    let mut table = Table::default();
    table.push(open());
    table.push(shortened(
        Direction::Received,
        0,
        b"abc",
        10,
        Missing::Limit,
        1,
    ));
    table.push(shortened(
        Direction::Received,
        10,
        b"",
        5,
        Missing::Unobserved,
        2,
    ));
    table.push(data(Direction::Received, 15, b"xyz", 3));
    assert_eq!(
        table.stream(Direction::Received),
        "abc[7 Limit][5 Unobserved]xyz"
    );
}

#[test]
fn a_second_copy_with_more_bytes_fills_what_the_first_did_not_have_while_it_waits() {
    let mut table = Table::default();
    table.push(open());
    table.push(shortened(
        Direction::Received,
        5,
        b"fg",
        5,
        Missing::Limit,
        1,
    ));
    table.push(data(Direction::Received, 5, b"fghij", 2));
    table.push(data(Direction::Received, 0, b"abcde", 3));
    assert_eq!(table.stream(Direction::Received), "abcdefghij");
}

#[test]
fn the_first_copy_wins_and_a_contradiction_is_counted() {
    let mut table = Table::default();
    table.push(open());
    table.push(data(Direction::Received, 5, b"fghij", 1));
    table.push(data(Direction::Received, 3, b"deXXh", 2));
    table.push(data(Direction::Received, 0, b"abc", 3));
    assert_eq!(table.stream(Direction::Received), "abcdefghij");
    assert_eq!(table.connections.counters().contradictory, 3);
}

#[test]
fn a_hole_becomes_a_gap_only_after_the_watermark_has_passed_what_is_behind_it() {
    let mut table = Table::default();
    table.push(open());
    table.push(data(Direction::Received, 5, b"world", 100 * MILLISECOND));
    table.tick(105 * MILLISECOND);
    assert_eq!(table.stream(Direction::Received), "");
    table.tick(111 * MILLISECOND);
    assert_eq!(table.stream(Direction::Received), "[5 Unknown]world");
    table.push(data(Direction::Received, 0, b"hello", 90 * MILLISECOND));
    assert_eq!(table.stream(Direction::Received), "[5 Unknown]world");
    assert_eq!(table.connections.counters().duplicates, 5);
}

#[test]
fn the_other_direction_waits_while_one_has_a_hole() {
    // It is filled.
    let mut table = Table::default();
    table.push(open());
    table.push(data(Direction::Received, 5, b"world", 1));
    table.push(data(Direction::Sent, 0, b"answer", 2));
    assert_eq!(table.order(), "O");
    table.push(data(Direction::Received, 0, b"hello", 1));
    assert_eq!(table.order(), "Orrs");
    // It is not.
    let mut table = Table::default();
    table.push(open());
    table.push(data(Direction::Received, 5, b"world", 1));
    table.push(data(Direction::Sent, 0, b"answer", 2));
    table.push(data(Direction::Received, 10, b"!", 3));
    table.tick(11 * MILLISECOND);
    assert_eq!(table.order(), "Ogrsr");
}

#[test]
fn an_answer_waits_while_it_is_open_whether_the_acknowledged_request_was_captured() {
    // The segment comes after its acknowledgement.
    let mut table = Table::default();
    table.push(open());
    table.push(confirmed(Direction::Received, 0, 0));
    table.push(confirmed(Direction::Received, 7, 1));
    table.push(data(Direction::Sent, 0, b"answer", 2));
    assert_eq!(table.order(), "O");
    table.push(data(Direction::Received, 0, b"request", 3));
    assert_eq!(table.order(), "Ors");
    // It never comes.
    let mut table = Table::default();
    table.push(open());
    table.push(confirmed(Direction::Received, 7, 1));
    table.push(data(Direction::Sent, 0, b"answer", 2));
    table.push(data(Direction::Received, 7, b"next", 60 * MILLISECOND));
    assert_eq!(table.order(), "Ogsr");
    assert_eq!(table.stream(Direction::Received), "[7 Packet]next");
}

#[test]
fn an_unacknowledged_hole_in_packets_waits_for_the_retransmission() {
    let mut table = Table::default();
    table.push(open());
    table.push(confirmed(Direction::Received, 0, 0));
    table.push(data(Direction::Received, 5, b"world", 1));
    table.tick(3_000 * MILLISECOND);
    table.push(data(Direction::Received, 0, b"hello", 3_000 * MILLISECOND));
    assert_eq!(table.stream(Direction::Received), "helloworld");
}

#[test]
fn positions_that_are_unknown_at_the_opening_come_with_the_first_data() {
    let mut table = Table::default();
    table.push(open_at(KEY, 0, [None, None]));
    table.push(data(Direction::Sent, 1_000, b"abc", 1));
    table.push(data(Direction::Sent, 1_003, b"def", 2));
    assert_eq!(table.stream(Direction::Sent), "abcdef");
}

#[test]
fn a_direction_of_unknown_position_that_had_to_wait_begins_with_what_waited() {
    for finished in [false, true] {
        let mut table = Table::default();
        table.push(open_at(KEY, 0, [None, Some(0)]));
        table.push(confirmed(Direction::Received, 7, 1));
        table.push(data(Direction::Sent, 500, b"answer", 2));
        assert_eq!(table.order(), "O");
        if finished {
            table.finish(3);
            assert_eq!(table.order(), "OgsC");
        } else {
            table.push(data(Direction::Received, 0, b"request", 3));
            assert_eq!(table.order(), "Ors");
        }
        assert_eq!(table.stream(Direction::Sent), "answer");
    }
}
