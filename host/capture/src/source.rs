//! One trait, three sources: the kernel, a recording, a packet capture.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::CaptureError;
use crate::event::{ConnectionKey, Direction, Layer, Nanos, SocketEvent};

/// What a capture's times and identities mean outside of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Identity of the capture, part of every span id: the node's boot, or a packet capture's
    /// content. A recording carries that of the node it was made on.
    pub capture_id: u128,
    /// Unix time in nanoseconds = monotonic + this.
    pub unix_offset: i64,
}

impl Clock {
    /// Unix time in nanoseconds; saturates at the ends of the range.
    #[must_use]
    pub fn unix_nanos(&self, time: Nanos) -> u64 {
        time.saturating_add_signed(self.unix_offset)
    }
}

/// How far a source has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Events were added, more may be there at once.
    More,
    /// Nothing more just now (live only).
    Idle,
    /// There will be no further events.
    End,
}

/// What to do with a connection's bytes. May arrive late or twice; harmless then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Copy everything.
    Wanted,
    /// Copy nothing of `direction` below `position`; what crosses it is reported, so that the time
    /// at which the stream got there is known.
    SkipUntil { direction: Direction, position: u64 },
    /// Copy nothing, keep counting.
    Ignored,
}

/// A verdict on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    pub key: ConnectionKey,
    /// What it is about: what holds of the ciphertext says nothing of the plaintext. `None`: both.
    pub layer: Option<Layer>,
    pub verdict: Verdict,
}

impl Said {
    /// Nothing of this connection is wanted, whatever it carries.
    #[must_use]
    pub const fn ignored(key: ConnectionKey) -> Self {
        Self {
            key,
            layer: None,
            verdict: Verdict::Ignored,
        }
    }
}

/// The way back from the parsers to the source. Cheap, never blocks.
pub trait Verdicts: Send + Sync {
    fn set(&self, said: Said);
}

/// For sources that have everything already.
#[derive(Debug, Default)]
pub struct NoVerdicts;

impl Verdicts for NoVerdicts {
    fn set(&self, _: Said) {}
}

/// Yields socket events in the best known order.
pub trait Source {
    /// Appends what is there to `events`; waits at most `wait` for the first.
    ///
    /// # Errors
    /// Only what ends the capture. Damage that leaves the rest readable is counted in
    /// [`Self::warnings`] and skipped.
    fn poll(
        &mut self,
        wait: Duration,
        events: &mut Vec<SocketEvent>,
    ) -> Result<Progress, CaptureError>;

    fn clock(&self) -> Clock;

    fn verdicts(&self) -> Arc<dyn Verdicts> {
        Arc::new(NoVerdicts)
    }

    /// What a person should know about this capture (cut off, records skipped), in sentences.
    /// Complete after [`Progress::End`].
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Time of the capture's clock up to which no earlier event can still come, given the events
    /// handed out so far. Live: now, less what may still lie in the rings.
    fn watermark(&self) -> Nanos;

    /// For so long an event can be there without being handed out, so that others come before it. Who
    /// wants all that happened up to now asks until nothing has come for this time.
    fn hold_back(&self) -> Duration {
        Duration::ZERO
    }
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn poll(
        &mut self,
        wait: Duration,
        events: &mut Vec<SocketEvent>,
    ) -> Result<Progress, CaptureError> {
        (**self).poll(wait, events)
    }

    fn clock(&self) -> Clock {
        (**self).clock()
    }

    fn verdicts(&self) -> Arc<dyn Verdicts> {
        (**self).verdicts()
    }

    fn warnings(&self) -> Vec<String> {
        (**self).warnings()
    }

    fn watermark(&self) -> Nanos {
        (**self).watermark()
    }

    fn hold_back(&self) -> Duration {
        (**self).hold_back()
    }
}
