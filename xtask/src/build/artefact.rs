//! The files that the agent embeds.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::terminal::{Mark, Terminal};

/// A file to be embedded, and its bytes.
pub(super) struct Artefact {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Artefact {
    pub(super) fn new(path: PathBuf, bytes: Vec<u8>) -> Self {
        Self { path, bytes }
    }

    /// Writes the file, unless it is there with the same bytes: its time would have the agent built
    /// again.
    pub(super) fn store(self, what: &str, took: String, terminal: &Terminal) -> Result<PathBuf> {
        let size = size(u64::try_from(self.bytes.len()).unwrap_or(u64::MAX));
        let is_same = fs::read(&self.path).is_ok_and(|old| old == self.bytes);
        if is_same {
            terminal.done(Mark::Good, what, format!("{size}, unchanged, {took}"));
        } else {
            // Whole or not at all: a build that is interrupted here must not leave half a parser.
            let unfinished = self.path.with_extension("unfinished");
            fs::write(&unfinished, &self.bytes)
                .and_then(|()| fs::rename(&unfinished, &self.path))
                .with_context(|| format!("{} cannot be written", self.path.display()))?;
            terminal.done(Mark::Good, what, format!("{size}, {took}"));
        }
        Ok(self.path)
    }
}

/// Removes what an earlier build left, such as a parser that is no more.
pub(super) fn remove_others(directory: &Path, made: &[PathBuf]) -> Result<()> {
    for entry in fs::read_dir(directory)
        .with_context(|| format!("{} cannot be listed", directory.display()))?
    {
        let path = entry?.path();
        if !made.contains(&path) {
            fs::remove_file(&path)
                .with_context(|| format!("{} cannot be removed", path.display()))?;
        }
    }
    Ok(())
}

/// Bytes as people read them: `812 B`, `31 KiB`, `24.6 MiB`.
pub(super) fn size(bytes: u64) -> String {
    const KIB: u64 = 1024;
    const MIB: u64 = KIB * KIB;
    if bytes < KIB {
        format!("{bytes} B")
    } else if bytes < MIB {
        format!("{} KiB", bytes / KIB)
    } else {
        format!("{}.{} MiB", bytes / MIB, bytes % MIB * 10 / MIB)
    }
}
