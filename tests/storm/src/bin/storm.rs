//! The long form of the storm: as many operations as one likes.

use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use clap::Parser;
use wirespan_capture::live::CallPlaces;
use wirespan_storm::random::mix;
use wirespan_storm::run::{Storm, run};

/// Makes a storm of system calls and compares what was captured with what was sent
#[derive(Parser)]
struct Arguments {
    /// System calls that move bytes
    #[arg(long, default_value_t = 100_000)]
    operations: u64,
    /// Decides what is done; a fresh one by default
    #[arg(long)]
    seed: Option<u64>,
    /// Processes that act at the same time
    #[arg(long, default_value_t = 3)]
    workers: u64,
    /// The largest single call, in MiB
    #[arg(long, default_value_t = 100)]
    huge_mib: usize,
    /// Memory of the rings, in MiB
    #[arg(long, default_value_t = 128)]
    rings_mib: u64,
    /// Where calls are looked at: `auto`, `tracepoints` or `fentry`
    #[arg(long, default_value = "auto")]
    calls: CallPlaces,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let seed = arguments.seed.unwrap_or_else(|| mix(now.as_nanos() as u64));
    println!("seed {seed}");
    let actor = std::env::current_exe()?
        .parent()
        .context("a program lies in a directory")?
        .join("storm-actor");
    let begun = Instant::now();
    let report = run(&Storm {
        actor,
        seed,
        operations: arguments.operations,
        workers: arguments.workers,
        huge_bytes: arguments.huge_mib << 20,
        rings_bytes: arguments.rings_mib << 20,
        calls: arguments.calls,
        tight: false,
    })?;
    for difference in &report.differences {
        println!("{difference}");
    }
    if report.more_differences > 0 {
        println!("and {} more", report.more_differences);
    }
    println!(
        "{} operations on {} ends of connections in {:.0} s: {} bytes captured, {} not to be seen, {} lost and told, {} differences",
        report.operations,
        report.connections,
        begun.elapsed().as_secs_f64(),
        report.captured_bytes,
        report.expected_gap_bytes,
        report.lost_bytes,
        report.differences.len() as u64 + report.more_differences,
    );
    for (name, value) in &report.counters {
        if *value > 0 {
            println!("  {name} {value}");
        }
    }
    Ok(if report.differences.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
