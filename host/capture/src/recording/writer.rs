//! Writes a recording.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::format::{BLOCK_BYTES, EVENT_BYTES, Entry, FRAME_LIMIT, Frame, Kind, file_header};
use crate::error::CaptureError;
use crate::event::{Data, Nanos, SocketEvent};
use crate::private_file;
use crate::source::Clock;

/// A crash costs at most what came within this.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// zstd's fastest regular level: more costs CPU time on the node that is observed.
const COMPRESSION_LEVEL: i32 = 1;

/// What a recording holds; its last frame says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    pub frames: u64,
    pub events: u64,
    /// Bytes of data in them.
    pub bytes: u64,
}

/// Writes socket events to a file that only its owner can read.
///
/// Dropped without [`Self::finish`] it writes what it has and leaves a file that reads as cut off.
pub struct RecordingWriter {
    path: PathBuf,
    file: File,
    compressor: zstd::bulk::Compressor<'static>,
    block: Vec<u8>,
    watermark: Option<Nanos>,
    totals: Totals,
    flushed: Instant,
    finished: bool,
}

impl RecordingWriter {
    /// Creates the file with mode 0600. A regular file of that name is replaced (whoever has it open
    /// does not see the new one); a symbolic link or anything else is refused.
    ///
    /// # Errors
    /// [`CaptureError::Write`] when the file cannot be created or written.
    pub fn create(path: &Path, clock: Clock) -> Result<Self, CaptureError> {
        let failed = |source| CaptureError::Write {
            path: path.to_owned(),
            source,
        };
        let mut file = private_file::create(path)?;
        let header = file_header(clock).map_err(|error| failed(io::Error::other(error)))?;
        file.write_all(&header).map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            compressor: zstd::bulk::Compressor::new(COMPRESSION_LEVEL).map_err(failed)?,
            block: Vec::new(),
            watermark: None,
            totals: Totals::default(),
            flushed: Instant::now(),
            finished: false,
        })
    }

    /// Appends events. They are in the file after a second at the latest, if this or
    /// [`Self::flush`] is called until then; an empty slice is fine.
    ///
    /// # Errors
    /// [`CaptureError::Write`] when the file cannot be written.
    pub fn write(&mut self, events: &[SocketEvent]) -> Result<(), CaptureError> {
        if !events.is_empty()
            && let Some(time) = self.watermark.take()
        {
            self.append(&Entry::Watermark(time))?;
        }
        for event in events {
            self.totals.events = self.totals.events.saturating_add(1);
            match event {
                SocketEvent::Data(data) => {
                    self.totals.bytes = self.totals.bytes.saturating_add(data.bytes.len() as u64);
                    if data.bytes.len() > EVENT_BYTES {
                        self.write_parts(data)?;
                    } else {
                        self.append(&Entry::Event(event.clone()))?;
                    }
                }
                _ => self.append(&Entry::Event(event.clone()))?,
            }
        }
        if self.flushed.elapsed() >= FLUSH_INTERVAL {
            self.flush()?;
        }
        Ok(())
    }

    /// Says what [`Source::watermark`](crate::Source::watermark) was after the events written so
    /// far, so that a replay gives gaps up when the live run did.
    pub fn set_watermark(&mut self, time: Nanos) {
        self.watermark = Some(time);
    }

    fn write_parts(&mut self, data: &Data) -> Result<(), CaptureError> {
        let mut rest = data.clone();
        while rest.bytes.len() > EVENT_BYTES {
            let mut part = rest.clone();
            part.bytes = rest.bytes.split_to(EVENT_BYTES);
            part.len = EVENT_BYTES as u64;
            rest.position = rest.position.saturating_add(part.len);
            rest.len = rest.len.saturating_sub(part.len);
            self.append(&Entry::Event(SocketEvent::Data(part)))?;
        }
        self.append(&Entry::Event(SocketEvent::Data(rest)))
    }

    fn append(&mut self, entry: &Entry) -> Result<(), CaptureError> {
        let block = std::mem::take(&mut self.block);
        let before = block.len();
        self.block = postcard::to_extend(entry, block)
            .map_err(|error| self.failed(io::Error::other(error)))?;
        let added = self.block.len().saturating_sub(before);
        if self.block.len() > FRAME_LIMIT / 2 {
            // Only a process with an absurd environment gets here.
            tracing::warn!(
                bytes = added,
                "an event is too large for a recording and is left out"
            );
            self.block.truncate(before);
        }
        if self.block.len() >= BLOCK_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what is waiting.
    ///
    /// # Errors
    /// [`CaptureError::Write`] when the file cannot be written.
    pub fn flush(&mut self) -> Result<(), CaptureError> {
        self.flushed = Instant::now();
        if let Some(time) = self.watermark.take()
            && !self.block.is_empty()
        {
            let block = std::mem::take(&mut self.block);
            let entry = Entry::Watermark(time);
            self.block = postcard::to_extend(&entry, block)
                .map_err(|error| self.failed(io::Error::other(error)))?;
        }
        if self.block.is_empty() {
            return Ok(());
        }
        let payload = self
            .compressor
            .compress(&self.block)
            .map_err(|error| self.failed(error))?;
        let frame = Frame::build(Kind::Entries, &payload, self.block.len());
        self.file
            .write_all(&frame)
            .map_err(|error| self.failed(error))?;
        self.totals.frames = self.totals.frames.saturating_add(1);
        self.block.clear();
        Ok(())
    }

    /// Writes the rest and the end mark.
    ///
    /// # Errors
    /// [`CaptureError::Write`] when the file cannot be written.
    pub fn finish(mut self) -> Result<Totals, CaptureError> {
        self.flush()?;
        let payload = postcard::to_allocvec(&self.totals)
            .map_err(|error| self.failed(io::Error::other(error)))?;
        let frame = Frame::build(Kind::End, &payload, payload.len());
        self.file
            .write_all(&frame)
            .map_err(|error| self.failed(error))?;
        self.finished = true;
        Ok(self.totals)
    }

    fn failed(&self, source: io::Error) -> CaptureError {
        CaptureError::Write {
            path: self.path.clone(),
            source,
        }
    }
}

impl Drop for RecordingWriter {
    fn drop(&mut self) {
        if !self.finished
            && let Err(error) = self.flush()
        {
            tracing::warn!(%error, "the last part of the recording is lost");
        }
    }
}
