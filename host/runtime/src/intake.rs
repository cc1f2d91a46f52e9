//! What a worker does with each event of a stream.

use std::sync::Arc;

use wirespan_capture::{Said, Verdict};
use wirespan_stream::{ConnectionInfo, Direction, GapCause, Nanos, StreamClose, StreamEvent};

use crate::batch::has_work;
use crate::bindings::{Cause, EventKind};
use crate::connection::{Connection, Control, State};
use crate::ledger::Fate;
use crate::resting::Place;
use crate::side::{Content, Segment, Side};
use crate::worker::{Slot, Worker, connection_mut, depart};

impl Worker {
    /// Takes one event. What follows from it comes out of [`Self::run`], at the latest.
    pub fn handle(&mut self, event: StreamEvent) {
        match event {
            StreamEvent::Open {
                info,
                positions,
                mid_stream,
            } => self.open(info, positions, mid_stream),
            StreamEvent::Data {
                id,
                direction,
                position,
                bytes,
                time,
                order_uncertain,
            } => {
                let content = Content::Bytes {
                    bytes,
                    unordered: order_uncertain,
                };
                self.stretch(id, direction, position, time, content);
            }
            StreamEvent::Gap {
                id,
                direction,
                position,
                len: Some(len),
                cause,
                time,
            } => {
                self.stretch(
                    id,
                    direction,
                    position,
                    time,
                    Content::Gap {
                        len,
                        cause: gap_cause(cause),
                    },
                );
            }
            StreamEvent::Gap {
                id,
                direction,
                position,
                len: None,
                cause,
                time,
            } => {
                self.broken(id, direction, position, gap_cause(cause), time);
            }
            StreamEvent::Executed { info, .. } => self.executed(info),
            StreamEvent::Secured {
                id,
                positions,
                mid_stream,
                time,
            } => self.secured(id, positions, mid_stream, time),
            StreamEvent::End {
                id,
                direction,
                position,
                time,
            } => self.end(id, direction, position, time),
            StreamEvent::Close { id, reason, time } => self.close(id, reason, time),
        }
        if self.pending_events >= self.limits.batch_events
            || self.pending_bytes >= self.limits.batch_bytes
        {
            self.pump();
        }
    }

