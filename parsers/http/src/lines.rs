//! Finding line ends: a head is gone over once, 64 bytes at a time, instead of searched anew for
//! every line. In the sandbox each turn of a loop costs a check of the time that is used up, so few
//! long turns are quicker than many short ones.

use wirespan_sdk::block;

/// Bytes that are looked at in one turn; a bit of a word stands for each.
const BLOCK: usize = block::LONG_BYTES;

/// Lines of a stretch of bytes, without their line feeds.
#[derive(Debug)]
pub struct Lines<'a> {
    bytes: &'a [u8],
    /// Where the next line begins.
    next: usize,
    /// Up to where line feeds were looked for.
    scanned: usize,
    /// Where the block begins that `feeds` is about.
    block: usize,
    /// The line feeds of the block that no line ended with yet, a bit each.
    feeds: u64,
}

impl<'a> Lines<'a> {
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            next: 0,
            scanned: 0,
            block: 0,
            feeds: 0,
        }
    }

    /// How many bytes the lines so far had, line feeds included.
    #[must_use]
    #[inline]
    pub fn end(&self) -> usize {
        self.next
    }

    /// Looks for line feeds up to the next one. `false`: there is none.
    #[inline(always)]
    fn scan(&mut self) -> bool {
        loop {
            let rest = self.bytes.get(self.scanned..).unwrap_or_default();
            let Some(block) = rest.first_chunk::<BLOCK>() else {
                return self.scan_last(rest.len());
            };
            self.block = self.scanned;
            self.feeds = block::equal(block, b'\n');
            self.scanned = self.scanned.wrapping_add(BLOCK);
            if self.feeds != 0 {
                return true;
            }
        }
    }

    /// As [`Self::scan`], in the last `len` bytes, less than a block.
    #[inline(never)]
    fn scan_last(&mut self, len: usize) -> bool {
        self.scanned = self.bytes.len();
        match self.bytes.last_chunk::<BLOCK>() {
            // The last whole block, without what was looked at before.
            Some(block) if len > 0 => {
                let known = BLOCK.saturating_sub(len);
                self.block = self.bytes.len().saturating_sub(BLOCK);
                self.feeds = block::equal(block, b'\n') & (u64::MAX << known);
            }
            None if len > 0 => self.feeds = line_feeds_of_few(self.bytes),
            _ => {}
        }
        self.feeds != 0
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.feeds == 0 && !self.scan() {
            return None;
        }
        let end = self
            .block
            .wrapping_add(self.feeds.trailing_zeros() as usize);
        self.feeds &= self.feeds.wrapping_sub(1);
        let line = self.bytes.get(self.next..end)?;
        self.next = end.wrapping_add(1);
        Some(line)
    }
}

/// As [`block::equal`] for line feeds, of less than a block.
#[inline(never)]
fn line_feeds_of_few(bytes: &[u8]) -> u64 {
    let Some(last) = bytes.last_chunk() else {
        let bits = bytes.iter().zip(0..8);
        return bits.fold(0, |feeds, (&byte, n)| feeds | u64::from(byte == b'\n') << n);
    };
    let before_last = bytes.len().saturating_sub(8) % BLOCK;
    let (words, _) = bytes.as_chunks();
    words.iter().zip((0..BLOCK).step_by(8)).fold(
        line_feeds_of_8(last) << before_last,
        |feeds, (word, begin)| feeds | line_feeds_of_8(word) << begin,
    )
}

#[inline]
fn line_feeds_of_8(bytes: &[u8; 8]) -> u64 {
    let equal = std::array::from_fn(|n| if bytes[n] == b'\n' { 1 << n } else { 0 });
    let bits = u64::from_le_bytes(equal);
    let bits = bits | bits >> 32;
    let bits = bits | bits >> 16;
    (bits | bits >> 8) & 0xff
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes around the line feed, and those that differ from it in the highest bit.
    const NEAR: [u8; 8] = [b'\n', 9, 11, b'\n' | 0x80, 0, b'\r', 0xff, b'x'];

    #[test]
    fn each_line_feed_of_a_block_has_its_bit_and_nothing_else() {
        let mut state = 1u64;
        for round in 0..10_000 {
            let block: [u8; BLOCK] = std::array::from_fn(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                NEAR[(state >> 61) as usize]
            });
            let len = round % (BLOCK + 1);
            let expected =
                |len: usize| (0..len).fold(0, |bits, n| bits | u64::from(block[n] == b'\n') << n);
            assert_eq!(block::equal(&block, b'\n'), expected(BLOCK), "{block:?}");
            if len < BLOCK {
                assert_eq!(
                    line_feeds_of_few(&block[..len]),
                    expected(len),
                    "{len}: {block:?}"
                );
            }
        }
    }

    #[test]
    fn lines_are_those_of_a_split_at_every_length() {
        let text: Vec<u8> = (0..400u32)
            .map(|n| {
                if n * n % 23 == 3 || n % 61 == 0 {
                    b'\n'
                } else {
                    b'a'
                }
            })
            .collect();
        for start in 0..70 {
            for end in start..text.len() {
                let bytes = &text[start..end];
                let mut expected: Vec<&[u8]> = bytes.split(|&b| b == b'\n').collect();
                expected.pop();
                let mut lines = Lines::new(bytes);
                let found: Vec<&[u8]> = lines.by_ref().collect();
                assert_eq!(found, expected, "{start}..{end}");
                let whole: usize = expected.iter().map(|line| line.len() + 1).sum();
                assert_eq!(lines.end(), whole);
            }
        }
    }
}
