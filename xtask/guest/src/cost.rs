//! What being watched costs nginx, in a machine whose clock advances by a nanosecond an instruction: there
//! the CPU time of the scheduler is the number of instructions.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::cases::tls::{self, CERTIFICATE, KEY};
use crate::machine::{self, AGAIN_LOG, LOG};
use crate::marks::section;
use crate::plan::{BY_FENTRY, NGINX, Road, WRK};

/// As `cargo xtask bench nginx` has it: 16 requests in flight keep a worker busy.
const LOAD: [&str; 5] = ["--threads", "1", "--connections", "16", "--duration"];

/// The first is not counted.
const RUNS: [&str; 3] = ["1s", "2s", "2s"];

/// What is asked for, by the name that the host knows it by.
const URLS: [(&str, &str); 2] = [
    ("http", "http://127.0.0.1:8080/hello.txt"),
    ("https", "https://127.0.0.1:8443/hello.txt"),
];

const CONFIGURATION: &str = "/tmp/nginx.conf";
const ERRORS: &str = "/tmp/nginx.log";
const START_LIMIT: Duration = Duration::from_secs(30);
/// Connections are closed and a batch of records is drained: nothing of it may run into what follows.
const SETTLE: Duration = Duration::from_secs(1);

/// Counts without the agent, with it on each road that this kernel has, and without it.
pub(crate) fn measure() -> Result<()> {
    // glibc looks up who nginx is to be.
    fs::create_dir_all("/etc")?;
    fs::write("/etc/passwd", "root:x:0:0::/:/\n")?;
    fs::write("/etc/group", "root:x:0:\n")?;
    let mut nginx = Nginx::start()?;
    let before = machine::programs()?;
    nginx.tell(Road::Before)?;
    nginx.watched(Road::Own, LOG, &[], &before)?;
    if fs::read_to_string(LOG)?.contains(BY_FENTRY) {
        let settings = machine::trace_points()?;
        nginx.watched(Road::TracePoints, AGAIN_LOG, &settings, &before)?;
    }
    nginx.tell(Road::After)?;
    nginx.master.kill()?;
    nginx.master.wait()?;
    Ok(())
}

struct Nginx {
    master: Child,
    worker: u32,
}

impl Nginx {
    fn start() -> Result<Self> {
        tls::make_certificate()?;
        fs::create_dir_all("/tmp/www")?;
        fs::write("/tmp/www/hello.txt", "hello\n")?;
        fs::write(CONFIGURATION, configuration())?;
        let mut master = Command::new(NGINX)
            .args(["-e", ERRORS, "-c", CONFIGURATION])
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("{NGINX} cannot be started"))?;
        let started = Instant::now();
        while started.elapsed() < START_LIMIT {
            if let Some(status) = master.try_wait()? {
                let errors = fs::read_to_string(ERRORS).unwrap_or_default();
                bail!("nginx ended at its start with {status}: {}", errors.trim());
            }
            if let Some(worker) = child(master.id())? {
                thread::sleep(SETTLE);
                return Ok(Self { master, worker });
            }
            thread::sleep(Duration::from_millis(50));
        }
        bail!("nginx had no worker within {START_LIMIT:?}")
    }

    /// Has the agent watch the worker alone while it is counted.
    fn watched(
        &self,
        road: Road,
        log: &str,
        options: &[&str],
        before: &BTreeSet<u32>,
    ) -> Result<()> {
        let worker = self.worker.to_string();
        let mut running = machine::agent(&["run", "--output", "none", "--metrics", "off"])
            .args(["--pid", &worker])
            .args(options)
            .stdout(Stdio::null())
            .stderr(File::create(log)?)
            .spawn()
            .context("the agent cannot be started")?;
        machine::wait_until_watching(&mut running, log)?;
        let attached = machine::programs()?.difference(before).count();
        self.tell(road)?;
        machine::stop(&mut running, attached, before)
    }

    /// Prints the count of each run, a line each: what was asked for, requests, instructions.
    fn tell(&self, road: Road) -> Result<()> {
        let mut lines = String::new();
        for (name, url) in URLS {
            for duration in RUNS {
                let before = self.instructions()?;
                let requests = load(url, duration)?;
                thread::sleep(SETTLE);
                let instructions = self.instructions()?.saturating_sub(before);
                lines.push_str(&format!("{name} {requests} {instructions}\n"));
            }
        }
        section(&format!("cost {}", road.name()), &lines);
        Ok(())
    }

    /// Executed so far in the worker and in the kernel for it: its nanoseconds of CPU.
    fn instructions(&self) -> Result<u64> {
        let path = format!("/proc/{}/schedstat", self.worker);
        let text = fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
        let first = text.split_whitespace().next().unwrap_or_default();
        first.parse().with_context(|| format!("{path} says {text}"))
    }
}

/// The first child of a process, if it has any by now.
fn child(parent: u32) -> Result<Option<u32>> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let children = fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
    let first = children.split_whitespace().next();
    first
        .map(|child| child.parse().with_context(|| format!("{path}: {child}")))
        .transpose()
}

/// As many requests as there can be; how many there were.
fn load(url: &str, duration: &str) -> Result<u64> {
    let finished = Command::new(WRK)
        .args(LOAD)
        .args([duration, url])
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{WRK} cannot be started"))?;
    let said = String::from_utf8_lossy(&finished.stdout);
    ensure!(
        finished.status.success(),
        "wrk ended with {}: {}",
        finished.status,
        String::from_utf8_lossy(&finished.stderr).trim()
    );
    ensure!(
        !said.contains("Non-2xx") && !said.contains("Socket errors"),
        "nginx did not answer everything: {said}"
    );
    let line = said.lines().find(|line| line.contains(" requests in "));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .filter(|requests| *requests > 0)
        .with_context(|| format!("wrk gave no count: {said}"))
}

/// As that of the benchmarks (tests/src/nginx.rs), with no more than what is asked for here.
fn configuration() -> String {
    format!(
        "daemon off;
user root;
worker_processes 1;
pid /tmp/nginx.pid;
events {{ worker_connections 512; }}
http {{
    access_log off;
    sendfile on;
    keepalive_requests 1000000000;
    client_body_temp_path /tmp/body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
    server {{
        listen 127.0.0.1:8080;
        listen 127.0.0.1:8443 ssl;
        ssl_certificate {CERTIFICATE};
        ssl_certificate_key {KEY};
        root /tmp/www;
    }}
}}
"
    )
}
