//! A batch of spans as messages.

use std::sync::Arc;

use async_nats::HeaderMap;
use bytes::Bytes;
use wirespan_span::{Span, json, otlp};
use xxhash_rust::xxh3::Xxh3;

use crate::config::Encoding;

/// Most spans in a message.
pub const BATCH_SPANS: usize = 512;
/// Most bytes in a message, unless a single span is larger.
pub const BATCH_BYTES: usize = 256 * 1024;
/// What the headers of a message take of the server's `max_payload`.
const HEADER_BYTES: usize = 256;

#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) payload: Bytes,
    pub(crate) headers: HeaderMap,
    pub(crate) spans: u64,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(crate) struct Encoded {
    pub(crate) messages: Vec<Message>,
    /// Spans larger than the server takes.
    pub(crate) too_large: u64,
}

impl Encoded {
    /// `max_payload` is that of the server. A batch that turns out too large is halved.
    pub(crate) fn new(spans: &[Arc<Span>], encoding: Encoding, max_payload: usize) -> Self {
        let mut encoded = Self::default();
        encoded.add(spans, encoding, max_payload.saturating_sub(HEADER_BYTES));
        encoded
    }

    fn add(&mut self, spans: &[Arc<Span>], encoding: Encoding, limit: usize) {
        let Some(payload) = encode(spans, encoding) else {
            self.too_large += spans.len() as u64;
            return;
        };
        if payload.len() <= limit.min(BATCH_BYTES) || (spans.len() == 1 && payload.len() <= limit) {
            self.messages.push(Message {
                payload: payload.into(),
                headers: headers(spans, encoding),
                spans: spans.len() as u64,
            });
        } else if spans.len() <= 1 {
            self.too_large += spans.len() as u64;
        } else {
            let (first, second) = spans.split_at(spans.len() / 2);
            self.add(first, encoding, limit);
            self.add(second, encoding, limit);
        }
    }
}

fn encode(spans: &[Arc<Span>], encoding: Encoding) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Json => {
            let mut payload =
                Vec::with_capacity(spans.iter().map(|span| json::size_hint(span)).sum());
            for span in spans {
                json::write_line(span, &mut payload);
            }
            Some(payload)
        }
        Encoding::Otlp => Some(otlp::protobuf(spans)),
        Encoding::OtlpJson => otlp::json(spans).ok(),
    }
}

fn headers(spans: &[Arc<Span>], encoding: Encoding) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("Content-Type", encoding.content_type());
    headers.insert(
        async_nats::header::NATS_MESSAGE_ID,
        message_id(spans).as_str(),
    );
    headers
}

/// The same spans in the same order have the same id, so that JetStream can tell a message that
/// was sent twice.
fn message_id(spans: &[Arc<Span>]) -> String {
    let mut hash = Xxh3::new();
    for span in spans {
        hash.update(&span.span_id.to_le_bytes());
    }
    format!("{:032x}", hash.digest128())
}
