//! The connections of a parser instance, by number.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::stream::{Resting, Stream};

/// A table that once was larger is given back when it is emptier than one in this many.
const SHRINK_BELOW: usize = 8;

/// Tables smaller than this are not worth shrinking.
const SHRINK_ABOVE: usize = 1024;

/// State of one connection while its events are handled: the parser's, and how far each side is.
#[derive(Debug)]
pub(crate) struct Slot<P> {
    pub(crate) kept: Box<Kept<P>>,
    pub(crate) streams: [Stream; 2],
    pub(crate) done: bool,
}

/// What is kept of it from batch to batch. A node has ten thousands of connections that carry nothing just
/// now, and of their sides little is left to be remembered.
#[derive(Debug)]
pub(crate) struct Kept<P> {
    pub(crate) parser: P,
    sides: [Resting; 2],
    more: [Option<Box<Stream>>; 2],
}

impl<P> Slot<P> {
    pub(crate) fn new(parser: P, streams: [Stream; 2], done: bool) -> Self {
        let kept = Box::new(Kept {
            parser,
            sides: Default::default(),
            more: [None, None],
        });
        Self {
            kept,
            streams,
            done,
        }
    }

    fn resumed(mut kept: Box<Kept<P>>) -> Self {
        let [client, server] = &mut kept.more;
        let [client_side, server_side] = kept.sides;
        let streams = [
            Stream::resumed(client_side, client.take()),
            Stream::resumed(server_side, server.take()),
        ];
        Self {
            kept,
            streams,
            done: false,
        }
    }

    fn rest(self) -> Box<Kept<P>> {
        let Self {
            mut kept, streams, ..
        } = self;
        for ((side, more), stream) in kept.sides.iter_mut().zip(&mut kept.more).zip(streams) {
            match stream.rest() {
                Some(resting) => *side = resting,
                None => *more = Some(Box::new(stream)),
            }
        }
        kept
    }
}

#[derive(Debug)]
pub(crate) struct Connections<P> {
    // Boxed: the table is moved when it grows. `None`: its events are being handled.
    slots: HashMap<u64, Option<Box<Kept<P>>>, BuildHasherDefault<NumberHasher>>,
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
    pub(crate) fn take(&mut self, conn: u64) -> Option<Slot<P>> {
        self.slots.get_mut(&conn)?.take().map(Slot::resumed)
    }

    /// Puts it back; without any, the connection is gone.
    pub(crate) fn put(&mut self, conn: u64, slot: Option<Slot<P>>) {
        if let Some(slot) = slot {
            self.slots.insert(conn, Some(slot.rest()));
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
