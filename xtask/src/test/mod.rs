//! Builds and runs every test, and sums them up in one line.

mod binary;
mod cases;
mod fixture;
mod openssl;
mod outcome;
mod wheel;

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::build;
use crate::command;
use crate::kernels;
use crate::setup::{self, Purpose};
use crate::terminal::{Mark, Terminal, clock};
use crate::workspace::Workspace;
use binary::TestBinary;
use outcome::Summary;
pub(crate) use outcome::{Outcome, Report};

/// Which tests.
#[derive(Args)]
pub(crate) struct Options {
    /// Only tests whose names contain one of these
    filters: Vec<String>,
}

/// Tests that need privileges are skipped instead of failing when this is set to 1.
const SKIP_KERNEL: &str = "WIRESPAN_SKIP_KERNEL";

/// The whole of `cargo xtask test`. The last line is the summary.
pub(crate) fn run(
    options: &Options,
    workspace: &Workspace,
    terminal: &Terminal,
) -> Result<ExitCode> {
    setup::ensure(Purpose::Test, workspace, terminal)?;
    build::run(workspace, terminal)?;
    terminal.title("test");
    fixture::build(workspace, terminal)?;
    wheel::fetch(workspace, terminal)?;
    openssl::prepare(workspace, terminal);
    let mut binaries = binary::build(workspace, terminal)?;
    // Quick ones first: who broke something there need not wait for the servers.
    binaries.sort_by_key(TestBinary::is_serial);

    let mut summary = Summary::default();
    for binary in &binaries {
        let report = binary.run(&options.filters, workspace, terminal)?;
        show(&binary.title(), &report, terminal);
        summary.add(&binary.id(), report);
    }
    let report = documentation(&options.filters, workspace, terminal)?;
    show("documentation tests", &report, terminal);
    summary.add("doc", report);

    if options.filters.is_empty() {
        let report = kernels::oldest(workspace, terminal)?;
        show("one exchange on the oldest kernel", &report, terminal);
        summary.add("kernels", report);
        let skips_allowed = std::env::var(SKIP_KERNEL).is_ok_and(|value| value == "1");
        cases::check(workspace, &mut summary, skips_allowed, terminal)?;
    }
    summary.show(terminal);
    Ok(if summary.failed() == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn show(title: &str, report: &Report, terminal: &Terminal) {
    if report.is_empty() {
        return;
    }
    let mark = if report.failed() > 0 {
        Mark::Bad
    } else if report.passed() == 0 {
        Mark::Skipped
    } else {
        Mark::Good
    };
    terminal.done(
        mark,
        title,
        format!("{}, {}", report.counts(), clock(report.elapsed)),
    );
    if report.failed() > 0 && !terminal.verbose() {
        terminal.line(report.explanation.trim_end());
    }
}

fn documentation(filters: &[String], workspace: &Workspace, terminal: &Terminal) -> Result<Report> {
    let mut cargo = build::host("test", workspace);
    cargo
        .args(["--doc", "--workspace", "--no-fail-fast", "--"])
        .args(filters);
    let finished = command::capture(
        "documentation tests",
        &mut cargo,
        Some(binary::TIME_LIMIT),
        terminal,
    )?;
    Ok(Report::read(&finished))
}
