//! What the kernel side remembers of goroutines, as far as the host has to look after it.

use aya::maps::{Array, HashMap, MapData};

/// `GoKey` of the kernel side: a goroutine, and its process, whose id is in the lower half.
type Key = [u64; 2];
/// `GoCall` of the kernel side.
type Call = [u64; 11];

/// A goroutine that waits when its process ends never returns, and what is remembered of it would
/// stay.
pub(super) struct GoCalls {
    watched: Array<MapData, u32>,
    in_flight: HashMap<MapData, Key, Call>,
}

impl GoCalls {
    pub(super) fn new(
        watched: Array<MapData, u32>,
        in_flight: HashMap<MapData, Key, Call>,
    ) -> Self {
        Self { watched, in_flight }
    }

    /// Whether there are probes on any program made by Go: where there are none, system calls need not
    /// ask for their goroutine.
    pub(super) fn watch(&mut self, any: bool) {
        if let Err(error) = self.watched.set(0, u32::from(any), 0) {
            tracing::warn!(%error, "programs made by Go cannot be watched");
        }
    }

    /// Forgets what goroutines of processes that have ended were doing.
    pub(super) fn forget(&mut self, ended: &[u32]) {
        let keys: Vec<Key> = self
            .in_flight
            .keys()
            .flatten()
            .filter(|[_, process]| ended.contains(&(*process as u32)))
            .collect();
        for key in keys {
            // It may have gone by itself.
            let _ = self.in_flight.remove(&key);
        }
    }
}
