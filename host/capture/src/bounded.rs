//! Reading files whose size nobody vouches for (procfs, files of other processes).

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Reads at most `limit` bytes from the start of the file.
///
/// # Errors
/// Those of opening and reading. What lies beyond the limit is no error: the caller compares.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// As [`read`], into a buffer that is used again: scans read thousands of small files.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_into(path: &Path, limit: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
    bytes.clear();
    File::open(path)?.take(limit).read_to_end(bytes)?;
    Ok(())
}
