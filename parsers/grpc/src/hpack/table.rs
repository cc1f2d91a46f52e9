//! The dynamic table (RFC 7541, 2.3.2 and 4).

use std::collections::VecDeque;
use std::ops::Range;

use super::Name;
use crate::limits::{TABLE_BYTES, TABLE_ENTRIES};

/// Size of the table at the start of a connection (RFC 9113, 6.5.2).
pub(crate) const DEFAULT_TABLE_BYTES: u32 = 4096;

/// What every entry costs beside its name and value (RFC 7541, 4.1).
pub(crate) const ENTRY_BYTES: u32 = 32;

/// The table grows by at least this many entries, and this many bytes of text: it is to be no
/// larger than it must, since thousands of idle connections each have two.
const MORE_ENTRIES: usize = 16;
const MORE_BYTES: usize = 256;

/// An entry. What is kept of its text lies in the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Where its text begins, counted from the first text that was ever kept; it may wrap.
    at: u32,
    /// Bytes of its text.
    text_bytes: u32,
    /// By the rules of the table; at least this, where the name is unknown.
    size: u32,
    /// Length of the name; 0 where it is unknown. Longer ones than a `u16` holds fit into no table.
    name_bytes: u16,
    pub(crate) name: Name,
    kept: bool,
}

impl Entry {
    /// Length of the name; 0 where it is unknown.
    pub(crate) fn name_bytes(&self) -> u32 {
        u32::from(self.name_bytes)
    }
}

/// What an index stands for.
#[derive(Debug)]
pub(crate) enum Lookup {
    Entry(Entry),
    /// An entry that was never seen. Its number is the same as long as it lives: 1 for the one that
    /// was newest when the reader joined, and so on to the oldest.
    Unknown(u64),
    /// There cannot be such an entry.
    Invalid,
}

#[derive(Debug)]
pub(crate) struct Table {
    /// The newest first.
    entries: VecDeque<Entry>,
    /// The texts of the entries, in the order of their insertion, behind those of entries that were
    /// dropped since the last tidying.
    text: Vec<u8>,
    /// Bytes at the beginning of `text` that no entry needs.
    dead: usize,
    /// What the first byte of `text` counts.
    base: u32,
    /// Sum of the entries' sizes.
    size: u32,
    /// Largest size; unknown after joining.
    max: Option<u32>,
    /// There may be older entries than those here.
    has_unseen: bool,
    /// Entries inserted since the reader joined.
    inserted: u64,
}

impl Table {
    /// Of a connection that is seen from its beginning.
    pub(crate) fn new() -> Self {
        Self {
            max: Some(DEFAULT_TABLE_BYTES),
            has_unseen: false,
            ..Self::joined()
        }
    }

    /// Of a connection whose past is unknown.
    pub(crate) fn joined() -> Self {
        Self {
            entries: VecDeque::new(),
            text: Vec::new(),
            dead: 0,
            base: 0,
            size: 0,
            max: None,
            has_unseen: true,
            inserted: 0,
        }
    }

    /// `index` counts from 0, the newest entry.
    pub(crate) fn get(&self, index: u32) -> Lookup {
        if let Some(&entry) = self.entries.get(index as usize) {
            return Lookup::Entry(entry);
        }
        let most = self.max.map_or(u32::MAX, |max| max / ENTRY_BYTES);
        let number = u64::from(index)
            .saturating_add(1)
            .checked_sub(self.inserted);
        match number {
            Some(number) if self.has_unseen && index < most => Lookup::Unknown(number),
            // It was seen, and dropped for the sake of a limit.
            None if self.has_unseen && index < most => Lookup::Unknown(0),
            _ => Lookup::Invalid,
        }
    }

    /// The text of an entry, if it is kept.
    pub(crate) fn text(&self, entry: &Entry) -> Option<&[u8]> {
        let from = entry.at.wrapping_sub(self.base) as usize;
        let to = from.saturating_add(entry.text_bytes as usize);
        self.text.get(from..to).filter(|_| entry.kept)
    }

