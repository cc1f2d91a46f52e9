//! `cargo xtask invariance`: are the spans the same however the bytes are cut, and what does a loss
//! cost?

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use wirespan_road::invariance::{self, Effort, Report};
use wirespan_road::{Capture, Road};
use wirespan_traffic::{Conversation, Protocol, Random};

/// Cuts captures at other places, loses pieces of them, and compares the spans
#[derive(Parser)]
#[command(name = "invariance")]
struct Arguments {
    /// Recordings, pcap and pcapng files, or folders of them; none: generated conversations
    paths: Vec<PathBuf>,
    /// Other places to cut each capture at
    #[arg(long, default_value_t = 20)]
    cuts: usize,
    /// Pieces of each capture to lose, one at a time
    #[arg(long, default_value_t = 30)]
    losses: usize,
    /// Generated conversations of each protocol
    #[arg(long, default_value_t = 100)]
    rounds: u64,
    /// Captures with more bytes than this get less of both, in proportion
    #[arg(long, default_value_t = 1_000_000)]
    bytes: usize,
    /// Repeats a run; a fresh one otherwise
    #[arg(long)]
    seed: Option<u64>,
    /// Generated conversations of this protocol only: http, http2, mysql, postgres
    #[arg(long)]
    protocol: Option<String>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(Random::fresh_seed);
    println!("seed {seed}");
    let road = Road::new()?;
    let mut total = Report::default();
    let mut show = |name: &str, report: Report| {
        for wrong in &report.wrong {
            println!("{name}: {wrong}");
        }
        total.add(report);
    };
    if arguments.paths.is_empty() {
        for round in 0..arguments.rounds {
            for protocol in Protocol::PARSED {
                let name = format!("{protocol:?}").to_lowercase();
                if arguments
                    .protocol
                    .as_ref()
                    .is_some_and(|wanted| *wanted != name)
                {
                    continue;
                }
                let mut random = Random::new(seed.wrapping_add(round));
                let conversations: Vec<_> = (0..random.between(1, 3))
                    .map(|_| Conversation::generate(protocol, &mut random))
                    .collect();
                let capture = Capture::of(&conversations);
                let report = check(&road, &capture, &arguments, seed.wrapping_add(round))?;
                show(&format!("{protocol:?}, round {round}"), report);
            }
        }
    }
    for file in files(&arguments.paths)? {
        match Capture::read(&file) {
            Ok(capture) => {
                let report = check(&road, &capture, &arguments, seed)
                    .with_context(|| file.display().to_string())?;
                show(&file.display().to_string(), report);
            }
            Err(error) => println!("{}: left out, {error:#}", file.display()),
        }
    }
    println!(
        "{} spans, {} cuts, {} losses; harmed by the losses: {} missing, {} flagged, {} told with less, {} without their request; wrong: {}",
        total.spans,
        total.cuts,
        total.losses,
        total.harm.missing,
        total.harm.flagged,
        total.harm.poorer,
        total.harm.orphans,
        total.wrong.len()
    );
    Ok(if total.wrong.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn check(road: &Road, capture: &Capture, arguments: &Arguments, seed: u64) -> Result<Report> {
    let share = (capture.len() / arguments.bytes.max(1)).max(1);
    let effort = Effort {
        cuts: arguments.cuts.div_ceil(share),
        losses: arguments.losses.div_ceil(share),
    };
    invariance::check(road, capture, effort, seed)
}

/// All the files, also those in folders, in order.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        add(path, true, &mut files)?;
    }
    files.sort();
    Ok(files)
}

fn add(path: &Path, named: bool, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_dir() {
        let entries =
            std::fs::read_dir(path).with_context(|| format!("reading {}", path.display()))?;
        for entry in entries {
            add(&entry?.path(), false, files)?;
        }
        return Ok(());
    }
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    if named || ["pcap", "pcapng", "cap", "wsrec", "gz"].contains(&&*ending) {
        files.push(path.to_owned());
    }
    Ok(())
}
