//! What a client is to do, and what it asks of the server.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Wish {
    /// Tells the calls of a group apart.
    pub(crate) number: usize,
    /// `package.Service/Method`; the last part is one of `Unary`, `ServerStream`, `ClientStream` and
    /// `Bidirectional`.
    pub(crate) method: String,
    /// Sizes of the client's messages.
    pub(crate) requests: Vec<usize>,
    /// Messages from the server: to the only request, or to each.
    pub(crate) replies: usize,
    /// Size of each.
    pub(crate) reply: usize,
    /// The server waits for so many seconds before it ends.
    pub(crate) sleep: f64,
    /// The client's, in seconds.
    pub(crate) deadline: f64,
    pub(crate) compress: bool,
    pub(crate) metadata: bool,
    /// With which the server ends the call.
    pub(crate) code: i32,
    pub(crate) details: String,
    /// The client cancels when it has so many replies.
    pub(crate) cancel_after: usize,
    /// The client cancels after so many seconds.
    pub(crate) cancel_seconds: f64,
}

impl Wish {
    /// This wish as a message.
    pub(crate) fn message(&self, size: usize) -> Bytes {
        padded(serde_json::to_vec(self).unwrap_or_default(), size)
    }
}

/// Messages are never shorter than what they say.
pub(crate) fn padded(mut text: Vec<u8>, size: usize) -> Bytes {
    text.resize(text.len().max(size), b' ');
    text.into()
}
