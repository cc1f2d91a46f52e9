//! Sends what is in the outbox, window by window.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::{Client, PublishErrorKind};

use crate::config::Encoding;
use crate::message::Encoded;
use crate::outbox::Batch;
use crate::receipt::{Connection, Receipts};
use crate::shared::{Outcome, Shared};

/// Batches sent before the server is asked. It grows while answers come soon and shrinks when they
/// do not, so that little is lost with a connection. At the most 8 MiB are in flight.
const MAX_WINDOW: usize = 32;
const FIRST_WINDOW: usize = 4;
/// An answer within this: more may be sent at once.
const SOON: Duration = Duration::from_millis(200);
/// An answer after this: less.
const LATE: Duration = Duration::from_secs(1);
/// How often a connection that is down is looked at, besides when it tells of itself.
const DOWN_CHECK: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(crate) struct Worker {
    client: Client,
    receipts: Receipts,
    shared: Arc<Shared>,
    encoding: Encoding,
    window: usize,
    /// The connection whose server has been named.
    named: Option<Connection>,
}

impl Worker {
    pub(crate) async fn new(
        client: Client,
        shared: Arc<Shared>,
        encoding: Encoding,
    ) -> Option<Self> {
        let receipts = Receipts::new(client.clone(), &shared).await?;
        Some(Self {
            client,
            receipts,
            shared,
            encoding,
            window: FIRST_WINDOW,
            named: None,
        })
    }

    /// Until it is dropped.
    pub(crate) async fn run(mut self) {
        loop {
            let connection = self.receipts.connection();
            let Some(connection) = connection.filter(|_| self.shared.is_connected()) else {
                let _ = tokio::time::timeout(DOWN_CHECK, self.shared.work.notified()).await;
                continue;
            };
            self.name_server(connection);
            let batches = self.shared.take(self.window);
            if batches.is_empty() {
                self.wait_for_work().await;
            } else {
                self.send(batches, connection).await;
            }
        }
    }

    async fn wait_for_work(&self) {
        match self.shared.due() {
            Some(due) => {
                let wait = due.saturating_duration_since(Instant::now());
                let _ = tokio::time::timeout(wait, self.shared.work.notified()).await;
            }
            None => self.shared.work.notified().await,
        }
    }

    async fn send(&mut self, batches: Vec<Batch>, connection: Connection) {
        let start = Instant::now();
        self.shared.take_refused();
        let mut outcome = Outcome::default();
        let mut sent: Vec<(String, u64)> = Vec::with_capacity(batches.len());
        for batch in batches {
            let encoded = Encoded::new(&batch.spans, self.encoding, self.client.max_payload());
            outcome.too_large += encoded.too_large;
            for message in encoded.messages {
                let subject = batch.subject.clone();
                match self
                    .client
                    .publish_with_headers(subject, message.headers, message.payload)
                    .await
                {
                    Ok(()) => sent.push((batch.subject.clone(), message.spans)),
                    // The server has become another one since the message was made.
                    Err(error) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
                        outcome.too_large += message.spans;
                    }
                    Err(_) => outcome.unconfirmed += message.spans,
                }
            }
        }
        let arrived = self.receipts.wait(connection, &self.shared).await;
        let refused = self.shared.take_refused();
        for (subject, spans) in sent {
            *counter(&mut outcome, arrived, refused.contains(&subject)) += spans;
        }
        self.shared.settle(outcome);
        self.log(&outcome, &refused);
        self.adapt(start.elapsed());
    }

    fn adapt(&mut self, elapsed: Duration) {
        if elapsed <= SOON {
            self.window = (self.window * 2).min(MAX_WINDOW);
        } else if elapsed >= LATE {
            self.window = (self.window / 2).max(1);
        }
    }

    fn log(&self, outcome: &Outcome, refused: &HashSet<String>) {
        if outcome.unconfirmed > 0 {
            tracing::warn!(
                spans = outcome.unconfirmed,
                "spans were on their way to NATS when the connection broke"
            );
        }
        if outcome.too_large > 0 {
            let max_payload = self.client.max_payload();
            tracing::warn!(
                spans = outcome.too_large,
                max_payload,
                "spans are larger than NATS takes; raise max_payload"
            );
        }
        if outcome.refused > 0 {
            tracing::warn!(
                spans = outcome.refused,
                ?refused,
                "NATS does not let the agent publish there; allow it"
            );
        }
    }

    fn name_server(&mut self, connection: Connection) {
        if self.named == Some(connection) {
            return;
        }
        if let Some(info) = self.client.try_server_info() {
            let name = format!("{} ({}:{})", info.server_name, info.host, info.port);
            self.shared.lock().status.server = Some(name);
            self.named = Some(connection);
        }
    }
}

fn counter(outcome: &mut Outcome, arrived: bool, refused: bool) -> &mut u64 {
    match (arrived, refused) {
        (_, true) => &mut outcome.refused,
        (true, false) => &mut outcome.delivered,
        (false, false) => &mut outcome.unconfirmed,
    }
}
