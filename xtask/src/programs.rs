//! The programs of `wirespan-tests` that people run: the demo and the benchmarks.

use std::fs;
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result};
use clap::Args;

use crate::build;
use crate::command;
use crate::setup::{self, Purpose, toolchain};
use crate::terminal::Terminal;
use crate::workspace::Workspace;

/// Arguments for the program, handed on as they are.
#[derive(Args)]
pub(crate) struct Options {
    /// Arguments for the program itself
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Sets up, builds, and runs a program, which has the terminal to itself.
pub(crate) fn run(
    name: &str,
    options: &Options,
    workspace: &Workspace,
    terminal: &Terminal,
) -> Result<ExitCode> {
    let purpose = if name == "bench" {
        Purpose::Bench
    } else {
        Purpose::Test
    };
    setup::ensure(purpose, workspace, terminal)?;
    build::run(workspace, terminal)?;
    terminal.title(name);
    let results = workspace.target().join(name);
    fs::create_dir_all(&results)
        .with_context(|| format!("{} cannot be made", results.display()))?;
    let program = workspace.programs().join(name);
    // Not `cargo run`: for one package alone, cargo would build what it shares with the others,
    // wasmtime among it, once more with other features.
    let status = command::command(&program)
        .args(&options.arguments)
        .current_dir(workspace.root())
        .env("PATH", toolchain::path_with_tools())
        .env("WIRESPAN_ARTEFACTS", workspace.artefacts())
        .stdin(Stdio::inherit())
        .status()
        .with_context(|| format!("{} cannot be started", program.display()))?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
