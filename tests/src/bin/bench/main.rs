//! What Wirespan costs, measured against the same thing without it.
//!
//! `bench [NAME…]` runs the named benchmarks or all, prints a line for each figure and writes
//! `target/bench/NAME.json`. `WIRESPAN_BENCH_SHORT=1` gives a short form that only shows that they
//! run. Nothing here is a test: a busy machine changes every figure, ratios least.

mod bulk;
mod drain;
mod latency;
mod load;
mod memory;
mod nginx;
mod noop;
mod parse;
mod report;
mod road;
mod unrelated;

use std::process::ExitCode;

use anyhow::{Result, bail};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Bench = fn() -> Result<report::Report>;

const ALL: [(&str, Bench); 12] = [
    ("unrelated", unrelated::measure),
    ("drain", drain::measure),
    ("bulk", bulk::measure),
    ("nginx", nginx::plain),
    ("nginx-tls", nginx::tls),
    ("latency", latency::measure),
    ("http", parse::http),
    ("grpc", parse::grpc),
    ("mysql", parse::mysql),
    ("postgres", parse::postgres),
    ("boundary", parse::boundary),
    ("memory", memory::measure),
];

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(names: Vec<String>) -> Result<()> {
    if let Some(unknown) = names
        .iter()
        .find(|name| ALL.iter().all(|(known, _)| known != name))
    {
        bail!(
            "there is no benchmark {unknown:?}: there are {:?}",
            ALL.map(|(name, _)| name)
        );
    }
    for (name, bench) in ALL {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            bench()?.publish(name)?;
        }
    }
    Ok(())
}

/// Whether only to show that the benchmarks run.
fn short() -> bool {
    std::env::var_os("WIRESPAN_BENCH_SHORT").is_some_and(|value| value == "1")
}
