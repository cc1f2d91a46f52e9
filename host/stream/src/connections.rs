//! The table of connections: socket events in, ordered streams out.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use wirespan_capture::{Executed, Held, Open, Process, ProcessKey, SocketEvent, UnixNames};

use crate::connection::Connection;
use crate::counters::Counters;
use crate::event::{ConnectionInfo, ConnectionKey, GapCause, Nanos, StreamClose, StreamEvent};
use crate::half::Emit;
use crate::limits::{CLOSED_KEYS, FORGOTTEN, Limits, NAMES, REST_AFTER, REST_INTERVAL, nanos};
use crate::resting::Entry;

/// Of a full table, this part is forgotten at once: finding the least recently used costs a scan.
const EVICTED_PART: usize = 16;

/// One entry per connection; bounded in every respect by [`Limits`].
///
/// In each direction the events that come out follow each other without a hole: what did not come is
/// a [`StreamEvent::Gap`] of exact length. Events of both directions leave in the order in which
/// they were pushed; a direction with a hole holds only itself back, until it is filled or known to
/// stay. Only where packets prove that the peer had received what is missing does the other
/// direction wait too, for a moment: its next bytes may be the answer.
#[derive(Debug, Default)]
pub struct Connections {
    limits: Limits,
    // The kernel's addresses are keys that nobody outside can choose: no need for a keyed hash.
    table: FxHashMap<ConnectionKey, Entry>,
    /// Connections that wait for something, by the time at which they stop waiting.
    deadlines: BTreeSet<(Nanos, ConnectionKey)>,
    processes: HashMap<ProcessKey, (Arc<Process>, u64)>,
    /// Of Unix sockets that are about to open.
    names: FxHashMap<ConnectionKey, Arc<UnixNames>>,
    closed: FxHashSet<ConnectionKey>,
    closed_order: VecDeque<ConnectionKey>,
    /// Who those were that have been forgotten: their opening is not told again.
    forgotten: FxHashMap<ConnectionKey, Arc<ConnectionInfo>>,
    forgotten_order: VecDeque<ConnectionKey>,
    counters: Counters,
    next_id: u64,
    uses: u64,
    last_sweep: Nanos,
    last_rest: Nanos,
}

impl Connections {
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Connections that are open now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Takes one event in and appends what it lets out.
    pub fn push(&mut self, event: SocketEvent, out: &mut Vec<StreamEvent>) {
        self.uses = self.uses.saturating_add(1);
        match event {
            SocketEvent::Process(process) => self.remember(process),
            SocketEvent::Executed(executed) => self.executed(&executed, out),
            SocketEvent::Held(held) => self.held(&held, out),
            SocketEvent::Unix(names) => {
                if self.names.len() >= NAMES {
                    self.names.clear();
                }
                self.names.insert(names.key, Arc::from(names));
            }
            SocketEvent::Open(open) => self.open(&open, out),
            SocketEvent::Data(data) => {
                let (key, time, len) = (data.key, data.time(), data.len);
                if !self.admit(key, time, out) {
                    self.counters.seen = self.counters.seen.saturating_add(len);
                    self.counters.stray = self.counters.stray.saturating_add(len);
                    return;
                }
                self.change(key, time, out, |connection, emit| {
                    connection.data(data, emit);
                    false
                });
            }
            SocketEvent::Secured(secured) => {
                if !self.admit(secured.key, secured.time, out) {
                    return;
                }
                self.change(secured.key, secured.time, out, |connection, emit| {
                    connection.secured(secured.positions, secured.mid_stream, secured.time, emit);
                    false
                });
            }
            SocketEvent::Confirmed(confirmed) => {
                self.change(confirmed.key, confirmed.time, out, |connection, emit| {
                    connection.confirmed(
                        confirmed.direction,
                        confirmed.position,
                        confirmed.time,
                        emit,
                    );
                    false
                });
            }
            SocketEvent::End(end) => {
                self.change(end.key, end.time, out, |connection, emit| {
                    connection.end(end.direction, end.position, end.time, emit);
                    false
                });
            }
            SocketEvent::Close(close) => {
                self.forgotten.remove(&close.key);
                self.change(close.key, close.time, out, |connection, emit| {
                    connection.close(close, emit)
                });
            }
        }
    }

