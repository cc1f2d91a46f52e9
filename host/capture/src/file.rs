//! Files with captured traffic, told apart by their content.

use std::path::Path;

use crate::error::CaptureError;
use crate::pcap::{Opened, PcapSource, Perspective};
use crate::recording::{MAGIC, RecordingSource};
use crate::source::Source;

/// Opens a recording, pcap or pcapng file, the latter two gzipped or not; `-` is standard input.
/// The name of a file says nothing. `perspective` is for packets: a recording has its own.
///
/// # Errors
/// [`CaptureError::Io`] when it cannot be read, [`CaptureError::Foreign`] when it is something
/// else, and what [`RecordingSource::open`] says of a recording.
pub fn open_any(
    path: &Path,
    perspective: Perspective,
) -> Result<Box<dyn Source + Send>, CaptureError> {
    let mut opened = Opened::open(path)?;
    if opened.peek()?.starts_with(&MAGIC) {
        return Ok(Box::new(RecordingSource::from_reader(
            path,
            opened.into_reader()?,
        )?));
    }
    Ok(Box::new(PcapSource::from_opened(opened, perspective)?))
}
