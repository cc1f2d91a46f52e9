//! Spans on core NATS.
//!
//! The sink has a thread with a runtime of its own. Publishing only puts spans into the
//! outbox, which is bounded and drops the oldest; the worker sends batches and asks the server
//! after each few of them whether they have arrived. Delivery is at most once: what was on its way
//! when a connection broke is counted as unconfirmed and not sent again.
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

mod config;
mod connect;
mod message;
mod outbox;
mod receipt;
mod shared;
mod sink;
mod worker;

pub use config::{Auth, Encoding, NatsConfig};
pub use message::{BATCH_BYTES, BATCH_SPANS};
pub use outbox::BATCH_DELAY;
pub use shared::{NatsMonitor, NatsStatus};
pub use sink::NatsSink;
