//! The bytes of one side, as packets are read from them: those of the wire, or what compressed
//! frames held.

use wirespan_sdk::Input;

/// A stretch of decompressed bytes: where it begins, and when the first and the last byte of its
/// frame passed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    pub(crate) position: u64,
    pub(crate) begins: u64,
    pub(crate) ends: u64,
    /// Position of the first byte of its frame, here and on the wire, and what of the wire stands
    /// for how many bytes here.
    pub(crate) first: u64,
    pub(crate) wire: u64,
    pub(crate) scale: (u64, u64),
}

#[derive(Clone, Copy, Debug)]
enum Times<'a> {
    Wire(Input<'a>),
    Frames(&'a [Stretch]),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    position: u64,
    bytes: &'a [u8],
    times: Times<'a>,
}

impl<'a> View<'a> {
    pub(crate) fn wire(input: Input<'a>) -> Self {
        Self {
            position: input.position(),
            bytes: input.bytes(),
            times: Times::Wire(input),
        }
    }

    pub(crate) fn frames(position: u64, bytes: &'a [u8], stretches: &'a [Stretch]) -> Self {
        Self {
            position,
            bytes,
            times: Times::Frames(stretches),
        }
    }

    pub(crate) fn is_wire(&self) -> bool {
        matches!(self.times, Times::Wire(_))
    }

    #[inline]
    pub(crate) fn end(&self) -> u64 {
        self.position.saturating_add(self.bytes.len() as u64)
    }

    /// The bytes from `position` on.
    #[inline]
    pub(crate) fn from(&self, position: u64) -> &'a [u8] {
        let offset = usize::try_from(position.saturating_sub(self.position)).unwrap_or(usize::MAX);
        self.bytes.get(offset..).unwrap_or_default()
    }

    /// Where on the wire the byte at `position` is; within a frame that is an estimate, always the
    /// same.
    #[inline]
    pub(crate) fn place(&self, position: u64) -> u64 {
        match self.times {
            Times::Wire(_) => position,
            Times::Frames(stretches) => stretch(stretches, position).map_or(0, |s| {
                let offset = position.saturating_sub(s.first);
                let scaled = offset.saturating_mul(s.scale.0).checked_div(s.scale.1);
                s.wire.saturating_add(scaled.unwrap_or(0))
            }),
        }
    }

    /// When a message passed whose first byte is at `position`.
    #[inline]
    pub(crate) fn begins(&self, position: u64) -> u64 {
        match self.times {
            Times::Wire(input) => input.time_at(position),
            Times::Frames(stretches) => stretch(stretches, position).map_or(0, |s| s.begins),
        }
    }

    /// When a message was over whose end is at `position`.
    #[inline]
    pub(crate) fn ends(&self, position: u64) -> u64 {
        let last = position.saturating_sub(1);
        match self.times {
            Times::Wire(input) => input.time_at(last),
            Times::Frames(stretches) => stretch(stretches, last).map_or(0, |s| s.ends),
        }
    }
}

fn stretch(stretches: &[Stretch], position: u64) -> Option<&Stretch> {
    let after = stretches.partition_point(|s| s.position <= position);
    stretches.get(after.saturating_sub(1))
}
