//! What leaves this crate: per connection and direction, bytes and gaps in order without a hole.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
pub use wirespan_capture::{
    CloseReason, ConnectionKey, Direction, Nanos, Process, Role, Transport, UnixNames,
};

use crate::limits::PROGRAMS;

/// Who is on this connection; fixed when it opens, but for the process: it can become another program, and
/// another one can have the connection from it.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    pub key: ConnectionKey,
    /// Dense number of the connection in this run; never used twice.
    pub id: u64,
    pub opened: Nanos,
    pub transport: Transport,
    /// Of a Unix socket.
    pub names: Option<Arc<UnixNames>>,
    pub local: Option<SocketAddr>,
    pub remote: Option<SocketAddr>,
    pub role: Option<Role>,
    pub process: Option<Arc<Process>>,
    pub cgroup_id: u64,
    pub network_namespace: u32,
    /// What this was while it was another process, or another program, that held it, and until when.
    pub before: Option<(Nanos, Arc<ConnectionInfo>)>,
}

impl ConnectionInfo {
    /// What this was at `time`.
    #[must_use]
    pub fn at(self: &Arc<Self>, time: Nanos) -> &Arc<Self> {
        let mut info = self;
        while let Some((until, before)) = &info.before
            && time < *until
        {
            info = before;
        }
        info
    }

    /// Whether there were more holders than are remembered.
    #[must_use]
    pub fn has_forgotten(&self) -> bool {
        let befores = std::iter::successors(self.before.as_ref(), |(_, info)| info.before.as_ref());
        befores.count() >= PROGRAMS
    }

    /// The same, now that another process holds it, or its process is another program.
    pub(crate) fn held_by(self: &Arc<Self>, process: Arc<Process>, time: Nanos) -> Arc<Self> {
        let before = self.with_programs(PROGRAMS.saturating_sub(1));
        Arc::new(Self {
            process: Some(process),
            before: Some((time, before)),
            ..Self::clone(self)
        })
    }

    /// Remembers no more than so many programs, with that of now. Who held it before those is unknown.
    fn with_programs(self: &Arc<Self>, count: usize) -> Arc<Self> {
        let Some((until, before)) = &self.before else {
            return Arc::clone(self);
        };
        let before = if count > 1 {
            before.with_programs(count.saturating_sub(1))
        } else {
            Arc::new(Self {
                process: None,
                before: None,
                ..Self::clone(before)
            })
        };
        Arc::new(Self {
            before: Some((*until, before)),
            ..Self::clone(self)
        })
    }
}

/// Why bytes of a stream are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GapCause {
    /// The parser did not want them (a verdict, or a skip): expected, not a loss.
    Unwanted,
    /// A limit of capture or stream.
    Limit,
    /// The memory could not be read.
    Fault,
    /// No room in the ring, or in a queue behind it.
    Ring,
    /// They took a road that cannot be copied from.
    Unobserved,
    /// Packets that were not captured.
    Packet,
    /// They never arrived and nothing said why.
    Unknown,
}

/// In each direction of a connection, each event begins at the position where the one before it
/// ended, except after a [`StreamEvent::Gap`] of unknown length and after [`StreamEvent::Secured`].
#[derive(Clone, Debug)]
pub enum StreamEvent {
    Open {
        info: Arc<ConnectionInfo>,
        /// Where each direction starts, by [`Direction::index`].
        positions: [Option<u64>; 2],
        mid_stream: bool,
    },
    Data {
        id: u64,
        direction: Direction,
        position: u64,
        bytes: Bytes,
        time: Nanos,
        /// Relative order to the other direction could not be known.
        order_uncertain: bool,
    },
    Gap {
        id: u64,
        direction: Direction,
        position: u64,
        /// `None`: unknown, the next data sets the position.
        len: Option<u64>,
        cause: GapCause,
        time: Nanos,
    },
    /// Another process holds it from this time on, or the process became another program: what was seen
    /// before is the other one's, see [`ConnectionInfo::at`].
    Executed {
        info: Arc<ConnectionInfo>,
        time: Nanos,
    },
    /// What follows is TLS plaintext in a position space of its own.
    Secured {
        id: u64,
        positions: [u64; 2],
        mid_stream: bool,
        time: Nanos,
    },
    End {
        id: u64,
        direction: Direction,
        position: u64,
        time: Nanos,
    },
    Close {
        id: u64,
        reason: StreamClose,
        time: Nanos,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamClose {
    Finished,
    Reset,
    /// The capture ended first.
    CutOff,
    /// Idle for too long, or more connections than the limit.
    Evicted,
}

impl StreamEvent {
    #[must_use]
    pub fn id(&self) -> u64 {
        match self {
            Self::Open { info, .. } | Self::Executed { info, .. } => info.id,
            Self::Data { id, .. }
            | Self::Gap { id, .. }
            | Self::Secured { id, .. }
            | Self::End { id, .. }
            | Self::Close { id, .. } => *id,
        }
    }
}