    /// No event with an earlier time than `watermark` will come: gives up holes that can no longer
    /// fill, and forgets connections that were idle for too long. To be called after each batch of
    /// events, and now and then when none come.
    pub fn tick(&mut self, watermark: Nanos, out: &mut Vec<StreamEvent>) {
        while let Some(&(deadline, key)) = self.deadlines.first() {
            if deadline > watermark {
                break;
            }
            self.settle(key, watermark, out);
        }
        let idle = nanos(self.limits.idle);
        if watermark.saturating_sub(self.last_sweep) >= idle / 16 {
            self.last_sweep = watermark;
            let keys = self
                .table
                .iter()
                .filter(|(_, entry)| watermark.saturating_sub(entry.last_event()) >= idle);
            let keys: Vec<ConnectionKey> = keys.map(|(key, _)| *key).collect();
            self.evict(keys, watermark, out);
        }
        if watermark.saturating_sub(self.last_rest) >= nanos(REST_INTERVAL) {
            self.last_rest = watermark;
            let since = watermark.saturating_sub(nanos(REST_AFTER));
            self.table.values_mut().for_each(|entry| entry.rest(since));
        }
    }

    /// The capture is over: hands on everything, and closes every connection as cut off.
    pub fn finish(&mut self, time: Nanos, out: &mut Vec<StreamEvent>) {
        let mut rest: Vec<Entry> = std::mem::take(&mut self.table).into_values().collect();
        rest.sort_by_key(|entry| entry.info().id);
        for entry in rest {
            let mut connection = entry.into_connection();
            let mut emit = Emit {
                id: connection.info.id,
                out,
                counters: &mut self.counters,
            };
            let time = time.max(connection.last_event);
            connection.finish(time, StreamClose::CutOff, &mut emit);
            self.counters.closed = self.counters.closed.saturating_add(1);
        }
        self.deadlines.clear();
    }

    fn remember(&mut self, process: Arc<Process>) {
        if self.processes.len() >= self.limits.processes {
            let mut unused: Vec<(u64, ProcessKey)> = self
                .processes
                .iter()
                .filter(|(_, (process, _))| Arc::strong_count(process) == 1)
                .map(|(key, (_, used))| (*used, *key))
                .collect();
            unused.sort_unstable_by_key(|(used, _)| *used);
            // Also those in use, when all are: their connections keep them alive.
            if unused.is_empty() {
                unused = self
                    .processes
                    .iter()
                    .map(|(key, (_, used))| (*used, *key))
                    .collect();
            }
            let part = unused.len().div_ceil(EVICTED_PART);
            for (_, key) in unused.into_iter().take(part) {
                self.processes.remove(&key);
                self.counters.processes_forgotten =
                    self.counters.processes_forgotten.saturating_add(1);
            }
        }
        let key = ProcessKey {
            pid: process.pid,
            started: process.started,
        };
        self.processes.insert(key, (process, self.uses));
    }

    /// The connections that a process keeps are another program's.
    fn executed(&mut self, executed: &Executed, out: &mut Vec<StreamEvent>) {
        let Executed { time, process } = executed;
        let key = ProcessKey {
            pid: process.pid,
            started: process.started,
        };
        self.remember(Arc::clone(process));
        let is_its = |info: &ConnectionInfo| {
            let holder = info.process.as_ref();
            holder.is_some_and(|holder| (holder.pid, holder.started) == (key.pid, key.started))
        };
        for entry in self.table.values_mut() {
            let info = entry.info_mut();
            if is_its(info) {
                *info = info.held_by(Arc::clone(process), *time);
                out.push(StreamEvent::Executed {
                    info: Arc::clone(info),
                    time: *time,
                });
            }
        }
        for info in self.forgotten.values_mut().filter(|info| is_its(info)) {
            *info = info.held_by(Arc::clone(process), *time);
        }
    }

