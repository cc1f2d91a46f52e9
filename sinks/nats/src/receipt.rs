//! Learns what has arrived.
//!
//! The client's `flush` only says that bytes were written to the socket. A server handles what a
//! client sends in its order, so a message that the agent sends to its own inbox comes back when
//! everything before it was handled.

use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::{Client, Subscriber};
use futures_util::StreamExt as _;

use crate::shared::Shared;

/// How often a wait looks whether the connection is still the one it began on.
const CHECK: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(crate) struct Receipts {
    client: Client,
    inbox: Subscriber,
    sequence: u64,
}

/// A connection, told from the ones before and after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Connection(u64);

impl Receipts {
    pub(crate) async fn new(client: Client, shared: &Shared) -> Option<Self> {
        let inbox = client.subscribe(shared.inbox().to_owned()).await.ok()?;
        Some(Self {
            client,
            inbox,
            sequence: 0,
        })
    }

    /// The connection that is up now.
    pub(crate) fn connection(&self) -> Option<Connection> {
        let up = self.client.connection_state() == State::Connected;
        let connects = &self.client.statistics().connects;
        up.then(|| Connection(connects.load(std::sync::atomic::Ordering::Relaxed)))
    }

    /// Waits until the server has handled what was sent before. `false` when `connection` broke.
    pub(crate) async fn wait(&mut self, connection: Connection, shared: &Shared) -> bool {
        self.sequence += 1;
        let token = self.sequence.to_string();
        if confirming(shared)
            && self
                .client
                .publish(shared.inbox().to_owned(), token.clone().into())
                .await
                .is_err()
        {
            return false;
        }
        let start = Instant::now();
        while confirming(shared) {
            match tokio::time::timeout(CHECK, self.inbox.next()).await {
                Ok(Some(message)) if message.payload == token.as_bytes() => {
                    // Events are handled by a task of the same thread that was woken before this.
                    tokio::task::yield_now().await;
                    shared.lock().status.lag = Some(start.elapsed());
                    return self.connection() == Some(connection);
                }
                // One of a window that was given up.
                Ok(Some(_)) => {}
                Ok(None) => return false,
                Err(_) if self.connection() != Some(connection) => return false,
                Err(_) => {}
            }
        }
        // All that is left to know is that the bytes were written.
        loop {
            match tokio::time::timeout(CHECK, self.client.flush()).await {
                Ok(outcome) => return outcome.is_ok() && self.connection() == Some(connection),
                Err(_) if self.connection() != Some(connection) => return false,
                Err(_) => {}
            }
        }
    }
}

fn confirming(shared: &Shared) -> bool {
    shared.lock().status.confirming
}
