//! Spans as a table: live on a terminal, plain at the end.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod sink;
mod table;
mod text;

pub use sink::TerminalSink;
pub use table::{Layout, TableSummary, render};
