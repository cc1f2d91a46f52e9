//! Files that hold plaintext.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::CaptureError;

/// Creates a file with mode 0600. A regular file of that name is replaced (whoever has it open does
/// not see the new one); a symbolic link or anything else is refused.
pub(crate) fn create(path: &Path) -> Result<File, CaptureError> {
    let failed = |source| CaptureError::Write {
        path: path.to_owned(),
        source,
    };
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => fs::remove_file(path).map_err(failed)?,
        Ok(_) => {
            let reason = "it exists and is no regular file; a recording holds plaintext and is not sent through links or devices";
            return Err(failed(io::Error::new(io::ErrorKind::AlreadyExists, reason)));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    // O_EXCL: fails on whatever somebody put there in between, links included.
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)
}
