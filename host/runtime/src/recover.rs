//! After a fault: a fresh instance, the batch again one connection at a time, and the connection
//! that makes it fail again is dropped. Its neighbours lost what was in flight, and their spans say
//! so.

use wirespan_capture::Verdict;

use crate::bindings::Cause;
use crate::connection::State;
use crate::fault::Fault;
use crate::ledger::Fate;
use crate::worker::{Worker, connection_mut, depart};

impl Worker {
    /// The call with the present batch failed.
    pub(crate) fn recover(&mut self, pool: usize, seat: usize, fault: &Fault) {
        let members: Vec<u32> = self
            .batch
            .members
            .iter()
            .map(|member| member.slot)
            .collect();
        if self.fail(pool, seat, fault) {
            return;
        }
        for slot in members {
            let mut batch = std::mem::take(&mut self.batch);
            batch.clear();
            self.add_to_batch(&mut batch, pool, seat, slot);
            batch.finish();
            self.batch = batch;
            if self.batch.members.is_empty() {
                continue;
            }
            if let Err(fault) = self.call(pool, seat) {
                self.drop_culprit(pool, slot, &fault);
                if self.fail(pool, seat, &fault) {
                    return;
                }
            }
        }
    }

    /// Throws an instance away. True when the parser lost all its connections with it.
    fn fail(&mut self, pool: usize, seat: usize, fault: &Fault) -> bool {
        let now = self.now;
        let Some(entry) = self.pools.get_mut(pool) else {
            return true;
        };
        entry.discard(seat);
        tracing::debug!("an instance of {} failed: {fault}", entry.parser.label());
        let lost = entry.failed(fault, now, &self.limits);
        for slot in 0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX) {
            let Some(connection) = connection_mut(&mut self.slots, slot) else {
                continue;
            };
            let State::Taken(taken) = &mut connection.state else {
                continue;
            };
            if taken.parser != pool || (taken.seat != seat && !lost) {
                continue;
            }
            if lost {
                self.let_go(pool, slot);
                continue;
            }
            // One that was to be opened with this batch has lost nothing.
            if taken.opening.is_none() {
                taken.opening = Some(Cause::Restart);
                connection.restarted = Some(connection.latest);
                connection.wake = None;
                if let Some(entry) = self.pools.get(pool) {
                    entry.counters.restarted.one();
                }
            }
            for side in &mut connection.sides {
                side.forget_requests();
            }
        }
        lost
    }

    /// The connection that makes its parser fail is not parsed any further.
    fn drop_culprit(&mut self, pool: usize, slot: u32, fault: &Fault) {
        if let Some(entry) = self.pools.get(pool) {
            entry.counters.drop_for(fault);
        }
        self.abandon(slot);
    }

    fn let_go(&mut self, pool: usize, slot: u32) {
        if let Some(entry) = self.pools.get(pool) {
            entry.counters.let_go.one();
        }
        self.abandon(slot);
    }

    fn abandon(&mut self, slot: u32) {
        let Some(connection) = connection_mut(&mut self.slots, slot) else {
            return;
        };
        if let State::Taken(taken) = connection.state {
            depart(&mut self.pools, taken);
        }
        connection.leave(Fate::Failed, &mut self.ledger);
        if connection.closed() {
            self.drop_slot(slot);
            return;
        }
        self.output.verdicts.push(connection.say(Verdict::Ignored));
        self.account(slot);
    }
}
