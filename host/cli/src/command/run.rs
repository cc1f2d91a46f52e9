//! `wirespan run`

use std::io::{self, IsTerminal, Write};

use anyhow::Result;
use wirespan_agent::{Artefacts, Config, StandardOutput, Started, watch};
use wirespan_capture::live::CallPlaces;

use crate::arguments::{Narrow, Output, Run};
use crate::embedded::EMBEDDED;
use crate::{memory, stop};

pub(crate) fn run(arguments: Run) -> Result<()> {
    small_pages();
    let mut config = Config::load(arguments.narrow.config.as_deref())?;
    narrow(&mut config, arguments.narrow);
    if !arguments.protocol.is_empty() {
        config.parsers.protocols = arguments.protocol;
    }
    config.parsers.plugins.extend(arguments.plugin);
    config.spans.unredacted |= arguments.unredacted;
    config.spans.route_templates &= !arguments.no_route_templates;
    config.nats.url = arguments.nats.or(config.nats.url);
    config.nats.encoding = arguments.encoding.or(config.nats.encoding);
    config.nats.cluster = arguments.cluster.or(config.nats.cluster);
    config.nats.retry |= arguments.nats_retry;
    config.metrics.listen = arguments.metrics.or(config.metrics.listen);
    let output = match arguments.output {
        Some(Output::Table) => StandardOutput::Table,
        Some(Output::Json) => StandardOutput::JsonLines,
        Some(Output::None) => StandardOutput::Nothing,
        None if io::stdout().is_terminal() => StandardOutput::Table,
        None => StandardOutput::JsonLines,
    };
    let stop = stop::on_signals()?;
    let artefacts = Artefacts::new(EMBEDDED);
    let ready = |parts: &Started| {
        memory::give_back();
        started(parts);
    };
    let summary = watch(&config, &artefacts, output, &stop, ready, memory::give_back)?;
    for failure in &summary.failures {
        say(&format!("warning: {failure}"));
    }
    for law in &summary.broken {
        say(&format!("defect: {law}; report it"));
    }
    say(&format!("stopped; {} spans", summary.spans));
    Ok(())
}

/// An agent that runs for months must not keep 2 MiB for every page of it that is in use: with huge
/// pages it keeps three times the memory, and is no quicker (docs/performance.md).
fn small_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages stay in use; the agent takes more memory");
    }
}

/// What is given on the command line takes the place of what the configuration says.
pub(crate) fn narrow(config: &mut Config, narrow: Narrow) {
    let capture = &mut config.capture;
    if !narrow.pid.is_empty() {
        capture.pids = narrow.pid;
    }
    if !narrow.port.is_empty() {
        capture.ports = narrow.port;
    }
    if !narrow.container.is_empty() {
        capture.containers = narrow.container;
    }
    config.tls.enabled &= !narrow.no_tls;
}

/// Tells what was attached, and what had to be left out.
pub(crate) fn started(started: &Started) {
    for warning in &started.warnings {
        say(&format!("warning: {warning}"));
    }
    let (attached, left_out): (Vec<_>, Vec<_>) = started
        .report
        .sets
        .iter()
        .partition(|set| set.left_out.is_none());
    for set in left_out {
        let reason = set.left_out.as_deref().unwrap_or_default();
        say(&format!(
            "warning: probe set {} is left out: {reason}; without it, {}",
            set.name, set.without
        ));
    }
    let mut line = format!("watching with {} probe sets", attached.len());
    if started.report.calls == CallPlaces::Functions {
        line += ", calls seen by fentry";
    }
    if !started.parsers.is_empty() {
        line += &format!(", parsers {}", started.parsers.join(", "));
    }
    if let Some(nats) = &started.nats {
        line += &format!(", publishing to {}", without_credentials(nats));
    }
    if let Some(metrics) = &started.metrics {
        line += &format!(", metrics on http://{metrics}/metrics");
    }
    say(&line);
}

/// A URL as it may be shown.
fn without_credentials(url: &str) -> String {
    match url
        .split_once("://")
        .and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1)))
    {
        Some((scheme, host)) => format!("{scheme}://{host}"),
        None => url.to_owned(),
    }
}

pub(crate) fn say(line: &str) {
    // Standard error may be closed; there is nobody to tell then.
    let _closed = writeln!(io::stderr(), "wirespan: {line}");
}

#[cfg(test)]
mod tests {
    use super::without_credentials;

    #[test]
    fn credentials_are_not_shown() {
        assert_eq!(
            without_credentials("nats://user:secret@host:4222"),
            "nats://host:4222"
        );
        assert_eq!(without_credentials("nats://host:4222"), "nats://host:4222");
    }
}
