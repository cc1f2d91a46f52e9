//! The running kernel as a source of socket events.

pub mod btf;
pub mod elf;
pub mod library;
pub mod maps;
pub mod offsets;
pub mod tls;
pub mod tracefs;
