//! The texts of prepared statements, bounded.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::limits::{STATEMENT_BYTES, STATEMENTS};
use crate::text::{Statement, Text};

#[derive(Debug)]
struct Entry {
    statement: Rc<Statement>,
    used: u64,
}

/// Texts by the number that the server gave. The least recently used are dropped when there are too
/// many. A tree: the server chooses the numbers, and the few that are usual fit one node.
#[derive(Debug, Default)]
pub(crate) struct Statements {
    entries: BTreeMap<u32, Entry>,
    bytes: usize,
    clock: u64,
}

impl Statements {
    pub(crate) fn get(&mut self, id: u32) -> Text {
        self.clock = self.clock.wrapping_add(1);
        match self.entries.get_mut(&id) {
            Some(entry) => {
                entry.used = self.clock;
                Text::Statement(Rc::clone(&entry.statement))
            }
            None => Text::Unknown,
        }
    }

    pub(crate) fn set(&mut self, id: u32, statement: Rc<Statement>) {
        self.remove(id);
        self.clock = self.clock.wrapping_add(1);
        self.bytes = self.bytes.saturating_add(statement.text.len());
        let used = self.clock;
        self.entries.insert(id, Entry { statement, used });
        if self.entries.len() > STATEMENTS || self.bytes > STATEMENT_BYTES {
            self.drop_oldest();
        }
    }

    pub(crate) fn remove(&mut self, id: u32) {
        if let Some(entry) = self.entries.remove(&id) {
            self.bytes = self.bytes.saturating_sub(entry.statement.text.len());
        }
    }

    pub(crate) fn clear(&mut self) {
        self.entries = BTreeMap::new();
        self.bytes = 0;
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
            self.entries.retain(|_, entry| {
                let keep = entry.used > limit;
                if !keep {
                    freed = freed.saturating_add(entry.statement.text.len());
                }
                keep
            });
            self.bytes = self.bytes.saturating_sub(freed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_thousand_statements_stay_within_the_limits() {
        let mut statements = Statements::default();
        for id in 0..100_000_u32 {
            let Text::Statement(text) = Text::statement(&vec![b'x'; 1 + id as usize % 900], true)
            else {
                panic!("a statement")
            };
            statements.set(id, text);
            assert!(statements.entries.len() <= STATEMENTS);
            assert!(statements.bytes <= STATEMENT_BYTES);
        }
        assert!(statements.get(99_999).bytes().is_some());
        assert!(statements.get(0).bytes().is_none());
        let sum: usize = statements
            .entries
            .values()
            .map(|e| e.statement.text.len())
            .sum();
        assert_eq!(sum, statements.bytes);
    }
}
