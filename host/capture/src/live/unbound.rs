//! Plaintext whose socket is not known yet.
//!
//! With memory BIOs plaintext can pass before its ciphertext reaches a socket: on connections that are
//! older than the probes, and only once on each. It is held for a while; when the kernel side finds the
//! socket it becomes that socket's, and else it is handed on without addresses.

use std::collections::HashMap;

use super::recent::RecentSet;
use crate::event::{ConnectionKey, Nanos, SocketEvent};

/// How long plaintext waits for its socket: the first answer on a connection tells it at the latest,
/// which on a busy machine takes a program with a thousand connections in one thread some seconds.
const PATIENCE: Nanos = 10_000_000_000;
/// Events that wait, and bytes of payload in them: some thousand connections that were open when the
/// capture began, with a request each.
const MAX_EVENTS: usize = 64 * 1024;
const MAX_BYTES: usize = 16 << 20;
/// Sockets that were found, and connections that were handed on without: records of theirs from other
/// rings come a few milliseconds later.
const MAX_KNOWN: usize = 64 * 1024;

/// What was told of one TLS object.
#[derive(Debug)]
struct Held {
    since: Nanos,
    bytes: usize,
    /// It has one direction only.
    half: bool,
    events: Vec<SocketEvent>,
}

/// What becomes of an event.
#[derive(Debug, PartialEq)]
pub(super) enum Fate {
    /// It goes on as it is.
    Passes,
    /// It goes on with this connection as its own.
    Belongs(ConnectionKey),
    Waits,
    /// Nobody may hear of it.
    Dropped,
}

#[derive(Debug)]
pub(super) struct Unbound {
    held: HashMap<ConnectionKey, Held>,
    events: usize,
    bytes: usize,
    /// Sockets by what stood in for them; `None`: nobody may hear of it.
    sockets: HashMap<ConnectionKey, Option<ConnectionKey>>,
    /// Handed on without a socket.
    unknown: RecentSet,
    /// Without a socket it cannot be known whether its ports are wanted.
    needs_socket: bool,
    /// Bytes that were dropped because of that.
    left_out: usize,
}

impl Unbound {
    pub(super) fn new(needs_socket: bool) -> Self {
        Self {
            held: HashMap::new(),
            events: 0,
            bytes: 0,
            sockets: HashMap::new(),
            unknown: RecentSet::new(MAX_KNOWN),
            needs_socket,
            left_out: 0,
        }
    }

    /// What becomes of an event of a TLS object without a socket.
    pub(super) fn fate(&mut self, key: &ConnectionKey) -> Fate {
        match self.sockets.get(key) {
            Some(Some(socket)) => Fate::Belongs(*socket),
            Some(None) => Fate::Dropped,
            None if self.unknown.contains(key) => Fate::Passes,
            None => Fate::Waits,
        }
    }

