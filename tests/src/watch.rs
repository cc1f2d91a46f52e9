//! One piece of traffic seen twice: by a live agent, and by a recorder whose file is then replayed.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::agent::{Stopped, metric};
use crate::expect::assert_distinct_ids;
use crate::sql::{self, Session};
use crate::{Agent, Recorder, Span, agent};

/// Settings for both, with room for all that a client and its server say, at both ends, should nobody get
/// a processor to drain it: here is asked what is said of the bytes. Rings that are too small are the
/// storm's.
const SETTINGS: &str = "[capture]\nring_mib = 128\n";

/// `wirespan run --unredacted` beside `wirespan record`.
#[derive(Debug)]
pub struct Watch {
    agent: Agent,
    recorder: Recorder,
}

/// What the two have seen.
#[derive(Debug)]
pub struct Seen {
    pub live: Vec<Span>,
    pub replayed: Vec<Span>,
}

impl Watch {
    /// Watches connections with one of `ports` at either end, and returns when both do.
    ///
    /// # Errors
    /// When one does not start.
    pub fn start(ports: &[u16]) -> Result<Self> {
        Self::start_with(ports, &["--unredacted"])
    }

    /// The same, with these options for the agent.
    ///
    /// # Errors
    /// As there.
    pub fn start_with(ports: &[u16], options: &[&str]) -> Result<Self> {
        let settings = tempfile::Builder::new().suffix(".toml").tempfile()?;
        std::fs::write(settings.path(), SETTINGS)?;
        let mut arguments: Vec<OsString> = vec!["--config".into(), settings.path().into()];
        for port in ports {
            arguments.extend(["--port".into(), port.to_string().into()]);
        }
        let recorder = Recorder::run(arguments.clone())?;
        arguments.extend(options.iter().map(OsString::from));
        let agent = Agent::run(arguments)?;
        Ok(Self { agent, recorder })
    }

    /// Stops both when `count` spans should be there: what the agent has seen, and the recording, which
    /// lives as long as its folder.
    ///
    /// # Errors
    /// When one fails.
    pub fn stop_recorded_after(self, count: usize) -> Result<(Stopped, PathBuf, TempDir)> {
        let stopped = self.agent.stop_after(count)?;
        let (file, folder) = self.recorder.stop(Signal::INT)?;
        Ok((stopped, file, folder))
    }

    /// Stops both when `count` spans should be there.
    ///
    /// # Errors
    /// When one fails.
    pub fn stop_after(self, count: usize) -> Result<Seen> {
        let (stopped, file, _folder) = self.stop_recorded_after(count)?;
        let live = stopped.spans;
        // The only loss that is allowed here: what is not copied of a large call.
        let limited = metric(
            &stopped.metrics,
            "wirespan_capture_kernel_limit_bytes_total",
        )?;
        ensure!(
            limited > 0.0 || live.iter().all(|span| !span.has_flag("gap")),
            "a span has a gap, and nothing was left out of a call: {}",
            lost(&stopped.metrics)
        );
        let replayed = replay_unredacted(&file)?;
        Ok(Seen { live, replayed })
    }

    /// Stops both, and checks that each has seen exactly these sessions.
    ///
    /// # Errors
    /// With every difference.
    pub fn assert_exactly(self, sessions: &[Session]) -> Result<Seen> {
        let seen = self.stop_after(sql::count(sessions))?;
        for (what, spans) in [("live", &seen.live), ("replayed", &seen.replayed)] {
            sql::assert_exactly(spans, sessions).context(what)?;
            assert_distinct_ids(spans).context(what)?;
        }
        Ok(seen)
    }
}

/// The lines of a metrics page that tell what was lost.
fn lost(metrics: &str) -> String {
    let told = |line: &&str| {
        ["_bytes_total", "_full_total", "_lost_events_total"]
            .iter()
            .any(|name| line.contains(name))
            && !line.starts_with('#')
            && !line.ends_with(" 0")
    };
    let lines: Vec<&str> = metrics.lines().filter(told).collect();
    lines.join("\n")
}

/// `wirespan replay --unredacted FILE`.
fn replay_unredacted(file: &Path) -> Result<Vec<Span>> {
    let arguments: [OsString; 5] = [
        "replay".into(),
        "--output".into(),
        "json".into(),
        "--unredacted".into(),
        file.into(),
    ];
    let finished = agent::wirespan(arguments)?;
    ensure!(
        finished.status.success(),
        "replay ended with {}: {}",
        finished.status,
        finished.errors
    );
    agent::adds_up(&finished)?;
    Span::parse_lines(&finished.output).context("spans of a replay")
}
