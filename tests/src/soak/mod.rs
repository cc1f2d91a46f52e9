//! A long time with connections that come and go: does the agent give back what it takes?

mod page;
mod reading;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::process::Signal;

use crate::agent::{self, Agent};
use crate::client::Connection;
use crate::curl::Curl;
use crate::mariadb::Mariadb;
use crate::nginx::{self, Nginx};
use crate::process::Running;
use crate::tools;
pub use page::write;
pub use reading::{Reading, cpu_nanos, memory_kib};

const IDLE: &str = include_str!("idle.py");
const MYSQL: &str = include_str!("mysql.py");

/// Between two connections of one client: many a second, and time for others on the machine.
const PAUSE: Duration = Duration::from_millis(2);

/// What was in flight is over, and caches have what they keep.
const SETTLE: Duration = Duration::from_secs(3);

/// Memory that is the same for so long, but for this much, has come to rest; not waited for longer than
/// the last of these.
const CALM: Duration = Duration::from_secs(10);
const CALM_KIB: u64 = 256;
const CALM_WITHIN: Duration = Duration::from_secs(120);

/// Entries of ended sockets are gone within this.
const GIVEN_BACK: Duration = Duration::from_secs(30);

/// Sockets of other programs, which are known too so that they can be left out.
const OTHERS: u64 = 200;

/// Connections of the idle part are made within this.
const HELD: Duration = Duration::from_secs(180);

/// Maps whose entries are the connections and calls that there are; others keep the last ones used.
pub const EXACT_MAPS: [&str; 2] = ["SOCKETS", "THREADS"];

/// How long, and how much.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Before the first reading: allocators and caches take what they keep.
    pub warm_up: Duration,
    pub churn: Duration,
    pub idle_connections: usize,
    /// How long the agent is watched doing nothing.
    pub idle: Duration,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub plan: Plan,
    pub started: Reading,
    pub before: Reading,
    /// While connections came and went.
    pub during: Reading,
    pub after: Reading,
    /// Connections over plain HTTP, over TLS, and to MySQL.
    pub connections: [u64; 3],
    /// Bytes that passed, and those of them whose fate the kernel side does not tell.
    pub passed_bytes: f64,
    pub unaccounted_bytes: f64,
    pub spans: f64,
    pub idle: Idle,
}

/// An agent with idle connections.
#[derive(Clone, Debug, Default)]
pub struct Idle {
    pub connections: usize,
    pub none: Reading,
    pub held: Reading,
    /// CPU time, of the time it was watched for: without connections, and with.
    pub cpu: [f64; 2],
}

/// The whole of it. Needs the kernel.
///
/// # Errors
/// When something cannot be started, or fails on the way. What the readings say is for the caller.
pub fn run(plan: Plan) -> Result<Outcome> {
    let nginx = Nginx::start(nginx::Options::default())?;
    let mariadb = Mariadb::start()?;
    let ports = [nginx.port, nginx.tls_port, mariadb.port];
    let port_options = ports
        .iter()
        .flat_map(|port| ["--port".to_owned(), port.to_string()]);
    let agent = Agent::quiet(port_options.collect::<Vec<_>>())?;
    let started = Reading::of(agent.pid())?;

    let mut connections = Churn::start(&nginx, &mariadb)?.stop_after(plan.warm_up)?;
    thread::sleep(SETTLE);
    // Libraries that were not in use at the start are probed by now.
    let any = Reading {
        probes: usize::MAX,
        ..started.clone()
    };
    given_back(&agent, &any)?;
    let before = Reading::of(agent.pid())?;

    let churn = Churn::start(&nginx, &mariadb)?;
    thread::sleep(plan.churn / 2);
    let during = Reading::of(agent.pid())?;
    let more = churn.stop_after(plan.churn.saturating_sub(plan.churn / 2))?;
    for (sum, more) in connections.iter_mut().zip(more) {
        *sum += more;
    }
    thread::sleep(SETTLE);
    given_back(&agent, &before)?;
    let after = Reading::of(agent.pid())?;
    let metrics = agent::metrics(agent.metrics_port())?;
    let metric = |name: &str| agent::metric(&metrics, name);
    let passed_bytes = metric("wirespan_capture_kernel_passed_bytes_total")?;
    let unaccounted_bytes = metric("wirespan_capture_kernel_unaccounted_bytes")?;
    let spans = metric("wirespan_spans_total")?;
    agent.stop(Signal::TERM)?;
    Ok(Outcome {
        plan,
        started,
        before,
        during,
        after,
        connections,
        passed_bytes,
        unaccounted_bytes,
        spans,
        idle: idle(plan)?,
    })
}

