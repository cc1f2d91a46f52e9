//! From the kernel's records to socket events in order.

use std::sync::Arc;

use wirespan_events::{Exec, Record, call, flag, is_stand_in, role};

use super::counters::{HostCounters, add};
use super::notices::Notices;
use super::orphans::Orphans;
use super::recent::RecentSet;
use super::told::Told;
use super::translation;
use super::unbound::{Fate, Unbound};
use crate::event::{
    Close, CloseReason, ConnectionKey, Data, Executed, Held, Nanos, Open, Process, ProcessKey,
    Role, SocketEvent, Transport,
};
use crate::process::{ProcessHint, ProcessTable, outline, round_started};

const AF_UNIX: u16 = 1;

/// Events that wait for their turn. With payloads this is some hundred MiB at the very most, as the
/// rings that they come from hold less.
const MAX_PENDING: usize = 256 * 1024;

/// Room for so many stays from one drain to the next, some 1 MiB. What a burst, or a moment without a CPU,
/// has needed beyond it is given back.
const KEPT_PENDING: usize = 8 * 1024;

/// Connections that are open, as far as is known: four times as many as the kernel side keeps by
/// default. Beyond it the one that was silent for longest is forgotten; what it says later is counted
/// as stale.
const MAX_OPEN: usize = 256 * 1024;

/// What waits for its turn.
#[derive(Debug)]
enum Waiting {
    /// Of the process where a connection is opened: it is told of just before, if that is news.
    Event(SocketEvent, Option<Arc<Process>>),
    Executed(Exec),
    /// That a connection is opened, or held from then on, and who does that.
    By(SocketEvent, Box<Seen>),
}

/// A process as a record says it.
#[derive(Debug)]
struct Seen {
    /// What was known of it when the record came.
    process: Arc<Process>,
    task_started: u64,
    image: u64,
    comm: [u8; 16],
}

/// An event with what orders it among those of all rings.
#[derive(Debug)]
struct Pending {
    time: Nanos,
    rank: u8,
    /// When it happened: earlier than `time` for what has waited for its socket.
    happened: Nanos,
    position: u64,
    waiting: Waiting,
}

impl Pending {
    fn new(event: SocketEvent) -> Self {
        Self::of(event, None)
    }

    fn executed(exec: Exec) -> Self {
        Self {
            time: exec.header.time,
            rank: 0,
            happened: exec.header.time,
            position: 0,
            waiting: Waiting::Executed(exec),
        }
    }

    fn by(event: SocketEvent, seen: Seen) -> Self {
        Self::waiting(event, |event| Waiting::By(event, Box::new(seen)))
    }

    fn of(event: SocketEvent, process: Option<Arc<Process>>) -> Self {
        Self::waiting(event, |event| Waiting::Event(event, process))
    }

    fn waiting(event: SocketEvent, waiting: impl FnOnce(SocketEvent) -> Waiting) -> Self {
        let (rank, position) = match &event {
            SocketEvent::Process(_) | SocketEvent::Executed(_) | SocketEvent::Unix(_) => (0, 0),
            SocketEvent::Open(_) => (1, 0),
            SocketEvent::Secured(_) | SocketEvent::Held(_) => (2, 0),
            SocketEvent::Data(data) => (3, data.position),
            SocketEvent::End(end) => (4, end.position.unwrap_or(0)),
            SocketEvent::Confirmed(_) | SocketEvent::Close(_) => (5, 0),
        };
        let time = time(&event);
        Self {
            time,
            rank,
            happened: time,
            position,
            waiting: waiting(event),
        }
    }
}

/// Turns records into events and puts them in order.
#[derive(Debug)]
pub(super) struct Decoder {
    pending: Vec<Pending>,
    unbound: Unbound,
    orphans: Orphans,
    open: RecentSet,
    processes: ProcessTable,
    told: Told,
    counters: Arc<HostCounters>,
    /// A Unix socket has been told of.
    unix: bool,
}

impl Decoder {
    /// `needs_socket`: what has no addresses is not wanted.
    pub(super) fn new(counters: Arc<HostCounters>, needs_socket: bool) -> Self {
        Self::with_processes(ProcessTable::default(), counters, needs_socket)
    }

    pub(super) fn with_processes(
        processes: ProcessTable,
        counters: Arc<HostCounters>,
        needs_socket: bool,
    ) -> Self {
        Self {
            pending: Vec::new(),
            unbound: Unbound::new(needs_socket),
            orphans: Orphans::default(),
            open: RecentSet::new(MAX_OPEN),
            processes,
            told: Told::default(),
            counters,
            unix: false,
        }
    }

