use std::ops::{Deref, DerefMut};

use super::*;

/// A side of which every byte is accounted for after each step.
struct Accounted {
    side: Side,
    ledger: Ledger,
}

impl Accounted {
    fn at(position: Option<u64>) -> Self {
        Self {
            side: Side::at(position),
            ledger: Ledger::default(),
        }
    }

    fn check(&self) {
        let ledger = &self.ledger;
        assert_eq!(
            ledger.received,
            ledger.gone() + self.side.retained as u64,
            "{ledger:?}"
        );
        let there: usize = self.side.segments.iter().map(Segment::bytes).sum();
        assert_eq!(there, self.side.retained);
    }

    /// How many bytes were dropped as not wanted, and the skip that ended.
    fn push(&mut self, segment: Segment) -> (u64, Option<Skipped>) {
        let before = self.ledger.of(Fate::Skipped);
        let skipped = self.side.push(segment, &mut self.ledger);
        self.check();
        (self.ledger.of(Fate::Skipped) - before, skipped)
    }

    fn consume(&mut self, position: u64) -> bool {
        let progress = self.side.consume(position, &mut self.ledger);
        self.check();
        progress
    }

    fn skip(&mut self, position: u64) -> Option<Skipped> {
        let skipped = self.side.skip(position, &mut self.ledger);
        self.check();
        skipped
    }

    fn drop_first(&mut self) {
        self.side.drop_first(&mut self.ledger);
        self.check();
    }

    fn drop_retained(&mut self) -> usize {
        let dropped = self.side.drop_retained(&mut self.ledger);
        self.check();
        dropped
    }
}

impl Deref for Accounted {
    type Target = Side;

    fn deref(&self) -> &Side {
        &self.side
    }
}

impl DerefMut for Accounted {
    fn deref_mut(&mut self) -> &mut Side {
        &mut self.side
    }
}

fn data(position: u64, len: usize) -> Segment {
    Segment {
        position,
        time: position + 1,
        order: position,
        content: Content::Bytes {
            bytes: Bytes::from(vec![b'x'; len]),
            unordered: false,
        },
    }
}

fn gap(position: u64, len: u64) -> Segment {
    gap_at(position, len, 1)
}

fn gap_at(position: u64, len: u64, time: Nanos) -> Segment {
    Segment {
        position,
        time,
        order: position,
        content: Content::Gap {
            len,
            cause: Cause::Lost,
        },
    }
}

#[test]
fn the_first_bytes_place_a_side_whose_beginning_is_not_known() {
    let mut side = Accounted::at(None);
    side.push(data(1000, 10));
    assert_eq!((side.floor, side.end, side.retained), (1000, 1010, 10));
}

#[test]
fn what_is_not_consumed_stays() {
    let mut side = Accounted::at(Some(0));
    side.push(data(0, 10));
    side.push(data(10, 10));
    assert!(side.consume(13));
    assert_eq!(
        (
            side.retained,
            side.segments.len(),
            side.segments[0].position
        ),
        (7, 1, 13)
    );
    assert!(!side.consume(13));
    assert!(side.consume(20));
    assert!(side.segments.is_empty());
}

#[test]
fn a_gap_goes_with_the_bytes_before_it_and_stays_while_they_stay() {
    let mut side = Accounted::at(Some(0));
    side.push(data(0, 10));
    side.push(gap(10, 5));
    side.push(data(15, 10));
    side.seen = 25;
    side.consume(9);
    assert_eq!(side.segments.len(), 3);
    side.consume(10);
    assert_eq!((side.segments.len(), side.floor), (1, 15));
}

#[test]
fn a_gap_that_was_not_shown_is_not_passed() {
    let mut side = Accounted::at(Some(0));
    side.push(data(0, 10));
    side.seen = 10;
    side.push(gap(10, 5));
    side.skip(10);
    assert_eq!((side.segments.len(), side.floor), (1, 10));
}

#[test]
fn a_skip_ahead_drops_what_arrives_and_tells_once() {
    let mut side = Accounted::at(Some(0));
    side.push(data(0, 10));
    assert_eq!(side.skip(100), None);
    assert_eq!(side.push(data(10, 50)), (50, None));
    let (dropped, skipped) = side.push(data(60, 50));
    assert_eq!(dropped, 40);
    assert_eq!(
        skipped,
        Some(Skipped {
            from: 0,
            to: 100,
            time: 61,
            order: 60
        })
    );
    assert_eq!((side.retained, side.segments[0].position), (10, 100));
    assert_eq!(side.push(data(110, 1)), (0, None));
}

