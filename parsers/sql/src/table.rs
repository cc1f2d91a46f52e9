//! The texts of prepared statements and portals, bounded.

use std::borrow::Borrow;
use std::rc::Rc;

use crate::limits::{STATEMENT_BYTES, STATEMENTS};
use crate::text::{Known, Statement};

/// What texts are kept by.
pub trait Name: Ord {
    /// Bytes that it takes beside the text.
    fn weight(&self) -> usize;
}

impl Name for u32 {
    fn weight(&self) -> usize {
        0
    }
}

impl Name for Box<[u8]> {
    fn weight(&self) -> usize {
        self.len()
    }
}

#[derive(Debug)]
struct Entry<K> {
    name: K,
    statement: Rc<Statement>,
    used: u64,
}

impl<K: Name> Entry<K> {
    fn weight(&self) -> usize {
        self.name.weight().saturating_add(self.statement.text.len())
    }
}

/// Texts by name. The least recently used are dropped when there are too many. A list in order: the
/// peers choose the names, so that nothing may depend on how they hash, and most connections have few.
#[derive(Debug)]
pub struct Table<K> {
    entries: Vec<Entry<K>>,
    bytes: usize,
    clock: u64,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            bytes: 0,
            clock: 0,
        }
    }
}

impl<K: Name> Table<K> {
    pub fn get<Q: Ord + ?Sized>(&mut self, name: &Q) -> Known
    where
        K: Borrow<Q>,
    {
        let at = self.find(name).ok()?;
        self.clock = self.clock.wrapping_add(1);
        let entry = self.entries.get_mut(at)?;
        entry.used = self.clock;
        Some(Rc::clone(&entry.statement))
    }

    pub fn set(&mut self, name: K, statement: Rc<Statement>) {
        self.clock = self.clock.wrapping_add(1);
        let entry = Entry {
            name,
            statement,
            used: self.clock,
        };
        self.bytes = self.bytes.saturating_add(entry.weight());
        match self.find(&entry.name) {
            Ok(at) => {
                if let Some(old) = self.entries.get_mut(at) {
                    self.bytes = self.bytes.saturating_sub(old.weight());
                    *old = entry;
                }
            }
            Err(at) => self.entries.insert(at, entry),
        }
        if self.entries.len() > STATEMENTS || self.bytes > STATEMENT_BYTES {
            self.drop_oldest();
        }
    }

    pub fn remove<Q: Ord + ?Sized>(&mut self, name: &Q)
    where
        K: Borrow<Q>,
    {
        if let Ok(at) = self.find(name) {
            let weight = self.entries.remove(at).weight();
            self.bytes = self.bytes.saturating_sub(weight);
        }
    }

    pub fn clear(&mut self) {
        self.entries = Vec::new();
        self.bytes = 0;
    }

    fn find<Q: Ord + ?Sized>(&self, name: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        self.entries
            .binary_search_by(|entry| entry.name.borrow().cmp(name))
    }

    /// Some at a time, so that finding them costs little for each that is added.
    fn drop_oldest(&mut self) {
        let mut ages: Vec<u64> = self.entries.iter().map(|entry| entry.used).collect();
        ages.sort_unstable();
        let (entries, bytes) = (STATEMENTS / 8 * 7, STATEMENT_BYTES / 8 * 7);
        while self.entries.len() > entries || self.bytes > bytes {
            let eighth = (ages.len() / 8).max(1).min(ages.len());
            let Some(limit) = eighth.checked_sub(1).and_then(|at| ages.get(at).copied()) else {
                return;
            };
            ages.drain(..eighth);
            let mut freed = 0_usize;
            self.entries.retain(|entry| {
                let keep = entry.used > limit;
                if !keep {
                    freed = freed.saturating_add(entry.weight());
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

    fn holds<K: Name>(name: impl Fn(u32) -> K) {
        let mut table = Table::default();
        for n in 0..100_000_u32 {
            let text = vec![b'x'; 1 + n as usize % 900];
            table.set(name(n), Statement::new(&text, true));
            assert!(table.entries.len() <= STATEMENTS && table.bytes <= STATEMENT_BYTES);
        }
        assert!(table.get(&name(99_999)).is_some());
        assert!(table.get(&name(0)).is_none());
        let weights = table.entries.iter().map(Entry::weight);
        assert_eq!(weights.sum::<usize>(), table.bytes);
    }

    #[test]
    fn a_hundred_thousand_statements_stay_within_the_limits() {
        holds(|n| n);
        holds(|n| Box::<[u8]>::from(n.to_be_bytes()));
    }
}
