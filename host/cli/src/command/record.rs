//! `wirespan record`

use std::time::Duration;

use anyhow::Result;
use wirespan_agent::{Artefacts, Config, RecordFiles, record as agent_record};

use crate::arguments::Record;
use crate::command::run::{narrow, say, started};
use crate::embedded::EMBEDDED;
use crate::stop;

pub(crate) fn record(arguments: Record) -> Result<()> {
    let mut config = Config::load(arguments.narrow.config.as_deref())?;
    narrow(&mut config, arguments.narrow);
    let stop = stop::on_signals()?;
    let files = RecordFiles {
        recording: arguments.output,
        pcapng: arguments.pcapng,
    };
    let names: Vec<String> = [&files.recording, &files.pcapng]
        .into_iter()
        .flatten()
        .map(|path| path.display().to_string())
        .collect();
    let names = names.join(" and ");
    let recorded = agent_record(
        &config,
        &Artefacts::new(EMBEDDED),
        &files,
        arguments.duration.map(Duration::from_secs),
        &stop,
        |what| {
            say(&format!(
                "{names} will hold plaintext, passwords and tokens included; only the owner can read it",
            ));
            started(what);
        },
    )?;
    say(&format!(
        "{names}: {} events, {} bytes",
        recorded.totals.events, recorded.totals.bytes
    ));
    if recorded.lost_records > 0 || recorded.lost_bytes > 0 {
        say(&format!(
            "{names}: incomplete: {} events and {} bytes found no room between the kernel and this program; \
             set a larger ring_mib in [capture], or narrow what is recorded",
            recorded.lost_records, recorded.lost_bytes
        ));
    }
    Ok(())
}
