//! A gRPC server of tonic, or a client of one, that says in JSON lines what it did.
//!
//! ```text
//! tonic-fixture serve PORT
//! tonic-fixture call PORT      groups of calls as JSON lines on standard input, what came of each
//!                              on standard output, an empty line after each group
//! ```
//!
//! The same as `grpcio.py` of the fixtures, so that each can talk to the other. Messages are JSON
//! objects, padded with blanks; the first of a call says what the server is to do with it.

mod client;
mod codec;
mod server;
mod wish;

use anyhow::{Context, Result, bail};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let port = |text: &String| text.parse::<u16>().context("a port");
    match &*arguments {
        [mode, at] if mode == "serve" => server::serve(port(at)?).await,
        [mode, at] if mode == "call" => client::client(port(at)?).await,
        _ => bail!("usage: tonic-fixture serve|call PORT"),
    }
}
