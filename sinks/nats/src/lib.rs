//! Spans on core NATS.
