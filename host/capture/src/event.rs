//! Socket events: what every source yields, whatever it reads from.
//!
//! A connection here is *one end* of a connection, the end that is observed. Where both ends live
//! on one node there are two, with different keys.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Nanoseconds of the capture's monotonic clock; [`Clock`](crate::Clock) maps it to Unix time.
pub type Nanos = u64;

/// Identity of one end of a connection, for as long as the capture runs.
///
/// Live: the address of the kernel's socket and its inode, so that reuse of file descriptors, `dup`
/// and `fork` cannot mix two. From packets: a hash of the addresses and the ordinal of the opening.
/// TLS plaintext whose socket is unknown has the address of the TLS object and the time it was
/// first seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ConnectionKey {
    pub socket: u64,
    pub generation: u64,
}

/// Direction as seen from the observed end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Direction {
    Sent,
    Received,
}

impl Direction {
    pub const BOTH: [Self; 2] = [Self::Sent, Self::Received];

    /// 0 for sent, 1 for received: the index into arrays with an entry for each direction.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Sent => 0,
            Self::Received => 1,
        }
    }

    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Sent => Self::Received,
            Self::Received => Self::Sent,
        }
    }
}

/// Which byte stream of a connection: what the socket carries, or the plaintext of its TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Layer {
    Socket,
    Plaintext,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Transport {
    Tcp,
    Unix,
    /// The socket behind a TLS object is not known.
    Unknown,
}

/// Who opened the connection, where that was seen (`connect`, `accept`, SYN).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// The observed end opened it.
    Client,
    /// The observed end accepted it.
    Server,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessKey {
    pub pid: u32,
    /// Start time in nanoseconds of the boot clock: tells two processes with one id apart.
    pub started: u64,
}

/// What is known of a process when it is first seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub pid: u32,
    pub started: u64,
    /// `comm`: at most 15 bytes, as the kernel has it.
    pub command: String,
    /// Path of the executable; empty when it could not be read.
    pub executable: String,
    /// `OTEL_SERVICE_NAME` of its environment.
    pub service_name: Option<String>,
    /// Container id (64 hexadecimal digits) from its cgroup path.
    pub container_id: Option<String>,
    pub cgroup_path: String,
}

/// A process goes on as another program (`exec`): connections that it keeps are that one's from now on,
/// and so are those that it opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Executed {
    pub time: Nanos,
    /// What it is now, with the id and the start time that it had before.
    pub process: Arc<Process>,
}

/// First event of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    pub key: ConnectionKey,
    pub time: Nanos,
    pub transport: Transport,
    pub local: Option<SocketAddr>,
    pub remote: Option<SocketAddr>,
    pub role: Option<Role>,
    /// Position at which observation starts, indexed by [`Direction::index`]. A position that is not
    /// known at this time is `None`: the first data of that direction sets it.
    pub positions: [Option<u64>; 2],
    /// Bytes passed before the observation began.
    pub mid_stream: bool,
    /// Described by an earlier [`SocketEvent::Process`].
    pub process: Option<ProcessKey>,
    pub cgroup_id: u64,
    /// Inode of the network namespace; 0 where it is not known.
    pub network_namespace: u32,
}

/// Names of a Unix socket, which belong to the [`Open`] of the same key that follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnixNames {
    pub key: ConnectionKey,
    pub time: Nanos,
    /// What this end is bound to: a path, or `@` and an abstract name. Of an end that has connected
    /// there is usually none, and that of one that was accepted is its listener's.
    pub local: Option<String>,
    pub remote: Option<String>,
    /// Inode of the socket at the other end; 0 where it is not known.
    pub peer: u64,
}

/// Bytes that passed in one direction. The next `bytes.len()` of `len` were copied, the rest was
/// not: `bytes` is the front of the stretch `position .. position + len`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data {
    pub key: ConnectionKey,
    pub direction: Direction,
    pub layer: Layer,
    pub position: u64,
    /// True length. A source never trusts it with memory.
    pub len: u64,
    pub bytes: Bytes,
    /// When the call began and when it was done; equal for packets.
    pub entry: Nanos,
    pub exit: Nanos,
    /// Why `bytes` is shorter than `len`.
    pub missing: Missing,
}

impl Data {
    /// The time that orders this event: sends count from their entry, receives from their exit,
    /// for on loopback an answer can be read before the `write` of the request has returned.
    #[must_use]
    pub const fn time(&self) -> Nanos {
        match self.direction {
            Direction::Sent => self.entry,
            Direction::Received => self.exit,
        }
    }
}

/// From this time on another process moves a connection's bytes: one that has the socket from its parent, or
/// was handed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub key: ConnectionKey,
    pub time: Nanos,
    pub process: Arc<Process>,
}

/// Why bytes that passed were not copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Missing {
    /// Nothing is missing, or the host itself asked to leave it out (verdict).
    #[default]
    Unwanted,
    /// A limit of the capture (bytes a call, iovecs, snap length).
    Limit,
    /// The memory could not be read.
    Fault,
    /// No room in the ring.
    Ring,
    /// The road the bytes took cannot be copied from (sendfile, splice, zero copy).
    Unobserved,
    /// A packet that was not captured.
    Packet,
}

/// The socket turned out to carry TLS whose plaintext is observed from here on. Data of
/// [`Layer::Plaintext`] follows, in a position space of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secured {
    pub key: ConnectionKey,
    pub time: Nanos,
    /// Where the plaintext starts, indexed by [`Direction::index`].
    pub positions: [u64; 2],
    /// Plaintext may have passed before it was observed.
    pub mid_stream: bool,
}

/// One direction has ended (FIN, or `read` returned 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    pub key: ConnectionKey,
    pub direction: Direction,
    pub time: Nanos,
    /// Position of the end, in the layer that was current.
    pub position: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CloseReason {
    Finished,
    Reset,
    /// The source stopped observing it: the recording ended, or the agent stopped.
    CutOff,
}

/// Last event of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Close {
    pub key: ConnectionKey,
    pub time: Nanos,
    pub reason: CloseReason,
    /// Final positions of the socket layer, where they are known: they tell what was missed last.
    pub positions: [Option<u64>; 2],
}

/// The peer has confirmed everything of a direction below `position`: what is still missing there
/// will never come. Only packets have this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    pub key: ConnectionKey,
    pub direction: Direction,
    pub position: u64,
    pub time: Nanos,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SocketEvent {
    Process(Arc<Process>),
    Open(Box<Open>),
    Data(Data),
    Secured(Secured),
    Confirmed(Confirmed),
    End(End),
    Close(Close),
    Unix(Box<UnixNames>),
    Executed(Executed),
    Held(Held),
}

impl SocketEvent {
    /// The connection this is about; `None` for [`SocketEvent::Process`] and [`SocketEvent::Executed`].
    #[must_use]
    pub fn key(&self) -> Option<ConnectionKey> {
        Some(match self {
            Self::Process(_) | Self::Executed(_) => return None,
            Self::Open(open) => open.key,
            Self::Unix(names) => names.key,
            Self::Held(held) => held.key,
            Self::Data(data) => data.key,
            Self::Secured(secured) => secured.key,
            Self::Confirmed(confirmed) => confirmed.key,
            Self::End(end) => end.key,
            Self::Close(close) => close.key,
        })
    }

    /// Bytes of a stream that this carries.
    #[must_use]
    pub fn payload_bytes(&self) -> u64 {
        match self {
            Self::Data(data) => data.bytes.len() as u64,
            _ => 0,
        }
    }
}
