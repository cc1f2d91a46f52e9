//! Writes socket events as packets.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::addresses::Addresses;
use super::block::Blocks;
use super::conversation::{Conversation, Moment, time_of};
use crate::error::CaptureError;
use crate::event::{
    ConnectionKey, Direction, Layer, Nanos, Open, Process, ProcessKey, Role, Secured, SocketEvent,
    Transport,
};
use crate::private_file;
use crate::recording::Totals;
use crate::source::Clock;
use crate::synthetic::{APPLICATION, Content, End, Origin};

/// Connections that are open at a time; the oldest goes, and what it still carries is left out.
const CONNECTION_LIMIT: usize = 262_144;

/// Descriptions of processes for comments; the oldest go.
const PROCESS_LIMIT: usize = 8_192;

/// Memory before it is written.
const BUFFER_BYTES: usize = 1 << 20;

/// A crash costs at most what came within this.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

const COMMENT: &str = "Written by wirespan: packets, headers and sequence numbers are made up of what \
sockets and TLS libraries carried. Times are real, gaps are missing segments, comments name the \
processes. TLS is here as plaintext: this file holds passwords and tokens.";

/// Writes what sockets carried as packets that Wireshark opens, to a file that only its owner can
/// read.
pub struct PcapngWriter {
    path: PathBuf,
    file: File,
    clock: Clock,
    blocks: Blocks,
    connections: HashMap<ConnectionKey, Connection>,
    /// In the order of their opening; those that have ended are passed over.
    order: VecDeque<(u64, ConnectionKey)>,
    opened: u64,
    addresses: Addresses,
    processes: BTreeMap<u64, Arc<Process>>,
    process_numbers: HashMap<ProcessKey, u64>,
    processes_seen: u64,
    totals: Totals,
    flushed: Instant,
}

struct Connection {
    ordinal: u64,
    open: Open,
    conversation: Conversation,
}

