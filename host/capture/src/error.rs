//! Why a capture cannot start or go on. Each message ends with what to do.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    #[error("cannot read {path}: {source}{}", remedy(source))]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("cannot write {path}: {source}; choose another place, or make room")]
    Write {
        path: PathBuf,
        source: std::io::Error,
    },
    /// The file is something else.
    #[error(
        "{path} is not a Wirespan recording, pcap or pcapng: it begins with {found}; give a file made by `wirespan record`, tcpdump or Wireshark"
    )]
    Foreign { path: PathBuf, found: String },
    /// The file is of the right kind, but of a version that this program does not know.
    #[error(
        "{path} is a recording of format version {found}, this program reads up to {known}: use a newer wirespan"
    )]
    Version {
        path: PathBuf,
        found: u32,
        known: u32,
    },
    /// The file contradicts its own format from the beginning on.
    #[error("{path} is damaged: {reason}; nothing of it can be read")]
    Damaged { path: PathBuf, reason: String },
    /// The kernel refuses, or lacks something without which there is no capture at all.
    #[error("{what}: {reason}; {remedy}")]
    Kernel {
        what: String,
        reason: String,
        remedy: String,
    },
}

/// What to do about a file that cannot be read, where that is known.
fn remedy(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => "; give the path of a file that is there",
        std::io::ErrorKind::PermissionDenied => "; give this user the right to read it",
        _ => "",
    }
}
