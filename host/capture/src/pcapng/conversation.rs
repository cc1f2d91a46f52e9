//! One end of a connection, as packets.

use std::net::SocketAddr;

use super::block::{Blocks, Meta};
use super::packet::{ACK, FIN, PSH, RST, SEGMENT_BYTES, SYN, Segment};
use crate::event::{Close, CloseReason, Data, Direction, Layer, Missing, Nanos};
use crate::synthetic::{Content, Origin};

/// Acknowledgements go ahead in such steps: readers take a number that is farther from the last one
/// than a window can be for one of another connection.
const STEP: u64 = 256 << 20;

/// Initial sequence numbers of both directions, of ciphertext and of plaintext, are this far apart,
/// and those of the next connection between the same addresses.
const NUMBERS: u32 = 0x1001_0000;

/// One direction.
#[derive(Clone, Copy, Debug, Default)]
struct Lane {
    /// The position whose byte follows the initial sequence number.
    base: Option<u64>,
    /// Everything below has passed, captured or not.
    next: u64,
    ended: bool,
}

/// What a packet capture knows as a connection.
#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) origin: Origin,
    local: SocketAddr,
    remote: SocketAddr,
    /// Initial sequence numbers, by direction.
    initial: [u32; 2],
    lanes: [Lane; 2],
    /// For its first packet.
    comment: String,
}

/// When, on the clock of the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) unix_nanos: u64,
}

impl Conversation {
    pub(super) fn new(
        origin: Origin,
        (local, remote): (SocketAddr, SocketAddr),
        generation: u32,
        positions: [Option<u64>; 2],
        comment: String,
    ) -> Self {
        let first = match origin.content {
            Content::Plaintext | Content::Unknown => 2_u32,
            Content::Tcp | Content::Unix => 0,
        };
        // The same at both ends, so that Wireshark knows the packets of one for those of the other.
        let low = generation
            .wrapping_mul(4)
            .wrapping_add(first)
            .wrapping_mul(NUMBERS);
        let (low, high) = (low, low.wrapping_add(NUMBERS));
        Self {
            origin,
            local,
            remote,
            initial: if local < remote {
                [low, high]
            } else {
                [high, low]
            },
            lanes: positions.map(|base| Lane {
                base,
                next: base.unwrap_or(0),
                ended: false,
            }),
            comment,
        }
    }

    /// The three packets that begin a connection. `from` opened it.
    pub(super) fn handshake(&mut self, from: Direction, at: Moment, blocks: &mut Blocks) {
        self.control(from, SYN, at, "", blocks);
        self.control(from.opposite(), SYN | ACK, at, "", blocks);
        self.control(from, ACK, at, "", blocks);
    }

    pub(super) fn data(&mut self, data: &Data, at: Moment, blocks: &mut Blocks) {
        let direction = data.direction;
        self.begin(direction, data.position);
        let mut position = data.position;
        for piece in data.bytes.chunks(SEGMENT_BYTES) {
            let number = self.number(direction, position);
            self.packet(direction, number, ACK | PSH, piece, at, "", blocks);
            position = position.saturating_add(piece.len() as u64);
            self.pass(direction, position);
        }
        let end = data.position.saturating_add(data.len);
        if position < end {
            let missing = end.saturating_sub(position);
            let comment = format!("{missing} bytes were not captured: {}", why(data.missing));
            self.missing(direction, end, &comment, at, blocks);
        }
    }

    /// The peer acknowledges what is not here, up to `end`.
    fn missing(
        &mut self,
        direction: Direction,
        end: u64,
        comment: &str,
        at: Moment,
        blocks: &mut Blocks,
    ) {
        let mut comment = comment;
        loop {
            let next = self.lane(direction).next;
            let reached = next.saturating_add(STEP).min(end);
            self.pass(direction, reached);
            self.control(direction.opposite(), ACK, at, comment, blocks);
            comment = "";
            if reached >= end {
                return;
            }
        }
    }

    pub(super) fn end(
        &mut self,
        direction: Direction,
        position: Option<u64>,
        at: Moment,
        blocks: &mut Blocks,
    ) {
        if self.lane(direction).ended {
            return;
        }
        if let Some(position) = position {
            self.begin(direction, position);
            self.pass(direction, position);
        }
        self.control(direction, FIN | ACK, at, "", blocks);
        self.lane_mut(direction).ended = true;
    }

