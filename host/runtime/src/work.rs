//! Calling parsers: batches, what they ask for, what is kept.

use wirespan_contract::limit;

use crate::bindings::{EventKind, Output};
use crate::connection::{Connection, Control, State, Taken};
use crate::fault::Fault;
use crate::instance::thread_time;
use crate::ledger::Ledger;
use crate::limits::Limits;
use crate::output::ParsedSpan;
use crate::requests::{How, Leaving};
use crate::spans::Converter;
use crate::worker::{Slot, Worker, connection_mut};

/// Calls for one connection between two events from outside. Each makes progress; a parser that
/// consumes a byte at a time waits for the next event.
const ROUNDS: u32 = 32;

impl Worker {
    /// Hands over what the connections of an instance have, in batches.
    pub(crate) fn work(&mut self, pool: usize, seat: usize) {
        let place = self
            .pools
            .get_mut(pool)
            .and_then(|pool| pool.seats.get_mut(seat));
        let Some(mut work) = place.map(|seat| std::mem::take(&mut seat.work)) else {
            return;
        };
        let mut rest = work.as_slice();
        while !rest.is_empty() {
            let mut batch = std::mem::take(&mut self.batch);
            batch.clear();
            while let Some((slot, more)) = rest.split_first()
                && batch.events.len() < self.limits.batch_events
                && batch.bytes.len() < self.limits.batch_bytes
            {
                rest = more;
                self.add_to_batch(&mut batch, pool, seat, *slot);
            }
            batch.finish();
            self.batch = batch;
            if !self.batch.members.is_empty()
                && let Err(fault) = self.call(pool, seat)
            {
                self.recover(pool, seat, &fault);
            }
        }
        work.clear();
        if let Some(seat) = self
            .pools
            .get_mut(pool)
            .and_then(|pool| pool.seats.get_mut(seat))
            && seat.work.is_empty()
        {
            seat.work = work;
        }
    }

    pub(crate) fn add_to_batch(
        &mut self,
        batch: &mut crate::batch::Batch,
        pool: usize,
        seat: usize,
        slot: u32,
    ) {
        let Some(place) = self.slots.get_mut(slot as usize) else {
            return;
        };
        let Some(connection) = place.place.wake() else {
            return;
        };
        let State::Taken(mut taken) = connection.state else {
            return;
        };
        if (taken.parser, taken.seat) != (pool, seat) {
            return;
        }
        if taken.opening.is_some() {
            place.uses = place.uses.saturating_add(1);
            taken.number = u64::from(place.uses) << 32 | u64::from(slot);
            connection.state = State::Taken(taken);
        }
        batch.add(slot, taken, connection);
    }

    /// Calls the parser with the batch, and again for as long as it has more to say.
    pub(crate) fn call(&mut self, pool: usize, seat: usize) -> Result<(), Fault> {
        let mut leaving = Vec::new();
        let bytes = self.batch.bytes.len();
        self.counters.presented_bytes.add(bytes as u64);
        let spans_allowed =
            limit::SPANS_PER_BATCH_BASE.saturating_add(bytes / limit::BYTES_PER_SPAN);
        let mut spans = 0usize;
        for round in 0..limit::OUTPUTS_PER_BATCH {
            let Some(parser) = self.pools.get_mut(pool) else {
                return Ok(());
            };
            let instance = parser.instance(seat, &self.engine, &self.limits)?;
            let batch = &self.batch;
            let budget = self.limits.process_budget;
            let started = self.calls_time.map(|_| thread_time());
            let output = if round == 0 {
                instance.process(
                    budget,
                    self.now,
                    &batch.events,
                    &batch.facts.list,
                    &batch.bytes,
                )?
            } else {
                instance.process(budget, self.now, &[], &[], &[])?
            };
            if let (Some(total), Some(started)) = (&mut self.calls_time, started) {
                *total = total.saturating_add(thread_time().saturating_sub(started));
            }
            parser.succeeded(&self.limits);
            spans = spans.saturating_add(output.spans.len());
            if spans > spans_allowed {
                return Err(Fault::Nonsense("more spans than the bytes can hold"));
            }
            self.read(pool, seat, &output, round == 0, &mut leaving)?;
            if !output.more {
                self.settle(pool, seat, leaving);
                return Ok(());
            }
        }
        Err(Fault::Nonsense("it never comes to an end"))
    }

    /// Takes one answer: all of it, or nothing and a fault.
    fn read(
        &mut self,
        pool: usize,
        seat: usize,
        output: &Output,
        first: bool,
        leaving: &mut Vec<Leaving>,
    ) -> Result<(), Fault> {
        let too_much = output.spans.len() > limit::SPANS_PER_OUTPUT
            || output.values.len() > limit::VALUES_PER_OUTPUT
            || output.requests.len() > limit::REQUESTS_PER_OUTPUT
            || output.text.len() > limit::TEXT_BYTES_PER_OUTPUT;
        if too_much {
            return Err(Fault::Nonsense(
                "an output beyond the limits of the contract",
            ));
        }
        let kept = self.output.spans.len();
        self.read_spans(pool, seat, output)
            .and_then(|()| self.check_requests(pool, seat, output))
            .inspect_err(|_| {
                self.output.spans.truncate(kept);
            })?;
        if let Some(pool) = self.pools.get(pool) {
            pool.counters
                .spans
                .add(self.output.spans.len().saturating_sub(kept) as u64);
        }
        if first {
            for member in &self.batch.members {
                if let Some(connection) = connection_mut(&mut self.slots, member.slot) {
                    connection.control.clear();
                    if let State::Taken(taken) = &mut connection.state {
                        taken.opening = None;
                    }
                }
            }
        }
        for request in &output.requests {
            self.apply(pool, request, output, leaving)?;
            // It may be about a connection that is not in the batch.
            self.account(slot_of(request.conn));
        }
        Ok(())
    }

