//! HTTP/1.x (RFC 9112) as spans: one for each request with its response.
//!
//! Two lanes read the two directions of a connection: `request` the client's, `response` the
//! server's. Between them stands the queue of exchanges in flight. Bodies are stepped over; of a
//! message's head only what a span needs is kept. What cannot be told from the bytes is left out
//! and flagged, and a connection whose framing receivers would disagree about is given up.

mod body;
mod connection;
mod emit;
mod exchange;
mod fields;
mod head;
mod limits;
mod line;
mod lines;
mod loss;
mod queue;
mod recognise;
mod request;
mod response;

pub use connection::Http;

/// The readers of what stands on the wire, for fuzzing them on their own. They keep no promise: only
/// [`Http`] is for use.
#[doc(hidden)]
pub mod wire {
    pub use crate::body::{Body, Part, Progress};
    pub use crate::head::{Ambiguity, Coding, Extent, Head, Line, Name};
    pub use crate::line::{
        Parsed, RequestLine, StatusLine, long_request_line, odd_status_line, request_line,
        status_line,
    };
    pub use crate::lines::Lines;
}

wirespan_sdk::export!(Http);
