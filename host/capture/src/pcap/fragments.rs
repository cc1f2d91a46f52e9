//! Fragments of IP packets, put together.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::segment::Piece;
use crate::event::Nanos;

/// Packets that wait for fragments; the oldest is given up for a new one.
const WAITING_LIMIT: usize = 1_024;

/// Fragments of one packet: 64 KiB in pieces of the smallest link (68 bytes) are fewer.
const PIECE_LIMIT: usize = 1_366;

/// An IP packet is no longer than this.
const PACKET_LIMIT: usize = 65_535;

/// How long the receiver waits (Linux: 30 s for IPv4, 60 s for IPv6).
const PATIENCE: Nanos = 60_000_000_000;

#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment {
    pub(super) id: u32,
    pub(super) offset: usize,
    /// Not the last one.
    pub(super) more: bool,
}

/// A packet that is complete again.
pub(super) struct Whole {
    pub(super) protocol: u8,
    pub(super) bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    addresses: (IpAddr, IpAddr),
    id: u32,
}

#[derive(Debug)]
struct Waiting {
    since: Nanos,
    protocol: u8,
    /// By offset.
    pieces: BTreeMap<usize, Vec<u8>>,
    /// Known with the last fragment.
    len: Option<usize>,
}

#[derive(Debug, Default)]
pub(super) struct Fragments {
    waiting: HashMap<Key, Waiting>,
    /// Packets that never became whole, or were cut by the snap length.
    pub(super) given_up: u64,
}

impl Fragments {
    pub(super) fn add(
        &mut self,
        addresses: (IpAddr, IpAddr),
        protocol: u8,
        fragment: Fragment,
        piece: Piece<'_>,
        time: Nanos,
    ) -> Option<Whole> {
        let end = fragment.offset.saturating_add(piece.bytes.len());
        if piece.bytes.len() < piece.len || end > PACKET_LIMIT {
            self.given_up = self.given_up.saturating_add(1);
            return None;
        }
        let key = Key {
            addresses,
            id: fragment.id,
        };
        if self
            .waiting
            .get(&key)
            .is_some_and(|waiting| time.saturating_sub(waiting.since) > PATIENCE)
        {
            self.forget(key);
        }
        if self.waiting.len() >= WAITING_LIMIT && !self.waiting.contains_key(&key) {
            let oldest = self
                .waiting
                .iter()
                .min_by_key(|(_, waiting)| waiting.since)
                .map(|(key, _)| *key);
            oldest.into_iter().for_each(|key| self.forget(key));
        }
        let waiting = self.waiting.entry(key).or_insert_with(|| Waiting {
            since: time,
            protocol,
            pieces: BTreeMap::new(),
            len: None,
        });
        // Only the first fragment names what is inside for sure (IPv6).
        if fragment.offset == 0 {
            waiting.protocol = protocol;
        }
        if !fragment.more {
            waiting.len = waiting.len.or(Some(end));
        }
        if waiting.pieces.len() < PIECE_LIMIT {
            waiting
                .pieces
                .entry(fragment.offset)
                .or_insert_with(|| piece.bytes.to_vec());
        }
        let bytes = waiting.assemble()?;
        let protocol = waiting.protocol;
        self.waiting.remove(&key);
        Some(Whole { protocol, bytes })
    }

    fn forget(&mut self, key: Key) {
        self.waiting.remove(&key);
        self.given_up = self.given_up.saturating_add(1);
    }

    /// Packets that are not whole yet.
    pub(super) fn incomplete(&self) -> u64 {
        self.given_up.saturating_add(self.waiting.len() as u64)
    }
}

impl Waiting {
    /// The packet, if nothing is missing. Where fragments overlap, the one that begins first counts.
    fn assemble(&self) -> Option<Vec<u8>> {
        let len = self.len?;
        let mut bytes = Vec::new();
        for (offset, piece) in &self.pieces {
            let known = bytes.len().checked_sub(*offset)?;
            bytes.extend_from_slice(piece.get(known..).unwrap_or_default());
        }
        bytes.truncate(len);
        (bytes.len() == len).then_some(bytes)
    }
}
