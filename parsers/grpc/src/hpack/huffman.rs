//! The Huffman code of RFC 7541, appendix B.
//!
//! The code is canonical: codes of one length count up in the order of their symbols, so the
//! lengths are all there is to know. Text is decoded by a table that yields two symbols at a time.

use super::Error;

/// Symbols by the length of their code, in bits. The code that is left over, thirty ones, is EOS.
const GROUPS: [(u32, &[u8]); 20] = [
    (5, b"012aceiost"),
    (6, b" %-./3456789=A_bdfghlmnpru"),
    (7, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, b"&*,;XZ"),
    (10, b"!\"()?"),
    (11, b"'+|"),
    (12, b"#>"),
    (13, b"\x00$@[]~"),
    (14, b"^}"),
    (15, b"<`{"),
    (19, &[92, 195, 208]),
    (20, &[128, 130, 131, 162, 184, 194, 224, 226]),
    (
        21,
        &[
            153, 161, 167, 172, 176, 177, 179, 209, 216, 217, 227, 229, 230,
        ],
    ),
    (
        22,
        &[
            129, 132, 133, 134, 136, 146, 154, 156, 160, 163, 164, 169, 170, 173, 178, 181, 185,
            186, 187, 189, 190, 196, 198, 228, 232, 233,
        ],
    ),
    (
        23,
        &[
            1, 135, 137, 138, 139, 140, 141, 143, 147, 149, 150, 151, 152, 155, 157, 158, 165, 166,
            168, 174, 175, 180, 182, 183, 188, 191, 197, 231, 239,
        ],
    ),
    (
        24,
        &[9, 142, 144, 145, 148, 159, 171, 206, 215, 225, 236, 237],
    ),
    (25, &[199, 207, 234, 235]),
    (
        26,
        &[
            192, 193, 200, 201, 202, 205, 210, 213, 218, 219, 238, 240, 242, 243, 255,
        ],
    ),
    (
        27,
        &[
            203, 204, 211, 212, 214, 221, 222, 223, 241, 244, 245, 246, 247, 248, 250, 251, 252,
            253, 254,
        ],
    ),
    (
        28,
        &[
            2, 3, 4, 5, 6, 7, 8, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 23, 24, 25, 26, 27, 28,
            29, 30, 31, 127, 220, 249,
        ],
    ),
];

/// The longest codes, 30 bits.
const LONGEST: (u32, &[u8]) = (30, &[10, 13, 22]);

/// First code of each group, left-aligned in 32 bits.
const FIRST: [u32; GROUPS.len() + 1] = {
    let mut first = [0; GROUPS.len() + 1];
    let (mut code, mut bits, mut group) = (0u64, 0, 0);
    while group <= GROUPS.len() {
        let (length, symbols) = if group < GROUPS.len() {
            GROUPS[group]
        } else {
            LONGEST
        };
        code <<= length - bits;
        bits = length;
        first[group] = (code << (32 - length)) as u32;
        code += symbols.len() as u64;
        group += 1;
    }
    first
};

/// Bits looked up at a time: two of the letters that are most frequent.
const BITS: u32 = 12;

/// What the next [`BITS`] bits begin with: as many whole codes as fit, at most two.
#[derive(Clone, Copy)]
struct Step {
    symbols: [u8; 2],
    /// Of both codes.
    bits: u8,
    /// 0: the first code is longer than [`BITS`].
    count: u8,
}

static STEPS: [Step; 1 << BITS] = {
    let mut steps = [Step {
        symbols: [0; 2],
        bits: 0,
        count: 0,
    }; 1 << BITS];
    let mut index = 0;
    while index < steps.len() {
        let window = (index as u32) << (32 - BITS);
        let (first, bits) = short(window, BITS);
        if bits > 0 {
            let (second, more) = short(window << bits, BITS - bits);
            steps[index] = Step {
                symbols: [first, second],
                bits: (bits + more) as u8,
                count: if more > 0 { 2 } else { 1 },
            };
        }
        index += 1;
    }
    steps
};

/// The code of at most `most` bits that `window` begins with, and its length; 0 where it is longer.
const fn short(window: u32, most: u32) -> (u8, u32) {
    let mut group = 0;
    while group < GROUPS.len() && GROUPS[group].0 <= most {
        let (length, symbols) = GROUPS[group];
        let index = ((window - FIRST[group]) >> (32 - length)) as usize;
        if index < symbols.len() {
            return (symbols[index], length);
        }
        group += 1;
    }
    (0, 0)
}

/// The most symbols that `len` bytes of code can stand for.
pub(crate) fn most_decoded(len: usize) -> usize {
    // The shortest code has five bits.
    len.saturating_mul(8) / 5
}

/// Decodes `bytes` and adds the text to `out`.
///
/// # Errors
/// [`Error::Huffman`] when it is no code or does not end as it must. What was added is worthless.
pub(crate) fn decode(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    let mut at = out.len();
    // One more: two are written at a time.
    out.resize(
        at.saturating_add(most_decoded(bytes.len()))
            .saturating_add(1),
        0,
    );
    let result = symbols(bytes, |pair, count| {
        if let Some(place) = out.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
            *place = pair;
        }
        at = at.saturating_add(count);
    });
    out.truncate(at);
    result
}

