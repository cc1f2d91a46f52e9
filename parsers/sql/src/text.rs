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
pub struct Statement {
    pub text: Box<[u8]>,
    /// It was longer.
    pub truncated: bool,
}

impl Statement {
    /// A text whose bytes are here, all of them when `complete`.
    #[must_use]
    pub fn new(bytes: &[u8], complete: bool) -> Rc<Self> {
        let kept = kept(bytes, complete);
        Rc::new(Self {
            text: bytes.get(..kept).unwrap_or_default().into(),
            truncated: !complete || kept < bytes.len(),
        })
    }
}

/// What is known of a statement that may have been prepared.
pub type Known = Option<Rc<Statement>>;

/// What is known of a text.
#[derive(Debug, Default)]
pub enum Text {
    #[default]
    Unknown,
    /// Of a query; goes back to the spare buffers when it is dropped by [`Text::recycle`].
    Query {
        text: Vec<u8>,
        truncated: bool,
    },
    Statement(Rc<Statement>),
}

impl Text {
    /// The text of a query whose bytes are here, all of them when `complete`.
    #[must_use]
    pub fn query(bytes: &[u8], complete: bool) -> Self {
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

    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Unknown => None,
            Self::Query { text, .. } => Some(text),
            Self::Statement(statement) => Some(&statement.text),
        }
    }

    #[must_use]
    pub fn is_truncated(&self) -> bool {
        match self {
            Self::Unknown => false,
            Self::Query { truncated, .. } => *truncated,
            Self::Statement(statement) => statement.truncated,
        }
    }

    /// Bytes of it that are held.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.bytes().map_or(0, <[u8]>::len)
    }

    /// The same to be kept by name.
    #[must_use]
    pub fn known(&self) -> Known {
        match self {
            Self::Unknown => None,
            Self::Query { text, truncated } => Some(Rc::new(Statement {
                text: text.as_slice().into(),
                truncated: *truncated,
            })),
            Self::Statement(statement) => Some(Rc::clone(statement)),
        }
    }

    /// Gives its buffer back.
    pub fn recycle(self) {
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

impl From<Known> for Text {
    fn from(known: Known) -> Self {
        known.map_or(Self::Unknown, Self::Statement)
    }
}

thread_local! {
    /// An idle connection holds no buffer, and a busy one need not allocate for each query.
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Control characters are in no statement that is written by anyone.
#[must_use]
pub fn is_plain(text: &[u8]) -> bool {
    text.iter()
        .all(|&b| b >= b' ' || matches!(b, b'\t' | b'\n' | b'\r' | 0x0c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_a_character_and_never_grows_beyond_the_limit() {
        let long = "é".repeat(TEXT_BYTES);
        let cut = Text::query(long.as_bytes(), true);
        assert!(cut.is_truncated() && cut.bytes().map(<[u8]>::len) == Some(TEXT_BYTES));
        let binary = Statement::new(&vec![0xff; TEXT_BYTES], true);
        assert!(binary.truncated && binary.text.len() * 3 <= TEXT_BYTES);
        let partial = Text::query(&[b'a', 0xc3], false);
        assert_eq!(
            (partial.bytes(), partial.is_truncated()),
            (Some(&b"a"[..]), true)
        );
        assert_eq!(Text::query(b"a\xffb", true).bytes(), Some(&b"a\xffb"[..]));
    }

    #[test]
    fn a_query_is_kept_as_it_is() {
        let known = Text::query(b"select 1", true).known();
        let text = Text::from(known);
        assert_eq!(text.bytes(), Some(&b"select 1"[..]));
        assert!(!text.is_truncated() && text.weight() == 8);
    }
}
