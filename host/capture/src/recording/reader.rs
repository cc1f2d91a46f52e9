//! Reads a recording, however damaged.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use super::format::{
    Entry, FRAME_HEADER_LEN, FRAME_LIMIT, FRAME_MAGIC, Frame, HEADER_LIMIT, Header, Kind, MAGIC,
    VERSION,
};
use super::writer::Totals;
use crate::error::CaptureError;
use crate::event::{Nanos, SocketEvent};
use crate::source::{Clock, Progress, Source};

/// How much is read from the file at a time.
const READ_BYTES: usize = 256 << 10;

/// After so many damaged frames the rest is left alone: each may cost a checksum over megabytes, and
/// a file made to do that would keep the program busy for hours.
const DAMAGED_LIMIT: u64 = 1_024;

/// A recording as a source of socket events. Nothing in it is trusted: lengths are bounded before
/// memory is taken, checksums are compared, and what is damaged is stepped over and told.
pub struct RecordingSource {
    path: PathBuf,
    input: Box<dyn Read + Send>,
    /// Read and not yet used, from `used` on.
    buffer: Vec<u8>,
    used: usize,
    at_end: bool,
    clock: Clock,
    /// The current block, from `decoded` on.
    block: Vec<u8>,
    decoded: usize,
    watermark: Nanos,
    last_event: Nanos,
    totals: Totals,
    promised: Option<Totals>,
    damaged_frames: u64,
    unknown_frames: u64,
    skipped_bytes: u64,
    rest_bytes: u64,
    given_up: bool,
    done: bool,
}

impl RecordingSource {
    /// # Errors
    /// [`CaptureError::Io`] when the file cannot be read, [`CaptureError::Foreign`] when it is
    /// something else, [`CaptureError::Version`] when it was made by a newer Wirespan,
    /// [`CaptureError::Damaged`] when its header is not as it was written.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let file = File::open(path).map_err(|source| CaptureError::Io {
            path: path.to_owned(),
            source,
        })?;
        Self::from_reader(path, Box::new(file))
    }

    /// The same for a stream; `path` is what errors call it.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_reader(path: &Path, input: Box<dyn Read + Send>) -> Result<Self, CaptureError> {
        let mut source = Self {
            path: path.to_owned(),
            input,
            buffer: Vec::new(),
            used: 0,
            at_end: false,
            clock: Clock {
                capture_id: 0,
                unix_offset: 0,
            },
            block: Vec::new(),
            decoded: 0,
            watermark: 0,
            last_event: 0,
            totals: Totals::default(),
            promised: None,
            damaged_frames: 0,
            unknown_frames: 0,
            skipped_bytes: 0,
            rest_bytes: 0,
            given_up: false,
            done: false,
        };
        source.clock = source.read_header()?;
        Ok(source)
    }

    fn read_header(&mut self) -> Result<Clock, CaptureError> {
        let start = self.want(24)?;
        if !start.starts_with(&MAGIC) {
            let found = describe(start);
            return Err(CaptureError::Foreign {
                path: self.path.clone(),
                found,
            });
        }
        let fields = start
            .get(8..24)
            .and_then(|fields| fields.first_chunk::<16>())
            .copied();
        let Some([v0, v1, v2, v3, l0, l1, l2, l3, checksum @ ..]) = fields else {
            return Err(self.damaged("it ends within its header"));
        };
        let version = u32::from_le_bytes([v0, v1, v2, v3]);
        let len = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
        if version > VERSION || version == 0 {
            return Err(CaptureError::Version {
                path: self.path.clone(),
                found: version,
                known: VERSION,
            });
        }
        if len > HEADER_LIMIT {
            return Err(self.damaged("its header claims an impossible length"));
        }
        let total = len.saturating_add(24);
        let Some(header) = self.want(total)?.get(24..total) else {
            return Err(self.damaged("it ends within its header"));
        };
        if xxh3_64(header) != u64::from_le_bytes(checksum) {
            return Err(self.damaged("the checksum of its header is wrong"));
        }
        let header: Header = postcard::from_bytes(header)
            .map_err(|_| self.damaged("its header cannot be decoded"))?;
        self.consume(total);
        Ok(header.clock)
    }

    fn damaged(&self, reason: &str) -> CaptureError {
        CaptureError::Damaged {
            path: self.path.clone(),
            reason: reason.to_owned(),
        }
    }

    /// What is unused, at least `len` bytes of it unless the file ends.
    fn want(&mut self, len: usize) -> Result<&[u8], CaptureError> {
        while self.buffer.len().saturating_sub(self.used) < len && !self.at_end {
            self.buffer.drain(..self.used);
            self.used = 0;
            let before = self.buffer.len();
            self.buffer.resize(before.saturating_add(READ_BYTES), 0);
            let read = match self
                .input
                .read(self.buffer.get_mut(before..).unwrap_or_default())
            {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    self.buffer.truncate(before);
                    continue;
                }
                Err(source) => {
                    return Err(CaptureError::Io {
                        path: self.path.clone(),
                        source,
                    });
                }
            };
            self.buffer.truncate(before.saturating_add(read));
            self.at_end = read == 0;
        }
        Ok(self.buffer.get(self.used..).unwrap_or_default())
    }

    fn consume(&mut self, len: usize) {
        self.used = self.used.saturating_add(len).min(self.buffer.len());
    }

    /// Decodes the next readable block into `self.block`; false at the end of the file.
    fn next_block(&mut self) -> Result<bool, CaptureError> {
        loop {
            let head = self.want(FRAME_HEADER_LEN)?;
            if head.is_empty() {
                return Ok(false);
            }
            let Some(frame) = Frame::parse(head) else {
                if !self.resynchronise()? {
                    return Ok(false);
                }
                continue;
            };
            let total = FRAME_HEADER_LEN.saturating_add(frame.stored);
            let bytes = self.want(total)?;
            let Some((head, payload)) = bytes
                .get(..total)
                .and_then(|all| all.split_at_checked(FRAME_HEADER_LEN))
            else {
                // Cut off within this frame, or a damaged length: another frame may lie behind it.
                if !self.resynchronise()? {
                    return Ok(false);
                }
                continue;
            };
            if !frame.is_intact(head, payload) {
                if !self.resynchronise()? {
                    return Ok(false);
                }
                continue;
            }
            let block = match frame.kind {
                Some(Kind::Entries) => zstd::bulk::decompress(payload, frame.plain).ok(),
                Some(Kind::End) => {
                    self.promised = postcard::from_bytes(payload).ok();
                    self.consume(total);
                    continue;
                }
                None => {
                    self.unknown_frames = self.unknown_frames.saturating_add(1);
                    self.consume(total);
                    continue;
                }
            };
            self.consume(total);
            self.totals.frames = self.totals.frames.saturating_add(1);
            match block {
                Some(block) => {
                    self.block = block;
                    self.decoded = 0;
                    return Ok(true);
                }
                None => self.damaged_frames = self.damaged_frames.saturating_add(1),
            }
        }
    }

    /// Steps over a damaged frame to the next that begins like one; false when there is none.
    fn resynchronise(&mut self) -> Result<bool, CaptureError> {
        if self.damaged_frames >= DAMAGED_LIMIT {
            self.given_up = true;
            return Ok(false);
        }
        let mut skipped: u64 = 0;
        // Not the one that we stand on.
        let mut from = 1;
        loop {
            self.want(FRAME_LIMIT)?;
            let at_end = self.at_end;
            let bytes = self.buffer.get(self.used..).unwrap_or_default();
            let found = bytes
                .get(from..)
                .unwrap_or_default()
                .windows(FRAME_MAGIC.len())
                .position(|window| window == FRAME_MAGIC)
                .map(|at| at.saturating_add(from));
            let step = match found {
                Some(at) => at,
                // The magic may lie across the end of what was read.
                None if !at_end => bytes.len().saturating_sub(FRAME_MAGIC.len()),
                None => bytes.len(),
            };
            self.consume(step);
            skipped = skipped.saturating_add(step as u64);
            if found.is_some() {
                self.damaged_frames = self.damaged_frames.saturating_add(1);
                self.skipped_bytes = self.skipped_bytes.saturating_add(skipped);
                return Ok(true);
            }
            if at_end {
                self.rest_bytes = skipped;
                return Ok(false);
            }
            from = 0;
        }
    }

    /// Hands out the current block up to the next watermark; false when it is used up.
    fn decode(&mut self, events: &mut Vec<SocketEvent>) -> bool {
        loop {
            let rest = self.block.get(self.decoded..).unwrap_or_default();
            if rest.is_empty() {
                return false;
            }
            match postcard::take_from_bytes::<Entry>(rest) {
                Ok((Entry::Event(event), behind)) => {
                    self.decoded = self.block.len().saturating_sub(behind.len());
                    self.totals.events = self.totals.events.saturating_add(1);
                    if let SocketEvent::Data(data) = &event {
                        self.last_event = self.last_event.max(data.time());
                    }
                    events.push(event);
                }
                Ok((Entry::Watermark(time), behind)) => {
                    self.decoded = self.block.len().saturating_sub(behind.len());
                    self.watermark = self.watermark.max(time);
                    if !events.is_empty() {
                        return true;
                    }
                }
                Err(_) => {
                    self.damaged_frames = self.damaged_frames.saturating_add(1);
                    self.block.clear();
                    return false;
                }
            }
        }
    }
}

