//! Host of sandboxed parsers.
//!
//! [`Engine`] compiles components, [`Parsers`] puts them in order, and a [`Worker`], one for each
//! thread, owns connections: it finds the parser of each, hands it batches of events, keeps what is
//! not consumed, checks every number of the answer, and makes spans of it. What a parser may use is
//! in [`Limits`]; what happens when it uses more, in `docs/contract.md`.

mod batch;
mod bindings;
mod cache;
mod connection;
pub mod counters;
mod engine;
mod facts;
mod fault;
mod hello;
mod instance;
mod intake;
mod ledger;
pub mod limits;
mod load;
mod manifest;
mod output;
mod parsers;
mod pattern;
mod pool;
mod proxy;
mod recognise;
mod recover;
mod requests;
mod resting;
#[expect(unreachable_pub, reason = "generated code makes it public again")]
mod row;
mod side;
mod spans;
mod ticker;
mod tls;
mod work;
mod worker;

pub use counters::{ParserCounters, RuntimeCounters};
pub use engine::{Engine, EngineConfig, EngineError};
pub use ledger::{Fate, Ledger};
pub use limits::Limits;
pub use load::{LoadError, LoadReason, Parser};
pub use manifest::{Manifest, ManifestError};
pub use output::{Output, ParsedSpan};
pub use parsers::{Origin, Parsers};
pub use pattern::{Pattern, PatternSide};
pub use worker::Worker;
