//! HTTP/2: nghttp2's client, server and proxy, and Node.

mod nghttp;
mod node;

pub use nghttp::{Nghttpd, Nghttpx, nghttp};
pub use node::Node;
