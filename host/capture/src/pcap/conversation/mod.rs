//! One TCP connection of a capture: which stream positions its segments stand for.

mod acknowledgement;
mod announcement;
mod belonging;
mod data;
mod handshake;
mod sender;

use std::net::SocketAddr;

pub(super) use belonging::Belongs;
use sender::Sender;

use super::roles::{Perspective, Side};
use super::segment::Segment;
use super::tunnel::Tunnel;
use crate::event::{CloseReason, ConnectionKey, Direction, Layer, Nanos, SocketEvent};
use crate::synthetic::{Content, Origin};

/// Tunnels that one connection is seen in: a capture on all interfaces of a node shows it plain and
/// in each tunnel it passes.
const TUNNEL_LIMIT: usize = 8;

#[derive(Debug)]
pub(super) struct Conversation {
    key: ConnectionKey,
    low: Sender,
    high: Sender,
    client: Option<Side>,
    perspective: Perspective,
    /// In which it was seen.
    tunnels: Vec<Tunnel>,
    /// Wirespan wrote the file: what it saw, and at which end.
    made: Option<(Origin, Side)>,
    /// The observed end, once the connection was announced.
    observed: Option<Side>,
    /// Time of the first packet, and of the latest.
    since: Nanos,
    pub(super) last_time: Nanos,
    closing: Option<(Nanos, CloseReason)>,
    /// A SYN that does not fit: of the next connection, if that is answered.
    next_syn: Option<(Side, u32)>,
    /// A segment that is out of reach: whose it is, and the number that would follow it.
    stray: Option<(Side, u32)>,
    /// The end was told; what still comes of it is of no interest.
    told: bool,
    /// When the tracker looks at it again, as in its queue.
    pub(super) deadline: Option<Nanos>,
}

impl Conversation {
    pub(super) fn new(
        key: ConnectionKey,
        ends: (SocketAddr, SocketAddr),
        perspective: Perspective,
        first: &Segment<'_>,
        now: Nanos,
    ) -> Self {
        Self {
            key,
            low: Sender::new(ends.0),
            high: Sender::new(ends.1),
            client: None,
            perspective,
            tunnels: vec![first.tunnel],
            made: first.made.map(|made| {
                let from = if first.source == ends.0 {
                    Side::Low
                } else {
                    Side::High
                };
                let observed = if made.outbound { from } else { from.other() };
                (made.origin, observed)
            }),
            observed: None,
            since: now,
            last_time: now,
            closing: None,
            next_syn: None,
            stray: None,
            told: false,
            deadline: None,
        }
    }

    fn sender(&self, side: Side) -> &Sender {
        match side {
            Side::Low => &self.low,
            Side::High => &self.high,
        }
    }

    fn sender_mut(&mut self, side: Side) -> &mut Sender {
        match side {
            Side::Low => &mut self.low,
            Side::High => &mut self.high,
        }
    }

    /// Tells it from the others of the capture.
    pub(super) fn ordinal(&self) -> u64 {
        self.key.generation
    }

    pub(super) fn is_in(&self, tunnel: Tunnel) -> bool {
        self.tunnels.contains(&tunnel)
    }

    pub(super) fn add_tunnel(&mut self, tunnel: Tunnel) {
        if self.tunnels.len() < TUNNEL_LIMIT {
            self.tunnels.push(tunnel);
        }
    }

    /// Both ends have ended, or one has reset it: when.
    pub(super) fn closed_at(&self) -> Option<Nanos> {
        self.closing.map(|(time, _)| time)
    }

    /// Takes a segment that belongs here.
    pub(super) fn take(
        &mut self,
        from: Side,
        segment: &Segment<'_>,
        now: Nanos,
        events: &mut Vec<SocketEvent>,
    ) {
        self.last_time = self.last_time.max(now);
        let now = self.last_time;
        self.sender_mut(from).seen = true;
        if segment.syn {
            self.handshake(from, segment);
        } else {
            self.complete_handshake(from, segment);
        }
        if segment.rst {
            self.reset(from, segment, now);
            return;
        }
        if let Some(acknowledged) = segment.acknowledged {
            self.acknowledge(from.other(), acknowledged, now, events);
        }
        // A SYN counts as a byte; data may come with it (RFC 7413).
        let number = segment.sequence.wrapping_add(u32::from(segment.syn));
        if segment.payload.len > 0 {
            self.data(from, number, segment.payload, now, events);
        }
        if segment.fin {
            let behind =
                number.wrapping_add(u32::try_from(segment.payload.len).unwrap_or(u32::MAX));
            self.end(from, behind, now, events);
        }
    }

    fn layer(&self) -> Layer {
        match self.made.map(|(origin, _)| origin.content) {
            Some(Content::Plaintext | Content::Unknown) => Layer::Plaintext,
            Some(Content::Tcp | Content::Unix) | None => Layer::Socket,
        }
    }

    /// Direction of what `from` sends, once the connection was announced.
    fn direction(&self, from: Side) -> Option<Direction> {
        let observed = self.observed?;
        Some(if from == observed {
            Direction::Sent
        } else {
            Direction::Received
        })
    }
}