#[test]
fn a_skip_that_ends_exactly_where_data_ends_is_told() {
    let mut side = Accounted::at(Some(0));
    side.skip(10);
    let (dropped, skipped) = side.push(gap(0, 10));
    assert_eq!((dropped, skipped.map(|s| s.to)), (0, Some(10)));
    assert!(side.segments.is_empty());
}

#[test]
fn a_skip_within_what_is_there_is_told_at_once() {
    let mut side = Accounted::at(Some(0));
    side.push(data(0, 10));
    side.push(data(10, 10));
    let skipped = side.skip(15).unwrap();
    assert_eq!((skipped.time, skipped.to), (11, 15));
    assert_eq!(side.retained, 5);
}

#[test]
fn a_skip_over_gaps_ends_when_the_last_of_them_came_whether_asked_for_before_or_after() {
    let body = [
        data(0, 10),
        gap_at(10, 40, 20),
        gap_at(50, 50, 30),
        data(100, 5),
    ];
    let mut early = Accounted::at(Some(0));
    let [head, first, second, next] = body.clone();
    early.push(head);
    early.skip(100);
    early.push(first);
    let (_, told) = early.push(second);
    early.push(next);
    let mut late = Accounted::at(Some(0));
    for segment in body {
        late.push(segment);
    }
    assert_eq!(late.skip(100), told);
    assert_eq!(told.map(|skipped| skipped.time), Some(30));
    assert_eq!(late.segments.len(), early.segments.len());
}

#[test]
fn gaps_of_different_times_are_presented_apart_and_joined_only_when_there_are_many() {
    let mut side = Accounted::at(Some(0));
    for number in 0..10_000 {
        side.push(gap_at(number, 1, number + 1));
    }
    assert_eq!(side.segments.len(), SEGMENTS_WITH_GAPS_APART);
    assert_eq!(side.segments[7].time, 8);
    side.compact(64);
    assert_eq!((side.segments.len(), side.segments[0].len()), (1, 10_000));
    let mut side = Accounted::at(Some(0));
    side.push(gap_at(0, 1, 1));
    side.push(gap_at(1, 1, 2));
    side.push(data(2, 1));
    side.drop_first();
    assert!(!side.begins_with_gap());
}

#[test]
fn a_skip_that_is_not_reached_ends_when_the_last_of_it_came() {
    // All of it was there when it was asked for, or some came later.
    for later in [0, 1] {
        let mut side = Accounted::at(Some(0));
        side.push(data(0, 10));
        if later == 0 {
            side.push(data(10, 5));
        }
        assert_eq!(side.skip(100), None);
        if later == 1 {
            side.push(data(10, 5));
        }
        let stopped = side.stop_skip().unwrap();
        assert_eq!((stopped.to, stopped.time), (15, 11));
    }
}

#[test]
fn a_skip_ends_in_a_hole_that_nobody_named() {
    let mut side = Accounted::at(Some(0));
    side.push(data(0, 10));
    side.skip(100);
    let (_, skipped) = side.push(data(120, 5));
    assert_eq!(skipped.map(|s| (s.to, s.time)), Some((100, 121)));
    assert_eq!(side.segments[0].position, 100);
}

#[test]
fn joining_marks_keeps_bytes_and_the_earlier_time() {
    let mut side = Accounted::at(Some(0));
    for position in 0..9 {
        side.push(data(position, 1));
    }
    side.compact(8);
    assert_eq!(side.segments.len(), 5);
    assert_eq!(
        (
            side.segments[1].position,
            side.segments[1].time,
            side.retained
        ),
        (2, 3, 9)
    );
    let mut prefix = Vec::new();
    side.prefix(100, &mut prefix);
    assert_eq!(prefix.len(), 9);
}

#[test]
fn a_message_that_drips_is_presented_less_and_less_often() {
    let mut side = Accounted::at(Some(0));
    let mut presentations = 0;
    for position in 0..10_000 {
        side.push(data(position, 1));
        if side.ready() {
            presentations += 1;
            side.presented();
            side.compact(64);
        }
    }
    assert!(presentations < 150, "{presentations}");
}

#[test]
fn what_is_dropped_for_the_limit_becomes_a_gap_of_exact_length() {
    let mut side = Accounted::at(Some(0));
    side.push(data(0, 10));
    side.consume(4);
    side.push(data(10, 10));
    assert_eq!(side.drop_retained(), 16);
    assert_eq!((side.segments[0].position, side.segments[0].len()), (4, 16));
    assert_eq!(side.retained, 0);
}
