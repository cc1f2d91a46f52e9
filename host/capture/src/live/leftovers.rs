//! What TLS objects, threads and processes that have ended leave behind in the kernel side's maps.
//!
//! A record that a TLS object puts out is remembered until a socket sends it. One that was put out
//! just before its object's socket became known, or that was never sent, would stay until newer ones
//! push it out; so would the objects of a process that was killed. None of it does harm, but room that
//! is taken says nothing about need any more.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use aya::maps::{HashMap, MapData};
use wirespan_events::is_stand_in;

use super::threads::Threads;

/// `TlsOutput` of the kernel side: process, and the bytes by which a record is known.
pub(super) type Output = [u64; 5];
/// `TlsOrigin`: the TLS object, and when it was first seen.
pub(super) type Origin = [u64; 2];
/// `TlsKey`: a TLS object, and its process.
pub(super) type ObjectKey = [u64; 2];
/// `TlsObject`: socket, inode, when it was first seen, and whether its handshake was.
pub(super) type Object = [u64; 4];

/// Entries looked at in one round: more than any of the maps has, should it change while it is walked.
const MAX_ENTRIES: usize = 128 * 1024;

/// Processes whose end waits for the next round; what others leave goes when newer ones need the room.
const MAX_ENDED: usize = 64 * 1024;

/// Processes that have ended, on their way from the thread that notices to the one that tidies.
#[derive(Clone, Debug, Default)]
pub(super) struct Ended(Arc<Mutex<Vec<u32>>>);

impl Ended {
    pub(super) fn add(&self, processes: &[u32]) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MAX_ENDED.saturating_sub(waiting.len());
        waiting.extend(processes.iter().take(room));
    }

    fn take(&self) -> HashSet<u32> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
            .into_iter()
            .collect()
    }
}

/// The maps, and what was found in them last time.
pub(super) struct Leftovers {
    outputs: HashMap<MapData, Output, Origin>,
    objects: HashMap<MapData, ObjectKey, Object>,
    processes: HashMap<MapData, u32, u8>,
    threads: Threads,
    ended: Ended,
    /// Records that nobody needed when they were last looked at.
    doubtful: HashSet<Output>,
}

impl Leftovers {
    pub(super) fn new(
        outputs: HashMap<MapData, Output, Origin>,
        objects: HashMap<MapData, ObjectKey, Object>,
        processes: HashMap<MapData, u32, u8>,
        threads: Threads,
    ) -> Self {
        Self {
            outputs,
            objects,
            processes,
            threads,
            ended: Ended::default(),
            doubtful: HashSet::new(),
        }
    }

    /// Where the end of processes is to be told.
    pub(super) fn ended(&self) -> Ended {
        self.ended.clone()
    }

    pub(super) fn tidy(&mut self) {
        self.forget_outputs();
        self.threads.tidy();
        let ended = self.ended.take();
        if !ended.is_empty() {
            self.forget_processes(&ended);
        }
    }

    /// A record goes when it was not needed twice in a row: one whose object has just lost its socket
    /// may be on its way to the next.
    fn forget_outputs(&mut self) {
        let mut doubtful = HashSet::new();
        for (output, origin) in self.outputs.iter().take(MAX_ENTRIES).flatten() {
            let [process, ..] = output;
            let [tls, born] = origin;
            let needed = self
                .objects
                .get(&[tls, process], 0)
                .is_ok_and(|[socket, _, since, _]| {
                    (socket == 0 || is_stand_in(socket)) && since == born
                });
            if !needed {
                doubtful.insert(output);
            }
        }
        for output in self.doubtful.intersection(&doubtful) {
            // It may have been sent, or pushed out.
            let _ = self.outputs.remove(output);
        }
        doubtful.retain(|output| !self.doubtful.contains(output));
        self.doubtful = doubtful;
    }

    fn forget_processes(&mut self, ended: &HashSet<u32>) {
        // The id of a process is in the lower half.
        let of = |process: u64| ended.contains(&(process as u32));
        let objects: Vec<ObjectKey> = keys(&self.objects, |[_, process]| of(*process));
        // Each may have gone by itself.
        for key in &objects {
            let _ = self.objects.remove(key);
        }
        for process in ended {
            let _ = self.processes.remove(process);
        }
    }
}

fn keys<K: aya::Pod, V: aya::Pod>(
    map: &HashMap<MapData, K, V>,
    wanted: impl Fn(&K) -> bool,
) -> Vec<K> {
    map.keys()
        .take(MAX_ENTRIES)
        .flatten()
        .filter(wanted)
        .collect()
}
