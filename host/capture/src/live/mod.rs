//! The running kernel as a source of socket events.

pub mod btf;
pub mod offsets;
pub mod tracefs;
