//! One TCP connection of a capture: which stream positions its segments stand for.

use std::net::SocketAddr;

use bytes::Bytes;

use super::roles::{Perspective, Side, guess_server};
use super::segment::{Piece, Segment};
use super::sequence::{MID_STREAM_START, Sequence};
use super::tunnel::Tunnel;
use crate::event::{
    Close, CloseReason, Confirmed, ConnectionKey, Data, Direction, End, Layer, Missing, Nanos,
    Open, Role, Secured, SocketEvent, Transport,
};
use crate::synthetic::{Content, Origin};

/// A reset whose number is farther from what its sender has sent is not one of this connection
/// (RFC 5961 asks for an exact match; captures lose packets).
const RESET_WINDOW: u64 = 1 << 20;

/// How near the numbers of two segments are that are taken for one connection's though they came by
/// different roads: a window, so that one in a thousand others fits by chance.
const SAME_WINDOW: u64 = 4 << 20;

/// Tunnels that one connection is seen in: a capture on all interfaces of a node shows it plain and
/// in each tunnel it passes.
const TUNNEL_LIMIT: usize = 8;

/// Where only one side was captured nothing acknowledges: a hole is given up after this.
const ONE_SIDED_PATIENCE: Nanos = 1_000_000_000;

/// How long no packet of a direction is there before its acknowledgements stand for them: captures
/// from several queues are out of order.
const UNSEEN_PATIENCE: Nanos = 50_000_000;

/// What one end has sent.
#[derive(Debug)]
struct Sender {
    address: SocketAddr,
    /// Anything of it was captured.
    seen: bool,
    /// Initial sequence number, where the handshake told it.
    initial: Option<u32>,
    /// Numbers to positions, by the end of the highest byte seen.
    sequence: Option<Sequence>,
    has_data: bool,
    /// Everything below was captured.
    contiguous: u64,
    /// Position behind the last byte, once it has said so.
    end: Option<u64>,
    /// An acknowledgement of more than was captured, which counts when another one agrees.
    doubtful: Option<u64>,
    /// Where the stream was at a time, for one-sided captures.
    mark: Option<(u64, Nanos)>,
    /// What is known of it by acknowledgements alone.
    told: Option<Told>,
}

/// A direction of which no packet was captured, as the other end tells of it.
#[derive(Clone, Copy, Debug)]
struct Told {
    since: Nanos,
    sequence: Sequence,
    doubtful: Option<u64>,
}

impl Sender {
    fn new(address: SocketAddr) -> Self {
        Self {
            address,
            seen: false,
            initial: None,
            sequence: None,
            has_data: false,
            contiguous: 0,
            end: None,
            doubtful: None,
            mark: None,
            told: None,
        }
    }

    fn begins_at(&mut self, initial: u32) {
        if !self.has_data {
            self.initial = Some(initial);
            self.sequence = Some(Sequence::new(initial.wrapping_add(1), 0));
        }
    }
}

