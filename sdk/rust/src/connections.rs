//! The connections of a parser instance, by number.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::stream::Stream;

/// A table that once was larger is given back when it is emptier than one in this many.
const SHRINK_BELOW: usize = 8;

/// Tables smaller than this are not worth shrinking.
const SHRINK_ABOVE: usize = 1024;

/// State of one connection: the parser's, and how far each side is.
#[derive(Debug)]
pub(crate) struct Slot<P> {
    pub(crate) parser: P,
    pub(crate) streams: [Stream; 2],
    pub(crate) done: bool,
}

#[derive(Debug)]
pub(crate) struct Connections<P> {
    // Boxed: the table is moved when it grows. `None`: its events are being handled.
    slots: HashMap<u64, Option<Box<Slot<P>>>, BuildHasherDefault<NumberHasher>>,
}

impl<P> Default for Connections<P> {
    fn default() -> Self {
        Self {
            slots: HashMap::default(),
        }
    }
}

impl<P> Connections<P> {
    /// Takes the state of a connection while its events are handled; its place is kept.
    pub(crate) fn take(&mut self, conn: u64) -> Option<Box<Slot<P>>> {
        self.slots.get_mut(&conn)?.take()
    }

    /// Puts it back; without any, the connection is gone.
    pub(crate) fn put(&mut self, conn: u64, slot: Option<Box<Slot<P>>>) {
        if slot.is_some() {
            self.slots.insert(conn, slot);
            return;
        }
        self.slots.remove(&conn);
        let len = self.slots.len();
        if self.slots.capacity() > SHRINK_ABOVE.max(len.saturating_mul(SHRINK_BELOW)) {
            self.slots.shrink_to(len.saturating_mul(2));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }
}

/// The host numbers connections itself, densely: nobody outside chooses the keys.
#[derive(Debug, Default)]
pub(crate) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // Fibonacci hashing: the table takes its index from the low bits, its tag from the high.
        let mixed = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
