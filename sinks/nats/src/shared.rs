//! What the sink, its worker and those who watch it share.

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_nats::{Event, ServerError};
use tokio::sync::Notify;
use wirespan_sink::SinkCounts;

use crate::outbox::{Batch, Outbox};

/// How the connection is and what became of the spans. `published` is the sum of all that follow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NatsStatus {
    pub published: u64,
    /// The server has confirmed them; where it does not let the agent ask, they were written to
    /// the connection ([`NatsStatus::confirming`]).
    pub delivered: u64,
    /// Pushed out of the full queue by newer ones.
    pub dropped_oldest: u64,
    /// Larger than the server takes.
    pub too_large: u64,
    /// The server does not let the agent publish on their subject.
    pub refused: u64,
    /// On their way when the connection broke, or when the time to drain was over.
    pub unconfirmed: u64,
    /// Still queued when the time to drain was over.
    pub abandoned: u64,
    /// Queued now.
    pub queued: u64,
    /// On their way now.
    pub in_flight: u64,

    pub connected: bool,
    /// Name and address of the server, as it says itself.
    pub server: Option<String>,
    pub reconnects: u64,
    /// Time from the first message of the last window to its confirmation.
    pub lag: Option<Duration>,
    /// The agent may publish to and subscribe to its inbox, and so learn what has arrived.
    pub confirming: bool,
    pub last_error: Option<String>,
    /// Estimated bytes in the queue.
    pub queued_bytes: u64,
}

impl NatsStatus {
    const fn dropped(&self) -> u64 {
        self.dropped_oldest + self.too_large + self.refused + self.unconfirmed + self.abandoned
    }
}

#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// For the worker: there is something new.
    pub(crate) work: Notify,
    /// For the worker: end now.
    pub(crate) stop: Notify,
    idle: Condvar,
    inbox: String,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) outbox: Outbox,
    pub(crate) status: NatsStatus,
    /// No more will be published: batches need not wait.
    pub(crate) closing: bool,
    /// Every span is accounted for; what the worker says after is not counted.
    settled: bool,
    was_connected: bool,
    /// Subjects that the server has refused since it was last asked.
    refused: HashSet<String>,
}

/// What is done with the batches of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) delivered: u64,
    pub(crate) too_large: u64,
    pub(crate) refused: u64,
    pub(crate) unconfirmed: u64,
}

