//! Span model, encodings, redaction.
//!
//! A [`Span`] is built by the runtime, enriched by the agent, redacted by a [`Redactor`] and then
//! shared, unchanged, by all sinks. Its encodings are the flat JSON form ([`json`], read back as
//! [`FlatSpan`]) and OTLP ([`otlp`]).
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

pub mod field;
pub mod fields;
pub mod flat;
pub mod ids;
pub mod json;
pub mod model;
pub mod otlp;
pub mod redact;
pub mod schema;
pub mod subject;
pub mod summary;
pub mod traceparent;

#[cfg(test)]
mod example;

pub use field::{Cardinality, Class, Field, FieldRef, FieldType, Name};
pub use flat::{FlatSpan, FlatValue};
pub use ids::{Exchange, trace_id_from};
pub use model::*;
pub use redact::{RedactConfig, Redactor};
pub use summary::Summary;
pub use traceparent::TraceParent;
