//! Sequence numbers of TCP, extended to positions of 64 bits.

/// Position of the first byte that is seen where the beginning was not: anywhere, but with room
/// below for segments that come late.
pub(super) const MID_STREAM_START: u64 = 1 << 32;

/// No window is larger (RFC 7323): what lies farther away belongs to another connection.
const WINDOW_LIMIT: i64 = 1 << 30;

/// Maps numbers near a reference to positions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sequence {
    number: u32,
    position: u64,
}

impl Sequence {
    pub(super) fn new(number: u32, position: u64) -> Self {
        Self { number, position }
    }

    /// Position of `number`; negative before the beginning. `None` when it is out of reach.
    pub(super) fn position(&self, number: u32) -> Option<i64> {
        let distance = i64::from(number.wrapping_sub(self.number).cast_signed());
        if distance.saturating_abs() > WINDOW_LIMIT {
            return None;
        }
        i64::try_from(self.position).ok()?.checked_add(distance)
    }

    /// Makes `position`, which is that of `number`, the reference if it is ahead.
    pub(super) fn advance(&mut self, number: u32, position: u64) {
        if position > self.position {
            *self = Self { number, position };
        }
    }

    /// Moves the reference ahead.
    pub(super) fn advance_by(&mut self, bytes: u32) {
        self.number = self.number.wrapping_add(bytes);
        self.position = self.position.saturating_add(u64::from(bytes));
    }

    pub(super) fn highest(&self) -> u64 {
        self.position
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_wrap_are_positions_that_do_not() {
        let mut sequence = Sequence::new(u32::MAX - 10, 0);
        let mut number = u32::MAX - 10;
        let mut position = 0_u64;
        for _ in 0..100 {
            number = number.wrapping_add(500_000_000);
            position += 500_000_000;
            assert_eq!(sequence.position(number), Some(position.cast_signed()));
            sequence.advance(number, position);
            assert_eq!(
                sequence.position(number.wrapping_sub(1)),
                Some(position.cast_signed() - 1)
            );
        }
    }

    #[test]
    fn what_is_farther_than_any_window_has_no_position() {
        let sequence = Sequence::new(0, 0);
        assert_eq!(sequence.position(1 << 31), None);
        assert_eq!(sequence.position(u32::MAX), Some(-1));
    }
}