impl Shared {
    pub(crate) fn new(outbox: Outbox, inbox: String) -> Self {
        let status = NatsStatus {
            confirming: true,
            ..NatsStatus::default()
        };
        Self {
            state: Mutex::new(State {
                outbox,
                status,
                closing: false,
                settled: false,
                was_connected: false,
                refused: HashSet::new(),
            }),
            work: Notify::new(),
            stop: Notify::new(),
            idle: Condvar::new(),
            inbox,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn inbox(&self) -> &str {
        &self.inbox
    }

    /// Whether the server was there when it last told of itself.
    pub(crate) fn is_connected(&self) -> bool {
        self.lock().status.connected
    }

    /// Up to `limit` batches that are due; they are in flight until they are settled. None while
    /// the server is away: what is queued is not lost with a connection.
    pub(crate) fn take(&self, limit: usize) -> Vec<Batch> {
        let mut state = self.lock();
        if !state.status.connected {
            return Vec::new();
        }
        if state.closing {
            state.outbox.close_all();
        } else {
            state.outbox.close_due(Instant::now());
        }
        let batches: Vec<_> = std::iter::from_fn(|| state.outbox.pop())
            .take(limit)
            .collect();
        state.status.in_flight += batches
            .iter()
            .map(|batch| batch.spans.len() as u64)
            .sum::<u64>();
        batches
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        let state = self.lock();
        let now = Instant::now();
        if state.closing {
            state.outbox.due(now).map(|_| now)
        } else {
            state.outbox.due(now)
        }
    }

    pub(crate) fn settle(&self, outcome: Outcome) {
        let mut state = self.lock();
        if state.settled {
            return;
        }
        let status = &mut state.status;
        status.delivered += outcome.delivered;
        status.too_large += outcome.too_large;
        status.refused += outcome.refused;
        status.unconfirmed += outcome.unconfirmed;
        let sum = outcome.delivered + outcome.too_large + outcome.refused + outcome.unconfirmed;
        status.in_flight = status.in_flight.saturating_sub(sum);
        drop(state);
        self.idle.notify_all();
    }

    /// Waits until nothing is queued or in flight, for at most `limit`; what is left then is given
    /// up. Returns how many spans that were, with those that were sent meanwhile and never confirmed.
    pub(crate) fn finish(&self, limit: Duration) -> u64 {
        let mut state = self.lock();
        state.closing = true;
        let before = state.status.unconfirmed;
        self.work.notify_one();
        state = self
            .idle
            .wait_timeout_while(state, limit, |state| {
                state.outbox.spans() > 0 || state.status.in_flight > 0
            })
            .unwrap_or_else(PoisonError::into_inner)
            .0;
        state.settled = true;
        let abandoned = state.outbox.clear();
        let unconfirmed = std::mem::take(&mut state.status.in_flight);
        state.status.abandoned += abandoned;
        state.status.unconfirmed += unconfirmed;
        abandoned + state.status.unconfirmed.saturating_sub(before)
    }

    /// Subjects refused since the last call.
    pub(crate) fn take_refused(&self) -> HashSet<String> {
        std::mem::take(&mut self.lock().refused)
    }

    /// Called in the order of events, before a receipt that follows them is handed out.
    pub(crate) fn on_event(&self, event: Event) {
        let mut state = self.lock();
        match event {
            Event::Connected => {
                let again = std::mem::replace(&mut state.was_connected, true);
                state.status.reconnects += u64::from(again);
                state.status.connected = true;
                tracing::info!(again, "connected to NATS");
            }
            Event::Disconnected => {
                state.status.connected = false;
                tracing::warn!("connection to NATS lost; spans are queued");
            }
            Event::ServerError(error) => state.on_server_error(&error, &self.inbox),
            Event::ClientError(error) => {
                let error = error.to_string();
                if state.status.last_error.as_ref() != Some(&error) {
                    tracing::warn!(error, "cannot connect to NATS; trying again");
                }
                state.status.last_error = Some(error);
            }
            Event::LameDuckMode | Event::Draining | Event::Closed | Event::SlowConsumer(_) => {}
        }
        drop(state);
        self.work.notify_one();
    }
}

impl State {
    fn on_server_error(&mut self, error: &ServerError, inbox: &str) {
        /// From `nats-server`: `Permissions Violation for Publish to "subject"`.
        const REFUSED: &str = "Permissions Violation for Publish to \"";
        let error = error.to_string();
        if error.contains(inbox) {
            self.status.confirming = false;
            tracing::warn!(
                error,
                "NATS does not let the agent use an inbox: what arrives is not confirmed"
            );
            return;
        }
        if let Some((_, rest)) = error.split_once(REFUSED)
            && let Some((subject, _)) = rest.split_once('"')
        {
            self.refused.insert(subject.to_owned());
        }
        if self.status.last_error.as_ref() != Some(&error) {
            tracing::warn!(error, "NATS refuses something");
        }
        self.status.last_error = Some(error);
    }
}

/// Watches a sink from outside: for metrics and `doctor`.
#[derive(Clone, Debug)]
pub struct NatsMonitor(pub(crate) Arc<Shared>);

impl NatsMonitor {
    #[must_use]
    pub fn status(&self) -> NatsStatus {
        let state = self.0.lock();
        let mut status = state.status.clone();
        status.queued = state.outbox.spans() as u64;
        status.queued_bytes = state.outbox.bytes() as u64;
        status
    }

    #[must_use]
    pub fn counts(&self) -> SinkCounts {
        let state = self.0.lock();
        SinkCounts {
            delivered: state.status.delivered,
            dropped: state.status.dropped(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_while_it_finishes_is_told_as_lost() {
        let shared = Shared::new(Outbox::new(10, 1_000), String::new());
        shared.lock().status.unconfirmed = 3;
        shared.lock().status.in_flight = 12;
        let lost = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !shared.lock().closing {
                    std::thread::yield_now();
                }
                let outcome = Outcome {
                    delivered: 5,
                    unconfirmed: 7,
                    ..Outcome::default()
                };
                shared.settle(outcome);
            });
            shared.finish(Duration::from_secs(60))
        });
        assert_eq!(lost, 7);
    }
}
