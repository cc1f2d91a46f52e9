//! One direction of a connection: what arrived and is not consumed yet.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use wirespan_stream::Nanos;

use crate::bindings::Cause;
use crate::ledger::{Fate, Ledger};

/// Gaps in a row stay apart, for each has its time and the end of a skip may lie in any of them; a side
/// with more segments than this joins them. As many as a batch has events: nobody looks at a side for
/// longer than that, unless nothing of it was ever copied.
const SEGMENTS_WITH_GAPS_APART: usize = 512;

/// A stretch of the stream. Segments of a side follow each other without a hole.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) position: u64,
    pub(crate) time: Nanos,
    /// Orders it among everything of its connection.
    pub(crate) order: u64,
    pub(crate) content: Content,
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    Bytes { bytes: Bytes, unordered: bool },
    Gap { len: u64, cause: Cause },
}

impl Segment {
    pub(crate) fn len(&self) -> u64 {
        match &self.content {
            Content::Bytes { bytes, .. } => bytes.len() as u64,
            Content::Gap { len, .. } => *len,
        }
    }

    fn end(&self) -> u64 {
        self.position.saturating_add(self.len())
    }

    /// Those that are there.
    fn bytes(&self) -> usize {
        match &self.content {
            Content::Bytes { bytes, .. } => bytes.len(),
            Content::Gap { .. } => 0,
        }
    }

    fn is_gap(&self) -> bool {
        matches!(self.content, Content::Gap { .. })
    }

    /// Takes in a gap of the same cause that follows this one. Whether it is one.
    fn joins_gap(&mut self, next: &Self) -> bool {
        if let Content::Gap { len, cause } = &mut self.content
            && let Content::Gap {
                len: more,
                cause: later,
            } = &next.content
            && cause == later
        {
            *len = len.saturating_add(*more);
            return true;
        }
        false
    }

    /// Drops what lies below `position`, which is within the segment.
    fn cut_front(&mut self, position: u64) {
        let cut = position.saturating_sub(self.position).min(self.len());
        self.position = self.position.saturating_add(cut);
        match &mut self.content {
            Content::Bytes { bytes, .. } => {
                let cut = usize::try_from(cut).unwrap_or(bytes.len()).min(bytes.len());
                let _ = bytes.split_to(cut);
            }
            Content::Gap { len, .. } => *len = len.saturating_sub(cut),
        }
    }
}

/// The stream has reached a position that was skipped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Skipped {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) time: Nanos,
    pub(crate) order: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Side {
    pub(crate) segments: VecDeque<Segment>,
    /// Bytes below are done with; those that still arrive there are dropped.
    pub(crate) floor: u64,
    /// Where the stream has come to.
    pub(crate) end: u64,
    /// `floor` and `end` mean something.
    pub(crate) placed: bool,
    /// Bytes in `segments`.
    pub(crate) retained: usize,
    /// Where a skip began whose end is announced when the stream gets there.
    skip_from: Option<u64>,
    /// Time and order of what was last dropped below a skip.
    dropped: (Nanos, u64),
    /// Not to be presented before the stream is here.
    pub(crate) need: u64,
    /// How far the parser has been shown the stream.
    pub(crate) seen: u64,
    /// The stream has ended.
    pub(crate) ended: bool,
    /// There is something that the parser has not seen.
    pub(crate) fresh: bool,
    /// The parser consumed something in the present call.
    pub(crate) progress: bool,
    /// Presented without anything being consumed, so many times in a row.
    fruitless: u32,
    /// Not to be presented again before the stream is here, or something else happens.
    pub(crate) hold: u64,
    /// Bytes that have arrived and met no fate: as many as are retained.
    unsettled: usize,
    /// Bytes arrived since the last presentation may be copied out of larger buffers.
    compacted: usize,
}

impl Side {
    /// A side that begins at `position`, if that is known.
    pub(crate) fn at(position: Option<u64>) -> Self {
        let place = position.unwrap_or(0);
        Self {
            floor: place,
            end: place,
            placed: position.is_some(),
            ..Self::default()
        }
    }

