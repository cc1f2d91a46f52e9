//! The sink against a real nats-server.

mod delivery;
mod support;
mod trouble;
