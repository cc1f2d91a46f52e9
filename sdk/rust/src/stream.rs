//! One side of a connection: how far it is, and what of it can be shown in this batch.

use crate::bindings::wirespan::parser::types as wit;
use crate::input::Segment;

/// Progress of one side, kept from batch to batch.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// A first position is known.
    pub(crate) known: bool,
    /// The parser waits for the other side.
    pub(crate) held: bool,
    /// The parser made progress that `consumed` does not tell.
    pub(crate) progressed: bool,
    /// Part of the stretch being skipped was lost.
    pub(crate) skip_lost: bool,
    /// The host was told of the skip.
    pub(crate) skip_told: bool,
    pub(crate) consumed: u64,
    /// Where the side is with this batch: end of what was shown or stepped over.
    pub(crate) next: u64,
    /// Not to be shown before it reaches this position.
    pub(crate) need: u64,
    pub(crate) skip_from: u64,
    /// When the last byte passed that was shown or stepped over.
    pub(crate) skip_time: u64,
    /// Bytes below this position are not wanted; 0 when nothing is skipped.
    pub(crate) skip: u64,
}

/// What is kept of a side from which nothing is waited for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Resting {
    consumed: u64,
    skip_time: u64,
}

impl Stream {
    /// What is to be kept between two batches, where that is all there is to it. What a batch begins with
    /// anew, and what a skip sets when it begins, is not.
    pub(crate) fn rest(&self) -> Option<Resting> {
        let plain = self.known && !self.progressed && self.skip == 0 && self.need <= self.consumed;
        plain.then_some(Resting {
            consumed: self.consumed,
            skip_time: self.skip_time,
        })
    }

    /// As it was before it was kept; `whole` where there was more to it.
    pub(crate) fn resumed(resting: Resting, whole: Option<Box<Self>>) -> Self {
        whole.map_or_else(
            || Self {
                known: true,
                consumed: resting.consumed,
                next: resting.consumed,
                skip_time: resting.skip_time,
                ..Self::default()
            },
            |whole| *whole,
        )
    }

    /// What was shown in an earlier batch and not consumed will be shown again.
    pub(crate) fn begin_batch(&mut self) {
        self.next = self.consumed;
        self.held = false;
    }

    pub(crate) fn start_at(&mut self, position: u64) {
        *self = Self {
            known: true,
            consumed: position,
            next: position,
            ..Self::default()
        };
    }

    pub(crate) fn unconsumed(&self) -> u64 {
        self.next.saturating_sub(self.consumed)
    }

    /// Drops what is not consumed and goes on at `position`.
    pub(crate) fn jump_to(&mut self, position: u64) {
        self.consumed = position;
        self.next = position;
        self.need = 0;
        self.held = false;
    }

    pub(crate) fn is_skipping(&self) -> bool {
        self.skip > self.next
    }
}

/// What a batch has of one side of the connection at hand: bytes that end at [`Stream::next`].
#[derive(Debug, Default)]
pub(crate) struct Window {
    /// Something was presented: the host waits for an answer.
    pub(crate) presented: bool,
    /// What waits behind bytes that are held, from a gap on. Where they stay held to the end of the
    /// batch, it comes again.
    pub(crate) waiting: Vec<wit::Event>,
    /// Where in the batch the byte at `position` lies.
    offset: usize,
    position: u64,
    segments: Vec<Segment>,
}

impl Window {
    pub(crate) fn clear(&mut self) {
        self.presented = false;
        self.waiting.clear();
        self.segments.clear();
    }

    /// Adds bytes that lie at `offset`, from position `stream.next` on.
    #[inline(always)]
    pub(crate) fn extend(
        &mut self,
        stream: &mut Stream,
        offset: usize,
        len: u64,
        time: u64,
        unordered: bool,
    ) {
        if stream.unconsumed() == 0 {
            self.segments.clear();
            self.offset = offset;
            self.position = stream.next;
        }
        self.segments.push(Segment {
            position: stream.next,
            time,
            unordered,
        });
        stream.next = stream.next.saturating_add(len);
    }

    /// What is not consumed, and when it came.
    pub(crate) fn unconsumed<'a>(
        &'a self,
        stream: &Stream,
        bytes: &'a [u8],
    ) -> (&'a [u8], &'a [Segment]) {
        let offset = |position: u64| {
            let distance = position.saturating_sub(self.position);
            self.offset
                .saturating_add(usize::try_from(distance).unwrap_or(usize::MAX))
        };
        let bytes = bytes
            .get(offset(stream.consumed)..offset(stream.next))
            .unwrap_or_default();
        (bytes, &self.segments)
    }
}
