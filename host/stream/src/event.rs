//! What leaves this crate: per connection and direction, bytes and gaps in order without a hole.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
pub use wirespan_capture::{
    CloseReason, ConnectionKey, Direction, Nanos, Process, Role, Transport, UnixNames,
};

use crate::limits::PROGRAMS;

/// Who is on this connection; fixed when it opens, but for a process that becomes another program.
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
    /// What this was while the process was another program, and until when.
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

    /// The same, now that its process is another program.
    pub(crate) fn executed(self: &Arc<Self>, process: Arc<Process>, time: Nanos) -> Arc<Self> {
        let before = self.with_programs(PROGRAMS.saturating_sub(1));
        Arc::new(Self {
            process: Some(process),
            before: Some((time, before)),
            ..Self::clone(self)
        })
    }

    /// Remembers no more than so many programs, with that of now.
    fn with_programs(self: &Arc<Self>, count: usize) -> Arc<Self> {
        let Some((until, before)) = &self.before else {
            return Arc::clone(self);
        };
        let before = (count > 1).then(|| (*until, before.with_programs(count.saturating_sub(1))));
        Arc::new(Self {
            before,
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
    /// The process became another program at this time: what was seen before is the other one's, see
    /// [`ConnectionInfo::at`].
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
