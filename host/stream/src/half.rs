//! One direction of a connection: what was handed on, and what waits behind a hole.

use bytes::Bytes;

use crate::account::Account;
use crate::counters::Counters;
use crate::event::{Direction, GapCause, Nanos, StreamEvent};
use crate::held::{Content, Held, Segment, part};

/// Where a connection's events go, and who counts them.
pub(crate) struct Emit<'a> {
    pub(crate) id: u64,
    pub(crate) out: &'a mut Vec<StreamEvent>,
    pub(crate) counters: &'a mut Counters,
}

/// The peer has acknowledged what is not here: if it does not come soon, it was not captured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proof {
    position: u64,
    pub(crate) since: Nanos,
}

#[derive(Clone, Copy, Debug)]
struct PendingEnd {
    position: Option<u64>,
    time: Nanos,
}

/// A half that has handed on everything, and whose books are balanced: they begin anew where it goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RestingHalf {
    next: u64,
    last_time: Nanos,
}

#[derive(Debug)]
pub(crate) struct Half {
    direction: Direction,
    /// Position up to which the stream was handed on; `None` until the first stretch sets it.
    next: Option<u64>,
    account: Account,
    /// By position; all of it at or behind `next`.
    held: Held,
    /// Time of what was handed on last: times of one direction never go back.
    last_time: Nanos,
    /// Made of packets: acknowledgements decide what is lost, not the clock.
    packets: bool,
    /// Acknowledged up to here.
    confirmed: Option<u64>,
    proof: Option<Proof>,
    end: Option<PendingEnd>,
    ended: bool,
}

impl Half {
    pub(crate) fn new(direction: Direction, next: Option<u64>) -> Self {
        Self {
            direction,
            next,
            account: Account::open(next),
            held: Held::default(),
            last_time: 0,
            packets: false,
            confirmed: None,
            proof: None,
            end: None,
            ended: false,
        }
    }

    /// What is to be kept of a half that waits for nothing; `None` where there is more.
    pub(crate) fn rest(&self) -> Option<RestingHalf> {
        let next = self.next?;
        let plain = self.held.is_empty()
            && self.account.difference(next) == 0
            && !self.packets
            && self.confirmed.is_none()
            && self.proof.is_none()
            && self.end.is_none();
        plain.then_some(RestingHalf {
            next,
            last_time: self.last_time,
        })
    }