    /// Where the text of the next entry is to be put, with room for `most` bytes, and from where on.
    /// What is put there belongs to the entry that is inserted next.
    pub(crate) fn room(&mut self, most: usize) -> (&mut Vec<u8>, usize) {
        let free = |text: &Vec<u8>| text.capacity().saturating_sub(text.len());
        if free(&self.text) < most {
            if self.dead >= self.text.len() / 8 {
                self.tidy();
            }
            if free(&self.text) < most {
                let step = (self.text.len() / 8).max(MORE_BYTES).max(most);
                self.text.reserve_exact(step);
            }
        }
        let at = self.text.len();
        (&mut self.text, at)
    }

    /// What was put into the table's text from `at` on.
    pub(crate) fn put(&self, range: Range<usize>) -> &[u8] {
        self.text.get(range).unwrap_or_default()
    }

    /// Takes back what was put there from `at` on: it belongs to no entry.
    pub(crate) fn take_back(&mut self, at: usize) {
        self.text.truncate(at);
    }

    /// Adds an entry. Its text begins at `at` of the text, if it is `kept`.
    pub(crate) fn insert(
        &mut self,
        name: Name,
        name_bytes: u32,
        value_bytes: usize,
        kept: Option<usize>,
    ) {
        let value_bytes = u32::try_from(value_bytes).unwrap_or(u32::MAX);
        let size = value_bytes
            .saturating_add(name_bytes)
            .saturating_add(ENTRY_BYTES);
        self.inserted = self.inserted.saturating_add(1);
        let room = self.max.map(|max| max.checked_sub(size));
        if room == Some(None) {
            // Larger than the table: it empties it (RFC 7541, 4.4).
            self.clear();
            return;
        }
        self.evict_to(room.flatten().unwrap_or(u32::MAX));
        self.size = self.size.saturating_add(size);
        let at = kept.unwrap_or(self.text.len());
        let text_bytes = self.text.len().saturating_sub(at);
        if self.entries.len() == self.entries.capacity() {
            let step = (self.entries.len() / 4).max(MORE_ENTRIES);
            self.entries.reserve_exact(step);
        }
        self.entries.push_front(Entry {
            at: self.base.wrapping_add(at as u32),
            text_bytes: u32::try_from(text_bytes).unwrap_or(u32::MAX),
            size,
            name_bytes: u16::try_from(name_bytes).unwrap_or(u16::MAX),
            name,
            kept: kept.is_some(),
        });
        while self.entries.len() > TABLE_ENTRIES
            || self.text.len().saturating_sub(self.dead) > TABLE_BYTES
        {
            self.has_unseen = true;
            self.drop_oldest();
        }
    }

    pub(crate) fn resize(&mut self, max: u32) {
        self.max = Some(max);
        if max == 0 {
            // Nothing that was unseen is left.
            self.clear();
        }
        self.evict_to(max);
    }

    /// Gives back what it does not need.
    pub(crate) fn shrink(&mut self) {
        self.tidy();
        self.text.shrink_to_fit();
        self.entries.shrink_to_fit();
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.size = 0;
        self.has_unseen = false;
        self.dead = self.text.len();
        self.tidy();
    }

    /// Moves what is needed of the text to its beginning.
    fn tidy(&mut self) {
        self.text.drain(..self.dead);
        self.base = self.base.wrapping_add(self.dead as u32);
        self.dead = 0;
    }

    /// Unseen entries are older than those here, and go first: what is here goes only when it
    /// would not fit alone.
    fn evict_to(&mut self, size: u32) {
        while self.size > size && !self.entries.is_empty() {
            self.drop_oldest();
            self.has_unseen = false;
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(entry) = self.entries.pop_back() {
            self.size = self.size.saturating_sub(entry.size);
            self.dead = self.dead.saturating_add(entry.text_bytes as usize);
        }
    }
}
