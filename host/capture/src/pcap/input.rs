//! The bytes of a capture file: from disk or a pipe, compressed or not.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use xxhash_rust::xxh3::Xxh3;

use crate::error::CaptureError;

/// How much is read at a time.
const READ_BYTES: usize = 256 << 10;

/// A capture that comes through a pipe is kept in memory, for its identity is a hash of all of it.
const PIPE_LIMIT: u64 = 1 << 30;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// A file whose content can be read from the beginning again.
pub(crate) struct Opened {
    path: PathBuf,
    reader: Box<dyn Rewind>,
}

trait Rewind: Read + Seek + Send {}
impl<T: Read + Seek + Send> Rewind for T {}

impl Opened {
    /// `-` is standard input.
    pub(crate) fn open(path: &Path) -> Result<Self, CaptureError> {
        let failed = |source| CaptureError::Io {
            path: path.to_owned(),
            source,
        };
        if path == Path::new("-") {
            return Self::buffered(path, io::stdin().lock());
        }
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_file() {
            return Ok(Self {
                path: path.to_owned(),
                reader: Box::new(file),
            });
        }
        if metadata.is_dir() {
            return Err(failed(io::Error::new(
                io::ErrorKind::IsADirectory,
                "it is a directory; give a file",
            )));
        }
        Self::buffered(path, file)
    }

    fn buffered(path: &Path, input: impl Read) -> Result<Self, CaptureError> {
        let failed = |source| CaptureError::Io {
            path: path.to_owned(),
            source,
        };
        let mut content = Vec::new();
        input
            .take(PIPE_LIMIT.saturating_add(1))
            .read_to_end(&mut content)
            .map_err(failed)?;
        if content.len() as u64 > PIPE_LIMIT {
            return Err(failed(io::Error::other(
                "more than 1 GiB came through a pipe; write it to a file first",
            )));
        }
        Ok(Self {
            path: path.to_owned(),
            reader: Box::new(Cursor::new(content)),
        })
    }

    fn rewind(&mut self) -> Result<(), CaptureError> {
        self.reader
            .seek(SeekFrom::Start(0))
            .map_err(|source| self.failed(source))
            .map(|_| ())
    }

    fn failed(&self, source: io::Error) -> CaptureError {
        CaptureError::Io {
            path: self.path.clone(),
            source,
        }
    }

    /// Hash of the content, which is the identity of a packet capture.
    pub(crate) fn hash(&mut self) -> Result<u128, CaptureError> {
        self.rewind()?;
        let mut hash = Xxh3::new();
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match self.reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => hash.update(buffer.get(..read).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(self.failed(source)),
            }
        }
        self.rewind()?;
        Ok(hash.digest128())
    }

    /// The first bytes of the content, unpacked.
    pub(crate) fn peek(&mut self) -> Result<Vec<u8>, CaptureError> {
        self.rewind()?;
        let mut start = Vec::new();
        let first = Read::take(&mut self.reader, 2).read_to_end(&mut start);
        first.map_err(|source| self.failed(source))?;
        if start == GZIP_MAGIC {
            self.rewind()?;
            start.clear();
            // What cannot be unpacked is foreign: the bytes before the damage decide.
            let _ = MultiGzDecoder::new(&mut self.reader)
                .take(PEEK_BYTES)
                .read_to_end(&mut start);
        } else {
            let rest = Read::take(&mut self.reader, PEEK_BYTES).read_to_end(&mut start);
            rest.map_err(|source| self.failed(source))?;
        }
        self.rewind()?;
        Ok(start)
    }

    /// The content from its beginning, unpacked.
    pub(crate) fn into_reader(mut self) -> Result<Box<dyn Read + Send>, CaptureError> {
        self.rewind()?;
        let mut start = [0; 2];
        let packed = self.reader.read_exact(&mut start).is_ok() && start == GZIP_MAGIC;
        self.rewind()?;
        Ok(if packed {
            Box::new(MultiGzDecoder::new(self.reader))
        } else {
            Box::new(self.reader)
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Enough to tell every format by.
const PEEK_BYTES: u64 = 32;

/// A buffer over a reader that shows as much as asked for, if it is there.
pub(super) struct Input {
    reader: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    used: usize,
    at_end: bool,
    /// Bytes consumed so far.
    pub(super) offset: u64,
    /// More was consumed than there was.
    pub(super) overdrawn: bool,
    /// Why reading stopped before the end of the file.
    pub(super) failure: Option<io::Error>,
}

impl Input {
    pub(super) fn new(reader: Box<dyn Read + Send>) -> Self {
        Self {
            reader,
            buffer: Vec::new(),
            used: 0,
            at_end: false,
            offset: 0,
            overdrawn: false,
            failure: None,
        }
    }

    /// What is unused, at least `len` bytes of it unless the file ends before. A failure to read or
    /// to unpack is an end.
    pub(super) fn want(&mut self, len: usize) -> &[u8] {
        while self.buffer.len().saturating_sub(self.used) < len && !self.at_end {
            self.buffer.drain(..self.used);
            self.used = 0;
            let before = self.buffer.len();
            self.buffer.resize(before.saturating_add(READ_BYTES), 0);
            let read = match self
                .reader
                .read(self.buffer.get_mut(before..).unwrap_or_default())
            {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    self.buffer.truncate(before);
                    continue;
                }
                Err(error) => {
                    self.failure = Some(error);
                    0
                }
            };
            self.buffer.truncate(before.saturating_add(read));
            self.at_end = read == 0;
        }
        self.buffer.get(self.used..).unwrap_or_default()
    }

    pub(super) fn consume(&mut self, len: usize) {
        self.overdrawn |= len > self.buffer.len().saturating_sub(self.used);
        self.used = self.used.saturating_add(len).min(self.buffer.len());
        self.offset = self.offset.saturating_add(len as u64);
    }
}