    /// Another process uses a connection.
    fn held(&mut self, held: &Held, out: &mut Vec<StreamEvent>) {
        let Held { key, time, process } = held;
        let known = self.processes.get(&ProcessKey {
            pid: process.pid,
            started: process.started,
        });
        let process = match known {
            Some((known, _)) if known == process => Arc::clone(known),
            _ => {
                self.remember(Arc::clone(process));
                Arc::clone(process)
            }
        };
        if let Some(entry) = self.table.get_mut(key) {
            let info = entry.info_mut();
            *info = info.held_by(process, *time);
            out.push(StreamEvent::Executed {
                info: Arc::clone(info),
                time: *time,
            });
        } else if let Some(info) = self.forgotten.get_mut(key) {
            *info = info.held_by(process, *time);
        }
    }

    fn open(&mut self, open: &Open, out: &mut Vec<StreamEvent>) {
        self.forgotten.remove(&open.key);
        if self.closed.remove(&open.key) {
            self.closed_order.retain(|key| *key != open.key);
        }
        let process = open
            .process
            .and_then(|key| self.processes.get_mut(&key))
            .map(|(process, used)| {
                *used = self.uses;
                Arc::clone(process)
            });
        let known = self
            .table
            .get(&open.key)
            .map(|entry| (entry.is_unopened(), entry.info().id));
        let id = match known {
            // Announced twice.
            Some((false, _)) => return,
            Some((true, id)) => id,
            None => self.take_id(),
        };
        let info = Arc::new(ConnectionInfo {
            key: open.key,
            id,
            opened: open.time,
            transport: open.transport,
            names: self.names.remove(&open.key),
            local: open.local,
            remote: open.remote,
            role: open.role,
            process,
            cgroup_id: open.cgroup_id,
            network_namespace: open.network_namespace,
            before: None,
        });
        if known.is_some() {
            self.change(open.key, open.time, out, |connection, emit| {
                connection.open_late(info, open, emit);
                false
            });
            return;
        }
        self.make_room(open.time, out);
        let mut emit = Emit {
            id,
            out,
            counters: &mut self.counters,
        };
        let mut connection = Connection::opened(info, open, &mut emit);
        connection.used = self.uses;
        self.table.insert(open.key, Entry::new(connection));
    }

