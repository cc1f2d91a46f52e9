//! An agent that is killed at any moment: does it leave a probe behind, or a program that it watched in
//! trouble?

mod code;
mod kernel;
mod page;
mod traffic;

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::go::Go;
use crate::nginx::{self, Nginx};
use crate::process::Running;
use crate::{tools, wait};
use code::{Code, Comparison};
use kernel::Kernel;
pub use page::write;
use traffic::Traffic;

/// Loading the probes and compiling the parsers for the first time, on a busy machine.
const READY: Duration = Duration::from_secs(120);

/// The kernel lets go of what a killed process held one after the other, each with a grace period.
const GONE: Duration = Duration::from_secs(60);

/// Probes of others on the machine are waited for: what is left to see is theirs.
const OTHERS: Duration = Duration::from_secs(3);

/// While it runs: within this after its probes are attached.
const RUNNING: Duration = Duration::from_secs(1);

/// How often, and with which numbers.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub kills: usize,
    pub seed: u64,
}

/// What the agent is doing when it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Loading programs and attaching probes.
    Starting,
    Running,
    /// Detaching, after SIGTERM.
    Stopping,
}

/// In turn.
const MOMENTS: [Moment; 3] = [Moment::Starting, Moment::Running, Moment::Stopping];

/// One agent's end.
#[derive(Clone, Copy, Debug)]
pub struct Kill {
    pub moment: Moment,
    /// How long it had been in that phase.
    pub after: Duration,
    /// Programs and links that it held a moment before.
    pub held: usize,
    /// Until the kernel had taken all of it away.
    pub gone_after: Duration,
    /// It had ended by itself before it was killed.
    pub too_late: bool,
    /// The code of the programs in memory was held against their files.
    pub compared: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub plan: Plan,
    pub kills: Vec<Kill>,
    /// Requests that were answered meanwhile, as they should be: of curl to nginx, of one connection of
    /// Python to nginx, of Go to Go. All over TLS.
    pub requests: [u64; 3],
    /// How long an agent that nobody kills takes from its start until it watches, and from SIGTERM to
    /// its end.
    pub starting: Duration,
    pub stopping: Duration,
}

/// The whole of it. Needs the kernel.
///
/// # Errors
/// When something cannot be started, a probe stays, or a watched program has an error.
pub fn run(plan: Plan) -> Result<Outcome> {
    let nginx = Nginx::start(nginx::Options::default())?;
    let go = Go::start(&[])?;
    let ports = [nginx.tls_port, go.port];
    let mut traffic = Traffic::start(&nginx, go)?;
    let workers = nginx.workers().iter().copied();
    let code = Code::of(&workers.chain([traffic.go_pid()]).collect::<Vec<_>>())?;

    let (mut agent, _folder) = start(&ports)?;
    let begun = Instant::now();
    wait_watching(&mut agent)?;
    let starting = begun.elapsed();
    let begun = Instant::now();
    let finished = agent.stop(Signal::TERM)?;
    ensure!(finished.status.success(), "the agent: {}", finished.errors);
    let stopping = begun.elapsed();

    let mut random = plan.seed;
    let mut kills = Vec::new();
    for number in 0..plan.kills {
        let moment = MOMENTS[number % MOMENTS.len()];
        let within = match moment {
            Moment::Starting => starting,
            Moment::Running => RUNNING,
            Moment::Stopping => stopping,
        };
        let after = within.mul_f64(fraction(&mut random));
        let killed = kill(&ports, moment, after, &code);
        kills.push(killed.with_context(|| {
            format!(
                "kill {number}: {moment:?}, after {after:?} (seed {})",
                plan.seed
            )
        })?);
        traffic
            .check()
            .with_context(|| format!("after kill {number}"))?;
        ensure!(nginx.alive()?, "a worker of nginx has died");
    }
    Ok(Outcome {
        plan,
        kills,
        requests: traffic.stop()?,
        starting,
        stopping,
    })
}

fn start(ports: &[u16]) -> Result<(Running, TempDir)> {
    let folder = tempfile::Builder::new()
        .prefix("wirespan-kill-")
        .tempdir()?;
    let mut arguments = vec![
        "run".to_owned(),
        "--output".to_owned(),
        "none".to_owned(),
        "--metrics".to_owned(),
        "off".to_owned(),
    ];
    for port in ports {
        arguments.extend(["--port".to_owned(), port.to_string()]);
    }
    let agent = Running::start(folder.path(), &tools::wirespan()?, arguments, &[])?;
    Ok((agent, folder))
}

fn wait_watching(agent: &mut Running) -> Result<()> {
    agent.wait_ready("the probes are attached", READY, |agent| {
        Ok(agent.errors()?.contains("watching"))
    })
}

fn kill(ports: &[u16], moment: Moment, after: Duration, code: &Code) -> Result<Kill> {
    let kernel = Kernel::now()?;
    let (mut agent, _folder) = start(ports)?;
    if moment != Moment::Starting {
        wait_watching(&mut agent)?;
    }
    if moment == Moment::Stopping {
        agent.signal(Signal::TERM)?;
    }
    std::thread::sleep(after);
    let held = kernel::held_by(agent.pid());
    let begun = Instant::now();
    // It is a process until the kernel has let go of what it held.
    let finished = agent.stop(Signal::KILL)?;
    let too_late = moment == Moment::Stopping && finished.status.success();
    ensure!(
        too_late || finished.status.signal() == Some(Signal::KILL.as_raw()),
        "the agent ended with {} before it was killed: {}",
        finished.status,
        finished.errors
    );
    let mut orphans = Vec::new();
    wait::until("no program and no link that nobody holds", GONE, || {
        orphans = kernel.orphans()?;
        Ok(orphans.is_empty().then_some(()))
    })
    .with_context(|| format!("there are {}", orphans.join(", ")))?;
    let gone_after = begun.elapsed();
    kernel::assert_no_event()?;
    let begun = Instant::now();
    let compared = wait::until(
        "the code of the programs is as in their files",
        GONE,
        || {
            Ok(match code.compare()? {
                Comparison::Same => Some(true),
                Comparison::OthersProbe if begun.elapsed() > OTHERS => Some(false),
                Comparison::OthersProbe | Comparison::Changed => None,
            })
        },
    )?;
    Ok(Kill {
        moment,
        after,
        held,
        gone_after,
        too_late,
        compared,
    })
}

/// Between 0 and 1 (SplitMix64).
fn fraction(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    f64::from(((mixed ^ (mixed >> 31)) >> 32) as u32) / f64::from(u32::MAX)
}
