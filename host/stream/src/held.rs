//! Stretches of one direction that wait behind a hole.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::counters::Counters;
use crate::event::{GapCause, Nanos};
use crate::limits::SEGMENT_COST;

#[derive(Debug)]
pub(crate) enum Content {
    Bytes(Bytes),
    Missing { len: u64, cause: GapCause },
}

/// A stretch of the stream. Held stretches never overlap.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) content: Content,
    pub(crate) time: Nanos,
}

impl Segment {
    pub(crate) fn len(&self) -> u64 {
        match &self.content {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Missing { len, .. } => *len,
        }
    }

    /// Memory it takes.
    fn cost(&self) -> usize {
        match &self.content {
            Content::Bytes(bytes) => bytes.len().saturating_add(SEGMENT_COST),
            Content::Missing { .. } => SEGMENT_COST,
        }
    }
}

/// Segments by position, none of which overlap: the first copy of a byte wins, and bytes win over
/// the knowledge that they are missing.
#[derive(Debug, Default)]
pub(crate) struct Held {
    segments: BTreeMap<u64, Segment>,
    cost: usize,
}

impl Held {
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Memory it takes.
    pub(crate) fn cost(&self) -> usize {
        self.cost
    }

    /// Position and time of the first segment.
    pub(crate) fn first(&self) -> Option<(u64, Nanos)> {
        let (start, segment) = self.segments.first_key_value()?;
        Some((*start, segment.time))
    }

    pub(crate) fn add_bytes(
        &mut self,
        position: u64,
        bytes: &[u8],
        time: Nanos,
        counters: &mut Counters,
    ) {
        let end = position.saturating_add(bytes.len() as u64);
        let mut cursor = position;
        while cursor < end {
            let new = |from: u64, to: u64| {
                part(
                    bytes,
                    from.saturating_sub(position),
                    to.saturating_sub(position),
                )
            };
            match self.covering(cursor) {
                Some((start, covered)) => {
                    let stop = covered.min(end);
                    counters.duplicates = counters
                        .duplicates
                        .saturating_add(stop.saturating_sub(cursor));
                    if !self.contradicts(start, cursor, new(cursor, stop)) {
                        // The same bytes, or bytes where there were none.
                        if self.carve_missing(start, cursor, stop, counters) {
                            self.put(
                                cursor,
                                Content::Bytes(Bytes::copy_from_slice(new(cursor, stop))),
                                time,
                                counters,
                            );
                        }
                    } else {
                        counters.contradictory = counters
                            .contradictory
                            .saturating_add(stop.saturating_sub(cursor));
                    }
                    cursor = stop;
                }
                None => {
                    let stop = self
                        .segments
                        .range(cursor..)
                        .next()
                        .map_or(end, |(start, _)| end.min(*start));
                    // A copy: a slice would keep alive the buffer of all its neighbours.
                    self.put(
                        cursor,
                        Content::Bytes(Bytes::copy_from_slice(new(cursor, stop))),
                        time,
                        counters,
                    );
                    cursor = stop;
                }
            }
        }
    }

    /// Fills only what nothing is known of.
    pub(crate) fn add_missing(
        &mut self,
        position: u64,
        end: u64,
        cause: GapCause,
        time: Nanos,
        counters: &mut Counters,
    ) {
        let mut cursor = position;
        while cursor < end {
            let stop = match self.covering(cursor) {
                Some((_, covered)) => {
                    let stop = covered.min(end);
                    counters.duplicates = counters
                        .duplicates
                        .saturating_add(stop.saturating_sub(cursor));
                    stop
                }
                None => {
                    let stop = self
                        .segments
                        .range(cursor..)
                        .next()
                        .map_or(end, |(start, _)| end.min(*start));
                    self.put(
                        cursor,
                        Content::Missing {
                            len: stop.saturating_sub(cursor),
                            cause,
                        },
                        time,
                        counters,
                    );
                    stop
                }
            };
            cursor = stop;
        }
    }

