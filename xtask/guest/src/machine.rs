//! What an init does, and the one test this machine was booted for.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::mount::{MountFlags, mount};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, SendFlags, SocketType, sendto, socket};
use rustix::process::{Pid, Signal, kill_process};
use rustix::system::{RebootCommand, reboot};

use crate::marks::section;

const AGENT: &str = "/wirespan";
const SPANS: &str = "/spans.json";
const LOG: &str = "/agent.log";

/// The emulated CPU takes its time to verify the probes and to compile the parsers.
const START_LIMIT: Duration = Duration::from_secs(180);
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// Kernel rings are drained every few milliseconds; a batch waits a tenth of a second at most.
const SETTLE: Duration = Duration::from_secs(2);

/// Runs the test and turns the machine off, whatever came of it.
pub(crate) fn run() -> Result<()> {
    let result = mounts().and_then(|()| loopback_up()).and_then(|()| test());
    if let Err(error) = &result {
        section("error", &format!("{error:#}"));
    }
    for (name, path) in [("spans", SPANS), ("log", LOG)] {
        section(name, &fs::read_to_string(path).unwrap_or_default());
    }
    section("end", "");
    reboot(RebootCommand::PowerOff).context("the machine cannot be turned off")
}

fn mounts() -> Result<()> {
    for (kind, target) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("tracefs", "/sys/kernel/tracing"),
        ("bpf", "/sys/fs/bpf"),
        ("tmpfs", "/tmp"),
    ] {
        mount(kind, target, kind, MountFlags::empty(), None)
            .with_context(|| format!("{kind} cannot be mounted on {target}"))?;
    }
    // The parsers' compiled code is kept below the user's directory.
    fs::create_dir_all("/tmp/cache").context("/tmp cannot be written")
}

/// `ip link set lo up`, as one rtnetlink message: RTM_NEWLINK for interface 1 with IFF_UP.
fn loopback_up() -> Result<()> {
    const LENGTH: u32 = 32;
    const RTM_NEWLINK: u16 = 16;
    const NLM_F_REQUEST: u16 = 1;
    const LOOPBACK: i32 = 1;
    const IFF_UP: u32 = 1;
    let mut message = Vec::new();
    message.extend(LENGTH.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(NLM_F_REQUEST.to_ne_bytes());
    message.extend([0; 8]); // sequence, port
    message.extend([0; 4]); // family, padding, type
    message.extend(LOOPBACK.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    // The protocol that is 0, and so needs no name, is NETLINK_ROUTE.
    let socket = socket(AddressFamily::NETLINK, SocketType::RAW, None).context("no netlink")?;
    sendto(
        &socket,
        &message,
        SendFlags::empty(),
        &SocketAddrNetlink::new(0, 0),
    )
    .context("loopback stays down")?;
    Ok(())
}

fn test() -> Result<()> {
    let doctor = agent(&["doctor", "--json"])
        .output()
        .context("the agent cannot be started")?;
    section("doctor", &String::from_utf8_lossy(&doctor.stdout));

    let mut running = agent(&["run", "--output", "json", "--metrics", "off"])
        .stdout(File::create(SPANS)?)
        .stderr(File::create(LOG)?)
        .spawn()
        .context("the agent cannot be started")?;
    wait_until_watching(&mut running)?;

    let mut server = Command::new("/init").arg("serve").spawn()?;
    let client = Command::new("/init").arg("fetch").status()?;
    thread::sleep(SETTLE);
    server.kill()?;
    server.wait()?;

    let pid = Pid::from_child(&running);
    kill_process(pid, Signal::TERM)?;
    let ended = wait(&mut running, STOP_LIMIT)?;
    if !client.success() {
        bail!("the client of the exchange ended with {client}");
    }
    match ended {
        Some(status) if status.success() => Ok(()),
        Some(status) => bail!("the agent ended with {status}"),
        None => bail!("the agent did not end within {STOP_LIMIT:?} of SIGTERM"),
    }
}

fn agent(arguments: &[&str]) -> Command {
    let mut agent = Command::new(AGENT);
    agent
        .args(arguments)
        .envs([
            ("HOME", "/tmp"),
            ("XDG_CACHE_HOME", "/tmp/cache"),
            ("PATH", "/"),
        ])
        .stdin(Stdio::null());
    agent
}

fn wait_until_watching(running: &mut Child) -> Result<()> {
    let started = Instant::now();
    while started.elapsed() < START_LIMIT {
        if let Some(status) = running.try_wait()? {
            bail!("the agent ended at its start with {status}");
        }
        if fs::read_to_string(LOG)?.contains("watching with") {
            // The probes are attached now; the pipeline behind them starts at the same time.
            thread::sleep(Duration::from_millis(500));
            return Ok(());
        }
        thread::sleep(Duration::from_millis(100));
    }
    bail!("the agent did not say within {START_LIMIT:?} that it watches")
}

fn wait(child: &mut Child, limit: Duration) -> Result<Option<std::process::ExitStatus>> {
    let started = Instant::now();
    while started.elapsed() < limit {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(Duration::from_millis(50));
    }
    child.kill()?;
    Ok(None)
}
