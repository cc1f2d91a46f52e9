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

/// What the next [`BITS`] bits begin with: as many whole codes as fit, at most two. In a number, for
/// that is one load: the bits that they take in the lowest byte, none where the first code is longer
/// than [`BITS`]; eight times their count in the next; and above, the symbols.
#[derive(Clone, Copy)]
struct Step(u32);

impl Step {
    /// Of up to four steps that were added up, too.
    #[inline]
    fn bits(self) -> u32 {
        self.0 & 0x3f
    }

    /// As [`Self::bits`].
    #[inline]
    fn count(self) -> u32 {
        self.0 >> 11 & 0xf
    }

    /// The symbols before those in `next`.
    #[inline]
    fn before(self, next: u64) -> u64 {
        next << (self.0 >> 8 & 0x3f) | u64::from(self.0 >> 16)
    }
}

static STEPS: [Step; 1 << BITS] = {
    let mut steps = [Step(0); 1 << BITS];
    let mut index = 0;
    while index < steps.len() {
        let window = (index as u32) << (32 - BITS);
        let (first, bits) = short(window, BITS);
        if bits > 0 {
            let (second, more) = short(window << bits, BITS - bits);
            let count = if more > 0 { 2 } else { 1 };
            let symbols = first as u32 | (second as u32) << 8;
            steps[index] = Step((bits + more) | count << 11 | symbols << 16);
        }
        index += 1;
    }
    steps
};

#[inline]
fn step(window: u64) -> Step {
    STEPS
        .get((window >> (64 - BITS)) as usize)
        .copied()
        .unwrap_or(Step(0))
}

/// Four steps, which together take at most 48 bits, one after the other without a loop. What is
/// before a long code is not taken. The symbols, and all that they take.
#[inline]
fn four(mut window: u64) -> (u64, Step) {
    let one = step(window);
    window <<= one.bits();
    let two = step(window);
    window <<= two.bits();
    let three = step(window);
    window <<= three.bits();
    let four = step(window);
    let symbols = one.before(two.before(three.before(four.before(0))));
    let all = one.0.wrapping_add(two.0);
    let all = all.wrapping_add(three.0.wrapping_add(four.0));
    (symbols, Step(all))
}

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

/// The code of a short text of symbols with short codes, filled up with zeros.
pub(crate) const fn coded<const N: usize>(text: &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    let (mut at, mut index) = (0, 0);
    while index < text.len() {
        let (code, length) = code_of(text[index]);
        let mut bit = length;
        while bit > 0 {
            bit -= 1;
            bytes[at / 8] |= ((code >> bit & 1) as u8) << (7 - at % 8);
            at += 1;
        }
        index += 1;
    }
    while !at.is_multiple_of(8) {
        bytes[at / 8] |= 1 << (7 - at % 8);
        at += 1;
    }
    bytes
}

/// The code of a symbol, and its length.
const fn code_of(symbol: u8) -> (u32, u32) {
    let mut group = 0;
    while group < GROUPS.len() {
        let (length, symbols) = GROUPS[group];
        let mut index = 0;
        while index < symbols.len() {
            if symbols[index] == symbol {
                return ((FIRST[group] >> (32 - length)) + index as u32, length);
            }
            index += 1;
        }
        group += 1;
    }
    (0, 0)
}

/// Room that [`decode`] needs for `len` bytes of code.
pub(crate) fn most_decoded(len: usize) -> usize {
    // The shortest code has five bits. Eight symbols are written at a time.
    (len.saturating_mul(8) / 5).saturating_add(8)
}

/// Decodes `bytes` and adds the text to `out`.
///
/// # Errors
/// [`Error::Huffman`] when it is no code or does not end as it must. What was added is worthless.
pub(crate) fn decode(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    symbols(bytes, |symbols, count| {
        let len = out.len().saturating_add(count as usize);
        // Always eight, so that no length needs to be looked at; those that are none go again.
        out.extend_from_slice(&symbols.to_le_bytes());
        out.truncate(len);
    })
}

/// How many bytes `bytes` stand for.
pub(crate) fn decoded_len(bytes: &[u8]) -> Result<usize, Error> {
    let mut len = 0usize;
    symbols(bytes, |_, count| len = len.saturating_add(count as usize))?;
    Ok(len)
}