    fn settle(&mut self, fate: Fate, bytes: usize, ledger: &mut Ledger) {
        ledger.put(fate, bytes);
        // Not saturating: a byte that met two fates must not go unnoticed either.
        self.unsettled = self.unsettled.wrapping_sub(bytes);
    }

    /// Whether each byte that has arrived met one fate, or is retained.
    pub(crate) fn is_balanced(&self) -> bool {
        self.unsettled == self.retained
    }

    /// Begins a new stream at `position`, once nothing is retained of the old one.
    pub(crate) fn begin(&mut self, position: u64) {
        *self = Self {
            unsettled: self.unsettled,
            ..Self::at(Some(position))
        };
    }

    /// Forgets everything but where the stream is and whether it has ended. Without `place`, what
    /// comes next says where it is.
    pub(crate) fn clear(&mut self, place: bool, fate: Fate, ledger: &mut Ledger) {
        self.settle(fate, self.retained, ledger);
        *self = Self {
            ended: self.ended,
            unsettled: self.unsettled,
            ..Self::at((place && self.placed).then_some(self.end))
        };
    }

    /// Takes what arrived. Returns the skip that this ends.
    pub(crate) fn push(&mut self, mut segment: Segment, ledger: &mut Ledger) -> Option<Skipped> {
        let arrived = segment.bytes();
        ledger.receive(arrived);
        self.unsettled = self.unsettled.wrapping_add(arrived);
        if !self.placed {
            (self.floor, self.end, self.placed) = (segment.position, segment.position, true);
        }
        let overlap = self.end.saturating_sub(segment.position);
        if overlap > 0 {
            // Does not happen in an ordered stream; what is there already is not taken twice.
            segment.cut_front(self.end);
            self.settle(
                Fate::Repeated,
                arrived.saturating_sub(segment.bytes()),
                ledger,
            );
        }
        let (start, end) = (segment.position, segment.end());
        if end <= self.end && segment.len() == 0 {
            return None;
        }
        let before = self.end;
        if start > before {
            self.append(Segment {
                position: before,
                time: segment.time,
                order: segment.order,
                content: Content::Gap {
                    len: start.saturating_sub(before),
                    cause: Cause::Lost,
                },
            });
        }
        self.end = end;
        let mut skipped = None;
        if before < self.floor {
            if end >= self.floor {
                skipped = self.skip_from.take().map(|from| Skipped {
                    from,
                    to: self.floor,
                    time: segment.time,
                    order: segment.order,
                });
            }
            self.dropped = (segment.time, segment.order);
        }
        if start < self.floor {
            let wanted = segment.bytes();
            segment.cut_front(self.floor);
            let passed = wanted.saturating_sub(segment.bytes());
            self.settle(Fate::Skipped, passed, ledger);
            if end <= self.floor {
                return skipped;
            }
        }
        self.append(segment);
        skipped
    }

    fn append(&mut self, mut segment: Segment) {
        if segment.position < self.floor {
            segment.cut_front(self.floor);
        }
        if segment.len() == 0 {
            return;
        }
        self.fresh = true;
        if let Content::Bytes { bytes, .. } = &segment.content {
            self.retained = self.retained.saturating_add(bytes.len());
        } else {
            // What is needed will never be here whole.
            self.need = 0;
            let crowded = self.segments.len() >= SEGMENTS_WITH_GAPS_APART;
            if let Some(last) = self.segments.back_mut()
                && (crowded || last.time == segment.time)
                && last.joins_gap(&segment)
            {
                return;
            }
        }
        self.segments.push_back(segment);
    }

    /// A parser has consumed the bytes below `position`. Returns whether that is progress.
    pub(crate) fn consume(&mut self, position: u64, ledger: &mut Ledger) -> bool {
        self.release_below(position, Fate::Parsed, ledger)
    }

