//! Packet captures made of socket events, for Wireshark and the like.
//!
//! What sockets carried, and the plaintext of TLS, stands in TCP segments that are made up:
//! positions are sequence numbers, what was not captured is missing, times are real. The file says
//! so itself, in the descriptions of its interfaces and in comments.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod addresses;
mod block;
mod conversation;
mod packet;
mod tee;
mod writer;

pub use tee::Tee;
pub use writer::PcapngWriter;
