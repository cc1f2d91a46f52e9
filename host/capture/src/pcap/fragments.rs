//! Fragments of IP packets, put together.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::segment::Piece;
use super::tunnel::Tunnel;
use crate::event::Nanos;

/// Packets that wait for fragments; the oldest is given up for a new one.
const WAITING_LIMIT: usize = 1_024;

/// Bytes of all of them; the oldest are given up.
const BYTES_LIMIT: usize = 16 << 20;

/// Fragments of one packet: 64 KiB in pieces of the smallest link (68 bytes) are fewer.
const PIECE_LIMIT: usize = 1_366;

/// An IP packet is no longer than this.
const PACKET_LIMIT: usize = 65_535;

/// How long the receiver waits (Linux: 30 s for IPv4, 60 s for IPv6).
const PATIENCE: Nanos = 60_000_000_000;

/// Where a fragment belongs in its packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment {
    pub(super) id: u32,
    pub(super) offset: usize,
    /// Not the last one.
    pub(super) more: bool,
}

/// What the fragments of one packet have in common (RFC 791, RFC 8200).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Datagram {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) id: u32,
    pub(super) protocol: Option<u8>,
    pub(super) tunnel: Tunnel,
}

/// A packet that is complete again.
pub(super) struct Whole {
    pub(super) protocol: u8,
    pub(super) bytes: Vec<u8>,
}

#[derive(Debug)]
struct Waiting {
    /// When the first of it came, and which packet that was in order: the oldest is the first.
    since: Nanos,
    ordinal: u64,
    protocol: u8,
    /// By offset; no two overlap.
    pieces: BTreeMap<usize, Vec<u8>>,
    /// Bytes in them.
    held: usize,
    /// Known with the last fragment.
    len: Option<usize>,
    /// Two fragments say different things of the same bytes.
    contradictory: bool,
}

#[derive(Debug, Default)]
pub(super) struct Fragments {
    waiting: HashMap<Datagram, Waiting>,
    ages: BTreeMap<u64, Datagram>,
    ordinal: u64,
    held: usize,
    /// Packets that never became whole, were cut by the snap length, or contradict themselves.
    pub(super) given_up: u64,
}

impl Fragments {
    pub(super) fn add(
        &mut self,
        of: Datagram,
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
        if let Some(waiting) = self.waiting.get(&of)
            && time.saturating_sub(waiting.since) > PATIENCE
        {
            self.forget(of);
        }
        if !self.waiting.contains_key(&of) {
            self.begin(of, protocol, time);
        }
        while self.held > BYTES_LIMIT
            && let Some((_, oldest)) = self.ages.first_key_value()
        {
            let oldest = *oldest;
            self.forget(oldest);
        }
        let waiting = self.waiting.get_mut(&of)?;
        let before = waiting.held;
        waiting.add(protocol, fragment, piece.bytes);
        self.held = self
            .held
            .saturating_sub(before)
            .saturating_add(waiting.held);
        let whole = waiting.assemble()?;
        self.remove(of);
        Some(whole)
    }

    fn begin(&mut self, of: Datagram, protocol: u8, time: Nanos) {
        if self.waiting.len() >= WAITING_LIMIT
            && let Some((_, oldest)) = self.ages.first_key_value()
        {
            let oldest = *oldest;
            self.forget(oldest);
        }
        self.ordinal = self.ordinal.saturating_add(1);
        self.ages.insert(self.ordinal, of);
        let waiting = Waiting {
            since: time,
            ordinal: self.ordinal,
            protocol,
            pieces: BTreeMap::new(),
            held: 0,
            len: None,
            contradictory: false,
        };
        self.waiting.insert(of, waiting);
    }

    fn remove(&mut self, of: Datagram) {
        if let Some(gone) = self.waiting.remove(&of) {
            self.ages.remove(&gone.ordinal);
            self.held = self.held.saturating_sub(gone.held);
        }
    }

    fn forget(&mut self, of: Datagram) {
        self.remove(of);
        self.given_up = self.given_up.saturating_add(1);
    }

    /// Packets that are not whole yet, or never became it.
    pub(super) fn incomplete(&self) -> u64 {
        self.given_up.saturating_add(self.waiting.len() as u64)
    }
}

impl Waiting {
    fn add(&mut self, protocol: u8, fragment: Fragment, bytes: &[u8]) {
        // Only the first fragment names what is inside for sure (IPv6).
        if fragment.offset == 0 {
            self.protocol = protocol;
        }
        let end = fragment.offset.saturating_add(bytes.len());
        if !fragment.more {
            self.contradictory |= self.len.is_some_and(|known| known != end);
            self.len = Some(end);
        }
        if self.pieces.len() >= PIECE_LIMIT {
            return;
        }
        // Receivers differ in what they make of fragments that overlap, so nobody can say what was
        // received unless all say the same (RFC 5722 forbids the others).
        let mut at = fragment.offset;
        let mut fresh = Vec::new();
        let before = self.pieces.range(..at).next_back();
        let overlapping = before.into_iter().chain(self.pieces.range(at..end));
        for (known_at, known) in overlapping {
            let known_end = known_at.saturating_add(known.len());
            let (from, to) = (at.max(*known_at), end.min(known_end));
            if from >= to {
                continue;
            }
            let ours = range(bytes, fragment.offset, from, to);
            self.contradictory |= ours != range(known, *known_at, from, to);
            if from > at {
                fresh.push((at, range(bytes, fragment.offset, at, from).to_vec()));
            }
            at = to;
        }
        if at < end {
            fresh.push((at, range(bytes, fragment.offset, at, end).to_vec()));
        }
        for (at, piece) in fresh {
            self.held = self.held.saturating_add(piece.len());
            self.pieces.insert(at, piece);
        }
    }

    /// The packet, if nothing is missing and nothing is in doubt.
    fn assemble(&mut self) -> Option<Whole> {
        let len = self.len?;
        let last = self
            .pieces
            .last_key_value()
            .map_or(0, |(at, piece)| at.saturating_add(piece.len()));
        if self.contradictory || self.held != len || last != len {
            return None;
        }
        let pieces = std::mem::take(&mut self.pieces);
        Some(Whole {
            protocol: self.protocol,
            bytes: pieces.into_values().flatten().collect(),
        })
    }
}

/// What `bytes`, which begin at `start`, have from `from` to `to`.
fn range(bytes: &[u8], start: usize, from: usize, to: usize) -> &[u8] {
    bytes
        .get(from.saturating_sub(start)..to.saturating_sub(start))
        .unwrap_or_default()
}
