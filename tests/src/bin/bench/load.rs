//! Load on nginx by wrk, and what it costs whom.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use wirespan_tests::{Nginx, process, tools};

/// Requests in flight: enough to keep a worker busy, few enough for one wrk thread.
const CONNECTIONS: &str = "16";

/// What one run of wrk came to.
pub(crate) struct Load {
    pub(crate) requests: f64,
    pub(crate) seconds: f64,
    pub(crate) server_nanos: f64,
}

impl Load {
    /// CPU time of nginx for a request, in its kernel calls too.
    pub(crate) fn server_micros(&self) -> f64 {
        self.server_nanos / self.requests / 1000.0
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.requests / self.seconds
    }
}

/// As many requests as there can be, for so long.
pub(crate) fn saturate(nginx: &Nginx, url: &str, time: Duration) -> Result<Load> {
    let folder = tempfile::tempdir()?;
    let before = server_nanos(nginx)?;
    // wrk takes whole seconds.
    let seconds = time.as_secs().max(1);
    let duration = format!("{seconds}s");
    let arguments = [
        "--threads",
        "1",
        "--connections",
        CONNECTIONS,
        "--duration",
        &duration,
        url,
    ];
    let finished = process::run(
        folder.path(),
        &tools::program("wrk")?,
        arguments,
        Duration::from_secs(seconds + 30),
    )?;
    ensure!(finished.status.success(), "wrk failed: {}", finished.errors);
    ensure!(
        !finished.output.contains("Non-2xx"),
        "nginx did not answer everything: {}",
        finished.output
    );
    let line = finished
        .output
        .lines()
        .find(|line| line.contains(" requests in "))
        .context("wrk gave no count")?;
    let requests = line.split_whitespace().next().context("a count")?.parse()?;
    Ok(Load {
        requests,
        seconds: Duration::from_secs(seconds).as_secs_f64(),
        server_nanos: server_nanos(nginx)? - before,
    })
}

/// CPU time of the workers so far.
pub(crate) fn server_nanos(nginx: &Nginx) -> Result<f64> {
    nginx.workers().iter().map(|pid| cpu_nanos(*pid)).sum()
}

/// Only nginx's end is watched: what a node pays for a client that is elsewhere.
pub(crate) fn only_server(nginx: &Nginx) -> Vec<String> {
    nginx
        .workers()
        .iter()
        .flat_map(|pid| ["--pid".to_owned(), pid.to_string()])
        .collect()
}

/// CPU time of all threads of a process that still run, from the scheduler: ticks would be too
/// coarse.
pub(crate) fn cpu_nanos(pid: u32) -> Result<f64> {
    let mut nanos = 0.0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).context("threads of a process")? {
        // A thread may end while they are listed.
        let Ok(text) = std::fs::read_to_string(thread?.path().join("schedstat")) else {
            continue;
        };
        nanos += text
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .parse::<f64>()
            .context("schedstat")?;
    }
    Ok(nanos)
}
