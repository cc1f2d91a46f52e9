//! Building a span straight into the answer.

use crate::bindings::wirespan::parser::types as wit;
use crate::block;
use crate::output::Answer;
use crate::{Field, Flags, Integer, Kind, Side, Status, Text, Truth};

/// A span being written; [`SpanBuilder::emit`] adds it to the answer.
#[derive(Debug)]
#[must_use = "a span that is not emitted is not reported"]
pub struct SpanBuilder<'a> {
    answer: &'a mut Answer,
    span: wit::Span,
}

impl<'a> SpanBuilder<'a> {
    pub(crate) fn new(answer: &'a mut Answer, conn: u64, name: &[u8]) -> Self {
        let name = add_utf8(answer, name);
        Self::named(answer, conn, name)
    }

    pub(crate) fn fixed_name(answer: &'a mut Answer, conn: u64, name: &'static str) -> Self {
        let name = answer.add_fixed(name);
        Self::named(answer, conn, name)
    }

    #[inline(always)]
    fn named(answer: &'a mut Answer, conn: u64, name: wit::Slice) -> Self {
        let values_start = u32::try_from(answer.values.len()).unwrap_or(u32::MAX);
        let span = wit::Span {
            conn,
            start: 0,
            request_end: 0,
            response_start: 0,
            end: 0,
            position: 0,
            request_bytes: 0,
            response_bytes: 0,
            side: Side::Client,
            kind: Kind::Exchange,
            status: Status::Unset,
            protocol: 0,
            flags: Flags::empty(),
            name,
            trace: wit::Slice { start: 0, len: 0 },
            values_start,
            values_len: 0,
        };
        Self { answer, span }
    }

    /// Position and time of the first byte. With [`SpanBuilder::side`] the position identifies
    /// the exchange.
    pub fn starts(&mut self, position: u64, time: u64) -> &mut Self {
        self.span.position = position;
        self.span.start = time;
        self
    }

    /// The side that `position` is of; the client's where nothing is said.
    pub fn side(&mut self, side: Side) -> &mut Self {
        self.span.side = side;
        self
    }

    /// When the last byte of the request passed.
    pub fn request_ends(&mut self, time: u64) -> &mut Self {
        self.span.request_end = time;
        self
    }

    /// When the first byte of the response passed.
    pub fn response_starts(&mut self, time: u64) -> &mut Self {
        self.span.response_start = time;
        self
    }

    /// When the last byte passed, or the last thing known of the exchange happened.
    pub fn ends(&mut self, time: u64) -> &mut Self {
        self.span.end = time;
        self
    }

    /// Bytes on the wire, headers included.
    pub fn sizes(&mut self, request: u64, response: u64) -> &mut Self {
        self.span.request_bytes = request;
        self.span.response_bytes = response;
        self
    }

    /// [`Kind::Exchange`] where nothing is said.
    pub fn kind(&mut self, kind: Kind) -> &mut Self {
        self.span.kind = kind;
        self
    }

    pub fn status(&mut self, status: Status) -> &mut Self {
        self.span.status = status;
        self
    }

    /// Index into the manifest's protocols; the first where nothing is said.
    pub fn protocol(&mut self, index: u8) -> &mut Self {
        self.span.protocol = index;
        self
    }

    pub fn flags(&mut self, flags: Flags) -> &mut Self {
        self.span.flags = self.span.flags | flags;
        self
    }

    /// A W3C `traceparent` as it was on the wire.
    pub fn trace(&mut self, traceparent: &[u8]) -> &mut Self {
        self.span.trace = self.answer.add_text(traceparent);
        self
    }

    /// A text; what is not UTF-8 in it becomes U+FFFD.
    #[inline(always)]
    pub fn text(&mut self, field: Field<Text>, text: &[u8]) -> &mut Self {
        let text = add_utf8(self.answer, text);
        self.value(field.index(), 0, text)
    }

    /// A text of the program that many spans have: it crosses to the host once for all of them.
    pub fn fixed(&mut self, field: Field<Text>, text: &'static str) -> &mut Self {
        let text = self.answer.add_fixed(text);
        self.value(field.index(), 0, text)
    }

