//! The bytes a parser is shown.

/// A stretch of one side that came at one time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) position: u64,
    pub(crate) time: u64,
    pub(crate) unordered: bool,
}

/// Bytes of one side without a hole, beginning with the first that is not consumed yet.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    position: u64,
    bytes: &'a [u8],
    segments: &'a [Segment],
}

impl<'a> Input<'a> {
    pub(crate) fn new(position: u64, bytes: &'a [u8], segments: &'a [Segment]) -> Self {
        Self {
            position,
            bytes,
            segments,
        }
    }

    /// Stream position of the first byte.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Stream position after the last byte.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.position.saturating_add(self.bytes.len() as u64)
    }

    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The bytes from `position` on: none where there are none.
    #[must_use]
    #[inline]
    pub fn from(&self, position: u64) -> &'a [u8] {
        let offset = usize::try_from(position.saturating_sub(self.position)).unwrap_or(usize::MAX);
        self.bytes.get(offset..).unwrap_or_default()
    }

    /// When the byte at `position` passed, in nanoseconds.
    #[must_use]
    #[inline]
    pub fn time_at(&self, position: u64) -> u64 {
        self.segment_at(position).map_or(0, |s| s.time)
    }

    /// Whether the order of the byte at `position` relative to the other side is unknown.
    #[must_use]
    #[inline(always)]
    pub fn unordered_at(&self, position: u64) -> bool {
        self.segment_at(position).is_some_and(|s| s.unordered)
    }

    #[inline(always)]
    fn segment_at(&self, position: u64) -> Option<&'a Segment> {
        /// So many are looked through in less time than a search takes.
        const FEW: usize = 8;
        let (first, more) = self.segments.split_first()?;
        if more.is_empty() {
            return Some(first);
        }
        if more.len() > FEW {
            let behind = more.partition_point(|segment| segment.position <= position);
            return self.segments.get(behind);
        }
        let before = more.iter().take_while(|next| next.position <= position);
        Some(before.last().unwrap_or(first))
    }
}
