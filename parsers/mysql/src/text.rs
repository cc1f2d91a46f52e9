//! Texts of statements.

use std::cell::RefCell;
use std::rc::Rc;

use crate::limits::{SPARE_BUFFER_BYTES, SPARE_BUFFERS, TEXT_BYTES};

/// How much of a text is kept: what a span may carry, where what is not UTF-8 takes three bytes.
fn kept(text: &[u8], complete: bool) -> usize {
    if text.len() <= TEXT_BYTES / 3 && complete {
        return text.len();
    }
    let mut kept = 0;
    let mut shown = 0_usize;
    for chunk in text.utf8_chunks() {
        let valid = chunk.valid();
        let room = TEXT_BYTES.saturating_sub(shown);
        if valid.len() > room {
            kept += valid.floor_char_boundary(room);
            break;
        }
        kept += valid.len();
        shown += valid.len();
        let end = kept + chunk.invalid().len();
        // Cut within a character.
        if chunk.invalid().is_empty() || shown + 3 > TEXT_BYTES || (!complete && end == text.len())
        {
            break;
        }
        shown += 3;
        kept = end;
    }
    kept
}

/// Text of a prepared statement.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) text: Box<[u8]>,
    /// It was longer.
    pub(crate) truncated: bool,
}

/// What is known of a text.
#[derive(Debug, Default)]
pub(crate) enum Text {
    #[default]
    Unknown,
    /// Of a query; goes back to the spare buffers.
    Query {
        text: Vec<u8>,
        truncated: bool,
    },
    Statement(Rc<Statement>),
}

impl Text {
    /// The text of a query whose bytes are here, all of them when `complete`.
    pub(crate) fn query(bytes: &[u8], complete: bool) -> Self {
        let kept = kept(bytes, complete);
        let mut text = SPARE
            .with_borrow_mut(Vec::pop)
            .unwrap_or_else(|| Vec::with_capacity(bytes.len().max(256)));
        text.extend_from_slice(bytes.get(..kept).unwrap_or_default());
        Self::Query {
            text,
            truncated: !complete || kept < bytes.len(),
        }
    }

    pub(crate) fn statement(bytes: &[u8], complete: bool) -> Self {
        let kept = kept(bytes, complete);
        Self::Statement(Rc::new(Statement {
            text: bytes.get(..kept).unwrap_or_default().into(),
            truncated: !complete || kept < bytes.len(),
        }))
    }

    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Unknown => None,
            Self::Query { text, .. } => Some(text),
            Self::Statement(statement) => Some(&statement.text),
        }
    }

    pub(crate) fn is_truncated(&self) -> bool {
        match self {
            Self::Unknown => false,
            Self::Query { truncated, .. } => *truncated,
            Self::Statement(statement) => statement.truncated,
        }
    }

    /// Gives its buffer back.
    pub(crate) fn recycle(self) {
        if let Self::Query { mut text, .. } = self
            && text.capacity() <= SPARE_BUFFER_BYTES
        {
            text.clear();
            SPARE.with_borrow_mut(|spare| {
                if spare.len() < SPARE_BUFFERS {
                    spare.push(text);
                }
            });
        }
    }
}

thread_local! {
    /// An idle connection holds no buffer, and a busy one need not allocate for each query.
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_a_character_and_never_grows_beyond_the_limit() {
        let long = "é".repeat(TEXT_BYTES);
        let cut = Text::query(long.as_bytes(), true);
        assert!(cut.is_truncated() && cut.bytes().map(<[u8]>::len) == Some(TEXT_BYTES));
        let binary = Text::statement(&vec![0xff; TEXT_BYTES], true);
        assert!(binary.is_truncated());
        assert!(
            binary
                .bytes()
                .is_some_and(|text| text.len() * 3 <= TEXT_BYTES)
        );
        let partial = Text::query(&[b'a', 0xc3], false);
        assert_eq!(
            (partial.bytes(), partial.is_truncated()),
            (Some(&b"a"[..]), true)
        );
        assert_eq!(Text::query(b"a\xffb", true).bytes(), Some(&b"a\xffb"[..]));
    }
}
