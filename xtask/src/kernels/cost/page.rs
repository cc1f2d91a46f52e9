//! `docs/cost.md`: what being watched costs nginx, kernel by kernel.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::Counted;
use super::result::{AGREEMENT, Counts, Protocol, Watched};
use crate::workspace::Workspace;

const HEAD: &str = "\
# What being watched costs, in instructions

Written by `cargo xtask kernels --cost`, which boots each kernel (Debian's, for clouds) in an emulated machine
of one CPU whose clock advances by exactly one nanosecond an instruction. There the CPU time that the scheduler
gives for a process is the number of instructions executed in it and, while it runs, in the kernel: system
calls, probes and the programs at them, the receiving half of loopback and the interrupts that come meanwhile. The process
is the one worker of nginx, asked for a file of 6 bytes by `wrk` over 16 connections that stay open; the agent
watches that worker alone and sends its spans nowhere. What the agent itself executes, the copying out of its rings
and the parsing, is not in it: it is another process.

An instruction is not a nanosecond of any real machine. A trap (a probe of a TLS library is one), a
miss of a cache, a lock's cycle and a mispredicted jump cost far more than they count here, and a plain move
costs less; a repeated move (`rep movs`) counts once for each repetition. So these are figures to compare
roads, kernels and versions of the agent by. What capture costs in time, on one kernel, is in
[performance.md](performance.md).

Each figure is the mean of two runs of two seconds after one that is not counted; *none* is the mean of those before
the agent was started and those after it has gone. The 16 connections of each run, over HTTPS with their
handshakes, are in it. Where the agent chooses fentry (docs/architecture.md), it is counted with trace points too.
";

/// Writes the page; returns where it is.
pub(super) fn write(results: &[Counted], workspace: &Workspace) -> Result<PathBuf> {
    let mut text = HEAD.to_owned();
    for result in results {
        writeln!(text, "\n## {}\n", result.release)?;
        match &result.counts {
            Ok(counts) => text.push_str(&table(counts)),
            Err(problem) => {
                let first = problem.lines().next().unwrap_or_default();
                writeln!(text, "**Not counted**: {first}")?;
            }
        }
    }
    let path = workspace.root().join("docs/cost.md");
    fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(path)
}

fn table(counts: &Counts) -> String {
    let mut text = "| calls seen by |".to_owned();
    for protocol in Protocol::ALL {
        text.push_str(&format!(
            " {}: none | with the agent | ratio |",
            protocol.title()
        ));
    }
    text.push_str("\n|---|---|---|---|---|---|---|\n");
    for watched in &counts.watched {
        text.push_str(&format!("| {} |", watched.road));
        for protocol in Protocol::ALL {
            let (none, with) = (counts.none(protocol), watched.runs.mean(protocol));
            text.push_str(&format!(
                " {} | {} | {:.2} |",
                thousands(none),
                thousands(with),
                with / none
            ));
        }
        text.push('\n');
    }
    text.push_str(&format!("\n{}\n", agreement(counts)));
    for watched in &counts.watched {
        if let Some(sentence) = captured(watched) {
            text.push_str(&format!("{sentence}\n"));
        }
    }
    text
}

/// How much of a difference is none.
fn agreement(counts: &Counts) -> String {
    let [http, https] = Protocol::ALL.map(|protocol| counts.drift(protocol));
    let mut text = format!(
        "Two runs of the same are at most {:.1} % apart; none before and none after {:.1} % (HTTP) and {:.1} % (HTTPS).",
        counts.spread() * 100.0,
        http * 100.0,
        https * 100.0
    );
    if http > AGREEMENT || https > AGREEMENT {
        text.push_str(&format!(
            " **That is more than {:.0} %: what changed besides the agent is not known.**",
            AGREEMENT * 100.0
        ));
    }
    text
}

/// A request that is not captured costs little: how many there were of these.
fn captured(watched: &Watched) -> Option<String> {
    match watched.missed() {
        Some(0) => None,
        Some(missed) => Some(format!(
            "By {}, {missed} of {} requests had no span.",
            watched.road,
            watched.requests()
        )),
        None => Some(format!(
            "By {}, the agent did not say how many spans there were.",
            watched.road
        )),
    }
}

/// `41,950`
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::thousands;

    #[test]
    fn numbers_are_read_in_threes() {
        assert_eq!(thousands(999.4), "999");
        assert_eq!(thousands(41_949.6), "41,950");
        assert_eq!(thousands(1_234_567.0), "1,234,567");
    }
}
