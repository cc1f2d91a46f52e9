//! Which libraries are probed where they put out ciphertext (`BIO_write`): those that some process with memory
//! BIOs may have mapped. A hit there costs as much as one at `SSL_write`, and is of use to nobody else.
//!
//! Of each library of which that is not known of any process the probe is withheld. Once it is there it stays:
//! programs that run for a moment, one after the other, are all to be seen.

use std::collections::HashSet;
use std::path::Path;

use super::evidence::Evidence;
use super::library::{self, FileId, OpenError, TlsFunction, TlsLibrary};
use super::maps::Mapping;
use crate::process;

/// Bytes of files that are read in one scan; those that are left are read in the next.
const MAX_READ_BYTES: u64 = 128 << 20;

#[derive(Debug, Default)]
pub(super) struct Outputs {
    withheld: HashSet<FileId>,
    /// Only what these processes may do counts; empty: all.
    only: Vec<u32>,
    evidence: Evidence,
    /// As many bytes have been read when no more are in this scan.
    read_up_to: u64,
}

impl Outputs {
    pub(super) fn only(&mut self, pids: Vec<u32>) {
        self.only = pids;
    }

    pub(super) fn begin_scan(&mut self) {
        self.read_up_to = self.evidence.bytes_read().saturating_add(MAX_READ_BYTES);
    }

    /// A library has been found. A program that has one inside of itself may do with it what it likes.
    pub(super) fn found(&mut self, library: &TlsLibrary) {
        let is_output = |(function, _): &(TlsFunction, u64)| *function == TlsFunction::Output;
        let path = library.display_path.as_os_str().as_encoded_bytes();
        if library::is_tls_name(path) && library.functions.iter().any(is_output) {
            self.withheld.insert(library.id);
        }
    }

    pub(super) fn gone(&mut self, library: &FileId) {
        self.withheld.remove(library);
    }

    /// From now on it is probed there. Whether it was not.
    pub(super) fn grant(&mut self, library: &FileId) -> bool {
        self.withheld.remove(library)
    }

    pub(super) fn is_withheld(&self, library: &FileId) -> bool {
        self.withheld.contains(library)
    }

    /// Whether there is any of which it is withheld.
    pub(super) fn any_withheld(&self) -> bool {
        !self.withheld.is_empty()
    }

    /// Whether it matters what this process may do.
    pub(super) fn concern(&self, pid: u32) -> bool {
        self.any_withheld() && (self.only.is_empty() || self.only.contains(&pid))
    }

    /// Whether a process that has mapped this file may use memory BIOs; `None`: not known yet.
    pub(super) fn may_use(&mut self, root: &Path, pid: u32, mapping: &Mapping<'_>) -> Option<bool> {
        if self.evidence.bytes_read() >= self.read_up_to {
            return None;
        }
        match library::open_mapped(root, pid, mapping) {
            Ok(file) => Some(self.evidence.of(&file).unwrap_or(true)),
            Err(OpenError::Unreadable(_)) => {
                // What has ended need not be known.
                process::started(root, pid).map(|_| true)
            }
            // A device.
            Err(_) => Some(false),
        }
    }
}
