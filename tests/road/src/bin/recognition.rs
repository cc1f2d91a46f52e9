//! `cargo xtask recognition`: is every connection taken by the parser of its protocol?

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use wirespan_road::{Road, recognition};
use wirespan_traffic::Random;

/// Presents conversations of many protocols, whole, cut short, joined in the middle and damaged, to
/// the parsers, and counts who takes them
#[derive(Parser)]
#[command(name = "recognition")]
struct Arguments {
    /// Damaged prefixes
    #[arg(long, default_value_t = 1_000_000)]
    count: u64,
    /// Conversations of each protocol of which every prefix is presented
    #[arg(long, default_value_t = 100)]
    rounds: u64,
    /// Repeats a run; a fresh one otherwise
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(Random::fresh_seed);
    println!("seed {seed}");
    let road = Road::new()?;
    let started = Instant::now();
    let prefixes = recognition::prefixes(&road, seed, arguments.rounds)?;
    println!(
        "\n{} prefixes, corners and joined connections, {} s\n{}",
        prefixes.connections(),
        started.elapsed().as_secs(),
        prefixes.table()
    );
    let started = Instant::now();
    let damaged = recognition::mutations(&road, seed, arguments.count, |done| {
        eprintln!("{done} damaged prefixes, {} s", started.elapsed().as_secs());
    })?;
    println!(
        "{} damaged prefixes, {} s\n{}",
        damaged.connections(),
        started.elapsed().as_secs(),
        damaged.table()
    );
    let wrong: Vec<_> = prefixes.wrong.iter().chain(&damaged.wrong).collect();
    for what in &wrong {
        println!("wrong: {what}");
    }
    Ok(if wrong.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
