//! From the kernel's records to socket events in order.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use wirespan_events::{Record, call, direction, flag, is_stand_in, layer, missing, role};

use super::counters::{HostCounters, add};
use super::recent::RecentSet;
use super::unbound::{Fate, Unbound};
use crate::event::{
    Close, CloseReason, ConnectionKey, Data, Direction, End, Layer, Missing, Nanos, Open, Process,
    ProcessKey, Role, Secured, SocketEvent, Transport, UnixNames,
};
use crate::process::{ProcessHint, ProcessTable, round_started};

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// Processes whose description has been handed out; beyond that all are handed out again. Not more than
/// streams remember (`wirespan_stream::limits::PROCESSES`): a process that is taken for described here
/// must be known there.
const MAX_DESCRIBED: usize = 2 * 1024;

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

/// An event with what orders it among those of all rings.
#[derive(Debug)]
struct Pending {
    time: Nanos,
    rank: u8,
    /// When it happened: earlier than `time` for what has waited for its socket.
    happened: Nanos,
    position: u64,
    event: SocketEvent,
}

impl Pending {
    fn new(event: SocketEvent) -> Self {
        let (rank, position) = match &event {
            SocketEvent::Process(_) | SocketEvent::Unix(_) => (0, 0),
            SocketEvent::Open(_) => (1, 0),
            SocketEvent::Secured(_) => (2, 0),
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
            event,
        }
    }
}

