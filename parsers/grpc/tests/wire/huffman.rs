//! The Huffman code of RFC 7541, appendix B, for writing.

/// Length of the code of each symbol; the codes of one length count up.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// The codes of all symbols, right-aligned.
pub(crate) struct Codes([u32; 257]);

impl Codes {
    pub(crate) fn new() -> Self {
        let mut codes = [0; 257];
        let (mut code, mut last) = (0u32, 0);
        for length in 1..=30 {
            code <<= length - last;
            last = length;
            for (symbol, _) in LENGTHS.iter().enumerate().filter(|(_, l)| **l == length) {
                codes[symbol] = code;
                code += 1;
            }
        }
        Self(codes)
    }

    pub(crate) fn encode(&self, text: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let (mut window, mut bits) = (0u64, 0u32);
        for &byte in text {
            let length = u32::from(LENGTHS[usize::from(byte)]);
            window = window << length | u64::from(self.0[usize::from(byte)]);
            bits += length;
            while bits >= 8 {
                bits -= 8;
                bytes.push((window >> bits) as u8);
            }
        }
        if bits > 0 {
            bytes.push((window << (8 - bits)) as u8 | (0xff >> bits));
        }
        bytes
    }
}