    /// The held segment that `position` lies in: its start and its end.
    fn covering(&self, position: u64) -> Option<(u64, u64)> {
        let (start, segment) = self.segments.range(..=position).next_back()?;
        let end = start.saturating_add(segment.len());
        (end > position).then_some((*start, end))
    }

    /// Whether the segment at `start` holds other bytes at `position` than these.
    fn contradicts(&self, start: u64, position: u64, bytes: &[u8]) -> bool {
        match self.segments.get(&start) {
            Some(Segment {
                content: Content::Bytes(held),
                ..
            }) => {
                let from = position.saturating_sub(start);
                part(held, from, from.saturating_add(bytes.len() as u64)) != bytes
            }
            _ => false,
        }
    }

    /// Removes `from..to` of the segment at `start` if it has no bytes; whether it had none.
    fn carve_missing(&mut self, start: u64, from: u64, to: u64, counters: &mut Counters) -> bool {
        let Some(Segment {
            content: Content::Missing { len, cause },
            time,
        }) = self.segments.get(&start)
        else {
            return false;
        };
        let (len, cause, time) = (*len, *cause, *time);
        self.remove(start, counters);
        let end = start.saturating_add(len);
        for (left, right) in [(start, from), (to, end)] {
            if left < right {
                self.put(
                    left,
                    Content::Missing {
                        len: right.saturating_sub(left),
                        cause,
                    },
                    time,
                    counters,
                );
            }
        }
        true
    }

    fn put(&mut self, position: u64, content: Content, time: Nanos, counters: &mut Counters) {
        let segment = Segment { content, time };
        counters.held = counters.held.saturating_add(segment.len());
        counters.held_cost = counters.held_cost.saturating_add(segment.cost());
        self.cost = self.cost.saturating_add(segment.cost());
        self.segments.insert(position, segment);
    }

    pub(crate) fn remove(&mut self, position: u64, counters: &mut Counters) -> Option<Segment> {
        let segment = self.segments.remove(&position)?;
        counters.held = counters.held.saturating_sub(segment.len());
        counters.held_cost = counters.held_cost.saturating_sub(segment.cost());
        self.cost = self.cost.saturating_sub(segment.cost());
        Some(segment)
    }

    /// Removes what lies below `next`: it was handed on before.
    pub(crate) fn cut_below(&mut self, next: u64, counters: &mut Counters) {
        while let Some((&start, segment)) = self.segments.first_key_value() {
            let end = start.saturating_add(segment.len());
            if start >= next {
                break;
            }
            let Some(segment) = self.remove(start, counters) else {
                break;
            };
            counters.duplicates = counters
                .duplicates
                .saturating_add(next.min(end).saturating_sub(start));
            if end > next {
                let content = match segment.content {
                    Content::Bytes(bytes) => Content::Bytes(Bytes::copy_from_slice(part(
                        &bytes,
                        next.saturating_sub(start),
                        u64::MAX,
                    ))),
                    Content::Missing { cause, .. } => Content::Missing {
                        len: end.saturating_sub(next),
                        cause,
                    },
                };
                self.put(next, content, segment.time, counters);
            }
        }
    }

    /// Forgets everything: it is the ciphertext of what comes as plaintext.
    pub(crate) fn discard(&mut self, counters: &mut Counters) {
        counters.held_cost = counters.held_cost.saturating_sub(self.cost);
        for segment in std::mem::take(&mut self.segments).into_values() {
            counters.held = counters.held.saturating_sub(segment.len());
            counters.ciphertext = counters.ciphertext.saturating_add(segment.len());
        }
        self.cost = 0;
    }
}

/// `from..to` of `bytes`, as far as there is.
pub(crate) fn part(bytes: &[u8], from: u64, to: u64) -> &[u8] {
    let clamp = |position: u64| {
        usize::try_from(position)
            .unwrap_or(usize::MAX)
            .min(bytes.len())
    };
    bytes.get(clamp(from)..clamp(to)).unwrap_or_default()
}
