//! Why the agent cannot start or go on. Each message ends with what to do.

use std::path::PathBuf;

use wirespan_capture::CaptureError;
use wirespan_sink::SinkError;

#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    #[error(transparent)]
    Capture(#[from] CaptureError),
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error("the sandbox for parsers could not be set up: {0}")]
    Engine(String),
    #[error("{0}")]
    Parser(String),
    #[error("cannot read the configuration {path}: {reason}")]
    Configuration { path: PathBuf, reason: String },
    #[error("{setting} is {value:?}: {reason}")]
    Setting {
        setting: &'static str,
        value: String,
        reason: String,
    },
    #[error(
        "cannot serve metrics on {address}: {source}; choose another address with --metrics, or `--metrics off`"
    )]
    Metrics {
        address: String,
        source: std::io::Error,
    },
    #[error("the {what} is not part of this program and was not found in {}: build it with `cargo xtask build`, or put it there", searched.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", "))]
    Artefact {
        what: String,
        searched: Vec<PathBuf>,
    },
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    #[error(
        "a worker has ended by a defect of wirespan itself; its message is above: please report it"
    )]
    WorkerEnded,
    #[error("cannot write the spans: {0}")]
    Output(#[source] std::io::Error),
}
