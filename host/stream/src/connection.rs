//! One connection: two directions, and what makes one of them wait.

use std::sync::Arc;

use wirespan_capture::{Close, CloseReason, Data, Layer, Missing, Open};

use crate::counters::{Counters, Unbalanced};
use crate::event::{
    ConnectionInfo, ConnectionKey, Direction, GapCause, Nanos, StreamClose, StreamEvent, Transport,
};
use crate::half::{Emit, Half};
use crate::halves::Halves;
use crate::limits::{Limits, nanos};
use crate::resting::Resting;

/// What has to come before the connection's stretches can be handed on.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The opening event, since this time.
    Opening(Nanos),
    Flowing,
    /// The event that says where plaintext starts, since this time; `waiting` has the plaintext.
    Securing(Nanos),
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) info: Arc<ConnectionInfo>,
    layer: Layer,
    stage: Stage,
    halves: Halves,
    /// Plaintext that came before the event that announces it.
    waiting: Option<Box<Halves>>,
    closing: Option<Close>,
    pub(crate) last_event: Nanos,
    /// Stamp of the last use, for eviction.
    pub(crate) used: u64,
    /// As it stands in the table's queue.
    pub(crate) deadline: Option<Nanos>,
}

impl Connection {
    /// A connection whose opening event is here.
    pub(crate) fn opened(info: Arc<ConnectionInfo>, open: &Open, emit: &mut Emit<'_>) -> Self {
        let connection = Self::new(info, Stage::Flowing, open.positions, open.time);
        emit.counters.opened = emit.counters.opened.saturating_add(1);
        emit.out.push(StreamEvent::Open {
            info: Arc::clone(&connection.info),
            positions: open.positions,
            mid_stream: open.mid_stream,
        });
        connection
    }

    /// A connection that had been forgotten: where it has got to meanwhile is not known.
    pub(crate) fn opened_again(info: Arc<ConnectionInfo>, emit: &mut Emit<'_>) -> Self {
        let time = info.opened;
        let mut connection = Self::new(info, Stage::Flowing, [None, None], time);
        connection.begin([None, None], true, emit);
        connection
    }

    /// A connection of which something came before its opening event.
    pub(crate) fn unopened(id: u64, key: ConnectionKey, time: Nanos) -> Self {
        let info = ConnectionInfo {
            key,
            id,
            opened: time,
            transport: Transport::Unknown,
            names: None,
            local: None,
            remote: None,
            role: None,
            process: None,
            cgroup_id: 0,
            network_namespace: 0,
            before: None,
        };
        Self::new(Arc::new(info), Stage::Opening(time), [None, None], time)
    }

    fn new(
        info: Arc<ConnectionInfo>,
        stage: Stage,
        positions: [Option<u64>; 2],
        time: Nanos,
    ) -> Self {
        Self {
            info,
            layer: Layer::Socket,
            stage,
            halves: Halves::new(positions),
            waiting: None,
            closing: None,
            last_event: time,
            used: 0,
            deadline: None,
        }
    }

    /// What is to be kept of it while it waits for nothing; `None` where there is more.
    pub(crate) fn rest(&self) -> Option<Resting> {
        let plain = matches!(self.stage, Stage::Flowing)
            && self.waiting.is_none()
            && self.closing.is_none()
            && self.deadline.is_none();
        if !plain {
            return None;
        }
        Some(Resting {
            info: Arc::clone(&self.info),
            layer: self.layer,
            halves: [self.halves.sent.rest()?, self.halves.received.rest()?],
            ended: [self.halves.sent.is_ended(), self.halves.received.is_ended()],
            last_event: self.last_event,
            used: self.used,
        })
    }

    pub(crate) fn resumed(resting: &Resting) -> Self {
        let [sent, received] = resting.halves;
        let [sent_ended, received_ended] = resting.ended;
        Self {
            layer: resting.layer,
            halves: Halves {
                sent: Half::resumed(Direction::Sent, sent, sent_ended),
                received: Half::resumed(Direction::Received, received, received_ended),
            },
            used: resting.used,
            ..Self::new(
                Arc::clone(&resting.info),
                Stage::Flowing,
                [None, None],
                resting.last_event,
            )
        }
    }

    pub(crate) fn is_unopened(&self) -> bool {
        matches!(self.stage, Stage::Opening(_))
    }

    pub(crate) fn is_made_of_packets(&self) -> bool {
        self.halves.sent.is_packets()
    }

    /// The opening event came after all.
    pub(crate) fn open_late(
        &mut self,
        info: Arc<ConnectionInfo>,
        open: &Open,
        emit: &mut Emit<'_>,
    ) {
        self.info = info;
        self.begin(open.positions, open.mid_stream, emit);
        self.drain(emit);
    }

