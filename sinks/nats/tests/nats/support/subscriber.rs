//! Someone who subscribes as a stranger would.

use std::sync::mpsc;
use std::time::Duration;

use async_nats::{ConnectOptions, Message};
use futures_util::StreamExt as _;

pub(crate) struct Subscriber {
    messages: mpsc::Receiver<Message>,
    _runtime: tokio::runtime::Runtime,
}

impl Subscriber {
    pub(crate) fn new(url: &str, subject: &str) -> Self {
        Self::with(ConnectOptions::new(), url, subject)
    }

    pub(crate) fn with(options: ConnectOptions, url: &str, subject: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (sender, messages) = mpsc::channel();
        runtime.block_on(async {
            let client = options.connect(url).await.unwrap();
            let mut subscription = client.subscribe(subject.to_owned()).await.unwrap();
            // The answer to a request shows that the subscription has arrived.
            let _ = client.request("nobody.is.here", "".into()).await;
            tokio::spawn(async move {
                while let Some(message) = subscription.next().await {
                    if sender.send(message).is_err() {
                        return;
                    }
                }
            });
        });
        Self {
            messages,
            _runtime: runtime,
        }
    }

    pub(crate) fn next(&self) -> Message {
        self.messages
            .recv_timeout(Duration::from_secs(10))
            .expect("a message within 10 s")
    }

    /// Everything that comes until nothing has come for a while.
    pub(crate) fn rest(&self) -> Vec<Message> {
        std::iter::from_fn(|| self.messages.recv_timeout(Duration::from_millis(500)).ok()).collect()
    }
}

pub(crate) fn header<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    message
        .headers
        .as_ref()?
        .get(name)
        .map(|value| value.as_str())
}
