//! What parsers ask for.

use std::cmp::Reverse;

use wirespan_capture::Verdict;
use wirespan_contract::limit;
use wirespan_stream::Direction;

use crate::bindings::{Ask, EventKind, Output, Recognition, RequestRow};
use crate::connection::{Connection, Control, State};
use crate::fault::Fault;
use crate::ledger::Fate;
use crate::spans::slice;
use crate::work::{STRANGE, find, slot_of};
use crate::worker::{Worker, connection_mut, depart, owned};

/// A verdict costs a call into the kernel: worth it from this distance on.
const WORTH_A_VERDICT: u64 = 32 << 10;

/// What ends a parser's part in a connection waits until the whole answer was read.
pub(crate) struct Leaving {
    pub(crate) number: u64,
    pub(crate) how: How,
}

pub(crate) enum How {
    Upgrade {
        positions: [(Direction, u64); 2],
        protocol: Vec<u8>,
        context: Option<Box<[u8]>>,
    },
    NotMine,
}

impl Worker {
    pub(crate) fn check_requests(
        &mut self,
        pool: usize,
        seat: usize,
        output: &Output,
    ) -> Result<(), Fault> {
        for request in &output.requests {
            let connection = find(&mut self.slots, pool, seat, request.conn).ok_or(STRANGE)?;
            let side = connection.side(connection.direction(request.side));
            if request.ask == Ask::Consumed && request.position > side.seen.max(side.floor) {
                return Err(Fault::Nonsense("bytes consumed that were not presented"));
            }
            slice(output, request.text)?;
            if slice(output, request.context)?.len() > limit::CONTEXT_BYTES {
                return Err(Fault::Nonsense("a context beyond its limit"));
            }
        }
        Ok(())
    }

    /// Does what a request asks. It was checked.
    pub(crate) fn apply(
        &mut self,
        pool: usize,
        request: &RequestRow,
        output: &Output,
        leaving: &mut Vec<Leaving>,
    ) -> Result<(), Fault> {
        let slot = slot_of(request.conn);
        let Some(connection) = connection_mut(&mut self.slots, slot) else {
            return Ok(());
        };
        let direction = connection.direction(request.side);
        match request.ask {
            Ask::Consumed => {
                let side = connection.side_mut(direction);
                if side.consume(request.position, &mut self.ledger) {
                    connection.consumed = true;
                }
            }
            Ask::NeedTo => connection.side_mut(direction).need = request.position,
            Ask::SkipTo => {
                connection.consumed = true;
                let side = connection.side_mut(direction);
                let end = side.end;
                match side.skip(request.position, &mut self.ledger) {
                    Some(skipped) => connection.skipped(direction, skipped),
                    None if request.position.saturating_sub(end) >= WORTH_A_VERDICT => {
                        self.output
                            .verdicts
                            .push(connection.say(Verdict::SkipUntil {
                                direction,
                                position: request.position,
                            }));
                    }
                    None => {}
                }
            }
            Ask::WakeAt => {
                connection.wake = (request.position != 0).then_some(request.position);
                if let Some(time) = connection.wake {
                    self.due.push(Reverse((time, slot, connection.info.id)));
                    self.trim_due();
                }
            }
            Ask::Ignore => {
                let reason = slice(output, request.text)?;
                if let State::Taken(taken) = &mut connection.state
                    && !taken.ignored
                {
                    taken.ignored = true;
                    connection.forget_bytes(Fate::GivenUp, &mut self.ledger);
                    connection.wake = None;
                    self.output.verdicts.push(connection.say(Verdict::Ignored));
                    if let Some(pool) = self.pools.get(pool) {
                        pool.counters.ignore(reason, self.limits.reasons);
                    }
                }
            }
            Ask::Upgrade => leaving.push(Leaving {
                number: request.conn,
                how: How::Upgrade {
                    positions: [
                        (direction, request.position),
                        (direction.opposite(), request.other),
                    ],
                    protocol: slice(output, request.text)?.to_vec(),
                    context: owned(slice(output, request.context)?),
                },
            }),
            Ask::NotMine => leaving.push(Leaving {
                number: request.conn,
                how: How::NotMine,
            }),
        }
        Ok(())
    }

    /// Another protocol begins.
    pub(crate) fn upgrade(
        &mut self,
        slot: u32,
        positions: [(Direction, u64); 2],
        protocol: &[u8],
        context: Option<Box<[u8]>>,
    ) {
        let all = self.parsers.all();
        let Some(connection) = connection_mut(&mut self.slots, slot) else {
            return;
        };
        if let State::Taken(taken) = connection.state {
            if let Some(pool) = self.pools.get(taken.parser) {
                pool.counters.upgrades.one();
            }
            depart(&mut self.pools, taken);
        }
        for (direction, position) in positions {
            connection
                .side_mut(direction)
                .skip_silently(position, &mut self.ledger);
        }
        keep_end(connection);
        connection.handover = context;
        connection.search.refused = 0;
        connection.search_anew(all);
        connection.mid_stream = false;
        self.touch(slot);
        if protocol.is_empty() {
            return;
        }
        match self.parsers.by_protocol(protocol) {
            Some(parser)
                if self
                    .pools
                    .get(parser)
                    .is_some_and(|pool| pool.healthy(self.now)) =>
            {
                self.take(
                    slot,
                    parser,
                    &Recognition {
                        confidence: 100,
                        swapped: false,
                        protocol: 0,
                    },
                );
            }
            _ => self.leave(slot, true),
        }
    }

    /// A parser was wrong about a connection: the others are asked, once.
    pub(crate) fn give_back(&mut self, slot: u32) {
        let all = self.parsers.all();
        let Some(connection) = connection_mut(&mut self.slots, slot) else {
            return;
        };
        let State::Taken(taken) = connection.state else {
            return;
        };
        if let Some(pool) = self.pools.get(taken.parser) {
            pool.counters.not_mine.one();
        }
        depart(&mut self.pools, taken);
        keep_end(connection);
        connection.mid_stream |= connection.consumed;
        let second = connection.search.refused != 0;
        connection.search.refused |= 1u64 << (taken.parser % 64);
        connection.search_anew(all);
        self.touch(slot);
        if second {
            self.leave(slot, true);
        }
    }

    /// Entries of timers that were moved do not pile up.
    pub(crate) fn trim_due(&mut self) {
        let most = self.slots.len().saturating_mul(4).saturating_add(1024);
        if self.due.len() <= most {
            return;
        }
        let slots = &self.slots;
        self.due.retain(|Reverse((time, slot, id))| {
            let slot = slots.get(*slot as usize);
            slot.is_some_and(|slot| slot.place.waits_until(*id, *time))
        });
    }
}

/// The next parser has to hear of an end that this one was told of.
fn keep_end(connection: &mut Connection) {
    let time = connection.latest;
    for direction in Direction::BOTH {
        let side = connection.side(direction);
        if side.ended {
            let control = Control::new(EventKind::End, u64::MAX, time).of(direction, side.end);
            connection.control.push_back(control);
        }
    }
}
