//! `wirespan record`

use std::time::Duration;

use anyhow::Result;
use wirespan_agent::{Artefacts, Config, record as agent_record};

use crate::arguments::Record;
use crate::command::run::{narrow, say, started};
use crate::embedded::EMBEDDED;
use crate::stop;

pub(crate) fn record(arguments: Record) -> Result<()> {
    let mut config = Config::load(arguments.narrow.config.as_deref())?;
    narrow(&mut config, arguments.narrow);
    let stop = stop::on_signals()?;
    let path = arguments.output;
    let totals = agent_record(
        &config,
        &Artefacts::new(EMBEDDED),
        &path,
        arguments.duration.map(Duration::from_secs),
        &stop,
        |what| {
            say(&format!(
                "{} will hold plaintext, passwords and tokens included; only its owner can read it",
                path.display()
            ));
            started(what);
        },
    )?;
    say(&format!(
        "{}: {} events, {} bytes",
        path.display(),
        totals.events,
        totals.bytes
    ));
    Ok(())
}
