//! Which control groups a filter by container leaves out, so that the kernel side need not copy what
//! their processes say.
//!
//! Only what is certain goes to the kernel: a group of the unified hierarchy that is another
//! container's, and, where there is no other hierarchy, one that is no container's. A group that is
//! not known yet is left to the filter behind the ring.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aya::maps::{HashMap, MapData};

use super::recent::RecentSet;
use crate::cgroup::container_id;
use crate::event::ConnectionKey;

/// Between two looks for new groups.
const SCAN_INTERVAL: Duration = Duration::from_secs(1);

/// Groups that are looked at; also those that the kernel side remembers. Nodes have some hundred.
const MAX_GROUPS: usize = 16 * 1024;

/// Levels of groups within groups.
const MAX_DEPTH: usize = 16;

/// Keeps the kernel's list of unwanted groups.
pub(super) struct Cgroups {
    map: HashMap<MapData, u64, u8>,
    /// `None`: there is no unified hierarchy, and nothing to tell the kernel.
    root: Option<PathBuf>,
    /// Prefixes of ids of the containers that are wanted.
    containers: Vec<String>,
    /// Groups without a container are certain to have none.
    only_unified: bool,
    known: RecentSet,
    scanned: Option<Instant>,
}

impl Cgroups {
    pub(super) fn new(map: HashMap<MapData, u64, u8>, containers: &[String]) -> Self {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let hierarchies = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self {
            map,
            root: unified(&mounts),
            containers: containers.to_vec(),
            only_unified: hierarchies.lines().count() == 1,
            known: RecentSet::new(MAX_GROUPS),
            scanned: None,
        }
    }

    /// Looks for new groups, if it is time.
    pub(super) fn refresh(&mut self) {
        if self
            .scanned
            .is_some_and(|last| last.elapsed() < SCAN_INTERVAL)
        {
            return;
        }
        self.scanned = Some(Instant::now());
        let mut groups = Vec::new();
        if let Some(root) = &self.root {
            walk(root, 0, &mut groups);
        }
        for (id, path) in groups {
            // Ids are never used again.
            let key = ConnectionKey {
                socket: id,
                generation: 0,
            };
            if self.known.contains(&key) {
                continue;
            }
            self.known.insert(key);
            let wanted = match container_id(&path) {
                Some(container) => self
                    .containers
                    .iter()
                    .any(|prefix| container.starts_with(prefix.as_str())),
                None => !self.only_unified,
            };
            // One that does not fit is left to the filter behind the ring.
            if !wanted && let Err(error) = self.map.insert(id, 1, 0) {
                tracing::debug!(%error, path, "a control group cannot be left out in the kernel");
            }
        }
    }
}

/// Where the unified hierarchy is mounted.
fn unified(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (place, kind) = (words.nth(1)?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(place))
    })
}

/// Ids and paths of a group and of those in it: the id is the inode of its directory.
fn walk(directory: &Path, depth: usize, groups: &mut Vec<(u64, String)>) {
    let Ok(found) = fs::metadata(directory) else {
        return;
    };
    if groups.len() >= MAX_GROUPS || depth > MAX_DEPTH {
        return;
    }
    let path = String::from_utf8_lossy(directory.as_os_str().as_bytes()).into_owned();
    groups.push((found.ino(), path));
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&entry.path(), depth.saturating_add(1), groups);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unified_hierarchy_is_found_wherever_it_is() {
        let mixed = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(
            unified(mixed),
            Some(PathBuf::from("/sys/fs/cgroup/unified"))
        );
        assert_eq!(unified("proc /proc proc rw 0 0\n"), None);
    }

    #[test]
    fn groups_within_groups_are_found() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        fs::write(folder.path().join("a/cgroup.procs"), "").unwrap();
        let mut groups = Vec::new();
        walk(folder.path(), 0, &mut groups);
        assert_eq!(groups.len(), 3);
        assert!(groups.iter().any(|(_, path)| path.ends_with("/a/b")));
    }
}