    /// Whether there has been a Unix socket.
    pub(super) fn has_unix(&self) -> bool {
        self.unix
    }

    /// Whoever attaches probes wants to know some things at once.
    pub(super) fn telling(mut self, notices: Notices) -> Self {
        self.orphans = Orphans::telling(notices);
        self
    }

    /// Takes one record as it lies in a ring.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        add(&self.counters.records, 1);
        match Record::parse(bytes) {
            Ok(record) => self.record(&record),
            Err(malformed) => {
                add(&self.counters.malformed, 1);
                tracing::debug!(?malformed, len = bytes.len(), "record skipped");
            }
        }
    }

    fn record(&mut self, record: &Record<'_>) {
        let event = match record {
            Record::Exec(exec) => {
                self.orphans.executed(exec.tgid);
                self.pending.push(Pending::executed(*exec));
                return;
            }
            Record::Held(exec) => {
                // What stands in for a socket is one process's.
                if !is_stand_in(exec.header.sk) {
                    let seen = self.see(exec.tgid, exec.task_started, exec.image, exec.comm);
                    let held = Held {
                        key: translation::key(&exec.header),
                        time: exec.header.time,
                        process: Arc::clone(&seen.process),
                    };
                    self.pending
                        .push(Pending::by(SocketEvent::Held(held), seen));
                }
                return;
            }
            Record::Unix(unix) => {
                self.unix = true;
                SocketEvent::Unix(Box::new(translation::unix(unix)))
            }
            Record::Open(open) => {
                let seen = self.see(open.tgid, open.task_started, open.image, open.comm);
                let event = self::open(open, &seen.process);
                let key = event.key;
                let event = SocketEvent::Open(Box::new(event));
                if is_stand_in(key.socket) {
                    self.without_socket(key, event, Some(seen.process));
                } else {
                    self.pending.push(Pending::by(event, seen));
                }
                return;
            }
            Record::Secured(secured) => {
                let flags = secured.flags;
                let [sk, inode] = secured.stand_in;
                let event = translation::secured(secured);
                if sk != 0 {
                    let stand_in = ConnectionKey {
                        socket: sk,
                        generation: inode,
                    };
                    let hidden = flags & flag::HIDDEN != 0;
                    self.bind(stand_in, (!hidden).then_some(event.key), event.time);
                }
                if flags & (flag::HIDDEN | flag::JOINED) != 0 {
                    return;
                }
                SocketEvent::Secured(event)
            }
            Record::Data(data, payload) => {
                let half = data.call == call::TLS_RECORD;
                let Some(data) = translation::data(data, payload) else {
                    add(&self.counters.malformed, 1);
                    return;
                };
                add(&self.counters.payload_bytes, data.bytes.len() as u64);
                if half && is_stand_in(data.key.socket) {
                    let key = data.key;
                    self.without_socket(key, SocketEvent::Data(data), None);
                    self.unbound.is_half(&key);
                    return;
                }
                SocketEvent::Data(data)
            }
            Record::End(end) => SocketEvent::End(translation::end(end)),
            Record::Close(close) => SocketEvent::Close(translation::close(close)),
        };
        match event.key() {
            Some(key) if is_stand_in(key.socket) => self.without_socket(key, event, None),
            _ => self.pending.push(Pending::new(event)),
        }
    }

    /// An event of a TLS object whose socket was not known when it happened.
    fn without_socket(
        &mut self,
        key: ConnectionKey,
        event: SocketEvent,
        process: Option<Arc<Process>>,
    ) {
        match self.unbound.fate(&key) {
            Fate::Passes => self.pending.push(Pending::of(event, process)),
            Fate::Belongs(socket) => {
                let happened = time(&event);
                self.rename(event, socket, happened);
            }
            Fate::Waits => {
                let ends = matches!(event, SocketEvent::Close(_));
                let now = time(&event);
                if let Some(process) = process {
                    self.orphans.appeared(key, process.pid, now);
                    self.unbound.hold(key, SocketEvent::Process(process), now);
                }
                self.unbound.hold(key, event, now);
                if ends {
                    self.orphans.ended(&key);
                    let events = self.unbound.give_up(key);
                    self.hand_on(events);
                }
            }
            Fate::Dropped => self.leave_out(&event),
        }
    }

    /// The socket of a TLS object is known from now on; `None`: nobody may hear of it.
    fn bind(&mut self, stand_in: ConnectionKey, socket: Option<ConnectionKey>, now: Nanos) {
        if self.unbound.was_handed_on(&stand_in) {
            // What has been told stands: that connection ends, and the socket's begins in the middle.
            self.pending.push(Pending::new(SocketEvent::Close(Close {
                key: stand_in,
                time: now,
                reason: CloseReason::CutOff,
                positions: [None; 2],
            })));
        }
        for event in self.unbound.found(stand_in, socket) {
            match socket {
                Some(socket) => self.rename(event, socket, now),
                None => self.leave_out(&event),
            }
        }
    }

    /// Plaintext of a stand-in becomes the socket's, not before the socket was announced.
    fn rename(&mut self, event: SocketEvent, socket: ConnectionKey, earliest: Nanos) {
        let event = match event {
            SocketEvent::Data(data) => SocketEvent::Data(Data {
                key: socket,
                ..data
            }),
            // The socket has its own opening, its own plaintext's beginning and its own end.
            _ => return,
        };
        let pending = Pending::new(event);
        self.pending.push(Pending {
            time: pending.time.max(earliest),
            ..pending
        });
    }

    /// Nobody will hear of it.
    fn leave_out(&self, event: &SocketEvent) {
        add(&self.counters.left_out_bytes, event.payload_bytes());
    }

    fn hand_on(&mut self, events: Vec<SocketEvent>) {
        let mut process = None;
        for event in events {
            if let SocketEvent::Process(of_next) = event {
                process = Some(of_next);
                continue;
            }
            if matches!(event, SocketEvent::Open(_)) {
                add(&self.counters.tls_unknown_peers, 1);
            }
            self.pending.push(Pending::of(event, process.take()));
        }
    }

    /// Who opens a connection, or uses one.
    fn see(&mut self, pid: u32, task_started: u64, image: u64, comm: [u8; 16]) -> Seen {
        let command = name(&comm);
        let known = self
            .processes
            .lookup_hinted(pid, hint(task_started, image, command));
        let process = known.unwrap_or_else(|| {
            // It has ended already: what the record says is all there is.
            let process = Process {
                pid,
                started: round_started(task_started),
                ..Process::default()
            };
            Arc::new(outline(&process, Some(command)))
        });
        Seen {
            process,
            task_started,
            image,
            comm,
        }
    }

    /// Who that was. What it was forked from may have been told of in a ring that was looked at later: by
    /// now it has been, as it is earlier.
    fn known_now(&mut self, seen: Seen) -> Arc<Process> {
        let Seen { process, comm, .. } = &seen;
        // Or it ended while it was read.
        if !process.executable.is_empty() && process.service_name.is_some() {
            return seen.process;
        }
        let hint = hint(seen.task_started, seen.image, name(comm));
        let known = self.processes.lookup_fork(process.pid, hint);
        known.unwrap_or(seen.process)
    }

    /// What a process is now that it has become another program; `None` where nobody has heard of it.
    fn executed(&mut self, exec: &Exec) -> Option<Executed> {
        let before = self.told.of(exec.tgid)?;
        if before.started != round_started(exec.task_started) {
            return None;
        }
        let before = Arc::clone(before);
        let command = name(&exec.comm);
        let hint = hint(exec.task_started, exec.image, command);
        let process = self
            .processes
            .lookup_executed(exec.tgid, hint)
            .unwrap_or_else(|| Arc::new(outline(&before, Some(command))));
        self.told.is_news(&process).then_some(Executed {
            time: exec.header.time,
            process,
        })
    }

    /// Hands out what happened up to `horizon`, in order.
    pub(super) fn release(&mut self, horizon: Nanos, events: &mut Vec<SocketEvent>) {
        self.orphans.look(horizon, |key| self.unbound.waits(key));
        if !self.unbound.is_empty() {
            let events = self.unbound.expired(horizon);
            self.hand_on(events);
        }
        add(
            &self.counters.left_out_bytes,
            self.unbound.take_left_out() as u64,
        );
        // Stable: records of one ring with one time keep their order.
        self.pending.sort_by_key(|pending| {
            (
                pending.time,
                pending.rank,
                pending.happened,
                pending.position,
            )
        });
        let count = self
            .pending
            .partition_point(|pending| pending.time <= horizon);
        events.reserve(count);
        let mut pending = std::mem::take(&mut self.pending);
        for Pending { waiting, .. } in pending.drain(..count) {
            let (event, process) = match waiting {
                Waiting::Event(event, process) => (event, process),
                Waiting::By(SocketEvent::Held(held), seen) => {
                    let process = self.known_now(*seen);
                    (SocketEvent::Held(Held { process, ..held }), None)
                }
                Waiting::By(event, seen) => (event, Some(self.known_now(*seen))),
                Waiting::Executed(exec) => {
                    events.extend(self.executed(&exec).map(SocketEvent::Executed));
                    continue;
                }
            };
            let passes = match &event {
                SocketEvent::Process(_) | SocketEvent::Executed(_) | SocketEvent::Unix(_) => true,
                // Threads that use a new socket at the same moment each announce it.
                SocketEvent::Open(open) if self.open.contains(&open.key) => continue,
                SocketEvent::Open(open) => {
                    add(&self.counters.connections, 1);
                    self.open.insert(open.key);
                    if let Some(process) = process.filter(|process| self.told.is_news(process)) {
                        events.push(SocketEvent::Process(process));
                    }
                    true
                }
                SocketEvent::Close(close) => self.open.remove(&close.key),
                SocketEvent::Held(held) => {
                    let passes = self.open.contains(&held.key);
                    // It may open a connection next that somebody else listens to.
                    if passes && self.told.is_news(&held.process) {
                        events.push(SocketEvent::Process(Arc::clone(&held.process)));
                    }
                    passes
                }
                other => other.key().is_some_and(|key| self.open.contains(&key)),
            };
            if passes {
                add(&self.counters.handed_out_bytes, event.payload_bytes());
                events.push(event);
            } else {
                add(&self.counters.left_out_bytes, event.payload_bytes());
                add(&self.counters.stale, 1);
            }
        }
        if pending.capacity() > KEPT_PENDING {
            pending.shrink_to(KEPT_PENDING);
        }
        self.pending = pending;
    }

    /// Nothing waits, not even for its socket.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.unbound.is_empty()
    }

    /// Something waits that can go soon. What waits for its socket does so for seconds.
    pub(super) fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Something has come behind which more may come at once. Not so where a process has become another
    /// program: on most nodes one does every few seconds, and nobody has heard of it.
    pub(super) fn is_active(&self) -> bool {
        let mut waiting = self.pending.iter().map(|pending| &pending.waiting);
        waiting.any(|waiting| !matches!(waiting, Waiting::Executed(_)))
    }

    /// More is waiting than should.
    pub(super) fn is_long(&self) -> bool {
        self.pending.len() >= MAX_PENDING
    }
}