/// Waits until the agent follows no more sockets than before and has no more probes, or long enough for
/// that: those of a library stay for a while when nobody uses it any more, whoever on the machine did.
fn given_back(agent: &Agent, before: &Reading) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < GIVEN_BACK {
        let now = Reading::of(agent.pid())?;
        if kept(before, &now).is_empty() && now.probes <= before.probes {
            break;
        }
        thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// Maps that have more entries than before, by more than other programs on the machine explain.
#[must_use]
pub fn kept(before: &Reading, after: &Reading) -> Vec<String> {
    EXACT_MAPS
        .iter()
        .filter(|map| after.entries_of(map) > before.entries_of(map) + OTHERS)
        .map(|map| format!("{map} keeps {} entries", after.entries_of(map)))
        .collect()
}

/// Clients that connect, ask once, and leave.
struct Churn {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<()>>>,
    counts: [Arc<AtomicU64>; 2],
    mysql: Running,
    _folder: tempfile::TempDir,
}

impl Churn {
    fn start(nginx: &Nginx, mariadb: &Mariadb) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let counts = [Arc::default(), Arc::default()];
        let mut threads = Vec::new();
        let port = nginx.port;
        threads.push(repeat(&stop, &counts[0], move || {
            Connection::open(port)?.get("/small/1.txt")?;
            thread::sleep(PAUSE);
            Ok(())
        }));
        let url = nginx.tls_url("/hello.txt");
        threads.push(repeat(&stop, &counts[1], move || {
            Curl::new().option("--insecure").get(&url).run()?;
            Ok(())
        }));
        let folder = tempfile::tempdir()?;
        let mysql = Running::start(
            folder.path(),
            &tools::python()?,
            ["-c", MYSQL, &mariadb.port.to_string()],
            &[],
        )?;
        Ok(Self {
            stop,
            threads,
            counts,
            mysql,
            _folder: folder,
        })
    }

    /// How many connections there were of each kind.
    fn stop_after(self, time: Duration) -> Result<[u64; 3]> {
        thread::sleep(time);
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().map_err(|_| anyhow!("a client panicked"))??;
        }
        let mysql = self.mysql.stop(Signal::TERM)?;
        let count = mysql.output.trim().parse();
        let mysql = count.with_context(|| format!("the client of MySQL: {}", mysql.errors))?;
        let [http, tls] = self.counts.map(|count| count.load(Ordering::Relaxed));
        Ok([http, tls, mysql])
    }
}

fn repeat(
    stop: &Arc<AtomicBool>,
    count: &Arc<AtomicU64>,
    mut connect: impl FnMut() -> Result<()> + Send + 'static,
) -> JoinHandle<Result<()>> {
    let (stop, count) = (Arc::clone(stop), Arc::clone(count));
    thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            connect()?;
            count.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    })
}

/// An agent of its own: what idle connections cost it.
fn idle(plan: Plan) -> Result<Idle> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    let mut holder = Running::start(
        folder.path(),
        &tools::python()?,
        [
            "-c".to_owned(),
            IDLE.to_owned(),
            folder.path().to_string_lossy().into_owned(),
            plan.idle_connections.to_string(),
        ],
        &[],
    )?;
    let mut wait_for = |name: &str| {
        holder.wait_ready(name, HELD, |_| Ok(path(name).exists()))?;
        fs::read_to_string(path(name)).context("a file of the holder of connections")
    };
    let server = wait_for("server")?;
    let Some((_, pid)) = server.split_once(' ') else {
        bail!("the holder of connections said {server:?}");
    };
    let agent = Agent::quiet(["--pid", pid])?;
    fs::write(path("go"), "")?;
    wait_for("warm")?;
    thread::sleep(SETTLE);
    come_to_rest(&agent, plan)?;
    let without = cpu(&agent, plan.idle)?;
    let none = Reading::of(agent.pid())?;
    fs::write(path("hold"), "")?;
    let held = wait_for("held")?;
    thread::sleep(SETTLE);
    ensure!(held == plan.idle_connections.to_string(), "{held} are held");
    come_to_rest(&agent, plan)?;
    let with = cpu(&agent, plan.idle)?;
    let idle = Idle {
        connections: plan.idle_connections,
        none,
        held: Reading::of(agent.pid())?,
        cpu: [without, with],
    };
    agent.stop(Signal::TERM)?;
    Ok(idle)
}

/// Waits until the agent's memory does not change any more: what its start took, and what connections took
/// while they were busy, is given back. Where nobody watches for long, nobody waits for long.
fn come_to_rest(agent: &Agent, plan: Plan) -> Result<()> {
    let begun = Instant::now();
    let mut since = (Instant::now(), memory_kib(agent.pid())?);
    while since.0.elapsed() < CALM.min(plan.idle) && begun.elapsed() < CALM_WITHIN {
        thread::sleep(CALM.min(plan.idle) / 10);
        let now = memory_kib(agent.pid())?;
        if now.abs_diff(since.1) > CALM_KIB {
            since = (Instant::now(), now);
        }
    }
    Ok(())
}

/// Part of a core that the agent takes.
fn cpu(agent: &Agent, time: Duration) -> Result<f64> {
    let before = cpu_nanos(agent.pid())?;
    let begun = Instant::now();
    thread::sleep(time);
    let used = cpu_nanos(agent.pid())?.saturating_sub(before);
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    Ok(used as f64 / begun.elapsed().as_nanos() as f64)
}
