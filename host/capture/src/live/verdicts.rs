//! The way back to the kernel.

use std::sync::{Arc, Mutex, PoisonError};

use aya::maps::{HashMap, MapData};
use wirespan_events::{layer, verdict};

use super::counters::{HostCounters, add};
use crate::event::Layer;
use crate::source::{Said, Verdict, Verdicts};

/// Writes verdicts into the kernel's map.
pub(super) struct LiveVerdicts {
    map: Mutex<HashMap<MapData, u64, wirespan_events::Verdict>>,
    counters: Arc<HostCounters>,
}

impl LiveVerdicts {
    pub(super) fn new(
        map: HashMap<MapData, u64, wirespan_events::Verdict>,
        counters: Arc<HostCounters>,
    ) -> Self {
        Self {
            map: Mutex::new(map),
            counters,
        }
    }
}

impl Verdicts for LiveVerdicts {
    fn set(&self, said: Said) {
        let key = said.key;
        let layer = match said.layer {
            Some(Layer::Socket) => u32::from(layer::SOCKET),
            Some(Layer::Plaintext) => u32::from(layer::PLAINTEXT),
            None => verdict::EVERY_LAYER,
        };
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
        match said.verdict {
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
