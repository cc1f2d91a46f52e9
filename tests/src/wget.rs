//! wget: a client whose TLS is that of GnuTLS.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::expect::{Exchange, Request};
use crate::{Certificate, process, tools};

const LIMIT: Duration = Duration::from_secs(60);

/// Fetches all `urls` of one server, one after the other, and gives what wget itself has counted. Its
/// clock is that of all together.
///
/// # Errors
/// When wget is missing, or has not fetched each of them.
pub fn get(urls: &[String], port: u16, trust: &Certificate) -> Result<Vec<Exchange>> {
    let folder = tempfile::tempdir()?;
    let mut arguments: Vec<OsString> = ["--no-verbose", "--tries=1", "--timeout=30"]
        .map(Into::into)
        .into();
    arguments.push("--output-document=/dev/null".into());
    let mut authority = OsString::from("--ca-certificate=");
    authority.push(&trust.certificate);
    arguments.push(authority);
    arguments.extend(urls.iter().map(Into::into));
    let begun = Instant::now();
    let finished = process::run(folder.path(), &tools::program("wget")?, arguments, LIMIT)?;
    let seconds = begun.elapsed().as_secs_f64();
    ensure!(
        finished.status.success(),
        "wget ended with {}: {}",
        finished.status,
        finished.errors
    );
    let exchanges: Vec<Exchange> = finished
        .errors
        .lines()
        .filter_map(|line| line.split_once(" URL:"))
        .map(|(_, told)| {
            let (target, bytes) =
                fetched(told).with_context(|| format!("what wget says: {told}"))?;
            Ok(Exchange {
                response_bytes: Some(bytes),
                ..Exchange::new(Request::new("GET", target), 200, seconds, port)
                    .by("wget", finished.pid)
            })
        })
        .collect::<Result<_>>()?;
    ensure!(
        exchanges.len() == urls.len(),
        "wget fetched {} of {}: {}",
        exchanges.len(),
        urls.len(),
        finished.errors
    );
    Ok(exchanges)
}

/// Target and bytes of `https://127.0.0.1:1234/path [17/17] -> "/dev/null" [1]`.
fn fetched(told: &str) -> Option<(&str, u64)> {
    let (url, rest) = told.split_once(" [")?;
    let (bytes, _) = rest.split_once(['/', ']'])?;
    let at = url.match_indices('/').nth(2)?.0;
    Some((url.get(at..)?, bytes.parse().ok()?))
}