/// What a segment means for the connection that its addresses belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Belongs {
    Here,
    /// To a later connection between the same ports, which began with this number if it is known.
    ToNext(Option<u32>),
    /// Neither.
    Nowhere,
}

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

    /// Whether a segment that came by a road of its own is of this connection all the same: a tunnel
    /// can have a key for each direction, and a capture can show what is in a tunnel outside of it
    /// too. Networks of different keys have nothing in common.
    pub(super) fn is_seen_elsewhere(&self, from: Side, segment: &Segment<'_>) -> bool {
        if self.made.is_some() {
            return false;
        }
        let (own, peer) = (self.sender(from), self.sender(from.other()));
        let near = |sender: &Sender, number: u32| {
            let position = sender.sequence.and_then(|known| {
                let distance = known
                    .position(number)?
                    .checked_sub_unsigned(known.highest())?;
                Some(distance.unsigned_abs())
            });
            position.is_some_and(|distance| distance <= SAME_WINDOW)
        };
        if own.seen {
            let plain = segment.tunnel == Tunnel::NONE || self.is_in(Tunnel::NONE);
            plain
                && if segment.syn {
                    own.initial == Some(segment.sequence)
                } else {
                    near(own, segment.sequence)
                }
        } else {
            peer.seen
                && match (segment.acknowledged, peer.initial) {
                    (Some(number), Some(initial)) if segment.syn => {
                        number == initial.wrapping_add(1)
                    }
                    (Some(number), _) => near(peer, number),
                    (None, _) => false,
                }
        }
    }

    /// Both ends have ended, or one has reset it: when.
    pub(super) fn closed_at(&self) -> Option<Nanos> {
        self.closing.map(|(time, _)| time)
    }

    /// The handshake of which only the SYN is here, seen while an older connection was alive.
    pub(super) fn begin(&mut self, side: Side, initial: u32) {
        self.sender_mut(side).begins_at(initial);
        self.client = Some(side);
    }

    /// Finds out whether a segment is of this connection or of the next one with the same addresses.
    pub(super) fn belongs(&mut self, from: Side, segment: &Segment<'_>) -> Belongs {
        let over = self.closing.is_some();
        let known = self.sender(from).initial;
        if self.told && (!segment.syn || known == Some(segment.sequence)) {
            let is_new =
                segment.payload.len > 0 && !segment.rst && !self.is_repeated(from, segment);
            return if is_new {
                Belongs::ToNext(None)
            } else {
                Belongs::Nowhere
            };
        }
        if segment.syn && known != Some(segment.sequence) {
            let unused = self.observed.is_none();
            let answered = |(side, initial): (Side, u32)| {
                side == from.other() && segment.acknowledged == Some(initial.wrapping_add(1))
            };
            return match segment.acknowledged {
                // Its other half may be here already.
                Some(_) if known.is_none() && !over && !self.sender(from).has_data => Belongs::Here,
                Some(_) if over || unused || self.next_syn.is_some_and(answered) => {
                    Belongs::ToNext(None)
                }
                Some(_) => Belongs::Nowhere,
                None if known.is_none() && unused && !over => Belongs::Here,
                None if over || unused => Belongs::ToNext(None),
                None => {
                    self.next_syn = Some((from, segment.sequence));
                    Belongs::Nowhere
                }
            };
        }
        if let Some((side, initial)) = self.next_syn
            && side == from
            && segment.sequence == initial.wrapping_add(1)
            && !segment.rst
        {
            return Belongs::ToNext(Some(initial));
        }
        let reach = self
            .sender(from)
            .sequence
            .is_none_or(|sequence| sequence.position(segment.sequence).is_some());
        if reach {
            return Belongs::Here;
        }
        if segment.payload.len == 0 || segment.rst {
            return Belongs::Nowhere;
        }
        // One segment that is out of reach may be forged or damaged, two in a row are a connection.
        let again = self.stray == Some((from, segment.sequence));
        let behind = segment
            .sequence
            .wrapping_add(u32::try_from(segment.payload.len).unwrap_or(u32::MAX));
        self.stray = Some((from, behind));
        if again {
            Belongs::ToNext(None)
        } else {
            Belongs::Nowhere
        }
    }

    /// Whether all of a segment lies in what was seen before.
    fn is_repeated(&self, from: Side, segment: &Segment<'_>) -> bool {
        let len = i64::try_from(segment.payload.len).unwrap_or(i64::MAX);
        self.sender(from).sequence.is_some_and(|sequence| {
            let end = sequence
                .position(segment.sequence)
                .map(|position| position.saturating_add(len));
            end.is_some_and(|end| end <= i64::try_from(sequence.highest()).unwrap_or(i64::MAX))
        })
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

    fn handshake(&mut self, from: Side, segment: &Segment<'_>) {
        self.sender_mut(from).begins_at(segment.sequence);
        match segment.acknowledged {
            None => self.client = Some(from),
            Some(acknowledged) => {
                self.client = Some(from.other());
                let client = self.sender_mut(from.other());
                if client.initial.is_none() {
                    client.begins_at(acknowledged.wrapping_sub(1));
                }
            }
        }
    }

    /// The last packet of a handshake tells the server's number when its SYN was not captured.
    fn complete_handshake(&mut self, from: Side, segment: &Segment<'_>) {
        let own = self.sender(from);
        let first = own
            .initial
            .is_some_and(|initial| segment.sequence == initial.wrapping_add(1));
        if let Some(acknowledged) = segment.acknowledged
            && first
            && self.client == Some(from)
            && !own.has_data
            && !segment.rst
        {
            let server = self.sender_mut(from.other());
            if server.initial.is_none() && server.sequence.is_none() {
                server.begins_at(acknowledged.wrapping_sub(1));
            }
        }
    }

    fn reset(&mut self, from: Side, segment: &Segment<'_>, now: Nanos) {
        let near = self.sender(from).sequence.is_none_or(|sequence| {
            sequence.position(segment.sequence).is_some_and(|position| {
                position.unsigned_abs().abs_diff(sequence.highest()) <= RESET_WINDOW
            })
        });
        // The answer to a connection attempt has no number of its own.
        let refused = segment.sequence == 0
            && self
                .sender(from.other())
                .initial
                .map(|initial| initial.wrapping_add(1))
                == segment.acknowledged;
        if (near || refused) && self.closing.is_none() {
            self.closing = Some((now, CloseReason::Reset));
        }
    }

    /// `to` has sent everything below `number`, says its peer.
    fn acknowledge(&mut self, to: Side, number: u32, now: Nanos, events: &mut Vec<SocketEvent>) {
        let key = self.key;
        let direction = self.direction(to);
        let sender = self.sender_mut(to);
        let Some(sequence) = sender.sequence else {
            if !sender.seen {
                self.acknowledge_unseen(to, number, now, events);
            }
            return;
        };
        let Some(position) = sequence
            .position(number)
            .and_then(|position| u64::try_from(position).ok())
        else {
            return;
        };
        // The end of a stream counts as a byte.
        let mut position = sender.end.map_or(position, |end| position.min(end));
        if position <= sender.contiguous {
            return;
        }
        let highest = sequence.highest();
        if position > highest && self.made.is_some() {
            self.pass_over(to, position, now, events);
            return;
        }
        let sender = self.sender_mut(to);
        if position > highest {
            // One more than was captured is an end that was not.
            if position.saturating_sub(highest) == 1 {
                return;
            }
            let Some(doubtful) = sender
                .doubtful
                .replace(position)
                .filter(|doubtful| *doubtful <= position)
            else {
                return;
            };
            // Both agree on this much. The rest may be an end, or waits for a third.
            position = doubtful;
            if position <= highest {
                return;
            }
            if let (Some(known), Ok(ahead)) = (
                &mut sender.sequence,
                u32::try_from(position.saturating_sub(highest)),
            ) {
                known.advance_by(ahead);
            }
        }
        if let Some(direction) = direction {
            events.push(SocketEvent::Confirmed(Confirmed {
                key,
                direction,
                position,
                time: now,
            }));
        }
    }

    /// In a file that Wirespan wrote an acknowledgement tells, when it passed, of what was not
    /// captured.
    fn pass_over(&mut self, to: Side, position: u64, now: Nanos, events: &mut Vec<SocketEvent>) {
        let (key, layer) = (self.key, self.layer());
        let direction = self.direction(to);
        let sender = self.sender_mut(to);
        let Some(sequence) = &mut sender.sequence else {
            return;
        };
        let highest = sequence.highest();
        let len = position.saturating_sub(highest);
        if let Ok(step) = u32::try_from(len) {
            sequence.advance_by(step);
        }
        if sender.contiguous >= highest {
            sender.contiguous = position;
        }
        if let Some(direction) = direction {
            events.push(SocketEvent::Data(Data {
                key,
                direction,
                layer,
                position: highest,
                len,
                bytes: Bytes::new(),
                entry: now,
                exit: now,
                missing: Missing::Packet,
            }));
        }
    }

    /// Nothing of `to` was captured, not even how it began: what it sent is a gap, from the first
    /// acknowledgement on.
    fn acknowledge_unseen(
        &mut self,
        to: Side,
        number: u32,
        now: Nanos,
        events: &mut Vec<SocketEvent>,
    ) {
        let (key, layer) = (self.key, self.layer());
        let direction = self.direction(to);
        let told = self.sender_mut(to).told.get_or_insert(Told {
            since: now,
            sequence: Sequence::new(number, MID_STREAM_START),
            doubtful: None,
        });
        let highest = told.sequence.highest();
        let position = told
            .sequence
            .position(number)
            .and_then(|p| u64::try_from(p).ok());
        let Some(ahead) = position.and_then(|position| position.checked_sub(highest)) else {
            return;
        };
        // One more can be its end. Of more, two have to agree, and the rest waits for a third.
        if ahead <= 1 {
            return;
        }
        let before = told.doubtful.replace(highest.saturating_add(ahead));
        let Some(len) = before.and_then(|before| before.checked_sub(highest)) else {
            return;
        };
        if len <= 1 || len > ahead || now.saturating_sub(told.since) < UNSEEN_PATIENCE {
            return;
        }
        let (Some(direction), Ok(step)) = (direction, u32::try_from(len)) else {
            return;
        };
        told.sequence.advance_by(step);
        events.push(SocketEvent::Data(Data {
            key,
            direction,
            layer,
            position: highest,
            len,
            bytes: Bytes::new(),
            entry: now,
            exit: now,
            missing: Missing::Packet,
        }));
    }

    fn data(
        &mut self,
        from: Side,
        number: u32,
        payload: Piece<'_>,
        now: Nanos,
        events: &mut Vec<SocketEvent>,
    ) {
        let (key, layer) = (self.key, self.layer());
        let one_sided = !self.sender(from.other()).seen;
        let sender = self.sender_mut(from);
        // Perhaps its peer has told of it before.
        let told = sender.told.take().map(|told| told.sequence);
        let told = told.filter(|told| told.position(number).is_some());
        let sequence = sender
            .sequence
            .get_or_insert(told.unwrap_or(Sequence::new(number, MID_STREAM_START)));
        let Some(position) = sequence.position(number) else {
            return;
        };
        // Keep-alive probes send the byte before the next one again.
        let early = usize::try_from(position.min(0).unsigned_abs()).unwrap_or(usize::MAX);
        let Some(len) = payload.len.checked_sub(early).filter(|len| *len > 0) else {
            return;
        };
        let bytes = payload.bytes.get(early..).unwrap_or_default();
        let position = u64::try_from(position).unwrap_or(0);
        let end = position.saturating_add(len as u64);
        let behind = number.wrapping_add(u32::try_from(payload.len).unwrap_or(u32::MAX));
        sequence.advance(behind, end);
        if !sender.has_data {
            sender.has_data = true;
            if sender.initial.is_none() {
                sender.contiguous = position;
            }
        }
        if position <= sender.contiguous {
            sender.contiguous = sender.contiguous.max(end);
        }
        let mut given_up = None;
        if one_sided {
            match sender.mark {
                Some((_, since)) if now.saturating_sub(since) < ONE_SIDED_PATIENCE => {}
                mark => {
                    given_up = mark
                        .map(|(position, _)| position)
                        .filter(|position| *position > sender.contiguous);
                    sender.mark = Some((end, now));
                }
            }
        }
        let observed = self.open(from, now, events);
        let direction = if from == observed {
            Direction::Sent
        } else {
            Direction::Received
        };
        if let Some(position) = given_up {
            events.push(SocketEvent::Confirmed(Confirmed {
                key,
                direction,
                position,
                time: now,
            }));
        }
        events.push(SocketEvent::Data(Data {
            key,
            direction,
            layer,
            position,
            len: len as u64,
            // A copy: the buffer it lies in holds many packets.
            bytes: Bytes::copy_from_slice(bytes),
            entry: now,
            exit: now,
            missing: if bytes.len() < len {
                Missing::Limit
            } else {
                Missing::Unwanted
            },
        }));
    }

    fn end(&mut self, from: Side, number: u32, now: Nanos, events: &mut Vec<SocketEvent>) {
        let key = self.key;
        let direction = self.direction(from);
        let sender = self.sender_mut(from);
        let sequence = sender
            .sequence
            .get_or_insert(Sequence::new(number, MID_STREAM_START));
        let Some(position) = sequence
            .position(number)
            .and_then(|position| u64::try_from(position).ok())
        else {
            return;
        };
        if sender.end.is_some() {
            return;
        }
        sender.end = Some(position);
        if let Some(direction) = direction {
            events.push(SocketEvent::End(End {
                key,
                direction,
                time: now,
                position: Some(position),
            }));
        }
        if self.low.end.is_some() && self.high.end.is_some() && self.closing.is_none() {
            self.closing = Some((now, CloseReason::Finished));
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

    /// Announces the connection, if that was not done: with its first data, for then the most is
    /// known of it, and one that never carries any is of no interest.
    fn open(&mut self, from: Side, now: Nanos, events: &mut Vec<SocketEvent>) -> Side {
        if let Some(observed) = self.observed {
            return observed;
        }
        let server = self.client.map_or_else(
            || guess_server(self.low.address, self.high.address),
            Side::other,
        );
        let observed = match (self.made, self.perspective) {
            (Some((_, observed)), _) => observed,
            (None, Perspective::Server) => server,
            (None, Perspective::Client) => server.other(),
        };
        let role = if observed == server {
            Role::Server
        } else {
            Role::Client
        };
        self.observed = Some(observed);
        let made_up = self.made.is_some_and(|(origin, _)| origin.is_made_up());
        let address = |side: Side| Some(self.sender(side).address).filter(|_| !made_up);
        let start = |side: Side| self.sender(side).initial.map(|_| 0);
        let lacks = |side: Side| self.sender(side).initial.is_none() && self.sender(side).seen;
        events.push(SocketEvent::Open(Box::new(Open {
            key: self.key,
            time: self.since.min(now),
            transport: match self.made.map(|(origin, _)| origin.content) {
                Some(Content::Unix) => Transport::Unix,
                Some(Content::Unknown) => Transport::Unknown,
                Some(Content::Tcp | Content::Plaintext) | None => Transport::Tcp,
            },
            local: address(observed),
            remote: address(observed.other()),
            role: match self.made {
                Some((origin, _)) => origin.end.role(),
                None => self.client.map(|_| role),
            },
            positions: [start(observed), start(observed.other())],
            mid_stream: lacks(Side::Low) || lacks(Side::High),
            process: None,
            cgroup_id: 0,
            network_namespace: 0,
        })));
        if self.layer() == Layer::Plaintext {
            let mid_stream = lacks(Side::Low) || lacks(Side::High);
            let position = |side| start(side).unwrap_or(MID_STREAM_START);
            events.push(SocketEvent::Secured(Secured {
                key: self.key,
                time: self.since.min(now),
                positions: [position(observed), position(observed.other())],
                mid_stream,
            }));
        }
        let direction = |side: Side| {
            if side == observed {
                Direction::Sent
            } else {
                Direction::Received
            }
        };
        // Says that acknowledgements decide what is lost.
        let position = start(from).unwrap_or_default();
        events.push(SocketEvent::Confirmed(Confirmed {
            key: self.key,
            direction: direction(from),
            position,
            time: now,
        }));
        for side in [Side::Low, Side::High] {
            if let Some(position) = self.sender(side).end {
                let end = End {
                    key: self.key,
                    direction: direction(side),
                    time: now,
                    position: Some(position),
                };
                events.push(SocketEvent::End(end));
            }
        }
        observed
    }

    /// Tells the end of the connection, if its beginning was told. `CutOff` stands for one that the
    /// tracker forgets.
    pub(super) fn close(&mut self, events: &mut Vec<SocketEvent>) {
        let told = std::mem::replace(&mut self.told, true);
        if self.observed.is_some() && !told {
            let (time, reason) = self
                .closing
                .unwrap_or((self.last_time, CloseReason::CutOff));
            let time = time.max(self.since);
            events.push(SocketEvent::Close(Close {
                key: self.key,
                time,
                reason,
                positions: [None, None],
            }));
        }
    }
}