/// How many bytes `bytes` stand for.
pub(crate) fn decoded_len(bytes: &[u8]) -> Result<usize, Error> {
    let mut len = 0usize;
    symbols(bytes, |_, count| len = len.saturating_add(count))?;
    Ok(len)
}

/// Hands the symbols to `out`, one or two at a time.
#[inline]
fn symbols(bytes: &[u8], mut out: impl FnMut([u8; 2], usize)) -> Result<(), Error> {
    let mut input = bytes;
    // The next bits, left-aligned, and how many there are.
    let (mut window, mut bits) = (0u64, 0u32);
    loop {
        while bits <= 32 {
            if let Some((four, rest)) = input.split_first_chunk() {
                window |= u64::from(u32::from_be_bytes(*four)) << (32 - bits);
                bits += 32;
                input = rest;
            } else if let Some((&byte, rest)) = input.split_first() {
                window |= u64::from(byte) << (56 - bits);
                bits += 8;
                input = rest;
            } else {
                break;
            }
        }
        let last = input.is_empty();
        while bits >= BITS {
            let Some(&step) = STEPS.get((window >> (64 - BITS)) as usize) else {
                return Err(Error::Huffman);
            };
            let taken = if step.count > 0 {
                out(step.symbols, usize::from(step.count));
                u32::from(step.bits)
            } else {
                if bits < LONGEST.0 && !last {
                    break;
                }
                match long((window >> 32) as u32) {
                    Some((symbol, length)) if length <= bits => {
                        out([symbol, 0], 1);
                        length
                    }
                    _ => return Err(Error::Huffman),
                }
            };
            window <<= taken;
            bits -= taken;
        }
        if last {
            break;
        }
    }
    // Fewer bits than are looked up at a time, then nothing.
    while let (symbol, length @ 1..) = short((window >> 32) as u32, bits) {
        out([symbol, 0], 1);
        window <<= length;
        bits -= length;
    }
    padding(window, bits)
}

/// A code of more than [`BITS`] bits.
fn long(code: u32) -> Option<(u8, u32)> {
    let groups = GROUPS.iter().chain(std::iter::once(&LONGEST));
    for (&(length, symbols), first) in groups.zip(FIRST).filter(|(group, _)| group.0 > BITS) {
        let index = code.checked_sub(first)? >> (32 - length);
        if let Some(&symbol) = symbols.get(index as usize) {
            return Some((symbol, length));
        }
    }
    None
}

/// What is left must be fewer than eight bits, all ones: the beginning of EOS.
fn padding(window: u64, bits: u32) -> Result<(), Error> {
    let ones = !(u64::MAX.checked_shr(bits).unwrap_or(0));
    if bits < 8 && window == ones {
        Ok(())
    } else {
        Err(Error::Huffman)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        decode(bytes, &mut out)?;
        assert_eq!(decoded_len(bytes), Ok(out.len()));
        Ok(out)
    }

    #[test]
    fn the_code_is_complete() {
        let mut seen = [false; 256];
        let mut sum = 1u64 << 0; // EOS
        for (length, symbols) in GROUPS.iter().chain([&LONGEST]) {
            for &symbol in *symbols {
                assert!(!std::mem::replace(&mut seen[usize::from(symbol)], true));
                sum += 1 << (30 - length);
            }
        }
        assert!(seen.iter().all(|&seen| seen));
        assert_eq!(sum, 1 << 30);
    }

    /// Every symbol encoded with its code, padded with ones.
    #[test]
    fn every_symbol_comes_back() {
        for (group, (length, symbols)) in GROUPS.iter().chain([&LONGEST]).enumerate() {
            for (index, &symbol) in symbols.iter().enumerate() {
                let code = (FIRST[group] >> (32 - length)) + index as u32;
                let bits = (u64::from(code) << (64 - length)) | (u64::MAX >> length);
                let bytes = &bits.to_be_bytes()[..length.div_ceil(8) as usize];
                assert_eq!(text(bytes), Ok(vec![symbol]));
            }
        }
    }

    #[test]
    fn the_examples_of_the_rfc() {
        let cases: [(&[u8], &str); 3] = [
            (
                b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff",
                "www.example.com",
            ),
            (b"\xa8\xeb\x10\x64\x9c\xbf", "no-cache"),
            (b"\xae\xc3\x77\x1a\x4b", "private"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(text(bytes), Ok(expected.into()));
        }
        assert_eq!(text(b""), Ok(vec![]));
    }

    #[test]
    fn wrong_ends_are_refused() {
        // EOS itself, padding of eight ones, padding of zeros.
        for bytes in [
            &b"\xff\xff\xff\xff"[..],
            b"\xff",
            b"\x07\xff",
            b"\xa8\xeb\x10\x64\x9c\xbc",
        ] {
            assert_eq!(text(bytes), Err(Error::Huffman), "{bytes:?}");
        }
    }
}
