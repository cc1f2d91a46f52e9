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
mod loss;
mod queue;
mod recognise;
mod request;
mod response;

pub use connection::Http;

wirespan_sdk::export!(Http);
