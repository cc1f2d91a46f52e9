//! Bytes that a capture of everything loses when much passes.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use rustix::time::{ClockId, clock_gettime};
use wirespan_capture::live::{LiveConfig, LiveSource};
use wirespan_capture::{Missing, SocketEvent, Source};
use wirespan_tests::process::Running;
use wirespan_tests::tools;

use crate::report::{Figure, Report, target_folder};

const SENDER: &str = include_str!("bulk.py");

/// To be copied on each CPU, in MiB a second: the floor, and on the way to the goal. Each byte is copied twice,
/// where it is sent and where it is received.
const RATES: [u32; 3] = [100, 200, 300];
const SECONDS: u32 = 3;
const ROUNDS: usize = 2;

/// Nothing has come for so long after the senders have ended: everything is here.
const QUIET: Duration = Duration::from_millis(200);
const LIMIT: Duration = Duration::from_secs(40);

/// What came of one run.
struct Run {
    passed: u64,
    copied: u64,
    /// Told as missing, because the ring was full.
    shortened: u64,
    /// Time that the senders took.
    seconds: f64,
    /// CPU time of this thread, which drains the rings, for a byte.
    nanos_a_byte: f64,
}

pub(crate) fn measure() -> Result<Report> {
    let short = crate::short();
    let (rates, rounds, seconds) = if short {
        (&RATES[..1], 1, 1)
    } else {
        (&RATES[..], ROUNDS, SECONDS)
    };
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut figures = Vec::new();
    for rate in rates {
        let (mut lost, mut shortened, mut reached, mut cost) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let run = run(cpus, *rate, seconds)?;
            lost.push(megabytes(run.passed - run.copied));
            shortened.push(megabytes(run.shortened));
            #[expect(clippy::cast_precision_loss, reason = "a number of CPUs")]
            reached.push(megabytes(run.copied) / run.seconds / cpus as f64);
            cost.push(run.nanos_a_byte * 1000.0);
        }
        let name = |what: &str| format!("at {rate} MiB/s a CPU: {what}");
        figures.extend([
            Figure::alone(name("lost"), "MiB", &lost),
            Figure::alone(name("of that, where the ring was full"), "MiB", &shortened),
            Figure::alone(name("copied, of each CPU"), "MiB/s", &reached),
            Figure::alone(name("CPU of the drain for 1,000 bytes"), "ns", &cost),
        ]);
    }
    Ok(Report {
        what: "one process for each CPU sends itself 64 KiB at a time at a fixed rate; both ends are copied",
        short,
        figures,
    })
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn run(senders: usize, rate: u32, seconds: u32) -> Result<Run> {
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("bulk.py");
    fs::write(&script, SENDER)?;
    let go = folder.path().join("go");
    let running = (0..senders)
        .map(|_| {
            Running::start(
                folder.path(),
                &tools::python()?,
                [
                    script.clone().into_os_string(),
                    go.clone().into_os_string(),
                    (rate / 2).to_string().into(),
                    seconds.to_string().into(),
                ],
                &[],
            )
        })
        .collect::<Result<Vec<_>>>()?;
    let object = target_folder()?.join("artefacts/probes.o");
    let object = fs::read(&object)
        .with_context(|| format!("reading {}; `cargo xtask build` makes it", object.display()))?;
    let mut config = LiveConfig::new(object);
    config.copy_all = true;
    config.tls = false;
    config.pids = running.iter().map(Running::pid).collect();
    let (mut source, _) = LiveSource::open(&config)?;

    let mut run = Run {
        passed: 0,
        copied: 0,
        shortened: 0,
        seconds: 0.0,
        nanos_a_byte: 0.0,
    };
    let cpu = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime));
    let (begun, cpu_before) = (Instant::now(), cpu()?);
    fs::write(&go, "")?;
    let (mut events, mut last) = (Vec::new(), Instant::now());
    let expected = u64::from(rate) * u64::from(seconds) * senders as u64;
    let expected = expected << 20;
    while run.passed < expected || last.elapsed() < QUIET {
        ensure!(
            begun.elapsed() < LIMIT,
            "{} of {expected} bytes were seen to pass",
            run.passed
        );
        source.poll(Duration::from_millis(20), &mut events)?;
        for event in events.drain(..) {
            if let SocketEvent::Data(data) = event {
                let copied = data.bytes.len() as u64;
                run.passed += data.len;
                run.copied += copied;
                if data.missing == Missing::Ring {
                    run.shortened += data.len - copied;
                }
                last = Instant::now();
            }
        }
        if run.passed < expected && last.elapsed() > LIMIT / 6 {
            // Reports were lost altogether: their bytes are known by what was asked for.
            break;
        }
    }
    run.seconds = (last - begun).as_secs_f64();
    run.passed = run.passed.max(expected);
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    {
        run.nanos_a_byte = (cpu()? - cpu_before).as_nanos() as f64 / run.copied.max(1) as f64;
    }
    drop(source);
    for sender in running {
        sender.stop(Signal::TERM)?;
    }
    Ok(run)
}