    fn open(&mut self, info: Arc<ConnectionInfo>, positions: [Option<u64>; 2], mid_stream: bool) {
        self.now = self.now.max(info.opened);
        self.counters.connections.one();
        if self.ids.len() >= self.limits.connections {
            self.counters.refused_connections.one();
            self.output.verdicts.push(Said::ignored(info.key));
            return;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            // Far fewer than 2^32: the limit on connections.
            u32::try_from(self.slots.len().saturating_sub(1)).unwrap_or(u32::MAX)
        });
        let id = info.id;
        let Some(place) = self.slots.get_mut(slot as usize) else {
            return;
        };
        place.place = Place::new(Connection::new(
            info,
            positions,
            mid_stream,
            self.parsers.all(),
        ));
        if let Some(earlier) = self.ids.insert(id, slot) {
            // An id is never used twice; if it were, the earlier connection would be lost track of.
            self.drop_slot(earlier);
        }
    }

    /// Who holds a connection from now on. Spans that began before are the earlier one's.
    fn executed(&mut self, info: Arc<ConnectionInfo>) {
        if info.has_forgotten() {
            // Those that are due are told while it is still known whose they are.
            self.pump();
        }
        if let Some(slot) = self.ids.get(&info.id)
            && let Some(connection) = connection_mut(&mut self.slots, *slot)
        {
            connection.info = info;
        }
    }

    fn stretch(
        &mut self,
        id: u64,
        direction: Direction,
        position: u64,
        time: Nanos,
        content: Content,
    ) {
        let len = match &content {
            Content::Bytes { bytes, .. } => bytes.len(),
            Content::Gap { .. } => 0,
        };
        let reached = self.reach(id, time);
        let Some((slot, order)) = reached else {
            return self.lose(Fate::Refused, len);
        };
        let Some(connection) = connection_mut(&mut self.slots, slot) else {
            return self.lose(Fate::Refused, len);
        };
        if let Some(fate) = connection.state.fate() {
            return self.lose(fate, len);
        }
        if !connection.sides_certain
            && connection.info.remote.is_none()
            && connection.state == State::Recognising
        {
            guess_by_speaker(connection, direction);
        }
        let segment = Segment {
            position,
            time,
            order,
            content,
        };
        let side = connection.side_mut(direction);
        let skipped = side.push(segment, &mut self.ledger);
        if !side.held() {
            connection.side_mut(direction.opposite()).release();
        }
        if let Some(skipped) = skipped {
            connection.skipped(direction, skipped);
        }
        self.pending_events = self.pending_events.saturating_add(1);
        self.pending_bytes = self.pending_bytes.saturating_add(len);
        if connection.state == State::Recognising || has_work(connection) {
            self.touch(slot);
        }
        self.account(slot);
    }

    /// Bytes that nobody takes.
    fn lose(&mut self, fate: Fate, bytes: usize) {
        self.ledger.receive(bytes);
        self.ledger.put(fate, bytes);
    }

    /// A gap of unknown length: positions start anew, so what is there is handed over before.
    fn broken(&mut self, id: u64, direction: Direction, position: u64, cause: Cause, time: Nanos) {
        self.pump();
        let Some((slot, order)) = self.reach(id, time) else {
            return;
        };
        let Some(connection) = connection_mut(&mut self.slots, slot) else {
            return;
        };
        connection.stop_skip(direction);
        connection
            .side_mut(direction)
            .clear(false, Fate::Left, &mut self.ledger);
        if connection.state == State::Recognising {
            connection.mid_stream = true;
        } else if connection.state.fate().is_none() {
            let control = Control::new(EventKind::GapUnknown, order, time);
            connection
                .control
                .push_back(control.of(direction, position).because(cause));
            self.touch(slot);
        }
        self.account(slot);
    }

    fn secured(&mut self, id: u64, positions: [u64; 2], mid_stream: bool, time: Nanos) {
        self.pump();
        let Some((slot, order)) = self.reach(id, time) else {
            return;
        };
        let all = self.parsers.all();
        let Some(connection) = connection_mut(&mut self.slots, slot) else {
            return;
        };
        connection.forget_bytes(Fate::Encrypted, &mut self.ledger);
        for (side, position) in connection.sides.iter_mut().zip(positions) {
            side.begin(position);
        }
        connection.tls = true;
        connection.layer = connection.layer.saturating_add(1);
        connection.mid_stream = mid_stream;
        if let State::Taken(taken) = connection.state
            && !taken.ignored
        {
            let control = Control::new(EventKind::Secured, order, time);
            connection.control.push_back(control);
            // The parser goes on with the plaintext.
            self.output.verdicts.push(connection.say(Verdict::Wanted));
        } else {
            if let State::Taken(taken) = connection.state {
                depart(&mut self.pools, taken);
            }
            connection.search.refused = 0;
            connection.control.clear();
            connection.search_anew(all);
        }
        self.touch(slot);
        self.account(slot);
    }

    fn end(&mut self, id: u64, direction: Direction, position: u64, time: Nanos) {
        let Some((slot, order)) = self.reach(id, time) else {
            return;
        };
        let Some(connection) = connection_mut(&mut self.slots, slot) else {
            return;
        };
        if connection.state.fate().is_some() || connection.side(direction).ended {
            return;
        }
        connection.sides.iter_mut().for_each(Side::release);
        connection.side_mut(direction).ended = true;
        connection.stop_skip(direction);
        let control = Control::new(EventKind::End, order, time);
        connection
            .control
            .push_back(control.of(direction, position));
        self.touch(slot);
    }

    fn close(&mut self, id: u64, reason: StreamClose, time: Nanos) {
        let Some((slot, order)) = self.reach(id, time) else {
            return;
        };
        let Some(connection) = connection_mut(&mut self.slots, slot) else {
            return;
        };
        if matches!(connection.state, State::Left(_) | State::Encrypted) {
            self.drop_slot(slot);
            return;
        }
        let cause = match reason {
            StreamClose::Finished => Cause::Finished,
            StreamClose::Reset => Cause::Reset,
            StreamClose::CutOff => Cause::CutOff,
            StreamClose::Evicted => Cause::Evicted,
        };
        for side in &mut connection.sides {
            side.ended = true;
            side.release();
        }
        for direction in Direction::BOTH {
            connection.stop_skip(direction);
        }
        connection.closing = Some(Control::new(EventKind::Close, order, time).because(cause));
        self.pending_events = self.pending_events.saturating_add(1);
        self.touch(slot);
    }

    /// The slot of a connection at which something happens now, and its place in the order. A timer
    /// that was due before stands before it.
    fn reach(&mut self, id: u64, time: Nanos) -> Option<(u32, u64)> {
        self.now = self.now.max(time);
        let slot = *self.ids.get(&id)?;
        let connection = connection_mut(&mut self.slots, slot)?;
        connection.seen_at(time);
        connection.rounds = 0;
        if let Some(wake) = connection.wake
            && wake < time
        {
            self.ring(slot, wake);
        }
        self.order = self.order.saturating_add(1);
        Some((slot, self.order))
    }

    /// A timer has come.
    pub(crate) fn ring(&mut self, slot: u32, time: Nanos) {
        self.order = self.order.saturating_add(1);
        let order = self.order;
        let Some(connection) = connection_mut(&mut self.slots, slot) else {
            return;
        };
        connection.wake = None;
        connection.seen_at(time);
        connection.sides.iter_mut().for_each(Side::release);
        let control = Control::new(EventKind::Timer, order, time);
        connection.control.push_back(control);
        self.touch(slot);
    }
}

/// Where neither role nor ports say who the client is, it is the one who speaks first.
fn guess_by_speaker(connection: &mut Connection, direction: Direction) {
    let silent = connection
        .sides
        .iter()
        .all(|side| side.segments.is_empty() && side.floor == side.end);
    if silent && connection.info.role.is_none() {
        connection.client = direction;
    }
}

const fn gap_cause(cause: GapCause) -> Cause {
    match cause {
        // Neither is a loss on the way: somebody decided to leave the bytes out.
        GapCause::Unwanted | GapCause::Limit => Cause::Limit,
        GapCause::Unobserved => Cause::Unobserved,
        GapCause::Fault | GapCause::Ring | GapCause::Packet | GapCause::Unknown => Cause::Lost,
    }
}
