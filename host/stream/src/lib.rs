//! Connections and their ordered byte streams.

pub mod event;

pub use event::*;
