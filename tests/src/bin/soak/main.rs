//! Runs the soak and writes its page: `cargo xtask soak [--minutes N] [--write FILE]`; or kills agents and
//! writes that page: `cargo xtask soak --kill [--kills N] [--seed N] [--write FILE]`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use wirespan_tests::kill;
use wirespan_tests::soak::{self, Outcome, Plan};

const DEFAULT_MINUTES: u64 = 20;
const DEFAULT_KILLS: usize = 50;

/// Caches of allocators and parsers differ by this much between two moments.
const MEMORY_SLACK_KIB: u64 = 8 << 10;

/// What 10,000 idle connections may take.
const IDLE_KIB: u64 = 10_000;

/// What an idle agent may take of a core.
const IDLE_CPU: f64 = 0.002;

fn main() -> Result<ExitCode> {
    let (mut minutes, mut file) = (DEFAULT_MINUTES, None);
    let (mut kill, mut kills, mut seed) = (false, DEFAULT_KILLS, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--kill" {
            kill = true;
            continue;
        }
        let value = arguments
            .next()
            .with_context(|| format!("{argument} needs a value"))?;
        match argument.as_str() {
            "--minutes" => minutes = value.parse().context("--minutes takes a number")?,
            "--kills" => kills = value.parse().context("--kills takes a number")?,
            "--seed" => seed = Some(value.parse().context("--seed takes a number")?),
            "--write" => file = Some(PathBuf::from(value)),
            other => bail!(
                "there is no {other}; known are --minutes N, --write FILE, and --kill with --kills N and --seed N"
            ),
        }
    }
    if kill {
        return kill_agents(kills, seed, file);
    }
    let outcome = soak::run(Plan {
        warm_up: Duration::from_secs(60),
        churn: Duration::from_secs(minutes * 60),
        idle_connections: 10_000,
        idle: Duration::from_secs(30),
    })?;
    let file = file.unwrap_or_else(|| PathBuf::from("docs/soak.md"));
    soak::write(&outcome, &file)?;
    println!("written to {}", file.display());
    let faults = faults(&outcome);
    for fault in &faults {
        println!("FAILED: {fault}");
    }
    Ok(if faults.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Everything that is not as it should be is an error here.
fn kill_agents(kills: usize, seed: Option<u64>, file: Option<PathBuf>) -> Result<ExitCode> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let seed = seed.unwrap_or(now.as_secs());
    println!("{kills} agents are killed at moments that seed {seed} decides");
    let outcome = kill::run(kill::Plan { kills, seed })?;
    let file = file.unwrap_or_else(|| PathBuf::from("docs/kill.md"));
    kill::write(&outcome, &file)?;
    println!("written to {}", file.display());
    Ok(ExitCode::SUCCESS)
}

/// What is not as it should be.
fn faults(outcome: &Outcome) -> Vec<String> {
    let (before, after) = (&outcome.before, &outcome.after);
    let mut faults = Vec::new();
    if after.memory_kib > before.memory_kib + MEMORY_SLACK_KIB {
        faults.push(format!(
            "memory grew from {} to {} KiB",
            before.memory_kib, after.memory_kib
        ));
    }
    faults.extend(soak::kept(before, after));
    if after.probes > before.probes {
        faults.push(format!("{} probes became {}", before.probes, after.probes));
    }
    if outcome.unaccounted_bytes != 0.0 {
        faults.push(format!(
            "{} bytes are unaccounted for",
            outcome.unaccounted_bytes
        ));
    }
    let idle = &outcome.idle;
    let more = idle.held.memory_kib.saturating_sub(idle.none.memory_kib);
    if more > IDLE_KIB {
        faults.push(format!("idle connections take {more} KiB"));
    }
    if idle.cpu.iter().any(|part| *part > IDLE_CPU) {
        faults.push(format!("an idle agent takes {:?} of a core", idle.cpu));
    }
    faults
}
