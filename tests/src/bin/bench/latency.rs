//! At a fixed rate of requests: what a client waits longer, and what the agent takes of a CPU.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use wirespan_tests::nginx::Options;
use wirespan_tests::{Agent, Nginx};

use crate::load::{cpu_nanos, only_server, server_nanos};
use crate::report::{Figure, Report};

/// Requests a second.
const RATE: u32 = 10_000;
/// Connections that take turns.
const CONNECTIONS: usize = 16;
const ROUNDS: usize = 10;
const RUN: Duration = Duration::from_secs(3);
/// Sleeping takes some 50 µs more than was asked for; the rest of the time is waited for awake.
const SLEEP_SLACK: Duration = Duration::from_micros(70);
/// With which the answer ends.
const BODY: &[u8] = b"hello\n";
const REQUEST: &[u8] =
    b"GET /hello.txt HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench/1.0\r\n\r\n";

struct Run {
    /// Of a request, in microseconds, in order.
    waits: Vec<f64>,
    seconds: f64,
    server_nanos: f64,
}

impl Run {
    fn percentile(&self, part: f64) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index into what was measured"
        )]
        let index = ((self.waits.len() as f64 * part) as usize).min(self.waits.len() - 1);
        self.waits[index]
    }

    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn per_second(&self) -> f64 {
        self.waits.len() as f64 / self.seconds
    }

    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn server_micros(&self) -> f64 {
        self.server_nanos / self.waits.len() as f64 / 1000.0
    }
}

pub(crate) fn measure() -> Result<Report> {
    let short = crate::short();
    let (rounds, time) = if short {
        (1, Duration::from_secs(1))
    } else {
        (ROUNDS, RUN)
    };
    let nginx = Nginx::start(Options::default())?;
    run(&nginx, Duration::from_secs(1))?; // Warms caches.
    let (mut without, mut with, mut milli_cpus) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        without.push(run(&nginx, time)?);
        let agent = Agent::quiet(only_server(&nginx))?;
        run(&nginx, Duration::from_secs(1))?; // Compiled code, new processes.
        let before = cpu_nanos(agent.pid())?;
        let begun = Instant::now();
        with.push(run(&nginx, time)?);
        let taken = cpu_nanos(agent.pid())? - before;
        milli_cpus.push(taken / begun.elapsed().as_secs_f64() / 1e6);
        agent.stop(Signal::TERM)?;
    }
    let pairs = |value: &dyn Fn(&Run) -> f64| -> Vec<(f64, f64)> {
        let pair = |(with, without)| (value(with), value(without));
        with.iter().zip(&without).map(pair).collect()
    };
    let added = |part: f64| -> Vec<f64> {
        let difference =
            |(with, without): (&Run, &Run)| with.percentile(part) - without.percentile(part);
        with.iter().zip(&without).map(difference).collect()
    };
    let figures = vec![
        Figure::compared("p50", "µs", &pairs(&|run| run.percentile(0.5))),
        Figure::alone("p50, added", "µs", &added(0.5)),
        Figure::compared("p99", "µs", &pairs(&|run| run.percentile(0.99))),
        Figure::alone("p99, added", "µs", &added(0.99)),
        Figure::alone("CPU of the agent", "m", &milli_cpus),
        Figure::compared(
            "CPU of nginx for a request",
            "µs",
            &pairs(&Run::server_micros),
        ),
        Figure::compared("requests per second", "1/s", &pairs(&Run::per_second)),
    ];
    Ok(Report {
        what: "plain HTTP at 10,000 requests a second, one at a time, from one client on 16 connections",
        short,
        figures,
    })
}

fn run(nginx: &Nginx, time: Duration) -> Result<Run> {
    let mut connections = (0..CONNECTIONS)
        .map(|_| {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, nginx.port))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            Ok(stream)
        })
        .collect::<Result<Vec<_>>>()?;
    let interval = Duration::from_secs(1) / RATE;
    let server_before = server_nanos(nginx)?;
    let begun = Instant::now();
    let (mut due, mut waits, mut buffer) = (begun, Vec::new(), [0; 4096]);
    'run: loop {
        for connection in &mut connections {
            if begun.elapsed() >= time {
                break 'run;
            }
            wait_until(due);
            due += interval;
            let sent = Instant::now();
            connection.write_all(REQUEST)?;
            let mut len = 0;
            while !buffer[..len].ends_with(BODY) {
                let more = connection.read(&mut buffer[len..])?;
                len += more;
                ensure!(
                    more > 0 && buffer.starts_with(b"HTTP/1.1 200"),
                    "nginx answered {:?}",
                    String::from_utf8_lossy(&buffer[..len])
                );
            }
            waits.push(sent.elapsed().as_secs_f64() * 1e6);
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    waits.sort_by(f64::total_cmp);
    waits.first().context("no request in time")?;
    Ok(Run {
        waits,
        seconds,
        server_nanos: server_nanos(nginx)? - server_before,
    })
}

/// Whoever is late already goes on at once.
fn wait_until(due: Instant) {
    let left = due.saturating_duration_since(Instant::now());
    if left > SLEEP_SLACK {
        thread::sleep(left - SLEEP_SLACK);
    }
    while Instant::now() < due {
        std::hint::spin_loop();
    }
}
