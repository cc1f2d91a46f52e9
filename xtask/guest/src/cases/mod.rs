//! The cases: each a server and a client, in a process of their own.

mod database;
mod http;
mod tls;

use anyhow::{Result, bail};

/// Runs one case to its end.
pub(crate) fn run(name: &str) -> Result<()> {
    match name {
        "tls" => tls::run(),
        "mysql" => database::mysql(),
        "postgres" => database::postgres(),
        "vectors" => http::vectors(),
        "sendfile" => http::sendfile(),
        "peek" => http::peek(),
        "half" => http::half(),
        "duplicate" => http::duplicate(),
        "ipv6" => http::ipv6(),
        "unix" => http::unix(),
        other => bail!("there is no case {other}"),
    }
}
