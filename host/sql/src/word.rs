//! Words, eight bytes at a time.
//!
//! Most of a statement is words. Where one ends, and which it is, is found without a step for each
//! of its bytes: their lengths vary, and a processor that takes each end for the middle of the word
//! loses more time by that than by all else.

/// Bytes that are looked at in one step.
const STEP: usize = size_of::<u64>();

/// In the highest bit of each byte.
const HIGH: u64 = 0x8080_8080_8080_8080;
const LOW: u64 = !HIGH;
const EACH: u64 = 0x0101_0101_0101_0101;
/// Without the bit in which capitals differ. Of the bytes of names only letters become letters.
const CAPITALS: u64 = 0xdfdf_dfdf_dfdf_dfdf;

/// The first bytes of a word in capitals; equal for words that differ in case alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) low: u64,
    pub(crate) high: u64,
}

/// Of a `word` of up to 16 bytes.
pub(crate) const fn pack(word: &[u8]) -> Packed {
    assert!(word.len() <= 2 * STEP, "it is compared as two numbers");
    let mut packed = 0_u128;
    let mut rest = word;
    while let [before @ .., last] = rest {
        packed = packed << u8::BITS | *last as u128;
        rest = before;
    }
    Packed {
        low: packed as u64 & CAPITALS,
        high: (packed >> u64::BITS) as u64 & CAPITALS,
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Word {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) packed: Packed,
    pub(crate) is_ascii: bool,
}

impl Word {
    /// The word that begins at `start`; empty when none does.
    #[inline(always)]
    pub(crate) fn at(bytes: &[u8], start: usize) -> Self {
        let first = load(bytes, start);
        let length = leading(first);
        if length == STEP {
            return Self::longer(bytes, start, first);
        }
        let word = first & below(length);
        Self {
            start,
            end: start + length,
            packed: Packed {
                low: word & CAPITALS,
                high: 0,
            },
            is_ascii: word & HIGH == 0,
        }
    }

    /// The lexer found its end; a name of another kind, such as `\\N`, is not packed whole.
    pub(crate) const fn until(self, end: usize) -> Self {
        Self { end, ..self }
    }

    #[inline]
    fn longer(bytes: &[u8], start: usize, first: u64) -> Self {
        let second = load(bytes, start + STEP);
        let length = leading(second);
        let word = second & below(length);
        let mut end = start + STEP + length;
        let mut seen = first | word;
        let mut last = length;
        while last == STEP {
            let next = load(bytes, end);
            last = leading(next);
            seen |= next & below(last);
            end += last;
        }
        Self {
            start,
            end,
            packed: Packed {
                low: first & CAPITALS,
                high: word & CAPITALS,
            },
            is_ascii: seen & HIGH == 0,
        }
    }

    /// It has more bytes than are packed.
    #[inline]
    pub(crate) const fn is_long(&self) -> bool {
        self.end - self.start > 2 * STEP
    }
}

/// The bytes from `at` on, the first one lowest; zeros behind the end.
#[inline]
fn load(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..).and_then(<[u8]>::first_chunk::<STEP>) {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => load_last(bytes, at),
    }
}

#[inline]
fn load_last(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.len().saturating_sub(at);
    match bytes.last_chunk::<STEP>() {
        Some(last) if rest > 0 => u64::from_le_bytes(*last) >> ((STEP - rest) * 8),
        _ => {
            let rest = bytes.get(at..).unwrap_or_default();
            let add = |sum, byte: &u8| sum << u8::BITS | u64::from(*byte);
            rest.iter().rev().fold(0, add)
        }
    }
}

/// The lowest `length` bytes; `length` is at most 8.
#[inline]
const fn below(length: usize) -> u64 {
    if length == STEP {
        u64::MAX
    } else {
        (1 << (length * 8)) - 1
    }
}

/// How many bytes of a name stand at the beginning: letters, digits, `_`, `$`, and all that are not
/// ASCII.
#[inline]
const fn leading(bytes: u64) -> usize {
    let seven = bytes & LOW;
    let letters = seven | (0x20 * EACH);
    // Each byte is below 128, so nothing is carried into the next.
    let letter = (letters + (0x80 - b'a' as u64) * EACH) & !(letters + (0x7f - b'z' as u64) * EACH);
    let digit = (seven + (0x80 - b'0' as u64) * EACH) & !(seven + (0x7f - b'9' as u64) * EACH);
    let not_underscore = (seven ^ (b'_' as u64 * EACH)) + 0x7f * EACH;
    let not_dollar = (seven ^ (b'$' as u64 * EACH)) + 0x7f * EACH;
    let name = letter | digit | !not_underscore | !not_dollar | bytes;
    ((!name & HIGH).trailing_zeros() / u8::BITS) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_of_name(byte: u8) -> bool {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)
    }

    #[test]
    fn every_byte_at_every_place_belongs_to_a_word_or_ends_it() {
        for byte in 0..=u8::MAX {
            for before in 0..40 {
                let mut bytes = vec![b'a'; before];
                bytes.extend([byte, b'_', b'Z', b' ', b'x']);
                let expected = if is_of_name(byte) { before + 3 } else { before };
                for padding in 0..20 {
                    let mut bytes = bytes.clone();
                    bytes.resize(bytes.len() + padding, b'.');
                    let word = Word::at(&bytes, 0);
                    assert_eq!(word.end, expected, "{byte:#x} behind {before}");
                    assert_eq!(word.is_ascii, bytes[..word.end].is_ascii());
                    assert_eq!(word.is_long(), word.end > 16);
                }
            }
        }
    }

    #[test]
    fn words_that_differ_in_case_alone_are_packed_alike() {
        for (one, other, alike) in [
            ("select", "SeLeCT", true),
            ("high_priority", "HIGH_PRIORITY", true),
            ("selec", "select", false),
            ("a0", "a\x10", false),
            ("_", "\x7f", false),
        ] {
            let packed = |text: &str| Word::at(text.as_bytes(), 0).packed;
            assert_eq!(packed(one) == packed(other), alike, "{one} {other}");
            assert_eq!(packed(one), pack(one.as_bytes()));
        }
    }
}
