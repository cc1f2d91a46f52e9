//! The bytes of a stream: a function of its key and their position, so that any stretch of it can
//! be made, and checked, without the rest.

use crate::random::mix;

/// Bit of keys of streams whose bytes are no such function.
pub const UNKNOWN_CONTENT: u64 = 1 << 63;

fn word(key: u64, index: u64) -> [u8; 8] {
    mix(key ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes()
}

/// Writes the stretch that begins at `position`.
pub fn fill(key: u64, position: u64, out: &mut [u8]) {
    let mut index = position / 8;
    let ahead = (position % 8) as usize;
    let (front, rest) = out.split_at_mut(out.len().min((8 - ahead) % 8));
    if !front.is_empty() {
        front.copy_from_slice(&word(key, index)[ahead..ahead + front.len()]);
        index += 1;
    }
    for chunk in rest.chunks_mut(8) {
        let bytes = word(key, index);
        chunk.copy_from_slice(&bytes[..chunk.len()]);
        index += 1;
    }
}

/// The stretch of `len` bytes that begins at `position`.
#[must_use]
pub fn stretch(key: u64, position: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fill(key, position, &mut bytes);
    bytes
}

/// Where `bytes` first differs from the stretch that begins at `position`.
#[must_use]
pub fn difference(key: u64, position: u64, bytes: &[u8]) -> Option<usize> {
    let mut expected = [0; 4096];
    for (number, chunk) in bytes.chunks(expected.len()).enumerate() {
        let before = number * expected.len();
        let expected = &mut expected[..chunk.len()];
        fill(key, position + before as u64, expected);
        if expected != chunk {
            let at = expected.iter().zip(chunk).position(|(a, b)| a != b);
            return Some(before + at.unwrap_or_default());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_stretch_is_part_of_the_whole() {
        let whole = stretch(7, 0, 300);
        for start in 0..40 {
            for end in start..300 {
                let part = stretch(7, start as u64, end - start);
                assert_eq!(part, whole[start..end]);
                assert_eq!(difference(7, start as u64, &part), None);
            }
        }
        assert_ne!(stretch(8, 0, 300), whole);
        let mut wrong = stretch(7, 5, 9000);
        wrong[8_191] ^= 1;
        assert_eq!(difference(7, 5, &wrong), Some(8_191));
    }
}
