//! Conversations as real clients and servers have them, written from the protocols' documents.
//!
//! A [`Conversation`] is what two ends say to each other, in turns. The same seed always gives the
//! same one. [`Damage`] turns one into something that no end would send.

mod conversation;
mod damage;
mod http;
mod http2;
mod kafka;
mod mysql;
mod others;
mod postgres;
mod random;
mod redis;
mod smtp;
mod ssh;
mod tls;

pub use conversation::{Conversation, Protocol, Speaker, Turn};
pub use damage::{Damage, damaged};
pub use random::Random;