    pub(super) fn close(&mut self, close: &Close, at: Moment, blocks: &mut Blocks) {
        match close.reason {
            CloseReason::Finished => {
                for direction in Direction::BOTH {
                    // Final positions are those of the socket, not of the plaintext.
                    let is_socket = matches!(self.origin.content, Content::Tcp | Content::Unix);
                    let [sent, received] = close.positions;
                    let position = match direction {
                        Direction::Sent => sent,
                        Direction::Received => received,
                    };
                    let position = position.filter(|_| is_socket);
                    self.end(direction, position, at, blocks);
                }
            }
            // From which end it came is not known.
            CloseReason::Reset => {
                self.control(Direction::Received, RST | ACK, at, "", blocks);
            }
            CloseReason::CutOff => {}
        }
    }

    /// The layer whose bytes it has.
    pub(super) fn layer(&self) -> Layer {
        match self.origin.content {
            Content::Tcp | Content::Unix => Layer::Socket,
            Content::Plaintext | Content::Unknown => Layer::Plaintext,
        }
    }

    pub(super) fn ends(&self) -> (SocketAddr, SocketAddr) {
        (self.local, self.remote)
    }

    fn lane(&self, direction: Direction) -> Lane {
        let [sent, received] = self.lanes;
        match direction {
            Direction::Sent => sent,
            Direction::Received => received,
        }
    }

    fn lane_mut(&mut self, direction: Direction) -> &mut Lane {
        let [sent, received] = &mut self.lanes;
        match direction {
            Direction::Sent => sent,
            Direction::Received => received,
        }
    }

    /// The first position of a direction that is joined in the middle.
    fn begin(&mut self, direction: Direction, position: u64) {
        let lane = self.lane_mut(direction);
        if lane.base.is_none() {
            lane.base = Some(position);
            lane.next = position;
        }
    }

    fn pass(&mut self, direction: Direction, position: u64) {
        let lane = self.lane_mut(direction);
        lane.next = lane.next.max(position);
    }

    /// Sequence numbers are positions modulo 2³².
    fn number(&self, direction: Direction, position: u64) -> u32 {
        let [sent, received] = self.initial;
        let initial = match direction {
            Direction::Sent => sent,
            Direction::Received => received,
        };
        let distance = position.wrapping_sub(self.lane(direction).base.unwrap_or(position));
        let [.., a, b, c, d] = distance.to_be_bytes();
        initial
            .wrapping_add(1)
            .wrapping_add(u32::from_be_bytes([a, b, c, d]))
    }

    /// The number that a direction would use next, its end counted.
    fn next_number(&self, direction: Direction) -> u32 {
        let lane = self.lane(direction);
        self.number(direction, lane.next)
            .wrapping_add(u32::from(lane.ended))
    }

    /// A packet without data.
    fn control(
        &mut self,
        direction: Direction,
        flags: u8,
        at: Moment,
        comment: &str,
        blocks: &mut Blocks,
    ) {
        let number = self.next_number(direction);
        let number = number.wrapping_sub(u32::from(flags & SYN != 0));
        self.packet(direction, number, flags, &[], at, comment, blocks);
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a packet")]
    fn packet(
        &mut self,
        direction: Direction,
        sequence: u32,
        flags: u8,
        payload: &[u8],
        at: Moment,
        comment: &str,
        blocks: &mut Blocks,
    ) {
        let outbound = direction == Direction::Sent;
        let (source, destination) = if outbound {
            (self.local, self.remote)
        } else {
            (self.remote, self.local)
        };
        let first = std::mem::take(&mut self.comment);
        let comment = match (first.is_empty(), comment.is_empty()) {
            (true, _) => comment.to_owned(),
            (false, true) => first,
            (false, false) => format!("{first}; {comment}"),
        };
        let meta = Meta {
            interface: self.origin.interface(),
            unix_nanos: at.unix_nanos,
            outbound,
            comment: &comment,
        };
        let segment = Segment {
            source,
            destination,
            sequence,
            acknowledged: self.next_number(direction.opposite()),
            flags,
            payload,
        };
        blocks.packet(&meta, |bytes| segment.write(bytes));
    }
}

fn why(missing: Missing) -> &'static str {
    match missing {
        Missing::Unwanted => "nobody wanted them",
        Missing::Limit => "the limit of a call",
        Missing::Fault => "their memory could not be read",
        Missing::Ring => "no room in the ring",
        Missing::Unobserved => "they cannot be copied from where they passed (sendfile, splice)",
        Missing::Packet => "a packet was missing",
    }
}

/// The time that orders an event.
pub(super) fn time_of(data: &Data) -> Nanos {
    data.time()
}