    pub(crate) fn resumed(direction: Direction, resting: RestingHalf, ended: bool) -> Self {
        Self {
            last_time: resting.last_time,
            ended,
            ..Self::new(direction, Some(resting.next))
        }
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    pub(crate) fn next(&self) -> Option<u64> {
        self.next
    }

    pub(crate) fn last_time(&self) -> Nanos {
        self.last_time
    }

    pub(crate) fn held_cost(&self) -> usize {
        self.held.cost()
    }

    pub(crate) fn is_packets(&self) -> bool {
        self.packets
    }

    pub(crate) fn set_packets(&mut self) {
        self.packets = true;
    }

    pub(crate) fn proof(&self) -> Option<Proof> {
        self.proof
    }

    /// Why a hole of this direction is one, when nothing else says so.
    pub(crate) fn hole_cause(&self) -> GapCause {
        if self.is_packets() {
            GapCause::Packet
        } else {
            GapCause::Unknown
        }
    }

    /// Takes what an event told: `bytes` at `position`, and behind them up to `len` what was not
    /// copied. Hands on at once what needs no waiting, if `open`.
    #[expect(
        clippy::too_many_arguments,
        reason = "the fields of one event, beside where they go"
    )]
    pub(crate) fn take(
        &mut self,
        position: u64,
        mut bytes: Bytes,
        len: u64,
        cause: GapCause,
        time: Nanos,
        uncertain: bool,
        open: bool,
        emit: &mut Emit<'_>,
    ) {
        // Positions near the end of the range come from damaged records only.
        let len = len.min(u64::MAX.saturating_sub(position));
        emit.counters.seen = emit.counters.seen.saturating_add(len);
        if self.ended {
            emit.counters.stray = emit.counters.stray.saturating_add(len);
            return;
        }
        bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        let copied = bytes.len() as u64;
        let rest = position.saturating_add(copied);
        let missing = len.saturating_sub(copied);
        if open && self.held.is_empty() && self.next.is_none_or(|next| next == position) {
            self.next = Some(position);
            if copied > 0 {
                self.hand_on(
                    Segment {
                        content: Content::Bytes(bytes),
                        time,
                    },
                    uncertain,
                    emit,
                );
            }
            if missing > 0 {
                self.hand_on(
                    Segment {
                        content: Content::Missing {
                            len: missing,
                            cause,
                        },
                        time,
                    },
                    uncertain,
                    emit,
                );
            }
            return;
        }
        let start = self.trim(position, rest, emit.counters);
        let new = part(&bytes, start.saturating_sub(position), copied);
        self.held.add_bytes(start, new, time, emit.counters);
        let end = rest.saturating_add(missing);
        let start = self.trim(rest, end, emit.counters);
        self.held
            .add_missing(start, end, cause, time, emit.counters);
    }

    /// Passes a stretch that begins at `next` on.
    fn hand_on(&mut self, segment: Segment, uncertain: bool, emit: &mut Emit<'_>) {
        let position = self.next.unwrap_or_default();
        let len = segment.len();
        self.next = Some(position.saturating_add(len));
        self.account.add(position, len);
        self.last_time = self.last_time.max(segment.time);
        let (id, direction, time) = (emit.id, self.direction, self.last_time);
        match segment.content {
            Content::Bytes(bytes) => {
                emit.counters.delivered = emit.counters.delivered.saturating_add(len);
                emit.out.push(StreamEvent::Data {
                    id,
                    direction,
                    position,
                    bytes,
                    time,
                    order_uncertain: uncertain,
                });
            }
            Content::Missing { len, cause } => {
                emit.counters.gaps.add(cause, len);
                emit.out.push(StreamEvent::Gap {
                    id,
                    direction,
                    position,
                    len: Some(len),
                    cause,
                    time,
                });
            }
        }
    }

    /// Start of `position..end` without what was handed on before.
    fn trim(&self, position: u64, end: u64, counters: &mut Counters) -> u64 {
        let start = self.next.map_or(position, |next| next.clamp(position, end));
        counters.duplicates = counters
            .duplicates
            .saturating_add(start.saturating_sub(position));
        start
    }

    /// Sets where the stream begins; what is held below was there before.
    pub(crate) fn begin_at(&mut self, position: Option<u64>, counters: &mut Counters) {
        self.next = position.or_else(|| self.first_held());
        self.account = Account::open(self.next);
        if let Some(next) = self.next {
            self.held.cut_below(next, counters);
        }
    }

    /// Position of the first stretch that is held.
    pub(crate) fn first_held(&self) -> Option<u64> {
        self.held.first().map(|(start, _)| start)
    }

    /// Says that the stream goes on at a position that is not known.
    pub(crate) fn forget_position(&mut self, time: Nanos, emit: &mut Emit<'_>) {
        let position = self.next.take().unwrap_or_default();
        self.account = Account::default();
        self.last_time = self.last_time.max(time);
        let (id, direction, time) = (emit.id, self.direction, self.last_time);
        emit.out.push(StreamEvent::Gap {
            id,
            direction,
            position,
            len: None,
            cause: GapCause::Unknown,
            time,
        });
    }

    /// Says that more may follow, which is not seen, unless the stream has ended.
    pub(crate) fn lose_rest(&mut self, time: Nanos, emit: &mut Emit<'_>) {
        if !self.ended && self.end.is_none() {
            self.forget_position(time, emit);
        }
    }

    /// Time of the next stretch, if there is no hole before it.
    pub(crate) fn ready(&self) -> Option<Nanos> {
        let (start, time) = self.held.first()?;
        self.next.is_none_or(|next| next == start).then_some(time)
    }

    /// Hands the next stretch on if there is no hole before it.
    pub(crate) fn hand_on_first(&mut self, uncertain: bool, emit: &mut Emit<'_>) {
        self.next = self.next.or(self.first_held());
        if let Some(next) = self.next
            && let Some(segment) = self.held.remove(next, emit.counters)
        {
            self.hand_on(segment, uncertain, emit);
        }
    }

    /// Time of what lies behind the first hole.
    pub(crate) fn hole(&self) -> Option<Nanos> {
        let (start, time) = self.held.first()?;
        self.next.is_some_and(|next| next != start).then_some(time)
    }

    /// Gives the first hole up.
    pub(crate) fn skip_hole(&mut self, cause: GapCause, emit: &mut Emit<'_>) {
        if let Some((start, time)) = self.held.first() {
            self.skip_to(start, cause, time, emit);
        }
    }

    /// Gives up what is missing before `position`, which nothing held precedes.
    pub(crate) fn skip_to(
        &mut self,
        position: u64,
        cause: GapCause,
        time: Nanos,
        emit: &mut Emit<'_>,
    ) {
        let Some(next) = self.next else { return };
        let len = position.saturating_sub(next);
        if len == 0 || self.ended {
            return;
        }
        emit.counters.seen = emit.counters.seen.saturating_add(len);
        // They passed before what came behind them did, however late they were given up.
        let time = self
            .held
            .first()
            .map_or(time, |(_, behind)| behind.min(time));
        self.hand_on(
            Segment {
                content: Content::Missing { len, cause },
                time,
            },
            false,
            emit,
        );
    }

    /// The peer has acknowledged everything below `position`.
    pub(crate) fn confirm(&mut self, position: u64, time: Nanos) {
        self.confirmed = Some(self.confirmed.map_or(position, |known| known.max(position)));
        self.renew_proof(time);
    }

    /// Starts or ends the waiting for an acknowledged stretch that is not here.
    pub(crate) fn renew_proof(&mut self, time: Nanos) {
        let lacking = match (self.next, self.confirmed) {
            (Some(next), Some(confirmed))
                if confirmed > next && self.ready().is_none() && !self.ended =>
            {
                Some(confirmed)
            }
            _ => None,
        };
        match (lacking, self.proof) {
            (None, _) => self.proof = None,
            // A hole that was filled, with another behind it: a new wait.
            (Some(position), Some(proof))
                if self.next.is_some_and(|next| next >= proof.position) =>
            {
                self.proof = Some(Proof {
                    position,
                    since: time,
                });
            }
            (Some(_), Some(_)) => {}
            (Some(position), None) => {
                self.proof = Some(Proof {
                    position,
                    since: time,
                })
            }
        }
    }

    /// Gives the stretch up that was acknowledged and never came, up to the next one that is held.
    pub(crate) fn settle_proof(&mut self, time: Nanos, emit: &mut Emit<'_>) {
        if let Some(proof) = self.proof {
            let held = self.first_held().unwrap_or(u64::MAX);
            let acknowledged = proof.since.min(time);
            self.skip_to(
                proof.position.min(held),
                GapCause::Packet,
                acknowledged,
                emit,
            );
        }
    }

    pub(crate) fn set_end(&mut self, position: Option<u64>, time: Nanos) {
        if !self.ended && self.end.is_none() {
            self.end = Some(PendingEnd { position, time });
        }
    }

    /// Position and time of an end that the stream has not reached, with nothing held before it.
    pub(crate) fn distant_end(&self) -> Option<(u64, Nanos)> {
        let end = self.end?;
        let position = end.position?;
        (self.held.is_empty() && self.next.is_some_and(|next| next < position))
            .then_some((position, end.time))
    }

    /// Reports the end if the stream has reached it.
    pub(crate) fn hand_on_end(&mut self, emit: &mut Emit<'_>) {
        let Some(end) = self.end else { return };
        if !self.held.is_empty() || self.distant_end().is_some() {
            return;
        }
        let position = self.next.or(end.position).unwrap_or_default();
        self.next = Some(position);
        self.end = None;
        self.ended = true;
        self.last_time = self.last_time.max(end.time);
        emit.out.push(StreamEvent::End {
            id: emit.id,
            direction: self.direction,
            position,
            time: self.last_time,
        });
    }

    /// Gives up what is missing before a known final position.
    pub(crate) fn finish_at(&mut self, position: Option<u64>, time: Nanos, emit: &mut Emit<'_>) {
        let cause = self.hole_cause();
        let end = self.end.and_then(|end| end.position);
        if let Some(last) = position.max(end).max(self.confirmed) {
            self.skip_to(last, cause, time, emit);
        }
    }

    /// How far what was handed on is from what has passed: up to `last`, where the source has said where
    /// the stream ends, or by the positions of what came.
    pub(crate) fn difference(&self, last: Option<u64>) -> u64 {
        match (self.next, last) {
            // Where it was is not known.
            (None, _) => 0,
            (Some(next), last) => self.account.difference(last.unwrap_or(next)),
        }
    }

    /// Forgets what is held: it is the ciphertext of what comes as plaintext.
    pub(crate) fn discard(&mut self, counters: &mut Counters) {
        self.held.discard(counters);
    }
}
