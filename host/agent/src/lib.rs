//! The node agent: from a source of socket events to the sinks.
//!
//! [`watch`] is the running agent, [`replay()`] the same road for files.
#![forbid(unsafe_code)]

mod artefacts;
mod audit;
mod books;
mod config;
mod counters;
mod enrich;
mod error;
mod exposition;
mod feeder;
mod filter;
mod lane;
mod metrics;
mod replay;
mod route;
mod run;
mod sandbox;
mod soundness;
mod watch;

pub use artefacts::{Artefacts, DIRECTORY_VARIABLE, Embedded};
pub use books::{Books, Law};
pub use config::{Config, DEFAULT_METRICS, DEFAULT_PATH};
pub use enrich::Enricher;
pub use error::AgentError;
pub use lane::Lane;
pub use replay::replay;
pub use run::RunSummary;
pub use sandbox::Sandbox;
pub use watch::{RecordFiles, Recorded, StandardOutput, Started, record, watch};
pub use wirespan_sink_terminal::TableSummary;
