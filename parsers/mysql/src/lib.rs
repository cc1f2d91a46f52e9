//! The client/server protocol of MySQL and MariaDB as spans: one for each query and each execution
//! of a prepared statement; a prepare is one only when it fails.
//!
//! The server answers strictly in the order of the client's commands, so a connection is two lanes
//! and one queue: `client` puts in what waits for an answer, `server` takes it out, `answer` reads what
//! it says and `outcome` tells it. Rows, columns,
//! files and passwords are stepped over by their length. Where bytes were missed, `loss` finds the
//! packets of both sides again before anything is said of them.

mod answer;
mod attributes;
mod client;
mod connection;
mod emit;
mod exchange;
mod fields;
mod frames;
mod inflate;
mod lane;
mod limits;
mod login;
mod loss;
mod namespace;
mod outcome;
mod queue;
mod recognise;
mod server;
mod view;
mod wire;

pub use connection::Mysql;

/// The readers of what stands on the wire, for fuzzing them on their own. They keep no promise: only
/// [`Mysql`] is for use.
#[doc(hidden)]
pub mod wire_readers {
    pub use crate::attributes::{Attributed, attributed, has_attributes};
    pub use crate::inflate::{Decoder, Outcome};
    pub use crate::limits::ZSTD_WINDOW_BYTES;
    pub use crate::wire::{
        Ending, Failure, Greeting, Header, Login, Reader, change_user, command_fits, ending,
        failure, greeting, header, login,
    };
}

wirespan_sdk::export!(Mysql);
