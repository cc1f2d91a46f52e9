//! What a program without sockets pays for each system call that the agent probes.

use std::fs::File;
use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;
use rustix::time::{ClockId, clock_gettime};
use wirespan_tests::Agent;

use crate::noop::Noop;
use crate::report::{Figure, Report};

/// Calls of one kind between two looks at the clock.
const CALLS: u32 = 300_000;

/// Makes so many calls, and says how many nanoseconds each took.
type Kind = fn(u32) -> Result<f64>;

pub(crate) fn measure() -> Result<Report> {
    let short = crate::short();
    let (rounds, calls) = if short { (1, CALLS / 10) } else { (10, CALLS) };
    let kinds: [(&str, Kind); 2] = [("read", reads), ("write", writes)];
    for (_, kind) in kinds {
        kind(calls)?; // Warms caches.
    }
    let mut measured = [const { Vec::new() }; 2];
    for _ in 0..rounds {
        let each = || -> Result<[f64; 2]> { Ok([reads(calls)?, writes(calls)?]) };
        let none = each()?;
        let noop = Noop::syscalls()?;
        let idle = each()?;
        noop.detach()?;
        // A port that nobody uses: the process has nothing that the agent looks for.
        let agent = Agent::quiet(["--port", "1"])?;
        let with = each()?;
        agent.stop(Signal::TERM)?;
        for (((rows, none), idle), with) in measured.iter_mut().zip(none).zip(idle).zip(with) {
            rows.push((none, idle, with));
        }
    }
    let mut figures = Vec::new();
    for ((name, _), rows) in kinds.iter().zip(&measured) {
        let pairs = |pair: fn(&(f64, f64, f64)) -> (f64, f64)| -> Vec<(f64, f64)> {
            rows.iter().map(pair).collect()
        };
        let figure = |what: &str, pairs: &[(f64, f64)]| {
            Figure::compared(format!("{name}, {what}"), "ns", pairs)
        };
        figures.push(figure(
            "beside no-op probes",
            &pairs(|(_, idle, with)| (*with, *idle)),
        ));
        figures.push(figure(
            "beside no probes",
            &pairs(|(none, _, with)| (*with, *none)),
        ));
        figures.push(figure(
            "what is added, beside no-op probes",
            &pairs(|(none, idle, with)| (with - none, idle - none)),
        ));
    }
    Ok(Report {
        what: "a process without sockets: CPU time of a call on /dev/zero and /dev/null, in turn \
               without probes, with no-op probes at its entry and exit, and with the agent",
        short,
        figures,
    })
}

fn reads(calls: u32) -> Result<f64> {
    let file = File::open("/dev/zero")?;
    let mut byte = [0; 1];
    timed(calls, || {
        rustix::io::read(&file, &mut byte)?;
        Ok(())
    })
}

fn writes(calls: u32) -> Result<f64> {
    let file = File::options().write(true).open("/dev/null")?;
    timed(calls, || {
        rustix::io::write(&file, &[0])?;
        Ok(())
    })
}

/// CPU time of this thread for one call, in nanoseconds: what others do does not count.
fn timed(calls: u32, mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    let begun = thread_time()?;
    for _ in 0..calls {
        call()?;
    }
    let taken = thread_time()?.saturating_sub(begun);
    Ok(taken.as_secs_f64() * 1e9 / f64::from(calls))
}

fn thread_time() -> Result<Duration> {
    Ok(Duration::try_from(clock_gettime(ClockId::ThreadCPUTime))?)
}
