//! What nginx pays for being watched, at its saturation: plain HTTP and TLS.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;
use wirespan_tests::nginx::Options;
use wirespan_tests::{Agent, Nginx};

use crate::load::{Load, cpu_nanos, only_server, saturate};
use crate::noop::Noop;
use crate::report::{Figure, Report};

/// Pairs, and how long each run of a pair lasts.
const ROUNDS: usize = 10;
const RUN: Duration = Duration::from_secs(2);

/// The last spans are still on their way when the load has ended.
const SETTLE: Duration = Duration::from_millis(500);

/// One round: the same load in turn without anything, with probes that do nothing, and with the agent.
struct Round {
    none: Load,
    noop: Load,
    with: Load,
    /// CPU time of the agent for a request.
    agent_micros: f64,
}

impl Round {
    /// CPU time of nginx and the agent together.
    fn system_micros(&self) -> f64 {
        self.with.server_micros() + self.agent_micros
    }
}

fn rounds(nginx: &Nginx, url: &str, noop: impl Fn() -> Result<Noop>) -> Result<Vec<Round>> {
    let rounds = if crate::short() { 1 } else { ROUNDS };
    saturate(nginx, url, RUN)?; // Warms caches.
    (0..rounds)
        .map(|_| {
            let none = saturate(nginx, url, RUN)?;
            let probes = noop()?;
            let noop = saturate(nginx, url, RUN)?;
            probes.detach()?;
            let agent = Agent::quiet(only_server(nginx))?;
            let before = cpu_nanos(agent.pid())?;
            let with = saturate(nginx, url, RUN)?;
            thread::sleep(SETTLE);
            let agent_micros = (cpu_nanos(agent.pid())? - before) / with.requests / 1000.0;
            agent.stop(Signal::TERM)?;
            Ok(Round {
                none,
                noop,
                with,
                agent_micros,
            })
        })
        .collect()
}

/// A run of the same round, beside which that with the agent stands.
struct Beside {
    what: &'static str,
    load: fn(&Round) -> &Load,
}

const NONE: Beside = Beside {
    what: "none",
    load: |round| &round.none,
};

const NOOP: Beside = Beside {
    what: "no-op probes",
    load: |round| &round.noop,
};

const ENTRY_AND_RETURN: Beside = Beside {
    what: "entry and return probes",
    ..NOOP
};

impl Beside {
    fn pairs(&self, rounds: &[Round], pair: fn(&Round, &Load) -> (f64, f64)) -> Vec<(f64, f64)> {
        let pairs = rounds.iter().map(|round| pair(round, (self.load)(round)));
        pairs.collect()
    }

    fn server(&self, rounds: &[Round]) -> Figure {
        let pairs = self.pairs(rounds, |round, beside| {
            (round.with.server_micros(), beside.server_micros())
        });
        let name = format!("CPU of nginx for a request, beside {}", self.what);
        Figure::compared(name, "µs", &pairs)
    }

    fn requests(&self, rounds: &[Round]) -> Figure {
        let pairs = self.pairs(rounds, |round, beside| {
            (round.with.per_second(), beside.per_second())
        });
        let name = format!("requests per second, beside {}", self.what);
        Figure::compared(name, "1/s", &pairs)
    }

    /// Of the server and whoever watches it.
    fn system(&self, rounds: &[Round]) -> Figure {
        let pairs = self.pairs(rounds, |round, beside| {
            (round.system_micros(), beside.server_micros())
        });
        let name = format!("CPU of nginx and the agent, beside {}", self.what);
        Figure::compared(name, "µs", &pairs)
    }
}

fn agent(rounds: &[Round]) -> Figure {
    let micros: Vec<f64> = rounds.iter().map(|round| round.agent_micros).collect();
    Figure::alone("CPU of the agent for a request", "µs", &micros)
}

pub(crate) fn plain() -> Result<Report> {
    let nginx = Nginx::start(Options::default())?;
    let rounds = rounds(&nginx, &nginx.url("/hello.txt"), Noop::syscalls)?;
    let figures = vec![
        NONE.server(&rounds),
        NOOP.server(&rounds),
        NONE.system(&rounds),
        agent(&rounds),
        NONE.requests(&rounds),
    ];
    Ok(Report {
        what: "plain HTTP: nginx with one worker, 6-byte file, keep-alive, at saturation by wrk",
        short: crate::short(),
        figures,
    })
}

pub(crate) fn tls() -> Result<Report> {
    let nginx = Nginx::start(Options::default())?;
    let library = library(*nginx.workers().first().context("a worker of nginx")?)?;
    let rounds = rounds(&nginx, &nginx.tls_url("/hello.txt"), || {
        Noop::functions(Path::new(&library))
    })?;
    let figures = vec![
        NONE.requests(&rounds),
        ENTRY_AND_RETURN.requests(&rounds),
        NONE.server(&rounds),
        ENTRY_AND_RETURN.server(&rounds),
        agent(&rounds),
    ];
    Ok(Report {
        what: "HTTPS: nginx with one worker, 6-byte file, keep-alive, at saturation by wrk; the probes beside \
               which the agent stands do nothing, at the entry and the return of SSL_read and SSL_write",
        short: crate::short(),
        figures,
    })
}

/// The TLS library that a process has mapped.
fn library(pid: u32) -> Result<String> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let path = maps
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5))
        .find(|path| path.contains("/libssl.so"));
    Ok(path.context("nginx has no libssl")?.to_owned())
}
