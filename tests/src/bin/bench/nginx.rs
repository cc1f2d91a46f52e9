//! CPU of nginx per request with and without capture, and the agent's own, under wrk.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use wirespan_tests::nginx::Options;
use wirespan_tests::{Agent, Nginx, process, tools};

use crate::report::{Figure, Report};

/// Requests in flight: enough to keep a worker busy, few enough for one wrk thread.
const CONNECTIONS: &str = "16";

pub(crate) fn measure() -> Result<Report> {
    let short = crate::short();
    let (pairs, seconds) = if short { (1, 1) } else { (6, 5) };
    let nginx = Nginx::start(Options::default())?;
    let mut figures = Vec::new();
    for (name, url) in [
        ("plain", nginx.url("/hello.txt")),
        ("TLS", nginx.tls_url("/hello.txt")),
    ] {
        load(&nginx, &url, 1)?; // Warms caches and the TLS session.
        let (mut of_nginx, mut rates, mut of_agent) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..pairs {
            let without = load(&nginx, &url, seconds)?;
            // Only nginx's end: what a node pays for a client that is elsewhere.
            let workers = nginx
                .workers()
                .iter()
                .flat_map(|pid| ["--pid".to_owned(), pid.to_string()]);
            let agent = Agent::quiet(workers.collect::<Vec<_>>())?;
            let before = cpu_nanos(agent.pid())?;
            let with = load(&nginx, &url, seconds)?;
            std::thread::sleep(Duration::from_millis(500)); // The last spans are still on their way.
            of_agent.push((cpu_nanos(agent.pid())? - before) / with.requests / 1000.0);
            agent.stop(Signal::TERM)?;
            of_nginx.push((with.server_micros(), without.server_micros()));
            rates.push((with.per_second(), without.per_second()));
        }
        figures.push(Figure::compared(
            format!("{name}: CPU of nginx per request"),
            "µs",
            &of_nginx,
        ));
        figures.push(Figure::alone(
            format!("{name}: CPU of the agent per request"),
            "µs",
            &of_agent,
        ));
        figures.push(Figure::compared(
            format!("{name}: requests per second"),
            "1/s",
            &rates,
        ));
    }
    Ok(Report {
        what: "nginx with one worker, 6-byte file, keep-alive, wrk; with and without the agent in turn",
        short,
        figures,
    })
}

struct Load {
    requests: f64,
    seconds: f64,
    server_nanos: f64,
}

impl Load {
    fn server_micros(&self) -> f64 {
        self.server_nanos / self.requests / 1000.0
    }

    fn per_second(&self) -> f64 {
        self.requests / self.seconds
    }
}

fn load(nginx: &Nginx, url: &str, seconds: u64) -> Result<Load> {
    let folder = tempfile::tempdir()?;
    let cpu = || {
        nginx
            .workers()
            .iter()
            .map(|pid| cpu_nanos(*pid))
            .sum::<Result<f64>>()
    };
    let before = cpu()?;
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
        server_nanos: cpu()? - before,
    })
}

/// CPU time of all threads of a process that still run, from the scheduler: ticks would be too
/// coarse.
fn cpu_nanos(pid: u32) -> Result<f64> {
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