    pub(super) fn hold(&mut self, key: ConnectionKey, event: SocketEvent, now: Nanos) {
        let bytes = match &event {
            SocketEvent::Data(data) => data.bytes.len(),
            _ => 0,
        };
        let held = self.held.entry(key).or_insert(Held {
            since: now,
            bytes: 0,
            half: false,
            events: Vec::new(),
        });
        held.bytes = held.bytes.saturating_add(bytes);
        held.events.push(event);
        self.events = self.events.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// What is held has one direction only: without a socket it would look like requests without answers.
    pub(super) fn is_half(&mut self, key: &ConnectionKey) {
        if let Some(held) = self.held.get_mut(key) {
            held.half = true;
        }
    }

    /// Whether what was told of it waits for its socket.
    pub(super) fn waits(&self, key: &ConnectionKey) -> bool {
        self.held.contains_key(key)
    }

    /// The socket has been found, or is nobody's business. Hands out what was held for it.
    pub(super) fn found(
        &mut self,
        stand_in: ConnectionKey,
        socket: Option<ConnectionKey>,
    ) -> Vec<SocketEvent> {
        if self.sockets.len() >= MAX_KNOWN {
            // Stragglers of older ones are then held, and handed on or dropped like any other.
            self.sockets.clear();
        }
        self.sockets.insert(stand_in, socket);
        self.take(&stand_in)
    }

    /// Whether it was handed on without a socket, which it then was for the last time.
    pub(super) fn was_handed_on(&mut self, key: &ConnectionKey) -> bool {
        self.unknown.remove(key)
    }

    /// Hands out what has waited for too long, or is too much; `now` is the time up to which all has
    /// been heard.
    pub(super) fn expired(&mut self, now: Nanos) -> Vec<SocketEvent> {
        let mut keys: Vec<(Nanos, ConnectionKey)> = self
            .held
            .iter()
            .map(|(key, held)| (held.since, *key))
            .filter(|(since, _)| since.saturating_add(PATIENCE) <= now || self.is_full())
            .collect();
        keys.sort_unstable();
        let mut events = Vec::new();
        for (since, key) in keys {
            if since.saturating_add(PATIENCE) > now && !self.is_full() {
                break;
            }
            events.append(&mut self.give_up(key));
        }
        events
    }

    /// Hands out what is held for a TLS object that has ended.
    pub(super) fn give_up(&mut self, key: ConnectionKey) -> Vec<SocketEvent> {
        let before = self.bytes;
        let half = self.held.get(&key).is_some_and(|held| held.half);
        let events = self.take(&key);
        if self.needs_socket || half {
            let bytes = before.saturating_sub(self.bytes);
            self.left_out = self.left_out.saturating_add(bytes);
            return Vec::new();
        }
        self.unknown.insert(key);
        events
    }

    /// Bytes that were given up without being handed out, since this was asked last.
    pub(super) fn take_left_out(&mut self) -> usize {
        std::mem::take(&mut self.left_out)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    fn is_full(&self) -> bool {
        self.events > MAX_EVENTS || self.bytes > MAX_BYTES
    }

    fn take(&mut self, key: &ConnectionKey) -> Vec<SocketEvent> {
        let Some(held) = self.held.remove(key) else {
            return Vec::new();
        };
        self.events = self.events.saturating_sub(held.events.len());
        self.bytes = self.bytes.saturating_sub(held.bytes);
        held.events
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::event::{Data, Direction, Layer, Missing};

    fn key(socket: u64) -> ConnectionKey {
        ConnectionKey {
            socket,
            generation: 1,
        }
    }

    fn data(key: ConnectionKey, bytes: usize) -> SocketEvent {
        SocketEvent::Data(Data {
            key,
            direction: Direction::Sent,
            layer: Layer::Plaintext,
            position: 0,
            len: bytes as u64,
            bytes: Bytes::from(vec![0; bytes]),
            entry: 5,
            exit: 6,
            missing: Missing::Unwanted,
        })
    }

    #[test]
    fn what_waits_becomes_the_sockets_and_so_does_what_comes_later() {
        let mut unbound = Unbound::new(false);
        assert_eq!(unbound.fate(&key(1)), Fate::Waits);
        unbound.hold(key(1), data(key(1), 10), 100);
        unbound.hold(key(2), data(key(2), 10), 100);
        assert_eq!(unbound.found(key(1), Some(key(9))), [data(key(1), 10)]);
        assert_eq!(unbound.fate(&key(1)), Fate::Belongs(key(9)));
        assert_eq!(unbound.fate(&key(2)), Fate::Waits);
        assert_eq!(unbound.found(key(2), None), [data(key(2), 10)]);
        assert_eq!(unbound.fate(&key(2)), Fate::Dropped);
        assert!(unbound.is_empty() && unbound.events == 0 && unbound.bytes == 0);
    }

    #[test]
    fn what_has_waited_for_too_long_goes_on_without_a_socket() {
        let mut unbound = Unbound::new(false);
        unbound.hold(key(1), data(key(1), 1), 100);
        unbound.hold(key(2), data(key(2), 2), 200);
        assert_eq!(unbound.expired(PATIENCE + 99), []);
        assert_eq!(unbound.expired(PATIENCE + 100), [data(key(1), 1)]);
        assert_eq!(unbound.fate(&key(1)), Fate::Passes);
        assert_eq!(unbound.fate(&key(2)), Fate::Waits);
        assert!(unbound.was_handed_on(&key(1)));
        assert!(!unbound.was_handed_on(&key(1)));
        let mut unbound = Unbound::new(true);
        unbound.hold(key(1), data(key(1), 1), 100);
        assert_eq!(
            unbound.expired(PATIENCE + 100),
            [],
            "whose ports are unknown"
        );
        assert!(unbound.is_empty());
        assert_eq!((unbound.take_left_out(), unbound.take_left_out()), (1, 0));
    }

    #[test]
    fn the_oldest_go_on_when_there_is_too_much() {
        let mut unbound = Unbound::new(false);
        for number in 1..=40 {
            unbound.hold(key(number), data(key(number), MAX_BYTES / 32), number);
        }
        let out = unbound.expired(50);
        assert_eq!(out.len(), 8);
        assert_eq!(out[0].key(), Some(key(1)));
        assert_eq!(out[7].key(), Some(key(8)));
        assert!(unbound.bytes <= MAX_BYTES);
    }
}
