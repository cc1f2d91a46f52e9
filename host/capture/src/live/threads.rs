//! Threads that have ended without the kernel side noticing.
//!
//! It keeps an entry for each thread that makes calls on sockets, and takes it away when the thread
//! ends. That can be missed: a trace point's program is skipped when it interrupts another one on its
//! CPU, and a thread that runs another program (`execve`) goes on under the id of its process.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aya::maps::{HashMap, MapData};
use wirespan_events::state::{THREAD_BYTES, THREAD_INSIDE, THREAD_STAGE};

/// `Thread` of the kernel side.
pub(super) type Thread = [u8; THREAD_BYTES];

/// Between two looks: ends that are missed are rare.
const INTERVAL: Duration = Duration::from_secs(60);
/// Entries looked at in one round: more than there can be, should the map change while it is walked.
const MAX_ENTRIES: usize = 64 * 1024;

pub(super) struct Threads {
    map: HashMap<MapData, u64, Thread>,
    root: PathBuf,
    next: Instant,
}

impl Threads {
    /// `root`: see [`proc_root`](crate::process::proc_root).
    pub(super) fn new(map: HashMap<MapData, u64, Thread>, root: PathBuf) -> Self {
        Self {
            map,
            root,
            next: Instant::now() + INTERVAL,
        }
    }

    pub(super) fn tidy(&mut self) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.next = now + INTERVAL;
        let ended: Vec<u64> = self
            .map
            .keys()
            .take(MAX_ENTRIES)
            .flatten()
            .filter(|id| !lives(&self.root, *id))
            .collect();
        for id in ended {
            // One that is in a call lives, whatever `/proc` says.
            if self.map.get(&id, 0).is_ok_and(|thread| is_idle(&thread)) {
                let _ = self.map.remove(&id);
            }
        }
    }
}

/// `id`: the process in the upper half, the thread in the lower.
fn lives(root: &Path, id: u64) -> bool {
    let (process, thread) = (id >> 32, id & u64::from(u32::MAX));
    root.join(format!("{process}/task/{thread}")).exists()
}

fn is_idle(thread: &Thread) -> bool {
    [THREAD_STAGE, THREAD_INSIDE]
        .iter()
        .all(|place| thread.get(*place) == Some(&0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_lives_as_long_as_proc_has_it() {
        let root = Path::new("/proc");
        let process = u64::from(std::process::id());
        // `<process>/task/<thread>`
        let thread = std::thread::spawn(|| std::fs::read_link("/proc/thread-self").unwrap());
        let place = thread.join().unwrap();
        let ended: u64 = place
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!(lives(root, process << 32 | process));
        assert!(!lives(root, process << 32 | ended));
        assert!(!lives(root, u64::from(u32::MAX) << 32 | process));
    }

    #[test]
    fn only_a_thread_that_is_in_no_call_is_idle() {
        let idle = [0; THREAD_BYTES];
        assert!(is_idle(&idle));
        for place in [THREAD_STAGE, THREAD_INSIDE] {
            let mut busy = idle;
            busy[place] = 1;
            assert!(!is_idle(&busy));
        }
    }
}
