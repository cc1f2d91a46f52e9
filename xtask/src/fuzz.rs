//! Fuzz targets, one after the other, and a table of what came of them.
//!
//! The targets of `fuzz/` also run with `cargo fuzz`; here they are built with the compiler that is
//! there: what libFuzzer needs are settings of code generation that need no nightly.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::command;
use crate::terminal::{Mark, Terminal, clock};
use crate::workspace::Workspace;

/// How long, and which.
#[derive(Args)]
pub(crate) struct Options {
    /// Minutes for all targets together
    #[arg(long, default_value_t = 60)]
    minutes: u64,
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

/// An input that takes longer hangs: the slowest take some tens of milliseconds.
const INPUT_SECONDS: u64 = 20;

/// Beyond what the targets' own bound allows and libFuzzer's tables need.
const MEMORY_MIB: u64 = 2_048;

/// Longer inputs show nothing that shorter ones do not.
const INPUT_BYTES: u64 = 8_192;

/// After the time that a target was given: the last input, and writing the corpus.
const GRACE: Duration = Duration::from_secs(120);

/// What one target came to.
struct Outcome {
    name: String,
    runs: u64,
    corpus: usize,
    coverage: String,
    peak_mib: u64,
    elapsed: Duration,
    found: Vec<PathBuf>,
}

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
    let programs = target.join(TARGET).join("release");
    let names = names(&folder, &options.filters)?;
    ensure!(!names.is_empty(), "no target has such a name");
    let seconds = (options.minutes * 60 / names.len() as u64).max(5);
    let mut outcomes = Vec::new();
    for name in &names {
        let outcome = one(name, seconds, options.jobs, &programs, &target, terminal)?;
        let mark = if outcome.found.is_empty() {
            Mark::Good
        } else {
            Mark::Bad
        };
        let what = format!("{} runs, {}", outcome.runs, clock(outcome.elapsed));
        terminal.done(mark, name, what);
        outcomes.push(outcome);
    }
    println!("{}", table(&outcomes));
    Ok(if outcomes.iter().all(|outcome| outcome.found.is_empty()) {
        ExitCode::SUCCESS
    } else {
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

fn one(
    name: &str,
    seconds: u64,
    jobs: u64,
    programs: &Path,
    target: &Path,
    terminal: &Terminal,
) -> Result<Outcome> {
    let corpus = target.join("corpus").join(name);
    let found = target.join("found").join(name);
    for folder in [&corpus, &found] {
        fs::create_dir_all(folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    let before = files(&found)?;
    let program = programs.join(name);
    let mut fuzzer = command::command(&program);
    fuzzer
        .arg(&corpus)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={INPUT_SECONDS}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
        .arg(format!("-max_len={INPUT_BYTES}"))
        .arg(format!("-artifact_prefix={}/", found.display()))
        .arg("-print_final_stats=1")
        .env("WIRESPAN_FUZZ_SEEDS", &corpus);
    if jobs > 1 {
        fuzzer.arg(format!("-fork={jobs}")).arg("-ignore_crashes=1");
    }
    let limit = Duration::from_secs(seconds) + GRACE;
    let finished = command::capture(name, &mut fuzzer, Some(limit), terminal)?;
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

/// `stat::name: value` of the final statistics.
fn statistic(output: &str, name: &str) -> Option<u64> {
    let line = output.lines().rev().find(|line| line.contains(name))?;
    line.split_whitespace().last()?.parse().ok()
}

/// The number of the last progress line: `#12345` or `#12345: cov: …`.
fn last_run(output: &str) -> Option<u64> {
    output.lines().rev().find_map(|line| {
        let rest = line.strip_prefix('#')?;
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    })
}

fn word_after(output: &str, label: &str) -> Option<String> {
    let line = output.lines().rev().find(|line| line.contains(label))?;
    let rest = line.split(label).nth(1)?;
    rest.split_whitespace().next().map(str::to_owned)
}

/// What the panics said.
fn panics(output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    let mut said: Vec<&str> = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        if line.contains("panicked at") || line.starts_with("SUMMARY") {
            said.extend(lines.iter().skip(number).take(3).copied());
        }
    }
    said.truncate(12);
    said.join("\n")
}

fn table(outcomes: &[Outcome]) -> String {
    let mut text = String::from(
        "| target | inputs | time | corpus | edges | peak MiB | found |\n|---|---:|---:|---:|---:|---:|---:|\n",
    );
    for outcome in outcomes {
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} | {} |\n",
            outcome.name,
            outcome.runs,
            clock(outcome.elapsed),
            outcome.corpus,
            outcome.coverage,
            outcome.peak_mib,
            outcome.found.len()
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libfuzzer_prints_is_read() {
        let output = "#8\tpulse  cov: 10 ft: 12 corp: 3/8b exec/s: 4 rss: 40Mb\n\
            #4096: cov: 812 ft: 2000 corp: 90 exec/s 100 oom/timeout/crash: 0/0/0 rss: 61Mb\n\
            Done 5000 runs in 3 second(s)\n\
            stat::number_of_executed_units: 5000\nstat::peak_rss_mb:              61\n";
        assert_eq!(statistic(output, "number_of_executed_units:"), Some(5000));
        assert_eq!(statistic(output, "peak_rss_mb:"), Some(61));
        assert_eq!(last_run(output), Some(4096));
        assert_eq!(word_after(output, "cov: ").as_deref(), Some("812"));
    }
}
