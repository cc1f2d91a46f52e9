//! Runs the same cases on other kernels, each booted in a virtual machine.
//!
//! The machine is emulated (no KVM needed), its kernel is one of Debian's for clouds, and its whole
//! file system is the agent, OpenSSL, the libraries they are linked to, a program made by Go, and
//! `xtask/guest` as the first process. What happens there is in `xtask/guest/src/plan.rs`.

mod archive;
mod fetch;
mod guest;
mod page;
#[path = "../../guest/src/plan.rs"]
mod plan;
mod result;
mod sets;

use std::fs;
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
use fetch::{KERNELS, Kernel};
use plan::{CASES, Case};
use result::KernelResult;

/// Which kernels.
#[derive(Args)]
pub(crate) struct Options {
    /// Only this one, such as 5.10; docs/kernels.md is left as it is then
    #[arg(long, value_name = "VERSION")]
    only: Option<String>,
    /// Take the programs as they were built last
    #[arg(long)]
    no_build: bool,
}

/// An emulated machine boots in seconds; verifying the probes and compiling the parsers takes it a
/// minute or two, and several on a machine that is busy with other things.
const MACHINE_LIMIT: Duration = Duration::from_secs(600);

/// Two CPUs, so that more than one ring is used. Without the 16-byte compare-and-swap: emulated, it
/// now and then corrupts flags, and the kernel dies in its allocator; without it the kernel takes a
/// lock instead.
const MACHINE: [&str; 10] = [
    "-cpu",
    "max,-cx16",
    "-smp",
    "2",
    "-m",
    "1G",
    "-nographic",
    "-no-reboot",
    "-nic",
    "none",
];

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
    let initrd = guest::initrd(workspace, terminal)?;
    let mut results = Vec::new();
    for kernel in kernels {
        let result = match fetch::image(kernel, workspace, terminal) {
            Ok(image) => boot(
                kernel,
                &image.path,
                &image.release,
                &initrd,
                workspace,
                terminal,
            )?,
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
    let initrd = guest::initrd(workspace, terminal)?;
    let result = boot(
        oldest,
        &image.path,
        &image.release,
        &initrd,
        workspace,
        terminal,
    )?;
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
    image: &Path,
    release: &str,
    initrd: &Path,
    workspace: &Workspace,
    terminal: &Terminal,
) -> Result<KernelResult> {
    let result = try_once(kernel, image, release, initrd, workspace, terminal)?;
    if result.is_through {
        return Ok(result);
    }
    terminal.note(format!("Linux {release}: {}; once more", result.verdict()));
    try_once(kernel, image, release, initrd, workspace, terminal)
}

fn try_once(
    kernel: &Kernel,
    image: &Path,
    release: &str,
    initrd: &Path,
    workspace: &Workspace,
    terminal: &Terminal,
) -> Result<KernelResult> {
    let mut qemu = command::command("qemu-system-x86_64");
    qemu.args(MACHINE)
        .arg("-kernel")
        .arg(image)
        .arg("-initrd")
        .arg(initrd)
        .args(["-append", "console=ttyS0 quiet loglevel=3 panic=-1"])
        .current_dir(workspace.root());
    let what = format!("Linux {release} in a virtual machine");
    let finished = command::capture(&what, &mut qemu, Some(MACHINE_LIMIT), terminal)?;
    let console = finished.output.replace('\r', "");
    let log = workspace
        .target()
        .join("kernels")
        .join(format!("{}.log", kernel.version));
    fs::write(&log, &console).with_context(|| format!("{} cannot be written", log.display()))?;
    let mut result = KernelResult::read(kernel, release, &console, &log);
    result.took = finished.elapsed;
    Ok(result)
}
