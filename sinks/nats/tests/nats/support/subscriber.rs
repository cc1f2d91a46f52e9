//! Someone who subscribes as a stranger would.

use std::sync::mpsc;
use std::time::Duration;

use async_nats::{ConnectOptions, Message};
use futures_util::StreamExt as _;

/// Where a subscriber tells itself that everything before has come: a subject that each of them reads.
const END: &str = "wirespan.spans.v1.end";

pub(crate) struct Subscriber {
    messages: mpsc::Receiver<Message>,
    client: async_nats::Client,
    runtime: tokio::runtime::Runtime,
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
        let client = runtime.block_on(async {
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
            client
        });
        Self {
            messages,
            client,
            runtime,
        }
    }

    pub(crate) fn next(&self) -> Message {
        self.messages
            .recv_timeout(Duration::from_secs(60))
            .expect("a message within a minute")
    }

    /// Everything that the server had when this was called: what is published now comes behind it.
    pub(crate) fn rest(&self) -> Vec<Message> {
        self.runtime
            .block_on(self.client.publish(END, "".into()))
            .unwrap();
        std::iter::from_fn(|| Some(self.next()))
            .take_while(|message| message.subject.as_str() != END)
            .collect()
    }
}

pub(crate) fn header<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    message
        .headers
        .as_ref()?
        .get(name)
        .map(|value| value.as_str())
}
