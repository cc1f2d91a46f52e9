//! Bytes of a recording, as in `docs/recording.md`. All numbers are little-endian.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::event::{Nanos, SocketEvent};
use crate::source::Clock;

/// First bytes of the file. The first is no ASCII, the last two show whether line ends were
/// converted on the way.
pub const MAGIC: [u8; 8] = *b"\x89WSREC\r\n";

/// Version of the format that is written; every version up to it can be read.
pub const VERSION: u32 = 1;

/// For people who look into the file.
pub(super) const NOTE: &str =
    "Wirespan recording. It holds what programs sent and received, decrypted. Keep it secret.";

/// Each frame starts with this, so that the next one can be found behind a damaged one.
pub(super) const FRAME_MAGIC: [u8; 4] = *b"\x89WSF";

/// Magic, kind, three reserved bytes, stored length, plain length, checksum.
pub(super) const FRAME_HEADER_LEN: usize = 4 + 4 + 4 + 4 + 8;

/// A frame is written when so much is waiting, or after a second. Larger blocks hardly compress
/// better, and a cut costs at most one block.
pub(super) const BLOCK_BYTES: usize = 1 << 20;

/// Bytes of one data event; longer ones are written as several.
pub(super) const EVENT_BYTES: usize = 1 << 20;

/// No frame is longer than this, compressed or not: a block that is nearly full, one event behind
/// it, and room for what compression adds. A reader allocates no more, whatever a frame claims.
pub(super) const FRAME_LIMIT: usize = 4 << 20;

/// No file header is longer than this.
pub(super) const HEADER_LIMIT: usize = 64 << 10;

#[derive(Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) clock: Clock,
    pub(super) note: String,
}

/// What a block consists of.
#[derive(Serialize, Deserialize)]
pub(super) enum Entry {
    Event(SocketEvent),
    /// The source's watermark when it had handed out what stands before.
    Watermark(Nanos),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// A compressed block of entries.
    Entries = 1,
    /// The last frame: totals, to tell a complete file from a cut one.
    End = 2,
}

/// Head of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) kind: Option<Kind>,
    /// Bytes that follow this head.
    pub(super) stored: usize,
    /// Bytes they decompress to.
    pub(super) plain: usize,
    checksum: u64,
}

impl Frame {
    /// `None` when this is no head of a frame, or of one that nobody wrote.
    pub(super) fn parse(head: &[u8]) -> Option<Self> {
        let rest = head.strip_prefix(&FRAME_MAGIC)?;
        let (kind, rest) = rest.split_first_chunk::<4>()?;
        let (stored, rest) = rest.split_first_chunk::<4>()?;
        let (plain, rest) = rest.split_first_chunk::<4>()?;
        let (checksum, _) = rest.split_first_chunk::<8>()?;
        let kind = match kind {
            [1, 0, 0, 0] => Some(Kind::Entries),
            [2, 0, 0, 0] => Some(Kind::End),
            // Of a later version: stepped over.
            _ => None,
        };
        let stored = usize::try_from(u32::from_le_bytes(*stored)).ok()?;
        let plain = usize::try_from(u32::from_le_bytes(*plain)).ok()?;
        let checksum = u64::from_le_bytes(*checksum);
        (stored <= FRAME_LIMIT && plain <= FRAME_LIMIT).then_some(Self {
            kind,
            stored,
            plain,
            checksum,
        })
    }

    /// Whether `head` and `payload` are as they were written.
    pub(super) fn is_intact(&self, head: &[u8], payload: &[u8]) -> bool {
        head.get(..16)
            .is_some_and(|fields| checksum(fields, payload) == self.checksum)
    }

    /// A whole frame.
    pub(super) fn build(kind: Kind, payload: &[u8], plain: usize) -> Vec<u8> {
        let mut frame = Vec::with_capacity(FRAME_HEADER_LEN.saturating_add(payload.len()));
        frame.extend_from_slice(&FRAME_MAGIC);
        frame.extend_from_slice(&[kind as u8, 0, 0, 0]);
        for len in [payload.len(), plain] {
            // Both are below FRAME_LIMIT.
            frame.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
        }
        let checksum = checksum(&frame, payload);
        frame.extend_from_slice(&checksum.to_le_bytes());
        frame.extend_from_slice(payload);
        frame
    }
}

/// Over the fields of the head up to the checksum, and the payload.
fn checksum(fields: &[u8], payload: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(fields);
    hash.update(payload);
    hash.digest()
}

/// The beginning of a file.
pub(super) fn file_header(clock: Clock) -> Result<Vec<u8>, postcard::Error> {
    let header = postcard::to_allocvec(&Header {
        clock,
        note: NOTE.to_owned(),
    })?;
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(
        &u32::try_from(header.len())
            .unwrap_or(u32::MAX)
            .to_le_bytes(),
    );
    bytes.extend_from_slice(&xxh3_64(&header).to_le_bytes());
    bytes.extend_from_slice(&header);
    Ok(bytes)
}
