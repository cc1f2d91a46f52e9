//! Packet captures: pcap and pcapng files as a source of socket events.
//!
//! The file formats and the layers are read by hand: the crates that exist do not know obsolete
//! packet blocks, packets cut by a snap length below the length of their headers, or the tunnels
//! that occur in real captures, and index into what they read.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod bytes;
mod conversation;
mod file;
mod fragments;
mod input;
mod link;
mod network;
mod roles;
mod segment;
mod sequence;
mod source;
mod tracker;
mod tunnel;
mod udp;

pub(crate) use input::Opened;
pub use roles::Perspective;
pub use source::PcapSource;