impl std::fmt::Debug for PcapngWriter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("PcapngWriter")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl PcapngWriter {
    /// Creates the file with mode 0600, as a recording is.
    ///
    /// # Errors
    /// [`CaptureError::Write`] when the file cannot be created or written.
    pub fn create(path: &Path, clock: Clock) -> Result<Self, CaptureError> {
        let file = private_file::create(path)?;
        let mut blocks = Blocks::default();
        let application = format!("{APPLICATION} {}", env!("CARGO_PKG_VERSION"));
        blocks.section(&application, COMMENT);
        for origin in Origin::all() {
            blocks.interface(&origin.name(), &origin.description());
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            clock,
            blocks,
            connections: HashMap::new(),
            order: VecDeque::new(),
            opened: 0,
            addresses: Addresses::default(),
            processes: BTreeMap::new(),
            process_numbers: HashMap::new(),
            processes_seen: 0,
            totals: Totals::default(),
            flushed: Instant::now(),
        })
    }

    /// Appends events. They are in the file after a second at the latest, if this is called until
    /// then; an empty slice is fine.
    ///
    /// # Errors
    /// [`CaptureError::Write`] when the file cannot be written.
    pub fn write(&mut self, events: &[SocketEvent]) -> Result<(), CaptureError> {
        for event in events {
            self.totals.events = self.totals.events.saturating_add(1);
            self.event(event);
            if self.blocks.bytes.len() >= BUFFER_BYTES {
                self.flush()?;
            }
        }
        if self.flushed.elapsed() >= FLUSH_INTERVAL {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes the rest.
    ///
    /// # Errors
    /// [`CaptureError::Write`] when the file cannot be written.
    pub fn finish(mut self) -> Result<Totals, CaptureError> {
        self.flush()?;
        Ok(self.totals)
    }

    fn flush(&mut self) -> Result<(), CaptureError> {
        self.flushed = Instant::now();
        self.file
            .write_all(&self.blocks.bytes)
            .map_err(|source| CaptureError::Write {
                path: self.path.clone(),
                source,
            })?;
        self.blocks.bytes.clear();
        Ok(())
    }

    fn moment(&self, time: Nanos) -> Moment {
        Moment {
            unix_nanos: self.clock.unix_nanos(time),
        }
    }

    fn event(&mut self, event: &SocketEvent) {
        match event {
            SocketEvent::Process(process) => self.process(process),
            // Connections that are written already have their comment.
            SocketEvent::Executed(executed) => self.process(&executed.process),
            SocketEvent::Open(open) => self.open(open),
            SocketEvent::Secured(secured) => self.secured(secured),
            SocketEvent::Data(data) => {
                let at = self.moment(time_of(data));
                self.totals.bytes = self.totals.bytes.saturating_add(data.bytes.len() as u64);
                if let Some(connection) = self.connections.get_mut(&data.key)
                    && connection.conversation.layer() == data.layer
                {
                    connection.conversation.data(data, at, &mut self.blocks);
                }
            }
            SocketEvent::End(end) => {
                let at = self.moment(end.time);
                if let Some(connection) = self.connections.get_mut(&end.key) {
                    connection
                        .conversation
                        .end(end.direction, end.position, at, &mut self.blocks);
                }
            }
            SocketEvent::Close(close) => {
                let at = self.moment(close.time);
                if let Some(mut connection) = self.connections.remove(&close.key) {
                    connection.conversation.close(close, at, &mut self.blocks);
                }
            }
            // Only packets have it.
            // Names of Unix sockets have no place in packets.
            SocketEvent::Confirmed(_) | SocketEvent::Held(_) | SocketEvent::Unix(_) => {}
        }
    }

    fn process(&mut self, process: &Arc<Process>) {
        let key = ProcessKey {
            pid: process.pid,
            started: process.started,
        };
        let number = self.processes_seen;
        self.processes_seen = self.processes_seen.saturating_add(1);
        if let Some(before) = self.process_numbers.insert(key, number) {
            self.processes.remove(&before);
        }
        self.processes.insert(number, Arc::clone(process));
        if self.processes.len() > PROCESS_LIMIT
            && let Some((_, oldest)) = self.processes.pop_first()
        {
            self.process_numbers.remove(&ProcessKey {
                pid: oldest.pid,
                started: oldest.started,
            });
        }
    }

    fn open(&mut self, open: &Open) {
        let (ends, made_up) = self.addresses.of(open);
        let content = match (open.transport, made_up) {
            (Transport::Unknown, _) => Content::Unknown,
            (Transport::Unix, _) => Content::Unix,
            (Transport::Tcp, true) => Content::Unknown,
            (Transport::Tcp, false) => Content::Tcp,
        };
        let origin = Origin {
            content,
            end: End::of(open.role, ends.0 < ends.1),
        };
        let comment = self.describe(open);
        let generation = self.addresses.generation(ends);
        let mut conversation = Conversation::new(origin, ends, generation, open.positions, comment);
        let at = self.moment(open.time);
        if !open.mid_stream {
            conversation.handshake(opener(open.role), at, &mut self.blocks);
        }
        self.insert(open.clone(), conversation);
    }

    fn insert(&mut self, open: Open, conversation: Conversation) {
        let ordinal = self.opened;
        self.opened = self.opened.saturating_add(1);
        let key = open.key;
        self.order.push_back((ordinal, key));
        self.connections.insert(
            key,
            Connection {
                ordinal,
                open,
                conversation,
            },
        );
        // The queue has those that have ended too: both are bounded.
        while self.connections.len() > CONNECTION_LIMIT
            || self.order.len() > CONNECTION_LIMIT.saturating_mul(2)
        {
            let Some((ordinal, key)) = self.order.pop_front() else {
                break;
            };
            let is_same = |known: &Connection| known.ordinal == ordinal;
            if self.connections.get(&key).is_some_and(is_same) {
                self.connections.remove(&key);
            }
        }
    }

    /// The plaintext is a connection of its own between the same addresses.
    fn secured(&mut self, secured: &Secured) {
        let at = self.moment(secured.time);
        let Some(connection) = self.connections.get_mut(&secured.key) else {
            return;
        };
        if connection.conversation.layer() == Layer::Plaintext {
            return;
        }
        let mut origin = connection.conversation.origin;
        let ends = connection.conversation.ends();
        origin.content = match origin.content {
            Content::Tcp | Content::Plaintext => Content::Plaintext,
            Content::Unix | Content::Unknown => Content::Unknown,
        };
        let role = connection.open.role;
        let open = connection.open.clone();
        let mut comment = self.describe(&open);
        comment.push_str(": plaintext of the TLS before, as a connection of its own");
        let generation = self.addresses.generation(ends);
        let positions = secured.positions.map(Some);
        let mut conversation = Conversation::new(origin, ends, generation, positions, comment);
        if !secured.mid_stream {
            conversation.handshake(opener(role), at, &mut self.blocks);
        }
        if let Some(connection) = self.connections.get_mut(&secured.key) {
            connection.conversation = conversation;
        }
    }

    /// Whose socket it is.
    fn describe(&self, open: &Open) -> String {
        let Some(key) = open.process else {
            return "process unknown".to_owned();
        };
        let number = self.process_numbers.get(&key);
        let Some(process) = number.and_then(|number| self.processes.get(number)) else {
            return format!("pid {}", key.pid);
        };
        let mut text = format!("{} (pid {}", process.command, process.pid);
        if !process.executable.is_empty() {
            let _ = write!(text, ", {}", process.executable);
        }
        if let Some(container) = &process.container_id {
            let _ = write!(text, ", container {container}");
        }
        text.push(')');
        text
    }
}

impl Drop for PcapngWriter {
    fn drop(&mut self) {
        if !self.blocks.bytes.is_empty()
            && let Err(error) = self.flush()
        {
            tracing::warn!(%error, "the last packets are lost");
        }
    }
}

/// The direction of the first packet.
fn opener(role: Option<Role>) -> Direction {
    match role {
        Some(Role::Server) => Direction::Received,
        Some(Role::Client) | None => Direction::Sent,
    }
}
