//! Fixtures: real servers and clients on loopback, and the agent as a user starts it.
//!
//! Everything here knows Wirespan only from outside: its command line, its files and what it
//! publishes. Whatever a fixture starts ends with it, also when a test panics or is killed.

pub mod agent;
pub mod ask;
pub mod certificate;
pub mod client;
pub mod crowd;
pub mod curl;
pub mod expect;
pub mod go;
pub mod http2;
pub mod java;
pub mod kill;
pub mod mariadb;
pub mod mysql;
pub mod namespace;
pub mod nats;
pub mod nginx;
pub mod pgbouncer;
pub mod plaintext;
pub mod postgres;
pub mod process;
pub mod python;
pub mod redis;
pub mod rewrite;
pub mod rpc;
pub mod soak;
pub mod span;
pub mod sql;
pub mod tools;
pub mod wait;
pub mod watch;
pub mod wget;

pub use agent::{Agent, Recorder};
pub use certificate::Certificate;
pub use expect::{Exchange, assert_exactly};
pub use nats::Nats;
pub use nginx::Nginx;
pub use python::Python;
pub use span::Span;
