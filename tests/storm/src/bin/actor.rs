//! The program that a storm watches. Started by the observer: see `wirespan_storm::run`.

use std::io::{BufRead, Write, stdin, stdout};
use std::path::PathBuf;

use anyhow::{Context, Result};
use wirespan_storm::actor::worker::{self, Load};
use wirespan_storm::calls;
use wirespan_storm::journal::Journal;
use wirespan_storm::random::mix;

/// Client and server, also without a cookie from an earlier connection.
const FAST_OPEN: &str = "1543";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, journal, seed, operations, workers, huge_bytes] = arguments.as_slice() else {
        anyhow::bail!("directory, journal, seed, operations, workers, largest call");
    };
    let (directory, journal) = (PathBuf::from(directory), PathBuf::from(journal));
    let (seed, operations, workers): (u64, u64, u64) =
        (seed.parse()?, operations.parse()?, workers.parse()?);
    let huge_bytes = huge_bytes.parse()?;
    let namespace = calls::own_network();
    std::fs::write("/proc/sys/net/ipv4/tcp_fastopen", FAST_OPEN)
        .context("fast open cannot be switched on")?;
    Journal::append_to(&journal)?.namespace(namespace);
    println!("ready");
    stdout().flush()?;
    let mut line = String::new();
    stdin().lock().read_line(&mut line)?;

    let children: Vec<i32> = (0..workers)
        .map(|worker| {
            let child = calls::fork();
            if child != 0 {
                return child;
            }
            let load = Load {
                seed: mix(seed.wrapping_add(worker)),
                operations: operations.div_ceil(workers.max(1)),
                huge_bytes,
            };
            let done = worker::run(&directory, &journal, &worker.to_string(), load);
            if let Err(error) = &done {
                eprintln!("{error:#}");
            }
            calls::leave(i32::from(done.is_err()));
        })
        .collect();
    let failed = children
        .into_iter()
        .filter(|child| calls::reap(*child) != 0);
    anyhow::ensure!(failed.count() == 0, "a worker failed");
    Ok(())
}
