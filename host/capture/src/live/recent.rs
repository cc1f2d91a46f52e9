//! A set that forgets.

use std::collections::HashSet;

use crate::event::ConnectionKey;

/// Connections that something was heard of lately.
///
/// What ends a connection may be lost on its way from the kernel, so a plain set would grow for as
/// long as the agent lives. This one has two generations: when the newer one is full the older one
/// is forgotten. Whatever is asked for is renewed, so that only what was idle while `capacity` others
/// were used can be forgotten.
#[derive(Debug)]
pub(super) struct RecentSet {
    newer: HashSet<ConnectionKey>,
    older: HashSet<ConnectionKey>,
    capacity: usize,
}

impl RecentSet {
    /// Holds the last `capacity` connections at least, and twice as many at the most.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            newer: HashSet::new(),
            older: HashSet::new(),
            capacity,
        }
    }

    pub(super) fn insert(&mut self, key: ConnectionKey) {
        self.older.remove(&key);
        if self.newer.len() >= self.capacity && !self.newer.contains(&key) {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(key);
    }

    /// Whether it is known, which renews it.
    pub(super) fn contains(&mut self, key: &ConnectionKey) -> bool {
        if self.newer.contains(key) {
            return true;
        }
        let known = self.older.contains(key);
        if known {
            self.insert(*key);
        }
        known
    }

    /// Whether it was known.
    pub(super) fn remove(&mut self, key: &ConnectionKey) -> bool {
        self.newer.remove(key) | self.older.remove(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> ConnectionKey {
        ConnectionKey {
            socket: number,
            generation: 1,
        }
    }

    #[test]
    fn what_is_used_stays_and_what_is_idle_goes() {
        let mut set = RecentSet::new(100);
        set.insert(key(0));
        for number in 1..10_000 {
            set.insert(key(number));
            assert!(set.contains(&key(0)), "used all the time");
            assert!(set.newer.len() + set.older.len() <= 200);
        }
        assert!(set.contains(&key(9_999)));
        assert!(!set.contains(&key(5)));
        assert!(set.remove(&key(0)));
        assert!(!set.remove(&key(0)));
        assert!(!set.contains(&key(0)));
    }
}