    fn read_spans(&mut self, pool: usize, seat: usize, output: &Output) -> Result<(), Fault> {
        let Some(entry) = self.pools.get(pool) else {
            return Ok(());
        };
        let converter = Converter::new(
            &entry.parser,
            &entry.counters,
            self.clock,
            &self.resource,
            output,
        );
        for span in &output.spans {
            let connection = find(&mut self.slots, pool, seat, span.conn).ok_or(STRANGE)?;
            let began = span.start;
            if let Some(span) = converter.convert(span, connection)? {
                let connection = std::sync::Arc::clone(connection.info.at(began));
                self.output.spans.push(ParsedSpan { span, connection });
            }
        }
        Ok(())
    }

    /// After a whole answer: what ends, what is kept, what is presented again.
    fn settle(&mut self, pool: usize, seat: usize, leaving: Vec<Leaving>) {
        for Leaving { number, how } in leaving {
            if find(&mut self.slots, pool, seat, number).is_none() {
                if let Some(pool) = self.pools.get(pool) {
                    pool.counters.late_requests.one();
                }
                continue;
            }
            match how {
                How::Upgrade {
                    positions,
                    protocol,
                    context,
                } => {
                    self.upgrade(slot_of(number), positions, &protocol, context);
                }
                How::NotMine => self.give_back(slot_of(number)),
            }
        }
        let members = std::mem::take(&mut self.batch.members);
        for member in &members {
            let (slot, presented) = (member.slot, member.presented);
            let Some(connection) = find(&mut self.slots, pool, seat, member.number) else {
                self.finish_left(slot);
                continue;
            };
            if member.closes {
                self.drop_slot(slot);
                continue;
            }
            let counters = self.pools.get(pool).map(|pool| &pool.counters);
            let ledger = &mut self.ledger;
            let dropped = retain(connection, presented, &self.limits, self.retained, ledger);
            if dropped && let Some(counters) = counters {
                counters.retained_limit.one();
            }
            if again(connection) {
                self.touch(slot);
            }
            self.account(slot);
        }
        self.batch.members = members;
        self.ease(pool, seat);
    }

    /// A connection that its parser has given up in this batch.
    fn finish_left(&mut self, slot: u32) {
        if connection_mut(&mut self.slots, slot)
            .is_some_and(|c| c.closed() && matches!(c.state, State::Left(_)))
        {
            self.drop_slot(slot);
        } else {
            self.account(slot);
        }
    }

    /// Asks the connections of an instance that has grown to free memory.
    fn ease(&mut self, pool: usize, seat: usize) {
        let Some(entry) = self.pools.get_mut(pool) else {
            return;
        };
        if !entry.under_pressure(seat, &self.limits) {
            return;
        }
        let order = self.next_order();
        let time = self.now;
        for slot in 0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX) {
            let Some(connection) = connection_mut(&mut self.slots, slot) else {
                continue;
            };
            if !matches!(connection.state, State::Taken(t) if (t.parser, t.seat, t.ignored) == (pool, seat, false))
            {
                continue;
            }
            let control = Control::new(EventKind::Evict, order, time);
            connection.control.push_back(control);
            self.touch(slot);
        }
    }
}

pub(crate) const STRANGE: Fault = Fault::Nonsense("a connection that it does not have");

pub(crate) fn slot_of(number: u64) -> u32 {
    u32::try_from(number & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

/// The connection that an instance knows by `number`.
pub(crate) fn find(
    slots: &mut [Slot],
    pool: usize,
    seat: usize,
    number: u64,
) -> Option<&mut Connection> {
    let connection = connection_mut(slots, slot_of(number))?;
    let theirs = |taken: Taken| (taken.parser, taken.seat, taken.number) == (pool, seat, number);
    matches!(connection.state, State::Taken(taken) if theirs(taken)).then_some(connection)
}

/// Bounds what is kept after a presentation. Whether bytes were dropped.
fn retain(
    connection: &mut Connection,
    presented: [bool; 2],
    limits: &Limits,
    total: usize,
    ledger: &mut Ledger,
) -> bool {
    let mut dropped = false;
    for (side, presented) in connection.sides.iter_mut().zip(presented) {
        if presented {
            side.presented();
        }
        if side.retained > limits.retained_bytes
            || (total > limits.retained_total_bytes && side.retained > 0)
        {
            dropped |= side.drop_retained(ledger) > 0;
        } else if !side.segments.is_empty() {
            side.compact(limits.chunk_marks);
        }
    }
    dropped
}

/// Whether a connection has something for its parser right away: a side may go on after the other
/// one was consumed.
fn again(connection: &mut Connection) -> bool {
    let [sent, received] = &mut connection.sides;
    let progress = [sent.progress, received.progress];
    let [by_sent, by_received] = progress;
    for (side, other) in [(&mut *sent, by_received), (received, by_sent)] {
        if other && !side.segments.is_empty() {
            side.fresh = true;
            side.release();
        }
        side.progress = false;
    }
    connection.rounds = connection.rounds.saturating_add(1);
    if connection.rounds > ROUNDS {
        connection
            .sides
            .iter_mut()
            .for_each(|side| side.fresh = false);
        return connection.closed();
    }
    crate::batch::has_work(connection)
}
