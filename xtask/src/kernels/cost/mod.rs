//! What being watched costs nginx on other kernels, counted in instructions.
//!
//! Time in an emulated machine says nothing of a real one. This emulator can have the clock of a machine
//! with one CPU advance by exactly a nanosecond an instruction, though: then the scheduler's CPU time of
//! nginx is the number of instructions executed in it and in the kernel for it. What happens in the machine
//! is in `xtask/guest/src/cost.rs`.

mod page;
mod result;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use super::fetch::{self, Kernel};
use super::guest;
use super::machine::Machine;
use super::plan::COST;
use crate::terminal::{Mark, Terminal, clock};
use crate::workspace::Workspace;
use result::Counts;

/// One nanosecond an instruction, and a machine that waits does so in no time.
const COUNTING: Machine = Machine {
    options: &["-smp", "1", "-icount", "shift=0,sleep=off"],
    word: COST,
    limit: Duration::from_secs(1800),
    log: "-cost",
};

/// A kernel, and what was counted there; the reason where nothing was.
pub(super) struct Counted {
    release: String,
    counts: Result<Counts, String>,
}

/// The whole of `cargo xtask kernels --cost`; `docs/cost.md` is written when `is_all`.
pub(super) fn run(
    kernels: &[&Kernel],
    is_all: bool,
    workspace: &Workspace,
    terminal: &Terminal,
) -> Result<ExitCode> {
    let initrd = guest::for_cost(workspace)?;
    let mut results = Vec::new();
    for kernel in kernels {
        let result = count(kernel, &initrd, workspace, terminal)?;
        if let Ok(counts) = &result.counts {
            for line in counts.lines() {
                terminal.note(line);
            }
        }
        results.push(result);
    }
    if is_all {
        let path = page::write(&results, workspace)?;
        terminal.note(format!("written to {}", path.display()));
    }
    Ok(if results.iter().all(|result| result.counts.is_ok()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn count(
    kernel: &Kernel,
    initrd: &Path,
    workspace: &Workspace,
    terminal: &Terminal,
) -> Result<Counted> {
    let failed = |release: &str, problem: String| {
        terminal.done(Mark::Bad, format!("Linux {release}"), &problem);
        Counted {
            release: release.to_owned(),
            counts: Err(problem),
        }
    };
    let image = match fetch::image(kernel, workspace, terminal) {
        Ok(image) => image,
        Err(error) => return Ok(failed(kernel.version, format!("{error:#}"))),
    };
    let console = COUNTING.boot(kernel, &image, initrd, workspace, terminal)?;
    let release = image.release;
    Ok(match Counts::read(&console.text) {
        Ok(counts) => {
            terminal.done(Mark::Good, format!("Linux {release}"), clock(console.took));
            Counted {
                release,
                counts: Ok(counts),
            }
        }
        Err(problem) => failed(
            &release,
            format!("{problem}; the whole console: {}", console.path.display()),
        ),
    })
}
