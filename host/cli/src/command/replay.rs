//! `wirespan replay`

use std::fs;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use wirespan_agent::{
    AgentError, Artefacts, Config, Sandbox, TableSummary, replay as agent_replay,
};
use wirespan_capture::pcapng::Tee;
use wirespan_capture::{PcapngWriter, Source};
use wirespan_span::{Span, json};

use crate::arguments::{FileOutput, Perspective, Replay};
use crate::embedded::EMBEDDED;

pub(crate) fn replay(arguments: Replay) -> Result<()> {
    let mut config = Config::default();
    config.parsers.plugins = arguments.plugin;
    config.parsers.protocols = arguments.protocol;
    config.spans.unredacted = arguments.unredacted;
    config.spans.route_templates = !arguments.no_route_templates;
    let perspective = match arguments.perspective {
        Perspective::Server => wirespan_capture::Perspective::Server,
        Perspective::Client => wirespan_capture::Perspective::Client,
    };
    let mut source = wirespan_capture::open_any(&arguments.file, perspective)?;
    let Some(packets) = &arguments.pcapng else {
        return print(source.as_mut(), &config, arguments.output);
    };
    // Found out before the file is gone.
    if is_same(packets, &arguments.file) {
        anyhow::bail!(
            "{} is the file that is read; choose another place for the packets",
            packets.display()
        );
    }
    let writer = PcapngWriter::create(packets, source.clock())?;
    let mut tee = Tee::new(source, writer);
    print(&mut tee, &config, arguments.output)?;
    tee.finish()?;
    Ok(())
}

/// Whether two paths lead to one file.
fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| {
        fs::metadata(path)
            .ok()
            .map(|found| (found.dev(), found.ino()))
    };
    identity(one).is_some_and(|found| Some(found) == identity(other))
}

fn print(source: &mut dyn Source, config: &Config, output: Option<FileOutput>) -> Result<()> {
    let sandbox = Sandbox::new(config, &Artefacts::new(EMBEDDED))?;
    let mut lane = sandbox.lane(source.clock(), None, config)?;
    let as_json = match output {
        Some(FileOutput::Json) => true,
        Some(FileOutput::Table) => false,
        None => !io::stdout().is_terminal(),
    };
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    if as_json {
        let mut line = Vec::new();
        agent_replay(source, &mut lane, |span: Span| {
            line.clear();
            json::write_line(&span, &mut line);
            out.write_all(&line).map_err(AgentError::Output)
        })?;
    } else {
        let mut summary = TableSummary::default();
        agent_replay(source, &mut lane, |span: Span| {
            summary.add(&Arc::new(span));
            Ok(())
        })?;
        writeln!(out, "{}", summary.render())?;
    }
    out.flush()?;
    for law in lane.books().laws().iter().filter(|law| !law.holds()) {
        writeln!(io::stderr(), "wirespan: defect: {law}; report it")?;
    }
    for warning in source.warnings() {
        writeln!(io::stderr(), "wirespan: warning: {warning}")?;
    }
    Ok(())
}