impl Source for RecordingSource {
    fn poll(
        &mut self,
        _: Duration,
        events: &mut Vec<SocketEvent>,
    ) -> Result<Progress, CaptureError> {
        let before = events.len();
        while !self.done {
            if self.decode(events) || events.len() > before {
                return Ok(Progress::More);
            }
            self.done = !self.next_block()?;
        }
        Ok(Progress::End)
    }

    fn clock(&self) -> Clock {
        self.clock
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let path = self.path.display();
        if self.damaged_frames > 0 {
            warnings.push(format!(
                "{path}: {} damaged frames ({} bytes) were left out; events are missing there",
                self.damaged_frames, self.skipped_bytes
            ));
        }
        if self.unknown_frames > 0 {
            warnings.push(format!(
                "{path}: {} frames of a kind that this version does not know were left out",
                self.unknown_frames
            ));
        }
        if self.given_up {
            warnings.push(format!(
                "{path}: so much of it is damaged that the rest was not read"
            ));
        } else if self.done && self.promised.is_none() {
            warnings.push(format!(
                "{path} was cut off: it ends without its end mark{}; everything before was read",
                if self.rest_bytes > 0 {
                    format!(", within a frame ({} bytes)", self.rest_bytes)
                } else {
                    String::new()
                }
            ));
        } else if let Some(promised) = self.promised
            && self.done
            && self.damaged_frames == 0
            && promised.frames != self.totals.frames
        {
            warnings.push(format!(
                "{path}: {} of {} frames are there",
                self.totals.frames, promised.frames
            ));
        }
        warnings
    }

    fn watermark(&self) -> Nanos {
        if self.done {
            self.watermark.max(self.last_event)
        } else {
            self.watermark
        }
    }
}

/// The first bytes of a foreign file, for a message.
pub(crate) fn describe(start: &[u8]) -> String {
    if start.is_empty() {
        return "nothing (it is empty)".to_owned();
    }
    let shown: Vec<String> = start
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("the bytes {}", shown.join(" "))
}
