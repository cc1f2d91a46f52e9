//! The texts of prepared statements and portals, bounded.

use std::collections::HashMap;
use std::rc::Rc;

use crate::limits::{STATEMENT_BYTES, STATEMENTS, TEXT_BYTES};

/// Text of a statement.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) text: Box<[u8]>,
    /// It was longer.
    pub(crate) truncated: bool,
}

impl Statement {
    /// Keeps as much of a text as a span may carry, where what is not UTF-8 takes three bytes.
    pub(crate) fn new(text: &[u8], complete: bool) -> Rc<Self> {
        if complete && text.len() <= TEXT_BYTES / 3 {
            return Rc::new(Self {
                text: text.into(),
                truncated: false,
            });
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
            if chunk.invalid().is_empty()
                || shown + 3 > TEXT_BYTES
                || (!complete && end == text.len())
            {
                break;
            }
            shown += 3;
            kept = end;
        }
        Rc::new(Self {
            text: text.get(..kept).unwrap_or_default().into(),
            truncated: !complete || kept < text.len(),
        })
    }
}

/// A name that was too long to be kept is unknown.
pub(crate) type Name = Option<Box<[u8]>>;

/// What is known of a text.
pub(crate) type Known = Option<Rc<Statement>>;

#[derive(Debug)]
struct Entry {
    statement: Rc<Statement>,
    used: u64,
}

/// Texts by name. The least recently used are dropped when there are too many.
#[derive(Debug, Default)]
pub(crate) struct Table {
    entries: HashMap<Box<[u8]>, Entry>,
    bytes: usize,
    clock: u64,
}

impl Table {
    pub(crate) fn get(&mut self, name: &[u8]) -> Known {
        self.clock = self.clock.wrapping_add(1);
        let entry = self.entries.get_mut(name)?;
        entry.used = self.clock;
        Some(Rc::clone(&entry.statement))
    }

    pub(crate) fn set(&mut self, name: Box<[u8]>, statement: Rc<Statement>) {
        self.remove(&name);
        self.clock = self.clock.wrapping_add(1);
        self.bytes = self.bytes.saturating_add(weight(&name, &statement));
        let used = self.clock;
        self.entries.insert(name, Entry { statement, used });
        if self.entries.len() > STATEMENTS || self.bytes > STATEMENT_BYTES {
            self.drop_oldest();
        }
    }

    pub(crate) fn remove(&mut self, name: &[u8]) {
        // With simple queries it always is, and hashing is not free.
        if self.entries.is_empty() {
            return;
        }
        if let Some((name, entry)) = self.entries.remove_entry(name) {
            self.bytes = self.bytes.saturating_sub(weight(&name, &entry.statement));
        }
    }

    pub(crate) fn clear(&mut self) {
        if !self.entries.is_empty() {
            self.entries = HashMap::new();
            self.bytes = 0;
        }
    }

    /// Some at a time, so that finding them costs little for each that is added.
    fn drop_oldest(&mut self) {
        let mut ages: Vec<u64> = self.entries.values().map(|entry| entry.used).collect();
        ages.sort_unstable();
        let (entries, bytes) = (STATEMENTS / 8 * 7, STATEMENT_BYTES / 8 * 7);
        while self.entries.len() > entries || self.bytes > bytes {
            let eighth = (ages.len() / 8).max(1).min(ages.len());
            let Some(limit) = eighth.checked_sub(1).and_then(|at| ages.get(at).copied()) else {
                return;
            };
            ages.drain(..eighth);
            let mut freed = 0_usize;
            self.entries.retain(|name, entry| {
                let keep = entry.used > limit;
                if !keep {
                    freed = freed.saturating_add(weight(name, &entry.statement));
                }
                keep
            });
            self.bytes = self.bytes.saturating_sub(freed);
        }
    }
}

fn weight(name: &[u8], statement: &Statement) -> usize {
    name.len().saturating_add(statement.text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_thousand_statements_stay_within_the_limits() {
        let mut table = Table::default();
        for n in 0..100_000_u32 {
            let name: Box<[u8]> = n.to_be_bytes().into();
            table.set(
                name,
                Statement::new(&vec![b'x'; 1 + n as usize % 900], true),
            );
            assert!(table.entries.len() <= STATEMENTS && table.bytes <= STATEMENT_BYTES);
        }
        assert!(table.get(&99_999_u32.to_be_bytes()).is_some());
        assert!(table.get(&0_u32.to_be_bytes()).is_none());
        let sum: usize = table
            .entries
            .iter()
            .map(|(n, e)| weight(n, &e.statement))
            .sum();
        assert_eq!(sum, table.bytes);
    }

    #[test]
    fn a_text_is_cut_at_a_character_and_never_grows_beyond_the_limit() {
        let long = "é".repeat(TEXT_BYTES);
        let cut = Statement::new(long.as_bytes(), true);
        assert!(cut.truncated && cut.text.len() == TEXT_BYTES);
        let binary = Statement::new(&vec![0xff; TEXT_BYTES], true);
        assert!(binary.truncated && binary.text.len() * 3 <= TEXT_BYTES);
        let partial = Statement::new(&[b'a', 0xc3], false);
        assert_eq!((&*partial.text, partial.truncated), (&b"a"[..], true));
        assert_eq!(&*Statement::new(b"a\xffb", true).text, b"a\xffb");
    }
}