    fn begin(&mut self, positions: [Option<u64>; 2], mid_stream: bool, emit: &mut Emit<'_>) {
        let [sent, received] = positions;
        self.halves.sent.begin_at(sent, emit.counters);
        self.halves.received.begin_at(received, emit.counters);
        emit.counters.opened = emit.counters.opened.saturating_add(1);
        let info = Arc::clone(&self.info);
        emit.out.push(StreamEvent::Open {
            info,
            positions,
            mid_stream,
        });
        self.stage = match (self.stage, &self.waiting) {
            (Stage::Opening(since), Some(_)) => Stage::Securing(since),
            _ => Stage::Flowing,
        };
    }

    /// Opens it without knowing who it is.
    fn open_anonymous(&mut self, emit: &mut Emit<'_>) {
        emit.counters.anonymous = emit.counters.anonymous.saturating_add(1);
        self.begin([None, None], true, emit);
    }

    pub(crate) fn data(&mut self, data: Data, emit: &mut Emit<'_>) {
        let time = data.time();
        if data.layer != self.layer {
            match data.layer {
                Layer::Socket => {
                    emit.counters.seen = emit.counters.seen.saturating_add(data.len);
                    emit.counters.ciphertext = emit.counters.ciphertext.saturating_add(data.len);
                }
                Layer::Plaintext => {
                    if matches!(self.stage, Stage::Flowing) {
                        self.stage = Stage::Securing(time);
                    }
                    let waiting = self
                        .waiting
                        .get_or_insert_with(|| Box::new(Halves::new([None, None])));
                    take(waiting, data, time, false, false, emit);
                }
            }
            return;
        }
        let direction = data.direction;
        // The source hands events on in the best order it knows: one that is older than what the
        // other direction has shown came too late to be put in its place.
        let other = self.halves.get(direction.opposite());
        let uncertain = !other.is_packets() && time < other.last_time();
        let open = matches!(self.stage, Stage::Flowing) && !self.is_blocked(direction);
        take(&mut self.halves, data, time, uncertain, open, emit);
        self.halves.get_mut(direction).renew_proof(time);
        self.drain(emit);
    }

    pub(crate) fn secured(
        &mut self,
        positions: [u64; 2],
        mid_stream: bool,
        time: Nanos,
        emit: &mut Emit<'_>,
    ) {
        if self.layer == Layer::Plaintext {
            return;
        }
        if self.is_unopened() {
            self.open_anonymous(emit);
        }
        self.halves.sent.discard(emit.counters);
        self.halves.received.discard(emit.counters);
        self.layer = Layer::Plaintext;
        self.stage = Stage::Flowing;
        let [sent, received] = positions;
        match self.waiting.take() {
            Some(waiting) => {
                self.halves = *waiting;
                self.halves.sent.begin_at(Some(sent), emit.counters);
                self.halves.received.begin_at(Some(received), emit.counters);
            }
            None => self.halves = Halves::new([Some(sent), Some(received)]),
        }
        emit.out.push(StreamEvent::Secured {
            id: self.info.id,
            positions,
            mid_stream,
            time,
        });
        self.drain(emit);
    }

    /// The event that announces the plaintext did not come: it begins where it was first seen.
    fn secure_unannounced(&mut self, time: Nanos, emit: &mut Emit<'_>) {
        let starts = self
            .waiting
            .as_ref()
            .map(|waiting| Direction::BOTH.map(|direction| waiting.get(direction).first_held()));
        let [sent, received] = starts.unwrap_or_default();
        self.secured(
            [sent.unwrap_or_default(), received.unwrap_or_default()],
            true,
            time,
            emit,
        );
        // Where the other direction is by now is not known.
        for (direction, start) in [(Direction::Sent, sent), (Direction::Received, received)] {
            if start.is_none() {
                self.halves.get_mut(direction).forget_position(time, emit);
            }
        }
    }

    pub(crate) fn confirmed(
        &mut self,
        direction: Direction,
        position: u64,
        time: Nanos,
        emit: &mut Emit<'_>,
    ) {
        if self.layer == Layer::Socket {
            self.halves.sent.set_packets();
            self.halves.received.set_packets();
            self.halves.get_mut(direction).confirm(position, time);
            self.drain(emit);
        }
    }

    pub(crate) fn end(
        &mut self,
        direction: Direction,
        position: Option<u64>,
        time: Nanos,
        emit: &mut Emit<'_>,
    ) {
        self.halves.get_mut(direction).set_end(position, time);
        self.drain(emit);
    }

    /// True when the connection is over, and was told to be.
    pub(crate) fn close(&mut self, close: Close, emit: &mut Emit<'_>) -> bool {
        self.closing = Some(close);
        // A straggler from another ring may still fill what is missing; packets say for themselves
        // when they are complete.
        if self.is_made_of_packets() || !self.is_lacking(&close) {
            self.finish(close.time, StreamClose::from(close.reason), emit);
            return true;
        }
        false
    }

