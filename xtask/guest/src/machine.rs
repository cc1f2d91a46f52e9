//! What an init does, and the one test this machine was booted for.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::mount::{MountFlags, mount};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, SendFlags, SocketType, sendto, socket};
use rustix::process::{Pid, Signal, kill_process};
use rustix::system::{RebootCommand, reboot};

use crate::cost;
use crate::exchange;
use crate::marks::section;
use crate::plan::{BY_FENTRY, CASES, COST, GO, SETS};

const AGENT: &str = "/wirespan";
const SPANS: &str = "/spans.json";
pub(crate) const LOG: &str = "/agent.log";
/// Of the second time, with the probes that older kernels have.
const AGAIN_SPANS: &str = "/again.json";
pub(crate) const AGAIN_LOG: &str = "/again.log";
const AGAIN_SETTINGS: &str = "/again.toml";

/// Cases that are not a process of their own.
const OURS: [&str; 4] = [SETS, "http", "stop", "kill"];

/// The emulated CPU takes its time to verify the probes and to compile the parsers.
const START_LIMIT: Duration = Duration::from_secs(300);
const CASE_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// Kernel rings are drained every few milliseconds; a batch waits a tenth of a second at most.
const SETTLE: Duration = Duration::from_secs(2);

/// Runs the test and turns the machine off, whatever came of it.
pub(crate) fn run() -> Result<()> {
    let result = mounts().and_then(|()| loopback_up()).and_then(|()| {
        if is_for_cost()? {
            cost::measure()
        } else {
            test()
        }
    });
    if let Err(error) = &result {
        section("error", &format!("{error:#}"));
    }
    for (name, path) in [
        ("spans", SPANS),
        ("log", LOG),
        ("again spans", AGAIN_SPANS),
        ("again log", AGAIN_LOG),
    ] {
        section(name, &fs::read_to_string(path).unwrap_or_default());
    }
    section("end", "");
    reboot(RebootCommand::PowerOff).context("the machine cannot be turned off")
}

/// What the machine was booted for.
fn is_for_cost() -> Result<bool> {
    let line = fs::read_to_string("/proc/cmdline").context("no command line of the kernel")?;
    Ok(line.split_whitespace().any(|word| word == COST))
}

fn mounts() -> Result<()> {
    for (kind, target) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        // As systemd does: it tells whether the kernel takes a CPU from a thread that is in it.
        ("debugfs", "/sys/kernel/debug"),
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

    let mut go = go_server()?;
    let before = programs()?;
    let mut running = start(SPANS, LOG, &[])?;
    let held = programs()?;
    let mut results = cases();
    let attached = held.difference(&before).count();
    results.push(("stop", stop(&mut running, attached, &before)));
    results.push(("kill", kill(&before)));
    tell("case", results);
    if fs::read_to_string(LOG)?.contains(BY_FENTRY) {
        again(&before)?;
    }
    go.kill()?;
    go.wait()?;
    Ok(())
}

/// Runs before the agent does, so that the agent finds it at its start: what begins later is found within
/// a quarter of a second, and the only exchange would be over.
fn go_server() -> Result<Child> {
    let server = Command::new(GO).arg("serve").spawn()?;
    exchange::wait_for(exchange::GO_ADDRESS)?;
    Ok(server)
}

/// The cases once more, with trace points: a kernel that allows fentry shows what others do.
fn again(before: &BTreeSet<u32>) -> Result<()> {
    let mut running = start(AGAIN_SPANS, AGAIN_LOG, &trace_points()?)?;
    let held = programs()?;
    let mut results = cases();
    let attached = held.difference(before).count();
    results.push(("stop", stop(&mut running, attached, before)));
    tell("again", results);
    Ok(())
}

/// The options with which the agent does without fentry.
pub(crate) fn trace_points() -> Result<[&'static str; 2]> {
    fs::write(AGAIN_SETTINGS, "[capture]\ncalls = \"tracepoints\"\n")?;
    Ok(["--config", AGAIN_SETTINGS])
}

