//! The vectors that an answer is made of. Everything is written into them in place.

use wirespan_contract::limit;

use crate::bindings::wirespan::parser::types as wit;

/// An output is sent off when it has this many spans, a quarter of what the host takes: what one
/// more message adds never reaches the limit.
const SPANS: usize = limit::SPANS_PER_OUTPUT / 4;

/// As [`SPANS`].
const VALUES: usize = limit::VALUES_PER_OUTPUT / 4;

/// As [`SPANS`].
const REQUESTS: usize = limit::REQUESTS_PER_OUTPUT / 4;

/// As [`SPANS`].
const TEXT_BYTES: usize = limit::TEXT_BYTES_PER_OUTPUT / 4;

#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) spans: Vec<wit::Span>,
    pub(crate) values: Vec<wit::Value>,
    pub(crate) requests: Vec<wit::Request>,
    pub(crate) text: Vec<u8>,
    /// Texts of the program that stand in `text` already, and where.
    fixed: [Option<(&'static str, wit::Slice)>; FIXED],
}

/// Texts that are the same in most spans: names of systems and methods.
const FIXED: usize = 4;

impl Answer {
    pub(crate) fn is_full(&self) -> bool {
        self.spans.len() >= SPANS
            || self.values.len() >= VALUES
            || self.requests.len() >= REQUESTS
            || self.text.len() >= TEXT_BYTES
    }

    /// Takes what was written so far, leaving room for about as much.
    pub(crate) fn take(&mut self, more: bool) -> wit::Output {
        fn renew<T>(vec: &mut Vec<T>) -> Vec<T> {
            let next = Vec::with_capacity(vec.len());
            std::mem::replace(vec, next)
        }
        self.fixed = Default::default();
        wit::Output {
            spans: renew(&mut self.spans),
            values: renew(&mut self.values),
            requests: renew(&mut self.requests),
            text: renew(&mut self.text),
            more,
        }
    }

    /// A request about bytes of a side.
    #[inline(always)]
    pub(crate) fn ask(&mut self, conn: u64, ask: wit::Ask, side: wit::Side, position: u64) {
        let none = wit::Slice { start: 0, len: 0 };
        self.requests.push(wit::Request {
            conn,
            position,
            other: 0,
            ask,
            side,
            text: none,
            context: none,
        });
    }

    pub(crate) fn add_text(&mut self, text: &[u8]) -> wit::Slice {
        let start = self.text.len();
        self.text.extend_from_slice(text);
        self.slice_from(start)
    }

    /// A text of the program, which is written once an answer where it is asked for again and again.
    pub(crate) fn add_fixed(&mut self, text: &'static str) -> wit::Slice {
        for entry in &mut self.fixed {
            match entry {
                Some((known, slice)) if std::ptr::eq(*known, text) => return *slice,
                Some(_) => {}
                None => {
                    let start = self.text.len();
                    self.text.extend_from_slice(text.as_bytes());
                    let slice = slice_of(&self.text, start);
                    *entry = Some((text, slice));
                    return slice;
                }
            }
        }
        self.add_text(text.as_bytes())
    }

    /// The text from `start` to the end. An output has far less than 4 GiB of it.
    pub(crate) fn slice_from(&self, start: usize) -> wit::Slice {
        slice_of(&self.text, start)
    }
}

fn slice_of(text: &[u8], start: usize) -> wit::Slice {
    let len = text.len().saturating_sub(start);
    wit::Slice {
        start: u32::try_from(start).unwrap_or(u32::MAX),
        len: u32::try_from(len).unwrap_or(0),
    }
}
