//! Where spans go.
//!
//! A sink is called from one thread of its own with batches. It may be slow or away: the queue in
//! front of it is bounded, drops the oldest and counts, so that nothing behind the ring can block
//! the ring.

use std::sync::Arc;
use std::time::Duration;

use wirespan_span::Span;

/// Why a sink could not be opened or has failed for good. The message ends with what to do.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {reason}; {remedy}")]
pub struct SinkError {
    pub what: String,
    pub reason: String,
    pub remedy: String,
}

/// Delivered and dropped spans so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SinkCounts {
    pub delivered: u64,
    pub dropped: u64,
}

pub trait Sink: Send {
    /// `nats`, `terminal`, …: label of its metrics.
    fn name(&self) -> &'static str;

    /// Takes over a batch. Does not wait for the network.
    ///
    /// # Errors
    /// When nothing will ever be delivered again.
    fn publish(&mut self, spans: &[Arc<Span>]) -> Result<(), SinkError>;

    /// Called a few times a second, so that what waits for a full batch leaves in time.
    ///
    /// # Errors
    /// When nothing will ever be delivered again.
    fn tick(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Delivers what is queued, for at most `limit`. No `publish` follows.
    ///
    /// # Errors
    /// When something could not be delivered; the counts say how much.
    fn drain(&mut self, limit: Duration) -> Result<(), SinkError>;

    fn counts(&self) -> SinkCounts;
}