    fn take_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id = self.next_id.saturating_add(1);
        id
    }

    /// Makes an entry for a connection whose opening event has not come, or that was forgotten since;
    /// `false` for one that was closed.
    fn admit(&mut self, key: ConnectionKey, time: Nanos, out: &mut Vec<StreamEvent>) -> bool {
        // None is in both tables, and nearly all are here.
        if self.table.contains_key(&key) {
            return true;
        }
        if self.closed.contains(&key) {
            return false;
        }
        self.make_room(time, out);
        let id = self.take_id();
        let mut connection = match self.forgotten.remove(&key) {
            Some(info) => {
                let mut emit = Emit {
                    id,
                    out,
                    counters: &mut self.counters,
                };
                let mut info = ConnectionInfo::clone(&info);
                info.id = id;
                info.opened = time;
                Connection::opened_again(Arc::new(info), &mut emit)
            }
            None => Connection::unopened(id, key, time),
        };
        connection.used = self.uses;
        self.table.insert(key, Entry::new(connection));
        true
    }

    fn make_room(&mut self, now: Nanos, out: &mut Vec<StreamEvent>) {
        if self.table.len() < self.limits.connections {
            return;
        }
        let mut ages: Vec<(u64, ConnectionKey)> = self
            .table
            .iter()
            .map(|(key, entry)| (entry.used(), *key))
            .collect();
        ages.sort_unstable();
        let part = ages.len().div_ceil(EVICTED_PART);
        self.evict(
            ages.into_iter().take(part).map(|(_, key)| key).collect(),
            now,
            out,
        );
    }

    fn evict(&mut self, keys: Vec<ConnectionKey>, now: Nanos, out: &mut Vec<StreamEvent>) {
        for key in keys {
            let Some(entry) = self.table.remove(&key) else {
                continue;
            };
            let mut connection = entry.into_connection();
            if let Some(deadline) = connection.deadline {
                self.deadlines.remove(&(deadline, key));
            }
            let mut emit = Emit {
                id: connection.info.id,
                out,
                counters: &mut self.counters,
            };
            let known = !connection.is_unopened();
            connection.finish(
                now.max(connection.last_event),
                StreamClose::Evicted,
                &mut emit,
            );
            if known {
                self.forget(connection.info);
            }
            self.counters.evicted = self.counters.evicted.saturating_add(1);
            self.counters.closed = self.counters.closed.saturating_add(1);
        }
        self.give_memory_back();
    }

    /// Remembers who it was for as long as it takes that so many others are forgotten.
    fn forget(&mut self, info: Arc<ConnectionInfo>) {
        let key = info.key;
        if self.forgotten.insert(key, info).is_none() {
            self.forgotten_order.push_back(key);
        }
        if self.forgotten_order.len() > FORGOTTEN
            && let Some(oldest) = self.forgotten_order.pop_front()
        {
            self.forgotten.remove(&oldest);
        }
    }

    /// Lets `act` change a connection, then does what its new state asks for. `act` answers whether
    /// the connection is over.
    fn change(
        &mut self,
        key: ConnectionKey,
        time: Nanos,
        out: &mut Vec<StreamEvent>,
        act: impl FnOnce(&mut Connection, &mut Emit<'_>) -> bool,
    ) {
        let Some(entry) = self.table.get_mut(&key) else {
            return;
        };
        let connection = entry.wake();
        connection.used = self.uses;
        connection.last_event = connection.last_event.max(time);
        let mut emit = Emit {
            id: connection.info.id,
            out,
            counters: &mut self.counters,
        };
        // Packets carry the time themselves. Elsewhere only the watermark can tell.
        let mut over =
            connection.is_made_of_packets() && connection.expire(time, &self.limits, &mut emit);
        over = over || act(connection, &mut emit);
        let full = emit.counters.held_cost > self.limits.held_total && connection.held_cost() > 0;
        if !over && (full || connection.is_over(&self.limits)) {
            emit.counters.impatient = emit.counters.impatient.saturating_add(1);
            connection.hand_on_all(Some(GapCause::Limit), time, &mut emit);
        }
        // It stays where it is: nearly always.
        if over || connection.next_deadline(&self.limits) != connection.deadline {
            self.requeue(key, over);
        }
    }

    /// Gives up what `key` was waiting for.
    fn settle(&mut self, key: ConnectionKey, watermark: Nanos, out: &mut Vec<StreamEvent>) {
        let Some(entry) = self.table.get_mut(&key) else {
            self.deadlines.pop_first();
            return;
        };
        let connection = entry.wake();
        let mut emit = Emit {
            id: connection.info.id,
            out,
            counters: &mut self.counters,
        };
        let over = connection.expire(watermark, &self.limits, &mut emit);
        self.requeue(key, over);
    }

    /// Puts the connection where its state belongs: into the queue, out of it, or out of the table.
    fn requeue(&mut self, key: ConnectionKey, over: bool) {
        let Some(entry) = self.table.get_mut(&key) else {
            return;
        };
        let connection = entry.wake();
        let deadline = if over {
            None
        } else {
            connection.next_deadline(&self.limits)
        };
        if deadline != connection.deadline {
            if let Some(old) = connection.deadline {
                self.deadlines.remove(&(old, key));
            }
            if let Some(new) = deadline {
                self.deadlines.insert((new, key));
            }
            connection.deadline = deadline;
        }
        if over {
            self.table.remove(&key);
            self.counters.closed = self.counters.closed.saturating_add(1);
            if self.closed.insert(key) {
                self.closed_order.push_back(key);
            }
            if self.closed_order.len() > CLOSED_KEYS
                && let Some(oldest) = self.closed_order.pop_front()
            {
                self.closed.remove(&oldest);
            }
            self.give_memory_back();
        }
    }

    fn give_memory_back(&mut self) {
        // Not for a few hundred entries, and not before three quarters are empty.
        const WORTHWHILE: usize = 1_024;
        if self.table.capacity() > WORTHWHILE && self.table.len() < self.table.capacity() / 4 {
            self.table.shrink_to(self.table.len().saturating_mul(2));
        }
    }
}
