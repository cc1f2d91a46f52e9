//! The TCP connections of a capture.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use xxhash_rust::xxh3::Xxh3;

use super::conversation::{Belongs, Conversation};
use super::roles::{Perspective, Side};
use super::segment::Segment;
use crate::event::{ConnectionKey, Nanos, SocketEvent};

/// Connections that are followed at a time; those without a packet for the longest time are
/// forgotten first.
const CONVERSATION_LIMIT: usize = 65_536;

/// Of a full table, this part is forgotten at once.
const FORGOTTEN_PART: usize = 16;

/// How long after its end a connection may still show segments that were late or sent again.
const LINGER: Nanos = 10_000_000_000;

/// How long after that its segments are still known as its own: captures may repeat old packets.
const REMEMBER: Nanos = 120_000_000_000;

/// Addresses of both ends, in order.
type Ends = (SocketAddr, SocketAddr);

#[derive(Debug)]
pub(super) struct Tracker {
    perspective: Perspective,
    table: HashMap<Ends, Conversation>,
    deadlines: BTreeSet<(Nanos, Ends)>,
    opened: u64,
    pub(super) forgotten: u64,
}

impl Tracker {
    pub(super) fn new(perspective: Perspective) -> Self {
        Self {
            perspective,
            table: HashMap::new(),
            deadlines: BTreeSet::new(),
            opened: 0,
            forgotten: 0,
        }
    }

    pub(super) fn segment(
        &mut self,
        segment: &Segment<'_>,
        now: Nanos,
        events: &mut Vec<SocketEvent>,
    ) {
        self.close_due(now, events);
        let (ends, from) = if segment.source < segment.destination {
            ((segment.source, segment.destination), Side::Low)
        } else {
            ((segment.destination, segment.source), Side::High)
        };
        let initial = match self
            .table
            .get_mut(&ends)
            .map(|known| known.belongs(from, segment))
        {
            Some(Belongs::Here) => None,
            Some(Belongs::Nowhere) => return,
            Some(Belongs::ToNext(initial)) => {
                self.close(ends, events);
                initial
            }
            None => None,
        };
        if !self.table.contains_key(&ends) {
            // A reset alone is the end of something that was not seen.
            if segment.rst {
                return;
            }
            self.make_room(events);
            let key = ConnectionKey {
                socket: hash(ends),
                generation: self.opened,
            };
            self.opened = self.opened.saturating_add(1);
            self.table
                .insert(ends, Conversation::new(key, ends, self.perspective, now));
        }
        let Some(conversation) = self.table.get_mut(&ends) else {
            return;
        };
        if let Some(initial) = initial {
            conversation.begin(from, initial);
        }
        conversation.take(from, segment, now, events);
        if conversation.deadline.is_none()
            && let Some(closed) = conversation.closed_at()
        {
            let deadline = closed.saturating_add(LINGER);
            conversation.deadline = Some(deadline);
            self.deadlines.insert((deadline, ends));
        }
    }

    /// Tells the end of what has ended long enough ago, and later forgets it.
    fn close_due(&mut self, now: Nanos, events: &mut Vec<SocketEvent>) {
        while let Some(&(deadline, ends)) = self.deadlines.first() {
            if deadline > now {
                break;
            }
            self.deadlines.remove(&(deadline, ends));
            let Some(conversation) = self.table.get_mut(&ends) else {
                continue;
            };
            let closed = conversation.closed_at().unwrap_or_default();
            let forget = closed.saturating_add(REMEMBER);
            if deadline >= forget {
                self.table.remove(&ends);
            } else {
                conversation.close(events);
                conversation.deadline = Some(forget);
                self.deadlines.insert((forget, ends));
            }
        }
    }

    fn close(&mut self, ends: Ends, events: &mut Vec<SocketEvent>) {
        if let Some(mut conversation) = self.table.remove(&ends) {
            if let Some(deadline) = conversation.deadline {
                self.deadlines.remove(&(deadline, ends));
            }
            conversation.close(events);
        }
    }

    fn make_room(&mut self, events: &mut Vec<SocketEvent>) {
        if self.table.len() < CONVERSATION_LIMIT {
            return;
        }
        let mut ages: Vec<(Nanos, Ends)> = self
            .table
            .iter()
            .map(|(ends, conversation)| (conversation.last_time, *ends))
            .collect();
        ages.sort_unstable();
        for (_, ends) in ages.into_iter().take(CONVERSATION_LIMIT / FORGOTTEN_PART) {
            self.close(ends, events);
            self.forgotten = self.forgotten.saturating_add(1);
        }
    }

    /// The capture is over: closes what has ended; the rest was cut off.
    pub(super) fn finish(&mut self, events: &mut Vec<SocketEvent>) {
        self.close_due(Nanos::MAX, events);
    }
}

/// The same for both directions of a connection.
fn hash(ends: Ends) -> u64 {
    let mut hash = Xxh3::new();
    for end in [ends.0, ends.1] {
        match end.ip() {
            IpAddr::V4(address) => hash.update(&address.octets()),
            IpAddr::V6(address) => hash.update(&address.octets()),
        }
        hash.update(&end.port().to_be_bytes());
    }
    hash.digest()
}
