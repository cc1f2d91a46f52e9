//! `docs/kernels.md`: on which kernels it was seen to work.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::plan::CASES;
use super::result::KernelResult;
use super::sets::{self, ACCEPTED};
use crate::terminal::clock;
use crate::workspace::Workspace;

const HEAD: &str = "\
# Kernels

Written by `cargo xtask kernels`, which boots each kernel (Debian's, for clouds) in an emulated
machine, starts the agent there, and has each case take place once over loopback. A case is right when
each of its exchanges is one server span and one client span with nothing flagged as missing and there
is no other span. The probe sets are right when each was loaded, or is named below as one that this kernel
may do without. After SIGTERM and after SIGKILL no program of the agent may be left in the kernel, and
the programs that it watched go on. Where calls are looked at by fentry (docs/architecture.md), the same
cases take place once more with trace points. The time is that of the whole machine, from boot to power
off, without KVM. The oldest kernel is tried by `cargo xtask test` too.

";

/// `seen`: there should be spans.
fn cell(problem: Option<&str>, seen: bool) -> String {
    let cell = match (problem, seen) {
        (None, true) => "right",
        (None, false) => "not seen",
        (Some(_), _) => "**wrong**",
    };
    cell.to_owned()
}

/// The cases by trace points, of the kernels that have fentry.
fn by_trace_points(results: &[KernelResult]) -> String {
    let results: Vec<_> = results.iter().filter(|result| result.has_both()).collect();
    if results.is_empty() {
        return String::new();
    }
    let mut text = "Where that was by fentry, the same by trace points:\n\n".to_owned();
    let mut row = |title: &str, cell: &dyn Fn(&KernelResult) -> String| {
        let cells: String = results
            .iter()
            .map(|result| format!(" {} |", cell(result)))
            .collect();
        text.push_str(&format!("| {title} |{cells}\n"));
    };
    row("case", &|result| result.version.to_owned());
    row("---", &|_| "---".to_owned());
    for case in CASES.iter().filter(|case| case.name != "kill") {
        row(case.title, &|result| {
            cell(result.problem_again(case), !case.by_fentry)
        });
    }
    text.push('\n');
    text
}

/// The probe sets that were left out, and why that is accepted.
fn without(results: &[KernelResult]) -> String {
    let mut text = String::new();
    for result in results {
        for missing in &result.missing {
            let verdict = sets::accepted(ACCEPTED, result.version, missing);
            text.push_str(&format!(
                "- {} does without the probe set {} ({}): {}\n",
                result.version,
                missing.set,
                missing.why,
                verdict.unwrap_or("**nobody has said that it may**")
            ));
        }
    }
    if text.is_empty() {
        "\nNo probe set was left out on any of them.\n".to_owned()
    } else {
        format!("\nProbe sets that were left out:\n\n{text}")
    }
}

/// Writes the page; returns where it is.
pub(super) fn write(results: &[KernelResult], workspace: &Workspace) -> Result<PathBuf> {
    let mut text = HEAD.to_owned();
    let column = |result: &KernelResult, cell: &dyn Fn(&KernelResult) -> String| {
        format!(" {} |", cell(result))
    };
    let mut row = |title: &str, cell: &dyn Fn(&KernelResult) -> String| {
        let cells: String = results.iter().map(|result| column(result, cell)).collect();
        text.push_str(&format!("| {title} |{cells}\n"));
    };
    row("case", &|result| result.version.to_owned());
    row("---", &|_| "---".to_owned());
    for case in CASES {
        row(case.title, &|result| {
            let seen = result.has_both() || !case.by_fentry;
            cell(result.problem(case), seen)
        });
    }
    row("time", &|result| clock(result.took));
    text.push('\n');
    text.push_str(&by_trace_points(results));
    for result in results {
        writeln!(text, "- {}: {}", result.release, result.attached)?;
    }
    text.push_str(&without(results));
    for result in results.iter().filter(|result| !result.is_good()) {
        writeln!(text, "\nOn {}: {}", result.release, result.verdict())?;
        for case in CASES {
            if let Some(problem) = result.problem(case) {
                let first = problem.lines().next().unwrap_or_default();
                writeln!(text, "- {}: {first}", case.title)?;
            }
            if let Some(problem) = result.problem_again(case).filter(|_| result.has_both()) {
                let first = problem.lines().next().unwrap_or_default();
                writeln!(text, "- {}, by trace points: {first}", case.title)?;
            }
        }
    }
    text.push_str("\n## What these kernels lack\n\nAs `wirespan doctor` says it there:\n\n");
    for result in results {
        if result.lacks.is_empty() {
            writeln!(text, "- {}: nothing", result.version)?;
        } else {
            writeln!(text, "- {}: {}", result.version, result.lacks.join("; "))?;
        }
    }
    let path = workspace.root().join("docs/kernels.md");
    fs::create_dir_all(workspace.root().join("docs"))?;
    fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(path)
}
