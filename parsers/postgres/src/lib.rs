//! PostgreSQL's frontend/backend protocol 3 as spans: one for each simple query and each execution.
//!
//! The server answers strictly in the order of the client's messages, so a connection is two lanes
//! and one queue: `client` puts in what waits for an answer, `server` takes it out. Rows, copied
//! data and passwords are stepped over by their length. Where bytes were missed, `loss` finds the
//! messages of both sides again before anything is said of them.

mod client;
mod connection;
mod emit;
mod fields;
mod lane;
mod limits;
mod loss;
mod queue;
mod recognise;
mod server;
mod wire;

pub use connection::Postgres;

/// The readers of what stands on the wire, for fuzzing them on their own. They keep no promise: only
/// [`Postgres`] is for use.
#[doc(hidden)]
pub mod wire_readers {
    pub use crate::wire::{
        Header, Read, SqlState, Startup, client_header, cstring, is_ready, parameter,
        server_header, sqlstate, startup, tag, wanted,
    };
}

wirespan_sdk::export!(Postgres);
