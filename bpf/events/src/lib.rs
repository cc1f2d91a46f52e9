//! Records that the kernel side writes and the host reads, and what both sides agree on.
//!
//! Everything is `#[repr(C)]` without implicit padding and has its size asserted, for the kernel
//! side is compiled for another target by another compiler. The host parses records with
//! [`parse`], which trusts nothing: a record is a stretch of shared memory.
#![no_std]

pub mod config;
pub mod counter;
pub mod parse;
pub mod record;
pub mod state;

pub use config::{Offsets, Settings};
pub use counter::Counter;
pub use parse::{Malformed, Record};
pub use record::*;
pub use state::{Verdict, verdict};
