//! Span model, encodings, redaction.

pub mod model;

pub use model::*;
