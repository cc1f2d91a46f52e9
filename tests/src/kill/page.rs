//! `docs/kill.md`: what became of agents that were killed.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Kill, MOMENTS, Moment, Outcome};

/// Writes the page.
///
/// # Errors
/// When it cannot be written.
pub fn write(outcome: &Outcome, path: &Path) -> Result<()> {
    let [curl, python, go] = outcome.requests;
    let compared = outcome.kills.iter().filter(|kill| kill.compared).count();
    let mut text = format!(
        "# Killed\n\nWritten by `cargo xtask soak --kill {kills} --seed {seed}`: {kills} agents are killed (SIGKILL), \
each at a random moment of a phase, while curl and one connection of Python talk to nginx over OpenSSL, and \
a client of Go to a server of Go, all over TLS. After each the kernel must hold no program and no link that \
belongs to no process, no probe may have a name in tracefs, the servers must live, and the code of their \
functions in memory must be what their files have. The last was found {compared} times; at the other times \
other programs on the machine kept probes on the same files. Any other outcome is an error, and then there is \
no page.\n\n\
Requests answered meanwhile, none without its answer: {curl} of curl, {python} on the one connection of \
Python, {go} of Go. An agent that nobody kills took {starting} ms until it watched and {stopping} ms from \
SIGTERM to its end.\n\n\
| killed while | times | after, ms | held, at most | gone after, ms, at most |\n|---|---|---|---|---|\n",
        kills = outcome.kills.len(),
        seed = outcome.plan.seed,
        starting = outcome.starting.as_millis(),
        stopping = outcome.stopping.as_millis(),
    );
    for moment in MOMENTS {
        let kills: Vec<&Kill> = outcome
            .kills
            .iter()
            .filter(|kill| kill.moment == moment && !kill.too_late)
            .collect();
        let name = match moment {
            Moment::Starting => "it loads and attaches",
            Moment::Running => "it runs",
            Moment::Stopping => "it detaches",
        };
        let millis = |time: Option<Duration>| time.unwrap_or_default().as_millis();
        writeln!(
            text,
            "| {name} | {} | {} to {} | {} | {} |",
            kills.len(),
            millis(kills.iter().map(|kill| kill.after).min()),
            millis(kills.iter().map(|kill| kill.after).max()),
            kills.iter().map(|kill| kill.held).max().unwrap_or(0),
            millis(kills.iter().map(|kill| kill.gone_after).max()),
        )?;
    }
    let late = outcome.kills.iter().filter(|kill| kill.too_late).count();
    write!(
        text,
        "\n*Held* counts programs and links a moment before. {late} more had detached and ended before they could be killed.\n"
    )?;
    std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}
