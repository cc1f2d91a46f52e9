//! `cargo xtask`: sets up, builds, demonstrates, tests and measures Wirespan.

mod build;
mod command;
mod databases;
mod fuzz;
mod kernels;
mod programs;
mod setup;
mod suite;
mod terminal;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::terminal::Terminal;
use crate::workspace::Workspace;

/// Sets up, builds, demonstrates, tests and measures Wirespan.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_version_flag = true
)]
struct Arguments {
    /// Show the output of the commands that are run, not only of those that fail
    #[arg(short, long, global = true)]
    verbose: bool,
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what building and testing need; says what and why, does nothing when all is there
    Setup(setup::Options),
    /// Build the eBPF object, the parsers and the agent that embeds them
    Build,
    /// Set up, build and run every test, also those that attach probes to this kernel
    Test(test::Options),
    /// Set up, build, and show spans of real servers arriving on NATS
    Demo(programs::Options),
    /// Set up, build, and measure; results go to target/bench
    Bench(programs::Options),
    /// Set up, build, and watch an agent for 20 minutes (`--minutes`) while connections come and go, or
    /// kill agents at random moments (`--kill`)
    Soak(programs::Options),
    /// Set up, build, and hold what is captured of a million random system calls against what was sent
    Storm(programs::Options),
    /// Set up, build, and ask who takes a million damaged beginnings of many protocols
    Recognition(programs::Options),
    /// Set up, build, and hold the spans of captures against those of the same bytes cut and lost
    Invariance(programs::Options),
    /// Run every fuzz target in turn
    Fuzz(fuzz::Options),
    /// Hold spans against what clients of newer databases than Debian 12's have counted
    Databases,
    /// Capture one HTTP exchange on other kernels, each booted in a virtual machine
    Kernels(kernels::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let terminal = Terminal::new(arguments.verbose);
    match run(&arguments.task, &terminal) {
        Ok(code) => code,
        Err(error) => {
            terminal.failure(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task, terminal: &Terminal) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::find()?;
    match task {
        Task::Setup(options) => setup::run(options, &workspace, terminal),
        Task::Build => {
            setup::ensure(setup::Purpose::Build, &workspace, terminal)?;
            build::run(&workspace, terminal)?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Test(options) => test::run(options, &workspace, terminal),
        Task::Demo(options) => programs::run("demo", options, &workspace, terminal),
        Task::Bench(options) => programs::run("bench", options, &workspace, terminal),
        Task::Soak(options) => programs::run("soak", options, &workspace, terminal),
        Task::Storm(options) => programs::run("storm", options, &workspace, terminal),
        Task::Recognition(options) => programs::run("recognition", options, &workspace, terminal),
        Task::Invariance(options) => programs::run("invariance", options, &workspace, terminal),
        Task::Fuzz(options) => fuzz::run(options, &workspace, terminal),
        Task::Databases => databases::run(&workspace, terminal),
        Task::Kernels(options) => kernels::run(options, &workspace, terminal),
    }
}
