//! TLS libraries that are installed on the node, mapped or not.
//!
//! A uprobe can sit on a file before anyone maps it. With the node's own libraries probed from the
//! start, the first bytes of a program that is started later are seen, however short-lived it is;
//! only files elsewhere (containers, bundled libraries) have to be found in a process first.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::library;

/// Where distributions keep shared libraries, below the root of the first process.
const DIRECTORIES: [&str; 8] = [
    "usr/lib",
    "usr/lib64",
    "usr/local/lib",
    "usr/local/lib64",
    "usr/lib/x86_64-linux-gnu",
    "lib",
    "lib64",
    "lib/x86_64-linux-gnu",
];

/// A directory of libraries has some thousand entries; one with many more is not read to its end.
const MAX_ENTRIES: usize = 65_536;

/// What changes when a file comes, goes or is replaced: of each directory its identity and when it was
/// changed.
pub(super) type Stamp = [Option<(u64, u64, i64, i64)>; DIRECTORIES.len()];

/// Reading the directories takes milliseconds, asking for this microseconds.
pub(super) fn stamp(proc_root: &Path) -> Stamp {
    let root = root(proc_root);
    DIRECTORIES.map(|directory| {
        let found = std::fs::metadata(root.join(directory)).ok()?;
        Some((found.dev(), found.ino(), found.mtime(), found.mtime_nsec()))
    })
}

/// Paths of files named like TLS libraries, each real file once.
pub(super) fn find(proc_root: &Path) -> Vec<PathBuf> {
    let root = root(proc_root);
    let mut found: Vec<PathBuf> = DIRECTORIES
        .iter()
        .filter_map(|directory| std::fs::read_dir(root.join(directory)).ok())
        .flat_map(|entries| entries.flatten().take(MAX_ENTRIES))
        .filter(|entry| library::is_tls_name(OsStr::as_bytes(&entry.file_name())))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

fn root(proc_root: &Path) -> PathBuf {
    let root = proc_root.join("1/root");
    if let Err(error) = std::fs::read_dir(&root)
        && error.kind() == ErrorKind::PermissionDenied
    {
        // A sandbox can keep the first process to itself; then this program's own root is what
        // there is, and outside of containers it is the same.
        return PathBuf::from("/");
    }
    root
}
