//! Header blocks as common clients write them: indexed where the field is in the static table, else
//! a literal that goes into the dynamic table, its text coded where that is shorter.

use std::sync::LazyLock;

/// A field of the static table, whole.
pub(super) fn indexed(index: u8) -> Vec<u8> {
    vec![0x80 | index]
}

/// A field whose name is in the static table.
pub(super) fn named(name: u8, value: &str) -> Vec<u8> {
    [vec![0x40 | name], string(value)].concat()
}

/// A field whose name is new as well.
pub(super) fn literal(name: &str, value: &str) -> Vec<u8> {
    [vec![0x40], string(name), string(value)].concat()
}

fn string(text: &str) -> Vec<u8> {
    let coded = huffman(text.as_bytes());
    let (flag, bytes) = if coded.len() < text.len() {
        (0x80, coded)
    } else {
        (0, text.as_bytes().to_vec())
    };
    // All texts here are shorter than 127 bytes: the length is one byte.
    [vec![flag | u8::try_from(bytes.len()).unwrap_or(0)], bytes].concat()
}

/// Lengths of the codes of the printable characters from space on (RFC 7541, appendix B).
const LENGTHS: [u8; 95] = [
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15,
    6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8,
    13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7,
    7, 7, 15, 11, 14, 13,
];

/// The code is canonical: codes of one length count up in the order of their symbols. Codes of more
/// than 12 bits are left out: no text here has such a character, and the order of the shorter ones
/// does not depend on them.
static CODES: LazyLock<[(u32, u8); 95]> = LazyLock::new(|| {
    let mut codes = [(0, 0); 95];
    let mut next = 0;
    for length in 5..=12 {
        next <<= 1;
        for (code, _) in codes
            .iter_mut()
            .zip(LENGTHS)
            .filter(|(_, own)| *own == length)
        {
            *code = (next, length);
            next += 1;
        }
    }
    codes
});

fn huffman(text: &[u8]) -> Vec<u8> {
    let (mut bytes, mut bits, mut room) = (Vec::new(), 0u64, 0u32);
    for &byte in text {
        let (code, length) = CODES[usize::from(byte - b' ')];
        assert!(length > 0, "{:?} has a short code", char::from(byte));
        bits = bits << length | u64::from(code);
        room += u32::from(length);
        while room >= 8 {
            room -= 8;
            bytes.push((bits >> room & 0xff) as u8);
        }
    }
    if room > 0 {
        // Filled up with ones.
        bytes.push((bits << (8 - room) & 0xff) as u8 | (0xff >> room) as u8);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7541, C.4.1 and C.6.1.
    #[test]
    fn texts_are_coded_as_in_the_examples_of_the_standard() {
        assert_eq!(
            huffman(b"www.example.com"),
            [
                0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff
            ]
        );
        assert_eq!(
            huffman(b"Mon, 21 Oct 2013 20:13:21 GMT"),
            [
                0xd0, 0x7a, 0xbe, 0x94, 0x10, 0x54, 0xd4, 0x44, 0xa8, 0x20, 0x05, 0x95, 0x04, 0x0b,
                0x81, 0x66, 0xe0, 0x82, 0xa6, 0x2d, 0x1b, 0xff
            ]
        );
    }
}
