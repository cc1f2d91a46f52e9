//! What the kernel side remembers of goroutines, as far as the host has to look after it.

use aya::Pod;
use aya::maps::{Array, ArrayOfMaps, HashMap, Map, MapData};

use super::bpf::{self, MAP_HASH, MAP_LRU_HASH};
use super::load::reason;

/// `GoKey` of the kernel side: a goroutine or a connection, and its process, whose id is in the lower
/// half.
type Key = [u64; 2];
/// `GoCall` of the kernel side.
type Call = [u64; 11];
/// `GoConnection` of the kernel side.
type Connection = [u64; 4];
/// Where the kernel side looks for a map that is made when it is needed.
type Slot = ArrayOfMaps<MapData, MapData>;

/// Goroutines that are inside of a call of crypto/tls, and as many of its connections: servers have one
/// that waits to read for each connection.
const MAX_GO: u32 = 16 * 1024;

/// Entries looked at in one round: more than a map has, should it change while it is walked.
const MAX_ENTRIES: usize = 2 * MAX_GO as usize;

/// A goroutine that waits when its process ends never returns, and what is remembered of it would
/// stay. The maps take some five MiB, so they are made when the first program made by Go is probed.
pub(super) struct GoCalls {
    watched: Array<MapData, u32>,
    in_flight_slot: Slot,
    connections_slot: Slot,
    made: Option<Made>,
}

struct Made {
    in_flight: HashMap<MapData, Key, Call>,
    connections: HashMap<MapData, Key, Connection>,
}

impl GoCalls {
    pub(super) fn new(
        watched: Array<MapData, u32>,
        in_flight_slot: Slot,
        connections_slot: Slot,
    ) -> Self {
        Self {
            watched,
            in_flight_slot,
            connections_slot,
            made: None,
        }
    }

    /// Whether there are probes on any program made by Go: where there are none, system calls need not
    /// ask for their goroutine.
    pub(super) fn watch(&mut self, any: bool) {
        if any && self.made.is_none() {
            match self.make() {
                Ok(made) => self.made = Some(made),
                Err(why) => tracing::warn!(why, "programs made by Go cannot be watched"),
            }
        }
        if let Err(error) = self.watched.set(0, u32::from(any), 0) {
            tracing::warn!(%error, "programs made by Go cannot be watched");
        }
    }

    fn make(&mut self) -> Result<Made, String> {
        Ok(Made {
            connections: create(&mut self.connections_slot, MAP_LRU_HASH, Map::LruHashMap)?,
            // Last: without it nothing else is looked for.
            in_flight: create(&mut self.in_flight_slot, MAP_HASH, Map::HashMap)?,
        })
    }

    /// Forgets what goroutines and connections of processes that have ended were doing.
    pub(super) fn forget(&mut self, ended: &[u32]) {
        if let Some(made) = &mut self.made {
            forget(&mut made.in_flight, ended);
            forget(&mut made.connections, ended);
        }
    }
}

/// Makes a map and puts it where the kernel side finds it.
fn create<V: Pod>(
    slot: &mut Slot,
    kind: u32,
    as_kind: fn(MapData) -> Map,
) -> Result<HashMap<MapData, Key, V>, String> {
    let size = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    let fd = bpf::create_table(kind, size(size_of::<Key>()), size(size_of::<V>()), MAX_GO)
        .map_err(|error| error.to_string())?;
    let map = MapData::from_fd(fd).map_err(|error| reason(&error))?;
    slot.set(0, &map, 0).map_err(|error| reason(&error))?;
    HashMap::try_from(as_kind(map)).map_err(|error| reason(&error))
}

fn forget<V: Pod>(map: &mut HashMap<MapData, Key, V>, ended: &[u32]) {
    let keys: Vec<Key> = map
        .keys()
        .take(MAX_ENTRIES)
        .flatten()
        .filter(|[_, process]| ended.contains(&(*process as u32)))
        .collect();
    for key in keys {
        // It may have gone by itself.
        let _ = map.remove(&key);
    }
}
