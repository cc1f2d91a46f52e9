//! The `wirespan` command.

mod arguments;
mod command;
mod embedded;
mod memory;
mod stop;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use tracing_subscriber::EnvFilter;
use wirespan_agent::AgentError;

use crate::arguments::{Arguments, Command};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Wrong usage is 2, as clap has it; help and version are 0.
    let arguments = Arguments::parse();
    init_log(arguments.verbose);
    match dispatch(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Every message of ours has its cause in it.
            let _closed = writeln!(io::stderr(), "wirespan: {error}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Run(run) => command::run::run(*run),
        Command::Record(record) => command::record::record(record),
        Command::Replay(replay) => command::replay::replay(replay),
        Command::Doctor(doctor) => command::doctor::doctor(&doctor),
        Command::Schema => command::schema::schema(),
        Command::Completions { shell } => {
            // Into memory first: the generator panics when nobody reads it to the end.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "wirespan", &mut script);
            Ok(io::stdout().write_all(&script)?)
        }
        Command::Man => Ok(clap_mangen::Man::new(Arguments::command()).render(&mut io::stdout())?),
    }
}

/// The reader has gone: no reason for noise, and nothing left to do.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let pipe = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe);
    let sink = matches!(error.downcast_ref(), Some(AgentError::Sink(sink)) if sink.closed);
    pipe || sink
}

fn init_log(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_env("WIRESPAN_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
}