    fn is_lacking(&self, close: &Close) -> bool {
        let [sent, received] = close.positions;
        !matches!(self.stage, Stage::Flowing)
            || self.halves.held_cost() > 0
            || (self.layer == Layer::Socket
                && [(Direction::Sent, sent), (Direction::Received, received)]
                    .into_iter()
                    .any(|(direction, last)| {
                        self.halves
                            .get(direction)
                            .next()
                            .zip(last)
                            .is_some_and(|(next, last)| next < last)
                    }))
    }

    /// What a direction shows while the other one lacks something must wait until that came or is
    /// known to be lost: an answer comes after the request it answers. Packets are known to be
    /// lacking when they were acknowledged, anything else when something behind it is there.
    fn is_blocked(&self, direction: Direction) -> bool {
        let other = self.halves.get(direction.opposite());
        other.proof().is_some() || (!other.is_packets() && other.hole().is_some())
    }

    /// Hands on what has no hole before it, in the order of time.
    fn drain(&mut self, emit: &mut Emit<'_>) {
        if !matches!(self.stage, Stage::Flowing) {
            return;
        }
        loop {
            let ready = |direction: Direction| {
                if self.is_blocked(direction) {
                    None
                } else {
                    self.halves.get(direction).ready()
                }
            };
            let direction = match (ready(Direction::Sent), ready(Direction::Received)) {
                (None, None) => break,
                (Some(sent), Some(received)) if received < sent => Direction::Received,
                (None, Some(_)) => Direction::Received,
                (Some(_), _) => Direction::Sent,
            };
            let other = self.halves.get(direction.opposite());
            let (packets, passed) = (other.is_packets(), other.last_time());
            let half = self.halves.get_mut(direction);
            let uncertain = !packets && half.ready().is_some_and(|time| time < passed);
            half.hand_on_first(uncertain, emit);
            let now = half.last_time();
            half.renew_proof(now);
        }
        for direction in Direction::BOTH {
            if !self.is_blocked(direction) {
                self.halves.get_mut(direction).hand_on_end(emit);
            }
        }
    }

    /// Earliest time at which waiting changes something.
    pub(crate) fn next_deadline(&self, limits: &Limits) -> Option<Nanos> {
        let patience = nanos(limits.patience);
        let stage = match self.stage {
            Stage::Opening(since) | Stage::Securing(since) => Some(since.saturating_add(patience)),
            Stage::Flowing => None,
        };
        let closing = self
            .closing
            .map(|close| close.time.saturating_add(patience));
        Direction::BOTH
            .into_iter()
            .map(|direction| self.half_deadline(self.halves.get(direction), limits))
            .chain([stage, closing])
            .flatten()
            .min()
    }

    fn half_deadline(&self, half: &Half, limits: &Limits) -> Option<Nanos> {
        if half.is_packets() {
            return half
                .proof()
                .map(|proof| proof.since.saturating_add(nanos(limits.confirmed_patience)));
        }
        if !matches!(self.stage, Stage::Flowing) {
            return None;
        }
        let since = half
            .hole()
            .or_else(|| half.distant_end().map(|(_, time)| time))?;
        Some(since.saturating_add(nanos(limits.patience)))
    }

    /// Gives up what should have come by `now`. True when the connection is over by that.
    pub(crate) fn expire(&mut self, now: Nanos, limits: &Limits, emit: &mut Emit<'_>) -> bool {
        while self
            .next_deadline(limits)
            .is_some_and(|deadline| deadline <= now)
        {
            match self.stage {
                Stage::Opening(since) if since.saturating_add(nanos(limits.patience)) <= now => {
                    self.open_anonymous(emit);
                }
                Stage::Securing(since) if since.saturating_add(nanos(limits.patience)) <= now => {
                    self.secure_unannounced(now, emit);
                }
                _ => {}
            }
            let due: Vec<Direction> = Direction::BOTH
                .into_iter()
                .filter(|direction| {
                    self.half_deadline(self.halves.get(*direction), limits)
                        .is_some_and(|deadline| deadline <= now)
                })
                .collect();
            for direction in due {
                self.give_up(direction, now, emit);
            }
            self.drain(emit);
            let over = self
                .closing
                .filter(|close| close.time.saturating_add(nanos(limits.patience)) <= now);
            if let Some(close) = over {
                self.finish(close.time, StreamClose::from(close.reason), emit);
                return true;
            }
        }
        false
    }

