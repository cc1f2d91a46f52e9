//! The way back to the kernel.

use std::sync::{Arc, Mutex, PoisonError};

use aya::maps::{HashMap, MapData};
use wirespan_events::{layer, verdict};

use super::counters::{HostCounters, add};
use super::recent::RecentSet;
use crate::event::ConnectionKey;
use crate::source::{Verdict, Verdicts};

/// Connections with plaintext. Beyond it the one that was silent for longest is forgotten: its
/// verdicts are then about ciphertext, of which nothing is copied anyway.
const MAX_SECURED: usize = 256 * 1024;

/// Writes verdicts into the kernel's map.
pub(super) struct LiveVerdicts {
    map: Mutex<HashMap<MapData, u64, wirespan_events::Verdict>>,
    /// Connections of which plaintext has been handed out: their verdicts are about that.
    secured: Mutex<RecentSet>,
    counters: Arc<HostCounters>,
}

impl LiveVerdicts {
    pub(super) fn new(
        map: HashMap<MapData, u64, wirespan_events::Verdict>,
        counters: Arc<HostCounters>,
    ) -> Self {
        Self {
            map: Mutex::new(map),
            secured: Mutex::new(RecentSet::new(MAX_SECURED)),
            counters,
        }
    }
}

impl LiveVerdicts {
    pub(super) fn secure(&self, key: ConnectionKey) {
        self.secured
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key);
    }

    pub(super) fn close(&self, key: &ConnectionKey) {
        self.secured
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
    }

    fn layer(&self, key: &ConnectionKey) -> u32 {
        let mut secured = self.secured.lock().unwrap_or_else(PoisonError::into_inner);
        u32::from(if secured.contains(key) {
            layer::PLAINTEXT
        } else {
            layer::SOCKET
        })
    }
}

impl Verdicts for LiveVerdicts {
    fn set(&self, key: ConnectionKey, said: Verdict) {
        let layer = self.layer(&key);
        let mut map = self.map.lock().unwrap_or_else(PoisonError::into_inner);
        let known = map
            .get(&key.socket, 0)
            .ok()
            .filter(|known| known.inode == key.generation && known.layer == layer);
        let mut value = known.unwrap_or(wirespan_events::Verdict {
            inode: key.generation,
            layer,
            ..Default::default()
        });
        match said {
            Verdict::Wanted => value.kind = verdict::WANTED,
            Verdict::Ignored => value.kind = verdict::IGNORED,
            Verdict::SkipUntil {
                direction,
                position,
            } => {
                value.kind = verdict::WANTED;
                if let Some(skip) = value.skip_until.get_mut(direction.index()) {
                    *skip = (*skip).max(position);
                }
            }
        }
        add(&self.counters.verdicts, 1);
        // The least recently used entry goes when the map is full, so this fails only when the
        // kernel has no memory: the connection then keeps the verdict it had.
        if map.insert(key.socket, value, 0).is_err() {
            add(&self.counters.verdicts_failed, 1);
        }
    }
}
