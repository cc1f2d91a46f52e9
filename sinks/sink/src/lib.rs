//! Where spans go.
//!
//! A [`Sink`] is called from one thread of its own with batches ([`spawn`]). It may be slow or
//! away: the [`Queue`] in front of it is bounded, drops the oldest and counts, so that nothing
//! behind the ring can block the ring.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod error;
mod handle;
mod jsonl;
mod queue;

use std::sync::Arc;
use std::time::Duration;

use wirespan_span::Span;

pub use error::SinkError;
pub use handle::{SinkHandle, TICK, spawn};
pub use jsonl::JsonLines;
pub use queue::{Popped, Queue};

/// Delivered and dropped spans so far. What was published and is in neither is on its way.
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
    /// When nothing will ever be delivered again. The spans of the batch are in the counts then.
    fn publish(&mut self, spans: &[Arc<Span>]) -> Result<(), SinkError>;

    /// Called every [`TICK`] or so, so that what waits for a full batch leaves in time.
    ///
    /// # Errors
    /// When nothing will ever be delivered again.
    fn tick(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Delivers what is queued, for at most `limit`. No `publish` follows. Afterwards each span is
    /// either delivered or dropped in the counts.
    ///
    /// # Errors
    /// When something could not be delivered; the counts say how much.
    fn drain(&mut self, limit: Duration) -> Result<(), SinkError>;

    fn counts(&self) -> SinkCounts;
}