    fn give_up(&mut self, direction: Direction, now: Nanos, emit: &mut Emit<'_>) {
        let half = self.halves.get_mut(direction);
        if half.proof().is_some() {
            half.settle_proof(now, emit);
            half.renew_proof(now);
        } else if let Some((position, time)) = half.distant_end() {
            let cause = half.hole_cause();
            half.skip_to(position, cause, time, emit);
        } else if half.hole().is_some() {
            let cause = half.hole_cause();
            half.skip_hole(cause, emit);
        }
    }

    /// Memory of what is held back.
    pub(crate) fn held_cost(&self) -> usize {
        self.halves.held_cost().saturating_add(
            self.waiting
                .as_ref()
                .map_or(0, |waiting| waiting.held_cost()),
        )
    }

    pub(crate) fn is_over(&self, limits: &Limits) -> bool {
        let over = |halves: &Halves| {
            Direction::BOTH
                .into_iter()
                .any(|direction| halves.get(direction).held_cost() > limits.held_per_direction)
        };
        over(&self.halves) || self.waiting.as_ref().is_some_and(|waiting| over(waiting))
    }

    /// Stops waiting for anything: hands on what is held, with gaps where something is missing.
    pub(crate) fn hand_on_all(&mut self, cause: Option<GapCause>, now: Nanos, emit: &mut Emit<'_>) {
        if self.is_unopened() {
            self.open_anonymous(emit);
        }
        if matches!(self.stage, Stage::Securing(_)) {
            self.secure_unannounced(now, emit);
        }
        loop {
            // What was acknowledged goes first: what the other direction shows came after it.
            for direction in Direction::BOTH {
                let half = self.halves.get_mut(direction);
                while half.proof().is_some() {
                    half.settle_proof(now, emit);
                    half.renew_proof(now);
                }
            }
            self.drain(emit);
            if Direction::BOTH
                .into_iter()
                .any(|direction| self.halves.get(direction).proof().is_some())
            {
                continue;
            }
            let holes = Direction::BOTH.into_iter().filter_map(|direction| {
                self.halves
                    .get(direction)
                    .hole()
                    .map(|time| (time, direction))
            });
            let Some((_, direction)) = holes.min() else {
                break;
            };
            let half = self.halves.get_mut(direction);
            half.skip_hole(cause.unwrap_or(half.hole_cause()), emit);
        }
    }

    /// Whether everything that has passed was handed on, as bytes or as a gap, and nothing else.
    fn balance(&self, last: [Option<u64>; 2], counters: &mut Counters) {
        let differences = Direction::BOTH.map(|direction| {
            let last = last.get(direction.index()).copied().flatten();
            self.halves.get(direction).difference(last)
        });
        if differences == [0; 2] {
            counters.balanced = counters.balanced.saturating_add(1);
        } else {
            counters.unbalanced = Some(Unbalanced {
                key: self.info.key,
                differences,
            });
        }
    }

    /// Hands on everything, and the end.
    pub(crate) fn finish(&mut self, time: Nanos, reason: StreamClose, emit: &mut Emit<'_>) {
        self.hand_on_all(None, time, emit);
        let positions = match (self.layer, self.closing) {
            (Layer::Socket, Some(close)) => close.positions,
            _ => [None, None],
        };
        let [sent, received] = positions;
        self.halves.sent.finish_at(sent, time, emit);
        self.halves.received.finish_at(received, time, emit);
        self.balance(positions, emit.counters);
        if self
            .closing
            .is_some_and(|close| close.reason == CloseReason::CutOff)
            && !self.is_made_of_packets()
        {
            // The source has not seen what passed last, or will not see what follows: an answer that is
            // not here may have come.
            for direction in Direction::BOTH {
                self.halves.get_mut(direction).lose_rest(time, emit);
            }
        }
        self.halves.sent.hand_on_end(emit);
        self.halves.received.hand_on_end(emit);
        emit.out.push(StreamEvent::Close {
            id: self.info.id,
            reason,
            time,
        });
    }
}

impl From<CloseReason> for StreamClose {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Finished => Self::Finished,
            CloseReason::Reset => Self::Reset,
            CloseReason::CutOff => Self::CutOff,
        }
    }
}

impl From<Missing> for GapCause {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Unwanted => Self::Unwanted,
            Missing::Limit => Self::Limit,
            Missing::Fault => Self::Fault,
            Missing::Ring => Self::Ring,
            Missing::Unobserved => Self::Unobserved,
            Missing::Packet => Self::Packet,
        }
    }
}

fn take(
    halves: &mut Halves,
    data: Data,
    time: Nanos,
    uncertain: bool,
    open: bool,
    emit: &mut Emit<'_>,
) {
    let half = halves.get_mut(data.direction);
    half.take(
        data.position,
        data.bytes,
        data.len,
        GapCause::from(data.missing),
        time,
        uncertain,
        open,
        emit,
    );
}
