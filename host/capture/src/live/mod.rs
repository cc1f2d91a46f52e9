//! The running kernel as a source of socket events.
//!
//! `load` brings the programs of `bpf/probes` into the kernel, which write records into `ring`s;
//! `decode` turns them into events, and `source` puts that behind the common trait. What the
//! kernel is like is read by [`offsets`] and [`tracefs`], which processes use TLS by [`tls`].

mod attach;
mod bpf;
pub mod btf;
pub mod capability;
mod cgroups;
mod code;
pub mod config;
pub mod counters;
mod decode;
pub mod deny;
pub mod elf;
mod evidence;
pub mod features;
mod functions;
#[doc(hidden)]
pub mod fuzzing;
mod go;
mod go_calls;
mod installed;
mod later;
mod leftovers;
pub mod library;
mod links;
mod load;
pub mod maps;
#[doc(hidden)]
pub mod measuring;
mod notices;
pub mod offsets;
mod orphans;
mod outputs;
mod pclntab;
mod placement;
mod probes;
mod question;
mod reads;
mod recent;
mod reconcile;
mod returns;
mod ring;
mod rings;
mod rustls;
mod settings;
pub mod skipped;
mod source;
mod starting;
pub mod survey;
mod threads;
pub mod tls;
mod tls_probes;
mod told;
pub mod tracefs;
mod translation;
mod trials;
mod unbound;
mod uprobes;
mod verdicts;
mod waking;
mod watched;

pub use config::{CallPlaces, LiveConfig, LiveReport, ProbeSet, without_tls};
pub use counters::{HostCounters, LiveCounters};
pub use deny::DenyList;
pub use source::LiveSource;
pub use uprobes::UprobeMeans;
pub use wirespan_events::Counter;
