//! The body of a message: known by its length, in chunks, or up to the end of the stream.

use memchr::memchr;

use crate::head::trim;
use crate::limits::{CHUNK_LINE_BYTES, HEADER_LINES};
use crate::lines::Lines;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// Bytes up to a position.
    Length(u64),
    /// The line with the size of the next chunk.
    ChunkSize,
    /// Bytes of a chunk, up to a position.
    Chunk(u64),
    /// The line end after a chunk.
    ChunkEnd,
    /// Header lines after the last chunk.
    Trailers(u16),
    #[default]
    UntilClose,
}

/// A body being read.
#[derive(Debug, Default)]
pub struct Body {
    pub part: Part,
    /// Where it begins.
    pub start: u64,
    /// Bytes of content so far, without the framing.
    pub size: u64,
}

/// How far a body could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    More,
    /// Nothing below this position is of interest.
    Skip(u64),
    Done,
    /// It does not follow the rules, or receivers disagree on them.
    Broken(&'static str),
    /// It follows the rules, and has more of something than is read.
    TooLong(&'static str),
}

impl Body {
    pub fn new(part: Part, start: u64) -> Self {
        Self {
            part,
            start,
            size: 0,
        }
    }

    /// Reads on in `bytes`, which stand at `at`; `at` goes on to where the body is read.
    pub fn advance(&mut self, bytes: &[u8], at: &mut u64) -> Progress {
        let begin = *at;
        let end_of_bytes = begin.saturating_add(bytes.len() as u64);
        loop {
            let passed = usize::try_from(at.saturating_sub(begin)).unwrap_or(usize::MAX);
            let bytes = bytes.get(passed..).unwrap_or_default();
            match self.part {
                Part::Length(end) | Part::Chunk(end) => {
                    let to = end.min(end_of_bytes).max(*at);
                    self.size = self.size.saturating_add(to - *at);
                    *at = to;
                    if to < end {
                        return Progress::Skip(end);
                    }
                    if let Part::Length(_) = self.part {
                        return Progress::Done;
                    }
                    self.part = Part::ChunkEnd;
                }
                Part::UntilClose => {
                    self.size = self.size.saturating_add(bytes.len() as u64);
                    *at = end_of_bytes;
                    return Progress::Skip(u64::MAX);
                }
                Part::ChunkEnd => {
                    let len = match bytes {
                        [b'\r', b'\n', ..] => 2,
                        [b'\n', ..] => 1,
                        [] | [b'\r'] => return Progress::More,
                        _ => return Progress::Broken("chunk is longer than its size"),
                    };
                    *at = at.saturating_add(len);
                    self.part = Part::ChunkSize;
                }
                Part::ChunkSize => {
                    let line = match line(bytes, at, "chunk line too long") {
                        Ok(line) => line,
                        Err(progress) => return progress,
                    };
                    let size = match chunk_size(line) {
                        Ok(size) => size,
                        Err(reason) => return Progress::Broken(reason),
                    };
                    self.part = match at.checked_add(size) {
                        _ if size == 0 => Part::Trailers(0),
                        Some(end) if end < u64::MAX => Part::Chunk(end),
                        _ => return Progress::Broken("chunk size too large"),
                    };
                }
                Part::Trailers(count) => {
                    match line(bytes, at, "trailer too long") {
                        Ok([] | [b'\r']) => return Progress::Done,
                        Ok(_) => {}
                        Err(progress) => return progress,
                    }
                    if count >= HEADER_LINES {
                        return Progress::TooLong("too many trailers");
                    }
                    self.part = Part::Trailers(count.saturating_add(1));
                }
            }
        }
    }

    /// Goes on to `to`, past bytes that were not shown. Whether where that is in the body is still
    /// known: `Some(true)` when it is its end.
    pub(crate) fn pass(&mut self, from: u64, to: u64) -> Option<bool> {
        match self.part {
            Part::Length(end) | Part::Chunk(end) if to <= end => {
                self.size = self.size.saturating_add(to.saturating_sub(from));
                Some(to == end && self.part == Part::Length(end))
            }
            Part::UntilClose => {
                self.size = self.size.saturating_add(to.saturating_sub(from));
                Some(false)
            }
            _ => None,
        }
    }
}

/// The line that `bytes` begin with, without its line feed; `at` goes on behind it. Where it has not
/// ended: that more is needed, or `too_long`.
fn line<'a>(bytes: &'a [u8], at: &mut u64, too_long: &'static str) -> Result<&'a [u8], Progress> {
    let mut lines = Lines::new(bytes.get(..CHUNK_LINE_BYTES).unwrap_or(bytes));
    let Some(line) = lines.next() else {
        return Err(match bytes.get(CHUNK_LINE_BYTES) {
            Some(_) => Progress::TooLong(too_long),
            None => Progress::More,
        });
    };
    *at = at.saturating_add(lines.end() as u64);
    Ok(line)
}

/// `1*HEXDIG` and what may follow it (RFC 9112, 7.1). White space before an extension is accepted
/// as everyone does; a sign, a prefix or anything else is not. Where an extension ends is told by
/// CR LF only: receivers disagree about one of the two alone.
fn chunk_size(line: &[u8]) -> Result<u64, &'static str> {
    let (line, ended) = match line.strip_suffix(b"\r") {
        Some(line) => (line, true),
        None => (line, false),
    };
    let len = line
        .iter()
        .position(|b| !b.is_ascii_hexdigit())
        .unwrap_or(line.len());
    let (digits, rest) = line.split_at(len);
    let extension = trim(rest);
    if digits.is_empty() || !(extension.is_empty() || extension.starts_with(b";")) {
        return Err("chunk size is not a number");
    }
    if !extension.is_empty() && (!ended || memchr(b'\r', extension).is_some()) {
        return Err("odd line end after a chunk extension");
    }
    digits.iter().try_fold(0u64, |size, &digit| {
        let digit = char::from(digit)
            .to_digit(16)
            .ok_or("chunk size is not a number")?;
        size.checked_mul(16)
            .map(|size| size | u64::from(digit))
            .ok_or("chunk size too large")
    })
}
