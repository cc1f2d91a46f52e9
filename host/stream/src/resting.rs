//! Connections at rest: most of those that a node has open carry nothing just now.

use std::sync::Arc;

use wirespan_capture::Layer;

use crate::connection::Connection;
use crate::event::{ConnectionInfo, Nanos};
use crate::half::RestingHalf;

/// What is kept of a connection that waits for nothing: an eighth of one that does.
#[derive(Debug)]
pub(crate) struct Resting {
    pub(crate) info: Arc<ConnectionInfo>,
    pub(crate) layer: Layer,
    /// Sent and received.
    pub(crate) halves: [RestingHalf; 2],
    /// Which of them have ended.
    pub(crate) ended: [bool; 2],
    pub(crate) last_event: Nanos,
    pub(crate) used: u64,
}

/// Not a word more than it needs: a node has ten thousands of them.
const _: () = assert!(size_of::<Resting>() == 64);

/// A connection in the table.
#[derive(Debug)]
pub(crate) enum Entry {
    Awake(Box<Connection>),
    Resting(Box<Resting>),
}

impl Entry {
    pub(crate) fn new(connection: Connection) -> Self {
        Self::Awake(Box::new(connection))
    }

    /// Stamp of the last use.
    pub(crate) fn used(&self) -> u64 {
        match self {
            Self::Awake(connection) => connection.used,
            Self::Resting(resting) => resting.used,
        }
    }

    pub(crate) fn last_event(&self) -> Nanos {
        match self {
            Self::Awake(connection) => connection.last_event,
            Self::Resting(resting) => resting.last_event,
        }
    }

    pub(crate) fn info(&self) -> &Arc<ConnectionInfo> {
        match self {
            Self::Awake(connection) => &connection.info,
            Self::Resting(resting) => &resting.info,
        }
    }

    pub(crate) fn info_mut(&mut self) -> &mut Arc<ConnectionInfo> {
        match self {
            Self::Awake(connection) => &mut connection.info,
            Self::Resting(resting) => &mut resting.info,
        }
    }

    pub(crate) fn is_unopened(&self) -> bool {
        matches!(self, Self::Awake(connection) if connection.is_unopened())
    }

    /// The connection, to work on.
    pub(crate) fn wake(&mut self) -> &mut Connection {
        if let Self::Resting(resting) = self {
            *self = Self::new(Connection::resumed(resting));
        }
        match self {
            Self::Awake(connection) => connection,
            Self::Resting(_) => unreachable!("it was woken above"),
        }
    }

    pub(crate) fn into_connection(self) -> Box<Connection> {
        match self {
            Self::Awake(connection) => connection,
            Self::Resting(resting) => Box::new(Connection::resumed(&resting)),
        }
    }

    /// Keeps less of it, where it has been silent since `since` and waits for nothing.
    pub(crate) fn rest(&mut self, since: Nanos) {
        if let Self::Awake(connection) = self
            && connection.last_event <= since
            && let Some(resting) = connection.rest()
        {
            *self = Self::Resting(Box::new(resting));
        }
    }
}
