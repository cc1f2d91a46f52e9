//! gRPC: servers and clients of two implementations, and what must come out for their calls.

mod call;
mod peer;

pub use call::{Call, Told, assert_exactly};
pub use peer::{Client, Library, Server, Wish};
