//! The sink itself: the outbox from the sink's thread, the connection on one of its own.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use wirespan_sink::{Sink, SinkCounts, SinkError};
use wirespan_span::{Span, subject};

use crate::config::{Encoding, NatsConfig};
use crate::connect::connect;
use crate::outbox::Outbox;
use crate::shared::{NatsMonitor, Shared};
use crate::worker::Worker;

/// Spans on core NATS, at most once.
#[derive(Debug)]
pub struct NatsSink {
    shared: Arc<Shared>,
    cluster: String,
    thread: Option<JoinHandle<()>>,
    /// The subject of the span at hand: kept to be written into again.
    subject: String,
}

impl NatsSink {
    /// Connects; with [`NatsConfig::retry_on_initial_connect`] goes on trying in the background.
    ///
    /// # Errors
    /// When the configuration is wrong, or no server can be reached, or it refuses. The message
    /// names the server without credentials, the reason and what to do.
    pub fn connect(config: NatsConfig) -> Result<Self, SinkError> {
        let failed = |reason: std::io::Error| {
            SinkError::new(
                "cannot start the NATS client",
                reason,
                "check the limits on threads and files",
            )
        };
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let outbox = Outbox::new(config.max_queued_spans, config.max_queued_bytes);
        let shared = Arc::new(Shared::new(outbox, inbox()));
        let cluster = config.cluster.clone();
        let (report, connected) = mpsc::sync_channel(1);
        let thread = {
            let shared = Arc::clone(&shared);
            let work = move || run(&runtime_guard(runtime), &config, &shared, &report);
            thread::Builder::new()
                .name("nats".to_owned())
                .spawn(work)
                .map_err(failed)?
        };
        match connected.recv() {
            Ok(Ok(())) => Ok(Self {
                shared,
                cluster,
                thread: Some(thread),
                subject: String::new(),
            }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(SinkError::new(
                "NATS client",
                "it ended early",
                "report this as a defect",
            )),
        }
    }

    /// Counters and state of the connection, also after the sink has gone to its thread.
    #[must_use]
    pub fn monitor(&self) -> NatsMonitor {
        NatsMonitor(Arc::clone(&self.shared))
    }

    fn stop(&mut self) {
        self.shared.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            // Nothing on it blocks; if it has panicked there is nothing left to stop.
            let _ = thread.join();
        }
    }
}

/// Names are resolved on threads of the runtime, which nobody is to wait for.
struct RuntimeGuard(Option<Runtime>);

fn runtime_guard(runtime: Runtime) -> RuntimeGuard {
    RuntimeGuard(Some(runtime))
}

impl Drop for RuntimeGuard {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

fn run(
    runtime: &RuntimeGuard,
    config: &NatsConfig,
    shared: &Arc<Shared>,
    report: &mpsc::SyncSender<Result<(), SinkError>>,
) {
    let Some(runtime) = &runtime.0 else { return };
    let encoding: Encoding = config.encoding;
    let events = Arc::clone(shared);
    runtime.block_on(async {
        let worker = match connect(config, move |event| events.on_event(event)).await {
            Ok(client) => Worker::new(client, Arc::clone(shared), encoding).await,
            Err(error) => {
                let _ = report.send(Err(error));
                return;
            }
        };
        let Some(worker) = worker else {
            let error = SinkError::new(
                "NATS connection",
                "it broke at once",
                "look at the server's log",
            );
            let _ = report.send(Err(error));
            return;
        };
        let _ = report.send(Ok(()));
        // A task of its own: tasks run in the order they were woken in, see `receipt`.
        let task = tokio::spawn(worker.run());
        shared.stop.notified().await;
        task.abort();
    });
}

/// A subject that nobody else uses: the keys of a `RandomState` are random.
fn inbox() -> String {
    format!(
        "_INBOX.wirespan{:016x}",
        RandomState::new().hash_one("inbox")
    )
}

impl Sink for NatsSink {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn publish(&mut self, spans: &[Arc<Span>]) -> Result<(), SinkError> {
        let now = Instant::now();
        let mut state = self.shared.lock();
        let was_empty = state.outbox.spans() == 0;
        for span in spans {
            self.subject.clear();
            subject::push_subject(&mut self.subject, &self.cluster, span);
            state.status.published += 1;
            state.status.dropped_oldest += state.outbox.add(&self.subject, span, now);
        }
        let wake = was_empty || state.outbox.has_closed();
        drop(state);
        if wake {
            self.shared.work.notify_one();
        }
        Ok(())
    }

    fn drain(&mut self, limit: Duration) -> Result<(), SinkError> {
        let lost = self.shared.finish(limit);
        self.stop();
        if lost == 0 {
            return Ok(());
        }
        Err(SinkError::new(
            "NATS",
            format!(
                "{lost} spans were not delivered, or not confirmed, within {:.1} s",
                limit.as_secs_f32()
            ),
            "see whether the server is up and fast enough",
        ))
    }

    fn counts(&self) -> SinkCounts {
        self.monitor().counts()
    }
}

impl Drop for NatsSink {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.shared.finish(Duration::ZERO);
            self.stop();
        }
    }
}
