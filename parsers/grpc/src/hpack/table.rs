//! The dynamic table (RFC 7541, 2.3.2 and 4).

use std::collections::VecDeque;
use std::rc::Rc;

use super::Name;
use crate::limits::{TABLE_BYTES, TABLE_ENTRIES};

/// Size of the table at the start of a connection (RFC 9113, 6.5.2).
pub(crate) const DEFAULT_TABLE_BYTES: u32 = 4096;

/// What every entry costs beside its name and value (RFC 7541, 4.1).
pub(crate) const ENTRY_BYTES: u32 = 32;

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: Name,
    /// Length of the name; 0 where it is unknown.
    pub(crate) name_bytes: u32,
    /// By the rules of the table; at least this, where the name is unknown.
    pub(crate) size: u32,
    /// Kept for the names of interest only.
    pub(crate) value: Option<Rc<[u8]>>,
}

/// What an index stands for.
#[derive(Debug)]
pub(crate) enum Lookup<'a> {
    Entry(&'a Entry),
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
    /// Sum of their sizes.
    size: u32,
    /// Bytes of the values that are kept.
    kept: usize,
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
            size: 0,
            kept: 0,
            max: None,
            has_unseen: true,
            inserted: 0,
        }
    }

    /// `index` counts from 0, the newest entry.
    pub(crate) fn get(&self, index: u32) -> Lookup<'_> {
        if let Some(entry) = self.entries.get(index as usize) {
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

    pub(crate) fn insert(&mut self, entry: Entry) {
        self.inserted = self.inserted.saturating_add(1);
        let room = self.max.map(|max| max.checked_sub(entry.size));
        if room == Some(None) {
            // Larger than the table: it empties it (RFC 7541, 4.4).
            self.clear();
            return;
        }
        self.evict_to(room.flatten().unwrap_or(u32::MAX));
        self.size = self.size.saturating_add(entry.size);
        self.kept = self.kept.saturating_add(value_bytes(&entry));
        self.entries.push_front(entry);
        while self.entries.len() > TABLE_ENTRIES || self.kept > TABLE_BYTES {
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

    pub(crate) fn shrink(&mut self) {
        self.entries.shrink_to_fit();
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.size = 0;
        self.kept = 0;
        self.has_unseen = false;
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
            self.kept = self.kept.saturating_sub(value_bytes(&entry));
        }
    }
}

fn value_bytes(entry: &Entry) -> usize {
    entry.value.as_ref().map_or(0, |value| value.len())
}
