//! One call's worth of events.

use wirespan_stream::{Direction, Nanos};

use crate::bindings::{Cause, Event, EventKind, EventRow, Side};
use crate::connection::{Connection, State, Taken};
use crate::facts::Facts;
use crate::row::Row;
use crate::side::{Content, Segment};

/// A connection in a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) slot: u32,
    pub(crate) number: u64,
    /// By [`Direction::index`].
    pub(crate) presented: [bool; 2],
    /// It was told of its end.
    pub(crate) closes: bool,
}

/// Its buffers are used again and again.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) events: Vec<Event>,
    pub(crate) facts: Facts,
    /// Bytes of data, and when the batch is done the texts of facts behind them.
    pub(crate) bytes: Vec<u8>,
    pub(crate) members: Vec<Member>,
}

impl Batch {
    pub(crate) fn clear(&mut self) {
        self.events.clear();
        self.facts.clear();
        self.bytes.clear();
        self.members.clear();
    }

    /// Adds what a connection has to say. `number` is what the guest calls it.
    pub(crate) fn add(&mut self, slot: u32, taken: Taken, connection: &mut Connection) {
        let first = self.events.len();
        if let Some(cause) = taken.opening {
            self.open(taken.number, cause, connection);
        }
        let news = Direction::BOTH
            .iter()
            .any(|direction| connection.side(*direction).ready());
        let presented = Direction::BOTH.map(|direction| {
            let side = connection.side_mut(direction);
            side.progress = false;
            let ready = side.ready() || news && side.waits();
            if ready {
                side.seen = side.end;
            }
            ready
        });
        self.merge(taken.number, presented, connection);
        let shown = Direction::BOTH.iter().any(|direction| {
            presented.get(direction.index()) == Some(&true)
                && !connection.side(*direction).segments.is_empty()
        });
        let closing = connection.closing.filter(|_| !shown);
        if let Some(close) = closing {
            let (time, cause, side) = (close.time, close.cause, connection.role(Direction::Sent));
            let kind = EventKind::Close;
            self.events.push(Row(EventRow {
                conn: taken.number,
                time,
                position: 0,
                len: 0,
                offset: 0,
                kind,
                side,
                cause,
            }));
        }
        if self.events.len() > first {
            self.members.push(Member {
                slot,
                number: taken.number,
                presented,
                closes: closing.is_some(),
            });
        }
    }

    fn open(&mut self, number: u64, cause: Cause, connection: &Connection) {
        let (position, len) = self.facts.add(connection, cause == Cause::Restart);
        let time = if cause == Cause::Restart {
            connection.latest
        } else {
            connection.info.opened
        };
        let side = connection.role(Direction::Sent);
        self.events.push(Row(EventRow {
            conn: number,
            time,
            position,
            len,
            offset: 0,
            kind: EventKind::Open,
            side,
            cause,
        }));
    }

    /// Both sides' segments and the other events, in the order they came. The bytes of a side are
    /// laid down in one stretch first.
    fn merge(&mut self, number: u64, presented: [bool; 2], connection: &Connection) {
        let [sent, received] = &connection.sides;
        let [show_sent, show_received] = presented;
        let mut offsets = [0; 2];
        for (offset, (side, show)) in offsets
            .iter_mut()
            .zip([(sent, show_sent), (received, show_received)])
        {
            *offset = self.bytes.len();
            for segment in side.segments.iter().take_while(|_| show) {
                if let Content::Bytes { bytes, .. } = &segment.content {
                    self.bytes.extend_from_slice(bytes);
                }
            }
        }
        let [mut sent_offset, mut received_offset] = offsets;
        let mut sent_left = sent.segments.iter().take_while(|_| show_sent).peekable();
        let mut received_left = received
            .segments
            .iter()
            .take_while(|_| show_received)
            .peekable();
        let mut control = connection.control.iter().peekable();
        loop {
            let order =
                |segment: Option<&&Segment>| segment.map_or(u64::MAX, |segment| segment.order);
            let (sent_order, received_order) =
                (order(sent_left.peek()), order(received_left.peek()));
            let next_segment = sent_order.min(received_order);
            // An event that came with a segment stands before it: a skip ends where it begins.
            if let Some(event) = control.next_if(|event| event.order <= next_segment) {
                let secured = event.kind == EventKind::Secured;
                let (position, len) = if secured {
                    self.facts.add(connection, false)
                } else {
                    (event.position, event.len)
                };
                self.events.push(Row(EventRow {
                    conn: number,
                    time: event.time,
                    position,
                    len,
                    offset: 0,
                    kind: event.kind,
                    side: connection.role(event.direction.unwrap_or(Direction::Sent)),
                    cause: event.cause,
                }));
            } else if sent_order < received_order {
                let Some(segment) = sent_left.next() else {
                    return;
                };
                self.segment(
                    number,
                    connection.role(Direction::Sent),
                    segment,
                    &mut sent_offset,
                );
            } else {
                let Some(segment) = received_left.next() else {
                    return;
                };
                self.segment(
                    number,
                    connection.role(Direction::Received),
                    segment,
                    &mut received_offset,
                );
            }
        }
    }

    fn segment(&mut self, number: u64, side: Side, segment: &Segment, offset: &mut usize) {
        let (kind, cause, at) = match &segment.content {
            Content::Bytes { bytes, unordered } => {
                let at = *offset;
                *offset = at.saturating_add(bytes.len());
                (
                    EventKind::Data,
                    if *unordered {
                        Cause::Unordered
                    } else {
                        Cause::None
                    },
                    at,
                )
            }
            Content::Gap { cause, .. } => (EventKind::Gap, *cause, 0),
        };
        self.events.push(Row(EventRow {
            conn: number,
            time: segment.time,
            position: segment.position,
            len: segment.len(),
            // A batch is far below 4 GiB.
            offset: u32::try_from(at).unwrap_or(u32::MAX),
            kind,
            side,
            cause,
        }));
    }

    /// Puts the texts of facts behind the data.
    pub(crate) fn finish(&mut self) {
        let base = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        for fact in &mut self.facts.list {
            fact.text.start = fact.text.start.saturating_add(base);
        }
        self.bytes.extend_from_slice(&self.facts.texts);
    }
}

/// Whether there is something to hand over.
pub(crate) fn has_work(connection: &Connection) -> bool {
    let State::Taken(taken) = connection.state else {
        return false;
    };
    taken.opening.is_some()
        || connection.closed()
        || !connection.control.is_empty()
        || connection.sides.iter().any(|side| side.ready())
}

/// Times at which something is due, the earliest first; entries may be out of date.
pub(crate) type Due = std::collections::BinaryHeap<std::cmp::Reverse<(Nanos, u32, u64)>>;