    /// Bytes below `position` are done with. Returns whether that is progress.
    fn release_below(&mut self, position: u64, fate: Fate, ledger: &mut Ledger) -> bool {
        let before = self.retained;
        let mut progress = false;
        if position > self.floor {
            progress = true;
            self.progress = true;
            self.floor = position;
            self.fruitless = 0;
            self.hold = 0;
        }
        while let Some(first) = self.segments.front_mut() {
            // A gap goes with the bytes before it.
            let gap = matches!(first.content, Content::Gap { .. });
            if gap && first.position <= self.floor && first.end() <= self.seen {
                self.floor = self.floor.max(first.end());
                progress = true;
                self.progress = true;
            }
            if first.end() <= self.floor {
                self.retained = self.retained.saturating_sub(first.bytes());
                self.segments.pop_front();
                self.compacted = self.compacted.saturating_sub(1);
                continue;
            }
            if first.position < self.floor {
                let there = first.bytes();
                first.cut_front(self.floor);
                let cut = there.saturating_sub(first.bytes());
                self.retained = self.retained.saturating_sub(cut);
            }
            break;
        }
        self.settle(fate, before.saturating_sub(self.retained), ledger);
        progress
    }

    /// Steps over everything below `position`. What it returns is there when the stream is past it
    /// already.
    pub(crate) fn skip(&mut self, position: u64, ledger: &mut Ledger) -> Option<Skipped> {
        let from = self.floor;
        if position <= from {
            return None;
        }
        let last = self
            .segments
            .iter()
            .find(|segment| segment.end() >= position);
        let reached = last.map(|segment| (segment.time, segment.order));
        if let Some(segment) = self.segments.back().filter(|_| reached.is_none()) {
            self.dropped = (segment.time, segment.order);
        }
        self.release_below(position, Fate::Skipped, ledger);
        self.floor = self.floor.max(position);
        self.skip_from = None;
        match reached {
            Some((time, order)) => Some(Skipped {
                from,
                to: position,
                time,
                order,
            }),
            None => {
                self.skip_from = Some(from);
                None
            }
        }
    }

    /// The stream ends here: a skip that it has not reached was over as much as there is.
    pub(crate) fn stop_skip(&mut self) -> Option<Skipped> {
        let from = self.skip_from.take()?;
        let (time, order) = self.dropped;
        (self.end > from).then_some(Skipped {
            from,
            to: self.end,
            time,
            order,
        })
    }

    /// As [`Self::skip`], and nobody waits for it.
    pub(crate) fn skip_silently(&mut self, position: u64, ledger: &mut Ledger) {
        self.skip(position, ledger);
        self.skip_from = None;
    }

    /// The parser that knew about a skip or a need is gone.
    pub(crate) fn forget_requests(&mut self) {
        self.seen = self.floor;
        self.skip_from = None;
        self.need = 0;
        self.hold = 0;
        self.fruitless = 0;
        self.fresh = !self.segments.is_empty();
    }

    /// Whether there is no more to it than where it is.
    pub(crate) fn is_plain(&self) -> bool {
        self.placed
            && self.floor == self.end
            && self.segments.is_empty()
            && self.unsettled == 0
            && self.skip_from.is_none()
            && !self.fresh
            && !self.progress
            && (self.need, self.hold, self.fruitless) == (0, 0, 0)
    }

    pub(crate) fn ready(&self) -> bool {
        self.fresh && (self.need <= self.end || self.ended) && (self.hold <= self.end || self.ended)
    }

    /// What was shown and not consumed waits for the other side: it goes with what comes there, which
    /// is of later.
    pub(crate) fn waits(&self) -> bool {
        !self.segments.is_empty() && self.need <= self.end && self.hold <= self.end
    }

    /// Something else on the connection happened: what is held back is to be seen before it.
    pub(crate) fn release(&mut self) {
        self.hold = 0;
    }

    pub(crate) fn held(&self) -> bool {
        self.hold > self.end
    }

