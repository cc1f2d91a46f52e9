//! HTTP/2 (RFC 9113) and gRPC as spans: one for each stream.
//!
//! Two lanes read the two directions of a connection frame by frame; header blocks are decoded in
//! the order of the wire, each direction with its own table; a stream that has ended on both sides
//! becomes a span, of an RPC where it is gRPC, else of an HTTP exchange. DATA is stepped over but
//! for the prefixes of messages. What cannot be told from the bytes is left out and flagged.

mod call;
mod connection;
mod emit;
mod fields;
mod frame;
mod head;
pub mod hpack;
mod lane;
mod limits;
mod loss;
mod message;
mod read;
mod recognise;
mod seek;
mod spare;
mod streams;
mod unseen;

pub use connection::Http2;

/// The readers of what stands on the wire, for fuzzing them on their own. They keep no promise: only
/// [`Http2`] is for use.
#[doc(hidden)]
pub mod wire {
    pub use crate::frame::{
        DEFAULT_FRAME_BYTES, Header, Kind, LARGEST_FRAME_BYTES, Settings, headers_fragment, promise,
    };
    pub use crate::message::Messages;
}

wirespan_sdk::export!(Http2);