    /// A part of a URI: what is not UTF-8 in it is percent-encoded.
    pub fn uri_text(&mut self, field: Field<Text>, text: &[u8]) -> &mut Self {
        if is_ascii(text) {
            let text = self.answer.add_text(text);
            return self.value(field.index(), 0, text);
        }
        let start = self.answer.text.len();
        for chunk in text.utf8_chunks() {
            self.answer.text.extend_from_slice(chunk.valid().as_bytes());
            for byte in chunk.invalid() {
                let digit = |n: u8| if n < 10 { b'0' + n } else { b'A' + (n - 10) };
                self.answer
                    .text
                    .extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
            }
        }
        let text = self.answer.slice_from(start);
        self.value(field.index(), 0, text)
    }

    #[inline(always)]
    pub fn integer(&mut self, field: Field<Integer>, number: i64) -> &mut Self {
        self.value(field.index(), number, wit::Slice { start: 0, len: 0 })
    }

    /// A count of bytes or messages; one that does not fit stays at the largest number.
    #[inline(always)]
    pub fn count(&mut self, field: Field<Integer>, count: u64) -> &mut Self {
        self.integer(field, i64::try_from(count).unwrap_or(i64::MAX))
    }

    pub fn truth(&mut self, field: Field<Truth>, truth: bool) -> &mut Self {
        self.value(
            field.index(),
            i64::from(truth),
            wit::Slice { start: 0, len: 0 },
        )
    }

    #[inline(always)]
    fn value(&mut self, field: u16, number: i64, text: wit::Slice) -> &mut Self {
        self.answer.values.push(wit::Value {
            field,
            number,
            text,
        });
        self.span.values_len = self.span.values_len.saturating_add(1);
        self
    }

    /// Adds the span to the answer.
    #[inline(always)]
    pub fn emit(self) {
        self.answer.spans.push(self.span);
    }
}

fn add_utf8(answer: &mut Answer, text: &[u8]) -> wit::Slice {
    if is_ascii(text) {
        return answer.add_text(text);
    }
    let start = answer.text.len();
    for chunk in text.utf8_chunks() {
        answer.text.extend_from_slice(chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            answer.text.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    answer.slice_from(start)
}

/// Nearly every text is. The standard library's test takes four bytes at a time on this target.
#[inline(always)]
fn is_ascii(text: &[u8]) -> bool {
    const SHORT: usize = block::BYTES;
    // Every turn of a loop has a price in a component, the look at whether its time is over: what is
    // left at the end is looked at together with bytes that were seen.
    if let (Some(first), Some(last)) = (text.first_chunk::<SHORT>(), text.last_chunk::<SHORT>()) {
        let ends = block::is_ascii(first) && block::is_ascii(last);
        return ends && (text.len() <= 2 * SHORT || is_long_ascii(text));
    }
    match (text.first_chunk(), text.last_chunk()) {
        (Some(first), Some(last)) => high(first) | high(last) == 0,
        _ => text.iter().fold(0, |all, byte| all | byte) < 0x80,
    }
}

/// As [`is_ascii`], of what is longer than two blocks, of which first and last are known.
fn is_long_ascii(text: &[u8]) -> bool {
    let (blocks, _) = text.as_chunks();
    blocks.iter().skip(1).all(block::is_ascii)
}

/// The highest bits of eight bytes.
fn high(word: &[u8; 8]) -> u64 {
    u64::from_ne_bytes(*word) & 0x8080_8080_8080_8080
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ascii_is_seen_at_any_place_of_any_length() {
        for len in 0..140 {
            let mut text = vec![0x7f; len];
            assert!(is_ascii(&text));
            for at in 0..len {
                for byte in [0x80, 0xc3, 0xff] {
                    text[at] = byte;
                    assert!(!is_ascii(&text), "{len} {at}");
                }
                text[at] = 0;
                assert!(is_ascii(&text));
            }
        }
    }
}