/// Turns records into events and puts them in order.
#[derive(Debug)]
pub(super) struct Decoder {
    pending: Vec<Pending>,
    unbound: Unbound,
    open: RecentSet,
    processes: ProcessTable,
    described: HashMap<u32, Arc<Process>>,
    counters: Arc<HostCounters>,
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
            open: RecentSet::new(MAX_OPEN),
            processes,
            described: HashMap::new(),
            counters,
        }
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
            Record::Unix(unix) => SocketEvent::Unix(Box::new(decode_unix(unix))),
            Record::Open(open) => SocketEvent::Open(Box::new(self.open(open))),
            Record::Secured(secured) => {
                let flags = secured.flags;
                let [sk, inode] = secured.stand_in;
                let event = decode_secured(secured);
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
                let Some(data) = decode_data(data, payload) else {
                    add(&self.counters.malformed, 1);
                    return;
                };
                add(&self.counters.payload_bytes, data.bytes.len() as u64);
                if half && is_stand_in(data.key.socket) {
                    let key = data.key;
                    self.without_socket(key, SocketEvent::Data(data));
                    self.unbound.is_half(&key);
                    return;
                }
                SocketEvent::Data(data)
            }
            Record::End(end) => SocketEvent::End(decode_end(end)),
            Record::Close(close) => SocketEvent::Close(decode_close(close)),
        };
        match event.key() {
            Some(key) if is_stand_in(key.socket) => self.without_socket(key, event),
            _ => self.pending.push(Pending::new(event)),
        }
    }

    /// An event of a TLS object whose socket was not known when it happened.
    fn without_socket(&mut self, key: ConnectionKey, event: SocketEvent) {
        match self.unbound.fate(&key) {
            Fate::Passes => self.pending.push(Pending::new(event)),
            Fate::Belongs(socket) => {
                let happened = time(&event);
                self.rename(event, socket, happened);
            }
            Fate::Waits => {
                let ends = matches!(event, SocketEvent::Close(_));
                let now = time(&event);
                self.unbound.hold(key, event, now);
                if ends {
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
        for event in events {
            if matches!(event, SocketEvent::Open(_)) {
                add(&self.counters.tls_unknown_peers, 1);
            }
            self.pending.push(Pending::new(event));
        }
    }

    fn open(&mut self, open: &wirespan_events::Open) -> Open {
        let known = open.flags & flag::POSITIONS != 0;
        let positions = if known {
            open.positions.map(Some)
        } else {
            [None; 2]
        };
        Open {
            key: key(&open.header),
            time: open.header.time,
            // What stands for a TLS object has no family.
            transport: match open.family {
                0 => Transport::Unknown,
                AF_UNIX => Transport::Unix,
                _ => Transport::Tcp,
            },
            local: address(open.family, &open.local, open.local_port),
            remote: address(open.family, &open.remote, open.remote_port),
            role: match open.role {
                role::CLIENT => Some(Role::Client),
                role::SERVER => Some(Role::Server),
                _ => None,
            },
            positions,
            mid_stream: open.flags & flag::MID_STREAM != 0,
            process: Some(self.describe(open)),
            cgroup_id: open.cgroup_id,
            network_namespace: open.network_namespace,
        }
    }

    /// Makes sure that the process is described before its connection is opened.
    fn describe(&mut self, open: &wirespan_events::Open) -> ProcessKey {
        let command = open
            .comm
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or_default();
        let hint = ProcessHint {
            started: Some(open.task_started),
            command: Some(command),
        };
        let process = self
            .processes
            .lookup_hinted(open.tgid, hint)
            .unwrap_or_else(|| {
                // It has ended already: what the record says is all there is.
                let command = String::from_utf8_lossy(command).into_owned();
                let started = round_started(open.task_started);
                Arc::new(Process {
                    pid: open.tgid,
                    started,
                    command,
                    ..Process::default()
                })
            });
        let described = ProcessKey {
            pid: process.pid,
            started: process.started,
        };
        let news = self
            .described
            .get(&open.tgid)
            .is_none_or(|known| **known != *process);
        if news {
            if self.described.len() >= MAX_DESCRIBED {
                self.described.clear();
            }
            self.described.insert(open.tgid, Arc::clone(&process));
            // Ahead of everything that waits: an older record of the same process may still come out
            // of another ring.
            self.pending
                .push(Pending::new(SocketEvent::Process(process)));
        }
        described
    }

    /// Hands out what happened up to `horizon`, in order.
    pub(super) fn release(&mut self, horizon: Nanos, events: &mut Vec<SocketEvent>) {
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
        for Pending { event, .. } in self.pending.drain(..count) {
            let passes = match &event {
                SocketEvent::Process(_) | SocketEvent::Unix(_) => true,
                // Threads that use a new socket at the same moment each announce it.
                SocketEvent::Open(open) if self.open.contains(&open.key) => continue,
                SocketEvent::Open(open) => {
                    add(&self.counters.connections, 1);
                    self.open.insert(open.key);
                    true
                }
                SocketEvent::Close(close) => self.open.remove(&close.key),
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
        if self.pending.capacity() > KEPT_PENDING {
            self.pending.shrink_to(KEPT_PENDING);
        }
    }

    /// Nothing waits, not even for its socket.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.unbound.is_empty()
    }

    /// Something waits that can go soon. What waits for its socket does so for seconds.
    pub(super) fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// More is waiting than should.
    pub(super) fn is_long(&self) -> bool {
        self.pending.len() >= MAX_PENDING
    }
}

fn key(header: &wirespan_events::Header) -> ConnectionKey {
    ConnectionKey {
        socket: header.sk,
        generation: header.inode,
    }
}

fn time(event: &SocketEvent) -> Nanos {
    match event {
        SocketEvent::Process(_) => 0,
        SocketEvent::Open(open) => open.time,
        SocketEvent::Unix(names) => names.time,
        SocketEvent::Data(data) => data.time(),
        SocketEvent::Secured(secured) => secured.time,
        SocketEvent::Confirmed(confirmed) => confirmed.time,
        SocketEvent::End(end) => end.time,
        SocketEvent::Close(close) => close.time,
    }
}

fn address(family: u16, bytes: &[u8; 16], port: u16) -> Option<SocketAddr> {
    let ip = match family {
        AF_INET => {
            let (four, _) = bytes.split_first_chunk::<4>()?;
            IpAddr::V4(Ipv4Addr::from(*four))
        }
        AF_INET6 => IpAddr::V6(Ipv6Addr::from(*bytes)).to_canonical(),
        _ => return None,
    };
    // No end of a connection has port 0: it is not known (any more).
    (port != 0).then(|| SocketAddr::new(ip, port))
}

fn way(direction: u8) -> Option<Direction> {
    match direction {
        direction::SENT => Some(Direction::Sent),
        direction::RECEIVED => Some(Direction::Received),
        _ => None,
    }
}

fn decode_data(data: &wirespan_events::Data, payload: &[u8]) -> Option<Data> {
    Some(Data {
        key: key(&data.header),
        direction: way(data.direction)?,
        layer: match data.layer {
            layer::SOCKET => Layer::Socket,
            layer::PLAINTEXT => Layer::Plaintext,
            _ => return None,
        },
        position: data.position,
        len: data.bytes,
        bytes: Bytes::copy_from_slice(payload),
        entry: data.entry,
        exit: data.header.time,
        missing: match data.missing {
            missing::UNWANTED => Missing::Unwanted,
            missing::LIMIT => Missing::Limit,
            missing::FAULT => Missing::Fault,
            missing::RING => Missing::Ring,
            missing::UNOBSERVED => Missing::Unobserved,
            _ => return None,
        },
    })
}

fn decode_secured(secured: &wirespan_events::Secured) -> Secured {
    Secured {
        key: key(&secured.header),
        time: secured.header.time,
        positions: secured.positions,
        mid_stream: secured.flags & flag::MID_STREAM != 0,
    }
}

fn decode_unix(unix: &wirespan_events::Unix) -> UnixNames {
    let [local, remote] = [0, 1].map(|end| {
        let len = *unix.lens.get(end)?;
        unix_name(unix.names.get(end)?.get(..usize::try_from(len).ok()?)?)
    });
    UnixNames {
        key: key(&unix.header),
        time: unix.header.time,
        local,
        remote,
        peer: unix.peer_inode,
    }
}

/// As `ss` and others write it: `@` stands for the zero byte before an abstract name.
fn unix_name(bytes: &[u8]) -> Option<String> {
    match bytes {
        [] => None,
        [0, name @ ..] => Some(format!("@{}", String::from_utf8_lossy(name))),
        path => {
            let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
            Some(String::from_utf8_lossy(path).into_owned())
        }
    }
}

fn decode_end(end: &wirespan_events::End) -> End {
    End {
        key: key(&end.header),
        direction: way(end.direction).unwrap_or(Direction::Received),
        time: end.header.time,
        position: Some(end.position),
    }
}

fn decode_close(close: &wirespan_events::Close) -> Close {
    let known = close.flags & flag::POSITIONS != 0;
    Close {
        key: key(&close.header),
        time: close.header.time,
        reason: match close.reason {
            wirespan_events::close::RESET => CloseReason::Reset,
            wirespan_events::close::UNOBSERVED => CloseReason::CutOff,
            _ => CloseReason::Finished,
        },
        positions: if known {
            close.positions.map(Some)
        } else {
            [None; 2]
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One process opens two connections on two CPUs: the ring of the later one is drained first.
    #[test]
    fn a_process_is_described_before_any_of_its_connections() {
        let mut decoder = Decoder::new(Arc::default(), false);
        let kernel = 1 << 63;
        for (sk, time) in [(kernel | 1, 200), (kernel | 2, 100)] {
            let open = wirespan_events::Open {
                header: wirespan_events::Header {
                    sk,
                    inode: 7,
                    time,
                    ..Default::default()
                },
                tgid: std::process::id(),
                ..Default::default()
            };
            decoder.record(&Record::Open(open));
        }
        let mut events = Vec::new();
        decoder.release(1_000, &mut events);
        let [
            SocketEvent::Process(process),
            SocketEvent::Open(first),
            SocketEvent::Open(second),
        ] = events.as_slice()
        else {
            panic!("{events:?}")
        };
        assert_eq!(
            (first.key.socket, second.key.socket),
            (kernel | 2, kernel | 1)
        );
        assert_eq!(first.process.unwrap().pid, process.pid);
        assert!(first.process.unwrap().started == process.started);
    }
}