/// What came of each case.
type Results = Vec<(&'static str, Result<()>)>;

/// Has each case take place.
fn cases() -> Results {
    // What the agent has said of them is read from its log.
    let mut results = vec![(SETS, Ok(())), ("http", exchange_once())];
    for case in CASES.iter().filter(|case| !OURS.contains(&case.name)) {
        results.push((case.name, in_its_own_process(case.name)));
    }
    thread::sleep(SETTLE);
    results
}

fn tell(what: &str, results: Results) {
    for (name, result) in results {
        let text = result.map_or_else(|error| format!("{error:#}"), |()| "done".to_owned());
        section(&format!("{what} {name}"), &text);
    }
}

fn start(spans: &str, log: &str, options: &[&str]) -> Result<Child> {
    let mut running = agent(&[
        "run",
        "--output",
        "json",
        "--unredacted",
        "--metrics",
        "off",
    ])
    .args(options)
    .stdout(File::create(spans)?)
    .stderr(File::create(log)?)
    .spawn()
    .context("the agent cannot be started")?;
    wait_until_watching(&mut running, log)?;
    Ok(running)
}

/// One exchange between two processes.
fn exchange_once() -> Result<()> {
    let mut server = Command::new("/init").arg("serve").spawn()?;
    let client = Command::new("/init").arg("fetch").status()?;
    server.kill()?;
    server.wait()?;
    ensure!(client.success(), "the client ended with {client}");
    Ok(())
}

fn in_its_own_process(case: &str) -> Result<()> {
    let mut child = Command::new("/init")
        .args(["case", case])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let Some(status) = wait(&mut child, CASE_LIMIT)? else {
        bail!("not done within {CASE_LIMIT:?}");
    };
    let mut said = String::new();
    if let Some(mut errors) = child.stderr.take() {
        errors.read_to_string(&mut said)?;
    }
    ensure!(status.success(), "ended with {status}: {}", said.trim());
    Ok(())
}

/// Told to stop, the agent leaves nothing behind.
pub(crate) fn stop(running: &mut Child, attached: usize, before: &BTreeSet<u32>) -> Result<()> {
    ensure!(attached > 0, "the agent had no program in the kernel");
    kill_process(Pid::from_child(running), Signal::TERM)?;
    match wait(running, STOP_LIMIT)? {
        Some(status) if status.success() => nothing_left(before),
        Some(status) => bail!("the agent ended with {status}"),
        None => bail!("the agent did not end within {STOP_LIMIT:?} of SIGTERM"),
    }
}

/// Killed, it does neither, and the programs that it watched go on.
fn kill(before: &BTreeSet<u32>) -> Result<()> {
    let mut running = start("/tmp/killed.json", "/tmp/killed.log", &[])?;
    let attached = programs()?.difference(before).count();
    ensure!(attached > 0, "the agent had no program in the kernel");
    exchange_once()?;
    running.kill()?;
    running.wait()?;
    nothing_left(before)?;
    exchange_once()
}

/// Waits until no program is loaded that was not there before.
fn nothing_left(before: &BTreeSet<u32>) -> Result<()> {
    let started = Instant::now();
    loop {
        let left = programs()?.difference(before).count();
        if left == 0 {
            break;
        }
        ensure!(
            started.elapsed() < STOP_LIMIT,
            "{left} programs are still in the kernel after {STOP_LIMIT:?}"
        );
        thread::sleep(Duration::from_millis(50));
    }
    for list in ["uprobe_events", "kprobe_events"] {
        let probes = fs::read_to_string(format!("/sys/kernel/tracing/{list}")).unwrap_or_default();
        ensure!(probes.trim().is_empty(), "{list} still has {probes}");
    }
    Ok(())
}

/// Programs in the kernel.
pub(crate) fn programs() -> Result<BTreeSet<u32>> {
    aya::programs::loaded_programs()
        .map(|program| Ok(program.context("programs cannot be listed")?.id()))
        .collect()
}

pub(crate) fn agent(arguments: &[&str]) -> Command {
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

pub(crate) fn wait_until_watching(running: &mut Child, log: &str) -> Result<()> {
    let started = Instant::now();
    while started.elapsed() < START_LIMIT {
        if let Some(status) = running.try_wait()? {
            bail!("the agent ended at its start with {status}");
        }
        if fs::read_to_string(log)?.contains("watching with") {
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
