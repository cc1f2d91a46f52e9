//! Fuzz targets, one after the other, and a table of what came of them.
//!
//! The targets of `fuzz/` also run with `cargo fuzz`; here they are built with the compiler that is
//! there: what libFuzzer needs are settings of code generation that need no nightly.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

mod outcome;
mod page;

use self::outcome::{Outcome, last_run, panics, statistic, table, word_after};
use crate::command;
use crate::terminal::{Mark, Terminal, clock};
use crate::workspace::Workspace;

/// How long, and which.
#[derive(Args)]
pub(crate) struct Options {
    /// Minutes for all targets together
    #[arg(long, default_value_t = 60, value_name = "MINUTES")]
    time: u64,
    /// Processes of one target at a time
    #[arg(long, default_value_t = 2)]
    jobs: u64,
    /// Only targets whose names contain one of these
    filters: Vec<String>,
}

/// Counters at every edge, and values of comparisons: what libFuzzer is steered by.
const COVERAGE: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    --cfg fuzzing -Cdebug-assertions -Coverflow-checks -Ccodegen-units=1";

/// The flags above must not reach build scripts: with a target named, they do not.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// An input that takes longer hangs. The slowest take a second of a processor, which others may have.
const INPUT_SECONDS: u64 = 120;

/// A target has so much even when the time is over: its seeds.
const LEAST: Duration = Duration::from_secs(5);

/// Beyond what the targets' own bound allows and libFuzzer's tables need.
const MEMORY_MIB: u64 = 2_048;

/// Longer inputs show nothing that shorter ones do not.
const INPUT_BYTES: u64 = 8_192;

/// After the time that a target was given: the last input, and writing the corpus.
const GRACE: Duration = Duration::from_secs(120);

pub(crate) fn run(
    options: &Options,
    workspace: &Workspace,
    terminal: &Terminal,
) -> Result<ExitCode> {
    terminal.title("fuzz");
    let folder = workspace.root().join("fuzz");
    let target = workspace.target().join("fuzz");
    let mut cargo = command::command("cargo");
    cargo
        .args(["build", "--release", "--target", TARGET])
        .current_dir(&folder)
        .env("RUSTFLAGS", COVERAGE)
        .env("CARGO_TARGET_DIR", &target);
    command::step("targets with coverage", &mut cargo, terminal)?;
    let names = names(&folder, &options.filters)?;
    ensure!(!names.is_empty(), "no target has such a name");
    let (began, time) = (Instant::now(), Duration::from_secs(options.time * 60));
    let mut outcomes = Vec::new();
    for (done, name) in names.iter().enumerate() {
        // What one leaves over the others have.
        let share = time.saturating_sub(began.elapsed()) / (names.len() - done) as u32;
        let turn = Turn {
            name,
            place: format!("{name} ({} of {})", done + 1, names.len()),
            seconds: share.max(LEAST).as_secs(),
            jobs: options.jobs,
        };
        let outcome = one(&turn, &folder, &target, terminal)?;
        let mark = if outcome.found.is_empty() {
            Mark::Good
        } else {
            Mark::Bad
        };
        let what = format!("{} runs, {}", outcome.runs, clock(outcome.elapsed));
        terminal.done(mark, name, what);
        outcomes.push(outcome);
    }
    terminal.line(&table(&outcomes));
    let page = page::write(&outcomes, workspace)?;
    terminal.note(format!("written: {}", page.display()));
    let found: usize = outcomes.iter().map(|outcome| outcome.found.len()).sum();
    Ok(if found == 0 {
        ExitCode::SUCCESS
    } else {
        terminal.note(format!(
            "{found} found; when mended, an input goes to fuzz/cases/<target>/"
        ));
        ExitCode::FAILURE
    })
}

/// The files of `fuzz_targets/`, without those that `filters` leave out.
fn names(folder: &Path, filters: &[String]) -> Result<Vec<String>> {
    let folder = folder.join("fuzz_targets");
    let mut names = Vec::new();
    for entry in
        fs::read_dir(&folder).with_context(|| format!("{} cannot be listed", folder.display()))?
    {
        let path = entry?.path();
        if let Some(name) = path.file_stem().and_then(|name| name.to_str())
            && (filters.is_empty() || filters.iter().any(|filter| name.contains(filter)))
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// A target that is to run now.
struct Turn<'a> {
    name: &'a str,
    /// Where in the list that is, for people.
    place: String,
    seconds: u64,
    jobs: u64,
}

fn one(turn: &Turn<'_>, folder: &Path, target: &Path, terminal: &Terminal) -> Result<Outcome> {
    let Turn { name, seconds, .. } = *turn;
    let corpus = target.join("corpus").join(name);
    let found = target.join("found").join(name);
    for folder in [&corpus, &found] {
        fs::create_dir_all(folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    let before = files(&found)?;
    let mut fuzzer = command::command(target.join(TARGET).join("release").join(name));
    fuzzer.arg(&corpus);
    // What was found once is a good place to look for more.
    let cases = folder.join("cases").join(name);
    if cases.is_dir() {
        fuzzer.arg(cases);
    }
    fuzzer
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={INPUT_SECONDS}"))
        .arg(format!("-report_slow_units={INPUT_SECONDS}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
        .arg(format!("-max_len={INPUT_BYTES}"))
        .arg(format!("-artifact_prefix={}/", found.display()))
        .arg("-print_final_stats=1")
        .env("WIRESPAN_FUZZ_SEEDS", &corpus);
    if turn.jobs > 1 {
        fuzzer
            .arg(format!("-fork={}", turn.jobs))
            .arg("-ignore_crashes=1");
    }
    let limit = Duration::from_secs(seconds) + GRACE;
    let finished = command::capture(&turn.place, &mut fuzzer, Some(limit), terminal)?;
    let new: Vec<PathBuf> = files(&found)?
        .into_iter()
        .filter(|file| !before.contains(file))
        .collect();
    if finished.timed_out {
        bail!("{name} did not end by itself");
    }
    if !finished.status.success() && new.is_empty() {
        command::show_output(&finished, terminal);
        bail!("{name} failed without an input that shows it");
    }
    for file in &new {
        terminal.note(format!("{name}: {}", file.display()));
    }
    if !new.is_empty() {
        terminal.line(&panics(&finished.output));
    }
    Ok(Outcome {
        name: name.to_owned(),
        runs: statistic(&finished.output, "number_of_executed_units:")
            .or_else(|| last_run(&finished.output))
            .unwrap_or(0),
        corpus: files(&corpus)?.len(),
        coverage: word_after(&finished.output, "cov: ").unwrap_or_default(),
        peak_mib: statistic(&finished.output, "peak_rss_mb:")
            .or_else(|| {
                word_after(&finished.output, "rss: ")?
                    .trim_end_matches("Mb")
                    .parse()
                    .ok()
            })
            .unwrap_or(0),
        elapsed: finished.elapsed,
        found: new,
    })
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(folder)
        .with_context(|| format!("{} cannot be listed", folder.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect()
}
