//! Connections and their ordered byte streams.
//!
//! [`Connections`] takes the socket events of any source and gives, for each connection, two streams
//! of bytes and gaps without a hole. Everything it holds is bounded ([`limits`]), and
//! [`Counters::is_balanced`] says that no byte got lost on the way, on any connection that has ended by
//! itself.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod account;
mod connection;
mod connections;
mod counters;
pub mod event;
mod half;
mod halves;
mod held;
pub mod limits;
mod resting;

pub use connections::Connections;
pub use counters::{Counters, GapBytes, Unbalanced};
pub use event::*;
pub use limits::Limits;
