//! `docs/soak.md`: what a long run came to.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use super::{EXACT_MAPS, Outcome, Reading};

/// Writes the page.
///
/// # Errors
/// When it cannot be written.
pub fn write(outcome: &Outcome, path: &Path) -> Result<()> {
    let [http, tls, mysql] = outcome.connections;
    let minutes = outcome.plan.churn.as_secs().div_ceil(60);
    let mut text = format!(
        "# Soak\n\nWritten by `cargo xtask soak`: an agent watches nginx and MariaDB for {minutes} minutes while \
clients connect, ask once and leave, as fast as they can with a pause of 2 ms: {http} connections over HTTP, \
{tls} over TLS, {mysql} to MariaDB. The second reading is taken after a warm-up of {} s, the last one when \
the clients have been gone for some seconds.\n\n",
        outcome.plan.warm_up.as_secs()
    );
    let readings = [
        &outcome.started,
        &outcome.before,
        &outcome.during,
        &outcome.after,
    ];
    text.push_str("| | at the start | warm | halfway | at the end |\n|---|---|---|---|---|\n");
    let mut row = |title: &str, cell: &dyn Fn(&Reading) -> String| {
        let cells: Vec<String> = readings.iter().map(|reading| cell(reading)).collect();
        text.push_str(&format!("| {title} | {} |\n", cells.join(" | ")));
    };
    row("memory, KiB", &|one| one.memory_kib.to_string());
    row("probes", &|one| one.probes.to_string());
    row("open files", &|one| one.files.to_string());
    row("threads", &|one| one.threads.to_string());
    for map in EXACT_MAPS {
        row(&format!("entries of {map}"), &|one| {
            one.entries_of(map).to_string()
        });
    }
    for map in outcome.after.entries.keys() {
        if !EXACT_MAPS.contains(&map.as_str()) {
            let title = match map.as_str() {
                "" => "entries of maps without a name (those for Go)".to_owned(),
                map => format!("entries of {map}"),
            };
            row(&title, &|one| one.entries_of(map).to_string());
        }
    }
    let idle = &outcome.idle;
    let more = idle.held.memory_kib.saturating_sub(idle.none.memory_kib);
    let [without, with] = idle.cpu.map(|part| part * 100.0);
    write!(
        text,
        "\n`SOCKETS` has the sockets of other programs on the machine too, so that they can be left out. Maps that \
are not among the first three keep what was used last, up to a limit.\n\n\
Bytes that passed: {:.0}, of which the kernel side cannot tell what became of {:.0}. Spans: {:.0}.\n\n\
## Idle\n\n\
{} connections that had one exchange each and are idle take {more} KiB more than none \
({} and {} KiB). An idle agent takes {without:.3} % of a core, with those connections {with:.3} %.\n",
        outcome.passed_bytes,
        outcome.unaccounted_bytes,
        outcome.spans,
        idle.connections,
        idle.held.memory_kib,
        idle.none.memory_kib,
    )?;
    std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}
