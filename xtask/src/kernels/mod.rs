//! Runs the same cases on other kernels, each booted in a virtual machine.
//!
//! The machine is emulated (no KVM needed), its kernel is one of Debian's for clouds, and its whole
//! file system is the agent, OpenSSL, the libraries they are linked to, a program made by Go, and
//! `xtask/guest` as the first process. What happens there is in `xtask/guest/src/plan.rs`. What being
//! watched costs there is counted in a machine of another kind: `cost`.

mod archive;
mod cost;
mod fetch;
mod guest;
mod machine;
mod page;
#[path = "../../guest/src/plan.rs"]
mod plan;
mod result;
mod sets;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::build;
use crate::command;
use crate::setup::{self, Purpose};
use crate::terminal::{Mark, Terminal};
use crate::test::{Outcome, Report};
use crate::workspace::Workspace;
use fetch::{Image, KERNELS, Kernel};
use machine::Machine;
use plan::{CASES, Case};
use result::KernelResult;

/// Which kernels.
#[derive(Args)]
pub(crate) struct Options {
    /// Only this one, such as 5.10; the page of the results is left as it is then
    #[arg(long, value_name = "VERSION")]
    only: Option<String>,
    /// Count what being watched costs nginx there, in instructions, and write docs/cost.md
    #[arg(long)]
    cost: bool,
    /// Take the programs as they were built last
    #[arg(long)]
    no_build: bool,
}

/// The one in which the cases take place, with two CPUs, so that more than one ring is used.
///
/// An emulated machine boots in seconds; verifying the probes and compiling the parsers takes it a
/// minute or two, and several on a machine that is busy with other things.
const TRYING: Machine = Machine {
    options: &["-smp", "2"],
    word: "",
    limit: Duration::from_secs(600),
    log: "",
};

/// The whole of `cargo xtask kernels`.
pub(crate) fn run(
    options: &Options,
    workspace: &Workspace,
    terminal: &Terminal,
) -> Result<ExitCode> {
    let wanted = |kernel: &&Kernel| {
        options
            .only
            .as_deref()
            .is_none_or(|only| only == kernel.version)
    };
    let kernels: Vec<&Kernel> = KERNELS.iter().filter(wanted).collect();
    if kernels.is_empty() {
        let known: Vec<_> = KERNELS.iter().map(|kernel| kernel.version).collect();
        bail!(
            "there is no such kernel here; known are {}",
            known.join(", ")
        );
    }
    setup::ensure(Purpose::Kernels, workspace, terminal)?;
    if !options.no_build {
        build::run(workspace, terminal)?;
    }
    terminal.title("kernels");
    if options.cost {
        return cost::run(&kernels, options.only.is_none(), workspace, terminal);
    }
    let initrd = guest::for_cases(workspace, terminal)?;
    let mut results = Vec::new();
    for kernel in kernels {
        let result = match fetch::image(kernel, workspace, terminal) {
            Ok(image) => boot(kernel, &image, &initrd, workspace, terminal)?,
            Err(error) => KernelResult::not_tried(kernel, &error),
        };
        let mark = if result.is_good() {
            Mark::Good
        } else {
            Mark::Bad
        };
        terminal.done(mark, format!("Linux {}", result.release), result.verdict());
        if !result.is_good() {
            terminal.line(&result.explanation());
        }
        results.push(result);
    }
    if options.only.is_none() {
        let path = page::write(&results, workspace)?;
        terminal.note(format!("written to {}", path.display()));
    }
    Ok(if results.iter().all(KernelResult::is_good) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The same on the oldest kernel, each case a test among the others: skipped where the emulator or the
/// kernel is not at hand.
pub(crate) fn oldest(workspace: &Workspace, terminal: &Terminal) -> Result<Report> {
    let started = Instant::now();
    let oldest = KERNELS.first().context("there is an oldest kernel")?;
    let version = oldest.version.replace('.', "_");
    let name = |case: &str| format!("{case}_on_{version}");
    let skipped = |reason: String| {
        let outcome = |case: &Case| (name(case.name), Outcome::Skipped(reason.clone()));
        Ok(Report {
            tests: CASES.iter().map(outcome).collect(),
            elapsed: started.elapsed(),
            ..Report::default()
        })
    };
    if command::find("qemu-system-x86_64").is_none() {
        return skipped(
            "qemu is not installed: `cargo xtask setup --kernels` does that".to_owned(),
        );
    }
    let image = match fetch::image(oldest, workspace, terminal) {
        Ok(image) => image,
        Err(error) => return skipped(format!("{error:#}")),
    };
    let initrd = guest::for_cases(workspace, terminal)?;
    let result = boot(oldest, &image, &initrd, workspace, terminal)?;
    let outcome = |case: &Case| {
        let outcome = if result.problem(case).is_none() {
            Outcome::Passed
        } else {
            Outcome::Failed
        };
        (name(case.name), outcome)
    };
    Ok(Report {
        tests: CASES.iter().map(outcome).collect(),
        elapsed: started.elapsed(),
        explanation: if result.is_good() {
            String::new()
        } else {
            result.explanation()
        },
        ..Report::default()
    })
}

/// Boots a kernel and has the test run. The emulator is not beyond doubt: a machine that dies before
/// the test is through is given a second try, and that is said.
fn boot(
    kernel: &Kernel,
    image: &Image,
    initrd: &Path,
    workspace: &Workspace,
    terminal: &Terminal,
) -> Result<KernelResult> {
    let result = try_once(kernel, image, initrd, workspace, terminal)?;
    if result.is_through {
        return Ok(result);
    }
    terminal.note(format!(
        "Linux {}: {}; once more",
        image.release,
        result.verdict()
    ));
    try_once(kernel, image, initrd, workspace, terminal)
}

fn try_once(
    kernel: &Kernel,
    image: &Image,
    initrd: &Path,
    workspace: &Workspace,
    terminal: &Terminal,
) -> Result<KernelResult> {
    let console = TRYING.boot(kernel, image, initrd, workspace, terminal)?;
    let mut result = KernelResult::read(kernel, &image.release, &console.text, &console.path);
    result.took = console.took;
    Ok(result)
}
