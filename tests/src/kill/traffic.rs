//! Requests over TLS that go on all the time, each checked by who made it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Result, anyhow, bail, ensure};

use crate::ask::Ask;
use crate::curl::Curl;
use crate::go::Go;
use crate::nginx::Nginx;
use crate::python::TlsClient;

/// Of one process of a client.
const REQUESTS: usize = 20;

/// A body of several TLS records.
const BODY_BYTES: u64 = 100_000;

/// Between two times, so that others on the machine have theirs.
const PAUSE: Duration = Duration::from_millis(10);

/// Clients, and the server made by Go.
pub(super) struct Traffic {
    stop: Arc<AtomicBool>,
    counts: [Arc<AtomicU64>; 3],
    threads: Vec<JoinHandle<Result<()>>>,
    go: Arc<Go>,
}

impl Traffic {
    pub(super) fn start(nginx: &Nginx, go: Go) -> Result<Self> {
        let go = Arc::new(go);
        let stop = Arc::new(AtomicBool::new(false));
        let counts: [Arc<AtomicU64>; 3] = Default::default();
        let mut threads = Vec::new();

        let (certificate, small) = (nginx.certificate.clone(), nginx.tls_url("/small/7.txt"));
        threads.push(repeat(&stop, &counts[0], move || {
            let mut curl = Curl::new().trust(&certificate);
            for _ in 0..REQUESTS {
                curl = curl.get(&small);
            }
            for exchange in curl.run()?.exchanges {
                let length = "file 7\n".len() as u64;
                ensure!(
                    exchange.status == 200 && exchange.response_bytes == Some(length),
                    "nginx answered {exchange:?}"
                );
            }
            Ok(REQUESTS as u64)
        }));

        // One connection, from the first agent to the last.
        let mut client = TlsClient::start(nginx.tls_port, &nginx.certificate)?;
        threads.push(repeat(&stop, &counts[1], move || {
            let exchange = client.request("GET", "/small/8.txt")?;
            ensure!(exchange.status == 200, "nginx answered {exchange:?}");
            Ok(1)
        }));

        let asked = Arc::clone(&go);
        threads.push(repeat(&stop, &counts[2], move || {
            let asks: Vec<Ask> = (0..REQUESTS)
                .map(|_| Ask {
                    method: "GET",
                    path: format!("/bytes/{BODY_BYTES}"),
                    body: 0,
                })
                .collect();
            let exchanges = asked.ask(&asks, false)?;
            ensure!(exchanges.len() == asks.len(), "{} answers", exchanges.len());
            for exchange in exchanges {
                ensure!(
                    exchange.status == 200 && exchange.response_bytes == Some(BODY_BYTES),
                    "the Go server answered {exchange:?}"
                );
            }
            Ok(REQUESTS as u64)
        }));
        Ok(Self {
            stop,
            counts,
            threads,
            go,
        })
    }

    pub(super) fn go_pid(&self) -> u32 {
        self.go.pid()
    }

    /// # Errors
    /// When a client has ended: what it said.
    pub(super) fn check(&mut self) -> Result<()> {
        let Some(ended) = self.threads.iter().position(JoinHandle::is_finished) else {
            return Ok(());
        };
        join(self.threads.swap_remove(ended))?;
        bail!("a client has ended")
    }

    /// How many requests were answered.
    ///
    /// # Errors
    /// When one was not.
    pub(super) fn stop(self) -> Result<[u64; 3]> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            join(thread)?;
        }
        Ok(self.counts.map(|count| count.load(Ordering::Relaxed)))
    }
}

fn join(thread: JoinHandle<Result<()>>) -> Result<()> {
    thread.join().map_err(|_| anyhow!("a client panicked"))?
}

fn repeat(
    stop: &Arc<AtomicBool>,
    count: &Arc<AtomicU64>,
    mut ask: impl FnMut() -> Result<u64> + Send + 'static,
) -> JoinHandle<Result<()>> {
    let (stop, count) = (Arc::clone(stop), Arc::clone(count));
    thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            count.fetch_add(ask()?, Ordering::Relaxed);
            thread::sleep(PAUSE);
        }
        Ok(())
    })
}
