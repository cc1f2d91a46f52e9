//! An HTTPS server, or many clients of one, as services in Rust are made: tokio, tokio-rustls, and
//! rustls with the provider that it has by default, aws-lc-rs.
//!
//! ```text
//! rustls-fixture serve PORT CERTIFICATE KEY
//! rustls-fixture ask PORT CLIENTS REQUESTS CERTIFICATE     a JSON line for each answer
//! ```
//!
//! Tasks go from thread to thread: which ones is the runtime's affair, so the clients fail if none did.

mod body;
mod client;
mod message;
mod server;
mod trust;

use anyhow::{Context, Result, bail};
use tokio::runtime::{Builder, Runtime};

/// More than there are processors, as a node's have that share them.
const WORKERS: usize = 4;

fn runtime() -> Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_io()
        .build()
        .context("a runtime")
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |text: &String| text.parse::<usize>().context("a number");
    let port = |text: &String| text.parse::<u16>().context("a port");
    match &*arguments {
        [mode, at, certificate, key] if mode == "serve" => {
            runtime()?.block_on(server::serve(port(at)?, certificate, key))
        }
        // The certificate is as good as any.
        [mode, at, clients, requests, _] if mode == "ask" => {
            runtime()?.block_on(client::ask(port(at)?, number(clients)?, number(requests)?))
        }
        _ => bail!(
            "usage: rustls-fixture serve PORT CERTIFICATE KEY | ask PORT CLIENTS REQUESTS CERTIFICATE"
        ),
    }
}