fn open(open: &wirespan_events::Open, process: &Process) -> Open {
    let known = open.flags & flag::POSITIONS != 0;
    let positions = if known {
        open.positions.map(Some)
    } else {
        [None; 2]
    };
    Open {
        key: translation::key(&open.header),
        time: open.header.time,
        // What stands for a TLS object has no family.
        transport: match open.family {
            0 => Transport::Unknown,
            AF_UNIX => Transport::Unix,
            _ => Transport::Tcp,
        },
        local: translation::address(open.family, &open.local, open.local_port),
        remote: translation::address(open.family, &open.remote, open.remote_port),
        role: match open.role {
            role::CLIENT => Some(Role::Client),
            role::SERVER => Some(Role::Server),
            _ => None,
        },
        positions,
        mid_stream: open.flags & flag::MID_STREAM != 0,
        process: Some(ProcessKey {
            pid: process.pid,
            started: process.started,
        }),
        cgroup_id: open.cgroup_id,
        network_namespace: open.network_namespace,
    }
}

/// Up to its first NUL.
fn name(comm: &[u8; 16]) -> &[u8] {
    comm.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn hint(started: u64, image: u64, command: &[u8]) -> ProcessHint<'_> {
    ProcessHint {
        started: Some(started),
        command: Some(command),
        image: Some(image).filter(|image| *image != 0),
    }
}

fn time(event: &SocketEvent) -> Nanos {
    match event {
        SocketEvent::Process(_) => 0,
        SocketEvent::Executed(executed) => executed.time,
        SocketEvent::Held(held) => held.time,
        SocketEvent::Open(open) => open.time,
        SocketEvent::Unix(names) => names.time,
        SocketEvent::Data(data) => data.time(),
        SocketEvent::Secured(secured) => secured.time,
        SocketEvent::Confirmed(confirmed) => confirmed.time,
        SocketEvent::End(end) => end.time,
        SocketEvent::Close(close) => close.time,
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
