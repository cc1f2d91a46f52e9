//! Keeps the actor from running ahead of who watches: on a busy machine the rings would overflow, and
//! what is lost then shows nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// Further ahead than this nobody runs.
const LEAD: Duration = Duration::from_millis(150);
/// How often is looked whether to go on.
const LOOK: Duration = Duration::from_millis(5);

fn path(journal: &Path) -> PathBuf {
    journal.with_extension("progress")
}

/// The observer has everything up to this time.
///
/// # Errors
/// It cannot be written.
pub fn tell(journal: &Path, progress: u64) -> Result<()> {
    let path = path(journal);
    fs::write(&path, progress.to_le_bytes())
        .with_context(|| format!("{} cannot be written", path.display()))
}

/// Waits until the observer is close behind; not at all where none tells how far it is.
pub fn wait(journal: &Path, now: impl Fn() -> u64) {
    let began = now();
    let path = path(journal);
    while let Ok(bytes) = fs::read(&path) {
        // While it is being written there is nothing in it.
        let told = <[u8; 8]>::try_from(bytes.as_slice()).map_or(0, u64::from_le_bytes);
        let lead = u64::try_from(LEAD.as_nanos()).unwrap_or(u64::MAX);
        if told.saturating_add(lead) >= began {
            return;
        }
        thread::sleep(LOOK);
    }
}