    /// Called after each presentation. A side of which nothing was consumed a few times is held back
    /// until it has grown by an eighth, so that a message that drips in a byte at a time costs a
    /// constant factor of its length and not its square.
    pub(crate) fn presented(&mut self) {
        /// A message in a few pieces is seen at each of them.
        const PATIENCE: u32 = 6;
        self.fresh = false;
        self.need = if self.need <= self.end { 0 } else { self.need };
        if self.progress || self.segments.is_empty() {
            self.fruitless = 0;
            self.hold = 0;
            return;
        }
        self.fruitless = self.fruitless.saturating_add(1);
        if self.fruitless >= PATIENCE {
            self.hold = self.end.saturating_add(self.retained as u64 / 8);
        }
    }

    /// Keeps what is retained small: at most `marks` segments, and none that keeps a larger buffer
    /// alive.
    pub(crate) fn compact(&mut self, marks: usize) {
        /// What is larger has its buffer mostly to itself.
        const OWN_BYTES: usize = 16 << 10;
        for segment in self.segments.iter_mut().skip(self.compacted) {
            if let Content::Bytes { bytes, .. } = &mut segment.content
                && bytes.len() < OWN_BYTES
            {
                *bytes = Bytes::copy_from_slice(bytes);
            }
        }
        if self.segments.len() > marks {
            self.join_pairs();
        }
        self.compacted = self.segments.len();
    }

    fn join_pairs(&mut self) {
        let mut joined: VecDeque<Segment> = VecDeque::with_capacity(self.segments.len() / 2 + 1);
        let mut room = false;
        for segment in self.segments.drain(..) {
            if let Some(last) = joined.back_mut()
                && last.joins_gap(&segment)
            {
                continue;
            }
            if room
                && let Some(last) = joined.back_mut()
                && let Content::Bytes {
                    bytes: front,
                    unordered: a,
                } = &mut last.content
                && let Content::Bytes {
                    bytes: back,
                    unordered: b,
                } = &segment.content
            {
                let mut both = BytesMut::with_capacity(front.len().saturating_add(back.len()));
                both.extend_from_slice(front);
                both.extend_from_slice(back);
                *front = both.freeze();
                *a |= *b;
                room = false;
                continue;
            }
            room = true;
            joined.push_back(segment);
        }
        self.segments = joined;
    }

    /// Everything retained becomes a gap. Returns how many bytes that cost.
    pub(crate) fn drop_retained(&mut self, ledger: &mut Ledger) -> usize {
        let dropped = self.retained;
        let Some(first) = self.segments.front().cloned() else {
            return 0;
        };
        self.settle(Fate::Limit, dropped, ledger);
        let len = self.end.saturating_sub(first.position);
        self.segments.clear();
        self.segments.push_back(Segment {
            content: Content::Gap {
                len,
                cause: Cause::Limit,
            },
            ..first
        });
        (self.retained, self.compacted, self.fruitless, self.hold) = (0, 0, 0, 0);
        self.fresh = true;
        dropped
    }

    /// Drops the first segment: a beginning that nobody recognised. Gaps in a row go together.
    pub(crate) fn drop_first(&mut self, ledger: &mut Ledger) {
        let gap = self.begins_with_gap();
        while let Some(end) = self.segments.front().map(Segment::end) {
            self.release_below(end, Fate::Unrecognised, ledger);
            if !(gap && self.begins_with_gap()) {
                return;
            }
        }
    }

    /// What was lost before anything was recognised: the connection is one joined in the middle.
    pub(crate) fn begins_with_gap(&self) -> bool {
        self.segments.front().is_some_and(Segment::is_gap)
    }

    /// The bytes from the first one retained up to the next gap, joined. A gap before them stays
    /// where it is: whoever takes the connection has to know that a message may have been lost.
    pub(crate) fn prefix(&self, limit: usize, into: &mut Vec<u8>) {
        into.clear();
        for segment in self.segments.iter().skip_while(|segment| segment.is_gap()) {
            let Content::Bytes { bytes, .. } = &segment.content else {
                return;
            };
            let room = limit.saturating_sub(into.len());
            if room == 0 {
                return;
            }
            into.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        }
    }
}

#[cfg(test)]
mod tests;
