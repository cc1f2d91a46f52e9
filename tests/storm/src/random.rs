//! Numbers that one seed decides.

/// SplitMix64: short, and good enough to choose what a program does next.
#[derive(Clone, Debug)]
pub struct Random(u64);

/// Scatters the bits of a number.
#[must_use]
pub fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

impl Random {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.number() % end as u64) as usize
    }

    /// From `first` to `last`.
    pub fn between(&mut self, first: usize, last: usize) -> usize {
        first + self.below(last - first + 1)
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// Sizes as programs have them: mostly small, now and then large, at the edges of what the
    /// probes reserve (256, 1,024, 4,096 and 16,384 bytes) more often than chance would have it.
    pub fn size(&mut self, most: usize) -> usize {
        let size = match self.below(10) {
            0..=3 => self.between(1, 40),
            4..=6 => self.between(1, 1_200),
            7 => [256, 1_024, 4_096, 16_384][self.below(4)] + self.below(3) - 1,
            8 => self.between(1, 9_000),
            _ => self.between(1, 70_000),
        };
        size.clamp(1, most.max(1))
    }
}
