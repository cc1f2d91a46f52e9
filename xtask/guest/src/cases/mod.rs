//! The cases: each a server and a client, in a process of their own.

mod database;
mod http;
pub(crate) mod tls;
mod uring;

use anyhow::{Result, bail};
use uring::Taker;

/// Runs one case to its end.
pub(crate) fn run(name: &str) -> Result<()> {
    match name {
        "tls" => tls::run(),
        "go" => tls::go(),
        "mysql" => database::mysql(),
        "postgres" => database::postgres(),
        "vectors" => http::vectors(),
        "sendfile" => http::sendfile(),
        "peek" => http::peek(),
        "half" => http::half(),
        "duplicate" => http::duplicate(),
        "ipv6" => http::ipv6(),
        "unix" => http::unix(),
        "uring" => uring::exchange("127.0.0.1:8107", "/uring", Taker::Submitter),
        "uring_thread" => uring::exchange("127.0.0.1:8108", "/uring-thread", Taker::Kernel),
        other => bail!("there is no case {other}"),
    }
}
