//! The client/server protocol of MySQL and MariaDB as spans: one for each query and each execution
//! of a prepared statement; a prepare is one only when it fails.
//!
//! The server answers strictly in the order of the client's commands, so a connection is two lanes
//! and one queue: `client` puts in what waits for an answer, `server` takes it out. Rows, columns,
//! files and passwords are stepped over by their length. Where bytes were missed, `loss` finds the
//! packets of both sides again before anything is said of them.

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
mod queue;
mod recognise;
mod server;
mod statements;
mod text;
mod view;
mod wire;

pub use connection::Mysql;

wirespan_sdk::export!(Mysql);