/// Hands the symbols to `out`: up to eight at a time, the first in the lowest byte.
#[inline]
fn symbols(bytes: &[u8], mut out: impl FnMut(u64, u32)) -> Result<(), Error> {
    let mut input = bytes;
    // The next bits, left-aligned, and how many are taken from the input. Those behind them are zero
    // or what comes next.
    let (mut window, mut bits) = (0u64, 0u32);
    while let Some(eight) = input.first_chunk() {
        window |= u64::from_be_bytes(*eight) >> bits;
        // Whole bytes: 56 bits or more are there then.
        input = input.get(((63 - bits) >> 3) as usize..).unwrap_or_default();
        bits |= 56;
        let (symbols, all) = four(window);
        if all.bits() == 0 {
            let (symbol, length) = long(window).ok_or(Error::Huffman)?;
            window <<= length;
            bits -= length;
            out(u64::from(symbol), 1);
            continue;
        }
        window <<= all.bits();
        bits -= all.bits();
        out(symbols, all.count());
    }
    let (mut rest, mut more) = last(bytes, input.len());
    loop {
        window |= rest >> bits;
        let taken = more.min(63 - bits);
        rest <<= taken;
        more -= taken;
        bits += taken;
        if more == 0 {
            // What pads the last byte goes on without end. It is no code: one that ends in it shows
            // that the bits before it are no padding.
            window |= u64::MAX >> bits;
        }
        let (symbols, all) = four(window);
        let (symbols, count, taken) = match all.bits() {
            0 if window == u64::MAX && more == 0 => break,
            0 => {
                let (symbol, length) = long(window).ok_or(Error::Huffman)?;
                (u64::from(symbol), 1, length)
            }
            taken => (symbols, all.count(), taken),
        };
        bits = bits.checked_sub(taken).ok_or(Error::Huffman)?;
        window <<= taken;
        out(symbols, count);
    }
    // What is left must be fewer than eight bits (RFC 7541, 5.2).
    if bits < 8 {
        Ok(())
    } else {
        Err(Error::Huffman)
    }
}

/// The last `len` bytes, fewer than eight, left-aligned, and how many bits these are.
#[inline]
fn last(bytes: &[u8], len: usize) -> (u64, u32) {
    let bits = 8 * (len as u32 & 7);
    let rest = match bytes.last_chunk() {
        Some(eight) if bits > 0 => u64::from_be_bytes(*eight) << (64 - bits),
        Some(_) => 0,
        None => bytes
            .iter()
            .zip((0..64).step_by(8).rev())
            .fold(0, |rest, (&byte, at)| rest | u64::from(byte) << at),
    };
    (rest, bits)
}

/// The code of more than [`BITS`] bits that `window` begins with.
#[cold]
fn long(window: u64) -> Option<(u8, u32)> {
    let code = (window >> 32) as u32;
    let groups = GROUPS.iter().chain(std::iter::once(&LONGEST));
    for (&(length, symbols), first) in groups.zip(FIRST).filter(|(group, _)| group.0 > BITS) {
        let index = code.checked_sub(first)? >> (32 - length);
        if let Some(&symbol) = symbols.get(index as usize) {
            return Some((symbol, length));
        }
    }
    None
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

    /// Texts of short and long codes in turn, of every length up to some words.
    #[test]
    fn texts_of_any_length_come_back() {
        let codes: Vec<(u64, u32)> = (0..=255u8)
            .map(|symbol| {
                let groups = GROUPS.iter().chain([&LONGEST]).enumerate();
                groups
                    .filter_map(|(group, (length, symbols))| {
                        let index = symbols.iter().position(|&s| s == symbol)? as u32;
                        let code = (FIRST[group] >> (32 - length)) + index;
                        Some((u64::from(code), *length))
                    })
                    .next()
                    .unwrap()
            })
            .collect();
        let mut state = 1u64;
        let mut random = |most: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % most
        };
        for round in 0..20_000 {
            let texts: Vec<u8> = (0..random(40))
                .map(|_| match round % 3 {
                    0 => b"etoa019-/"[random(9) as usize],
                    1 => random(256) as u8,
                    _ if random(8) == 0 => random(256) as u8,
                    _ => b' ' + random(95) as u8,
                })
                .collect();
            let mut bits: Vec<bool> = texts
                .iter()
                .flat_map(|&symbol| {
                    let (code, length) = codes[usize::from(symbol)];
                    (0..length).rev().map(move |at| code >> at & 1 == 1)
                })
                .collect();
            let whole = bits.len().is_multiple_of(8);
            bits.resize(bits.len().next_multiple_of(8), true);
            let mut bytes: Vec<u8> = bits
                .chunks(8)
                .map(|bits| bits.iter().fold(0, |byte, &bit| byte << 1 | u8::from(bit)))
                .collect();
            assert_eq!(text(&bytes), Ok(texts), "{bytes:?}");
            if whole {
                bytes.push(0xff);
                assert_eq!(text(&bytes), Err(Error::Huffman), "{bytes:?}");
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
            b"\xa8\xeb\x10\x64\x9c\xbf\xff",
            b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xfe",
            b"\xf1\xe3\xff\xff\xff\xff\xff\xa0\xab\x90\xf4\xff",
        ] {
            assert_eq!(text(bytes), Err(Error::Huffman), "{bytes:?}");
        }
    }
}
