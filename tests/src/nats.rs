//! nats-server, and a stranger's subscription to it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::StreamExt;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::process::Running;
use crate::tools;

#[derive(Debug)]
pub struct Nats {
    process: Running,
    _folder: TempDir,
    pub port: u16,
}

impl Nats {
    /// # Errors
    /// When nats-server is missing or does not start.
    pub fn start() -> Result<Self> {
        Self::with_arguments(&[])
    }

    /// # Errors
    /// When nats-server is missing or does not start.
    pub fn on_port(port: u16) -> Result<Self> {
        Self::launch(port, &[])
    }

    /// # Errors
    /// When nats-server is missing or does not start.
    pub fn with_arguments(more: &[&str]) -> Result<Self> {
        Self::launch(tools::free_port()?, more)
    }

    fn launch(port: u16, more: &[&str]) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("wirespan-nats-")
            .tempdir()?;
        let number = port.to_string();
        let arguments = ["--addr", "127.0.0.1", "--port", &number]
            .into_iter()
            .chain(more.iter().copied());
        let mut process = Running::start(
            folder.path(),
            &tools::program("nats-server")?,
            arguments,
            &[],
        )?;
        process.wait_ready("nats-server is ready", Duration::from_secs(10), |process| {
            Ok(process.errors()?.contains("Server is ready"))
        })?;
        Ok(Self {
            process,
            _folder: folder,
            port,
        })
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Subscribes, and returns when the server knows of it.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub fn subscribe(&self, subject: &'static str) -> Result<Subscription> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let subscriber = runtime.block_on(async {
            let client = async_nats::connect(self.url())
                .await
                .context("connecting to nats-server")?;
            let subscriber = client.subscribe(subject).await?;
            client.flush().await?;
            anyhow::Ok(subscriber)
        })?;
        Ok(Subscription {
            subscriber,
            runtime,
        })
    }
}

/// What a stranger sees: subjects, headers and payloads.
#[derive(Debug)]
pub struct Subscription {
    subscriber: async_nats::Subscriber,
    runtime: Runtime,
}

#[derive(Clone, Debug)]
pub struct Message {
    pub subject: String,
    /// Name and value, in no order.
    pub headers: Vec<(String, String)>,
    pub payload: Vec<u8>,
}

impl Message {
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

impl Subscription {
    /// The next message, or none within `limit`.
    pub fn next(&mut self, limit: Duration) -> Option<Message> {
        let Self {
            subscriber,
            runtime,
        } = self;
        let message = runtime
            .block_on(async { tokio::time::timeout(limit, subscriber.next()).await })
            .ok()
            .flatten()?;
        let headers = message.headers.iter().flat_map(|headers| headers.iter());
        Some(Message {
            subject: message.subject.to_string(),
            headers: headers
                .flat_map(|(name, values)| {
                    values
                        .iter()
                        .map(move |value| (name.to_string(), value.to_string()))
                })
                .collect(),
            payload: message.payload.to_vec(),
        })
    }

    /// Messages until `enough` says so, or `limit` has passed.
    pub fn collect(
        &mut self,
        limit: Duration,
        mut enough: impl FnMut(&[Message]) -> bool,
    ) -> Vec<Message> {
        let end = Instant::now() + limit;
        let mut messages = Vec::new();
        while !enough(&messages) {
            match self.next(end.saturating_duration_since(Instant::now())) {
                Some(message) => messages.push(message),
                None => break,
            }
        }
        messages
    }
}
