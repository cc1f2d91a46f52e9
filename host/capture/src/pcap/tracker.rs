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

/// Connections between the same addresses and ports at a time, in different tunnels.
const TWIN_LIMIT: usize = 64;

/// Addresses of both ends, in order.
type Ends = (SocketAddr, SocketAddr);

/// A connection in the table: its ends, and which of those between them.
type Place = (Ends, u64);

#[derive(Debug)]
pub(super) struct Tracker {
    perspective: Perspective,
    /// More than one where tunnels carry networks with the same addresses.
    table: HashMap<Ends, Vec<Conversation>>,
    len: usize,
    deadlines: BTreeSet<(Nanos, Place)>,
    opened: u64,
    pub(super) forgotten: u64,
}

impl Tracker {
    pub(super) fn new(perspective: Perspective) -> Self {
        Self {
            perspective,
            table: HashMap::new(),
            len: 0,
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
        let mut initial = None;
        let known = self.find(ends, from, segment);
        let known = known.and_then(|ordinal| {
            match self.conversation((ends, ordinal))?.belongs(from, segment) {
                Belongs::Here => Some(Some(ordinal)),
                Belongs::Nowhere => Some(None),
                Belongs::ToNext(number) => {
                    initial = number;
                    self.close((ends, ordinal), events);
                    None
                }
            }
        });
        let ordinal = match known {
            Some(Some(ordinal)) => ordinal,
            Some(None) => return,
            // A reset alone is the end of something that was not seen.
            None if segment.rst => return,
            None => self.begin(ends, segment, now, events),
        };
        let Some(conversation) = self.conversation((ends, ordinal)) else {
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
            self.deadlines.insert((deadline, (ends, ordinal)));
        }
    }

    /// The connection between these ends that was seen in the segment's tunnel, or that the segment
    /// shows to be in this one too.
    fn find(&mut self, ends: Ends, from: Side, segment: &Segment<'_>) -> Option<u64> {
        let twins = self.table.get_mut(&ends)?;
        let mut known = twins.iter().filter(|twin| twin.is_in(segment.tunnel));
        if let Some(known) = known.next_back() {
            return Some(known.ordinal());
        }
        let known = twins
            .iter_mut()
            .rev()
            .find(|twin| twin.is_seen_elsewhere(from, segment))?;
        known.add_tunnel(segment.tunnel);
        Some(known.ordinal())
    }

    fn begin(
        &mut self,
        ends: Ends,
        segment: &Segment<'_>,
        now: Nanos,
        events: &mut Vec<SocketEvent>,
    ) -> u64 {
        self.make_room(ends, events);
        let key = ConnectionKey {
            socket: hash(ends),
            generation: self.opened,
        };
        self.opened = self.opened.saturating_add(1);
        self.len = self.len.saturating_add(1);
        let conversation = Conversation::new(key, ends, self.perspective, segment, now);
        self.table.entry(ends).or_default().push(conversation);
        key.generation
    }

    fn conversation(&mut self, (ends, ordinal): Place) -> Option<&mut Conversation> {
        self.table
            .get_mut(&ends)?
            .iter_mut()
            .find(|conversation| conversation.ordinal() == ordinal)
    }

    fn remove(&mut self, (ends, ordinal): Place) -> Option<Conversation> {
        let twins = self.table.get_mut(&ends)?;
        let index = twins.iter().position(|twin| twin.ordinal() == ordinal)?;
        let conversation = twins.remove(index);
        if twins.is_empty() {
            self.table.remove(&ends);
        }
        self.len = self.len.saturating_sub(1);
        Some(conversation)
    }

    /// Tells the end of what has ended long enough ago, and later forgets it.
    fn close_due(&mut self, now: Nanos, events: &mut Vec<SocketEvent>) {
        while let Some(&(deadline, place)) = self.deadlines.first() {
            if deadline > now {
                break;
            }
            self.deadlines.remove(&(deadline, place));
            let Some(conversation) = self.conversation(place) else {
                continue;
            };
            let closed = conversation.closed_at().unwrap_or_default();
            let forget = closed.saturating_add(REMEMBER);
            if deadline >= forget {
                self.remove(place);
            } else {
                conversation.close(events);
                conversation.deadline = Some(forget);
                self.deadlines.insert((forget, place));
            }
        }
    }

    fn close(&mut self, place: Place, events: &mut Vec<SocketEvent>) {
        if let Some(mut conversation) = self.remove(place) {
            if let Some(deadline) = conversation.deadline {
                self.deadlines.remove(&(deadline, place));
            }
            conversation.close(events);
        }
    }

    fn make_room(&mut self, ends: Ends, events: &mut Vec<SocketEvent>) {
        if let Some(twins) = self.table.get(&ends)
            && twins.len() >= TWIN_LIMIT
            && let Some(oldest) = twins.iter().min_by_key(|twin| twin.last_time)
        {
            let oldest = oldest.ordinal();
            self.close((ends, oldest), events);
            self.forgotten = self.forgotten.saturating_add(1);
        }
        if self.len < CONVERSATION_LIMIT {
            return;
        }
        let mut ages: Vec<(Nanos, Place)> = self
            .table
            .iter()
            .flat_map(|(ends, twins)| {
                twins
                    .iter()
                    .map(|twin| (twin.last_time, (*ends, twin.ordinal())))
            })
            .collect();
        ages.sort_unstable();
        for (_, place) in ages.into_iter().take(CONVERSATION_LIMIT / FORGOTTEN_PART) {
            self.close(place, events);
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
