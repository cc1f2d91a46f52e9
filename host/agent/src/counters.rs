//! What the agent itself counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::books::{Books, Law};
use crate::lane::Lane;

/// Of one lane; written by its thread alone.
#[derive(Debug, Default)]
pub(crate) struct LaneCounters {
    connections: AtomicU64,
    books: Mutex<Books>,
}

impl LaneCounters {
    pub(crate) fn update(&self, lane: &Lane) {
        self.connections
            .store(lane.connections().len() as u64, Ordering::Relaxed);
        *self.books.lock().unwrap_or_else(PoisonError::into_inner) = lane.books();
    }

    fn books(&self) -> Books {
        *self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of the whole pipeline.
#[derive(Debug, Default)]
pub(crate) struct AgentCounters {
    lanes: Mutex<Vec<Arc<LaneCounters>>>,
    captured_bytes: AtomicU64,
    filtered_bytes: AtomicU64,
    queue_lost_bytes: AtomicU64,
    queue_lost_events: AtomicU64,
}

impl AgentCounters {
    /// Counters for one more lane.
    pub(crate) fn lane(&self) -> Arc<LaneCounters> {
        let lane = Arc::new(LaneCounters::default());
        self.lanes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::clone(&lane));
        lane
    }

    pub(crate) fn set_queue_lost(&self, bytes: u64, events: u64) {
        self.queue_lost_bytes.store(bytes, Ordering::Relaxed);
        self.queue_lost_events.store(events, Ordering::Relaxed);
    }

    pub(crate) fn add_captured(&self, bytes: u64) {
        self.captured_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_filtered(&self, bytes: u64) {
        self.filtered_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Payload of connections that are not watched.
    #[must_use]
    pub(crate) fn filtered_bytes(&self) -> u64 {
        self.filtered_bytes.load(Ordering::Relaxed)
    }

    /// What has become of the payload that the capture handed out. It holds when no worker has anything
    /// to take; until then the difference is what waits for one.
    #[must_use]
    pub(crate) fn queue(&self) -> Law {
        Law {
            name: "bytes of the capture",
            came: self.captured_bytes.load(Ordering::Relaxed),
            went: vec![
                ("filtered", self.filtered_bytes()),
                ("lost in queues", self.lost_bytes()),
                ("taken", self.sum(|lane| lane.books().taken_bytes)),
            ],
        }
    }

    /// Spans handed to the sinks.
    #[must_use]
    pub(crate) fn spans(&self) -> u64 {
        self.sum(|lane| lane.books().spans)
    }

    /// Connections that are open now.
    #[must_use]
    pub(crate) fn connections(&self) -> u64 {
        self.sum(|lane| lane.connections.load(Ordering::Relaxed))
    }

    /// Payload lost between the capture thread and the workers.
    #[must_use]
    pub(crate) fn lost_bytes(&self) -> u64 {
        self.queue_lost_bytes.load(Ordering::Relaxed)
    }

    /// Data events lost between the capture thread and the workers.
    #[must_use]
    pub(crate) fn lost_events(&self) -> u64 {
        self.queue_lost_events.load(Ordering::Relaxed)
    }

    /// What each lane has counted.
    #[must_use]
    pub(crate) fn books(&self) -> Vec<Books> {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.iter().map(|lane| lane.books()).collect()
    }

    fn sum(&self, of: impl Fn(&LaneCounters) -> u64) -> u64 {
        self.lanes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .map(|lane| of(lane))
            .sum()
    }
}
