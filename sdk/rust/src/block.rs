//! Looking at 16 bytes at once.
//!
//! In a component a loop over bytes is dear: each turn has a price, and what the compiler makes of it
//! are vectors that are put together and taken apart by more instructions than they save. These few
//! questions have an instruction of their own there.

/// Bytes that are looked at together.
pub const BYTES: usize = 16;

/// Bytes that [`equal`] looks at.
pub const LONG_BYTES: usize = 64;

/// Which bytes of `block` are `byte`: bit `n` for the byte at `n`.
#[must_use]
#[inline(always)]
pub fn equal(block: &[u8; LONG_BYTES], byte: u8) -> u64 {
    imp::equal(block, byte)
}

/// Whether all of `block` is ASCII.
#[must_use]
#[inline(always)]
pub fn is_ascii(block: &[u8; BYTES]) -> bool {
    imp::is_ascii(block)
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod imp {
    use core::arch::wasm32::{i8x16_bitmask, i8x16_eq, u8x16_splat, u64x2, v128};

    use super::{BYTES, LONG_BYTES};

    #[inline(always)]
    pub(super) fn equal(block: &[u8; LONG_BYTES], byte: u8) -> u64 {
        let bits = |part| u64::from(i8x16_bitmask(i8x16_eq(vector(part), u8x16_splat(byte))));
        let (parts, _) = block.as_chunks();
        parts
            .iter()
            .rev()
            .fold(0, |all, part| all << BYTES | bits(part))
    }

    #[inline(always)]
    pub(super) fn is_ascii(block: &[u8; BYTES]) -> bool {
        i8x16_bitmask(vector(block)) == 0
    }

    /// One load: the compiler joins the two.
    #[inline(always)]
    fn vector(block: &[u8; BYTES]) -> v128 {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *block;
        u64x2(
            u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            u64::from_le_bytes([i, j, k, l, m, n, o, p]),
        )
    }
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
use portable as imp;

/// For everything else.
#[cfg(any(test, not(all(target_arch = "wasm32", target_feature = "simd128"))))]
mod portable {
    use super::{BYTES, LONG_BYTES};

    /// Compilers make four comparisons of 16 bytes each of it, without a loop.
    #[inline(always)]
    pub(super) fn equal(block: &[u8; LONG_BYTES], byte: u8) -> u64 {
        let equal: [u8; LONG_BYTES] =
            std::array::from_fn(|n| if block[n] == byte { 1 << (n / 8) } else { 0 });
        let (words, _) = equal.as_chunks();
        transposed(
            words
                .iter()
                .fold(0, |all, eight| all | u64::from_le_bytes(*eight)),
        )
    }

    #[inline(always)]
    pub(super) fn is_ascii(block: &[u8; BYTES]) -> bool {
        block.is_ascii()
    }

    /// Bit `8 * n + m` as bit `8 * m + n`.
    #[inline(always)]
    fn transposed(bits: u64) -> u64 {
        // Swaps single bits, then squares of two by two, then of four by four.
        let steps = [
            (7, 0x00aa_00aa_00aa_00aa),
            (14, 0x0000_cccc_0000_cccc),
            (28, 0x0000_0000_f0f0_f0f0),
        ];
        steps.iter().fold(bits, |bits, &(distance, upper)| {
            let differ = (bits ^ (bits >> distance)) & upper;
            bits ^ differ ^ (differ << distance)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that are near each other in one way or another.
    const NEAR: [u8; 8] = [b'\n', 9, 11, b'\n' | 0x80, 0, b'\r', 0xff, b'x'];

    #[test]
    fn each_byte_of_a_block_has_its_bit_and_nothing_else() {
        let mut state = 1u64;
        for _ in 0..10_000 {
            let block: [u8; LONG_BYTES] = std::array::from_fn(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                NEAR[(state >> 61) as usize]
            });
            for byte in [b'\n', 0xff, 0] {
                let bits = block.iter().rev();
                let expected = bits.fold(0, |bits, &b| bits << 1 | u64::from(b == byte));
                assert_eq!(equal(&block, byte), expected, "{block:?}");
                assert_eq!(portable::equal(&block, byte), expected, "{block:?}");
            }
        }
    }
}
