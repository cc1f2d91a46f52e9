//! Recordings: socket events in a file, so that the same traffic can be looked at again.
//!
//! The format is described in `docs/recording.md`. A recording holds what programs sent and
//! received, TLS in plaintext: it is readable by its owner only.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod format;
mod reader;
mod writer;

pub use format::{MAGIC, VERSION};
pub use reader::RecordingSource;
pub(crate) use reader::describe;
pub use writer::{RecordingWriter, Totals};
