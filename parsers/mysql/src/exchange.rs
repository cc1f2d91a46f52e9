//! What the client sent and the server has not answered, and the answer being read.

use wirespan_parser_sql::Text;
use wirespan_sdk::Flags;

use crate::wire::Failure;

/// What a command is, as far as its answer and its span differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Query,
    /// Of a prepared statement, by its number.
    Execute(u32),
    Prepare,
    /// Rows of a statement that was executed with a cursor.
    Fetch,
    FieldList,
    /// Answered by a text.
    Statistics,
    /// Answered by rows.
    ProcessInfo,
    ChangeUser,
    InitDb,
    DropDb,
    ResetConnection,
    /// Answered by OK, EOF or ERR.
    Plain,
    /// Never answered: forgets a prepared statement.
    Close(u32),
    /// The client sent something that was lost.
    Lost,
}

impl Kind {
    /// Told whether it fails or not.
    pub(crate) fn is_exchange(self) -> bool {
        matches!(self, Self::Query | Self::Execute(_))
    }
}

/// A command that waits for its turn.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) kind: Kind,
    /// Of its last packet.
    pub(crate) sequence: u8,
    /// Its text; of `InitDb` and `ChangeUser`, the database.
    pub(crate) text: Text,
    pub(crate) position: u64,
    pub(crate) start: u64,
    /// When its last byte passed.
    pub(crate) end: u64,
    pub(crate) bytes: u64,
    pub(crate) flags: Flags,
    pub(crate) traceparent: Option<Box<[u8]>>,
}

/// Where an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Stage {
    /// A result begins.
    #[default]
    First,
    /// So many column definitions come, then rows; after an EOF where there is one.
    Columns(u64),
    /// Rows, or the EOF before them.
    FirstRow,
    Rows,
    /// Definitions of a prepared statement come: parameters, columns.
    Parameters(u64, u64),
    /// Perhaps an EOF, then the definitions of columns.
    ParametersEnd(u64),
    Definitions(u64),
    /// The client sends a file.
    File,
}

impl Stage {
    /// After a definition, with `left` to come before it.
    pub(crate) fn columns(left: u64) -> Self {
        match left {
            ..=1 => Self::FirstRow,
            _ => Self::Columns(left.saturating_sub(1)),
        }
    }
}

/// What the server said of the first in the queue.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) stage: Stage,
    /// Times of its first and last byte; 0 before.
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
    /// A result with columns was read.
    pub(crate) result: bool,
    /// There was more than one result.
    pub(crate) several: bool,
    /// Rows come later, with a cursor, or were lost.
    pub(crate) rows_unknown: bool,
    pub(crate) affected: Option<u64>,
    pub(crate) failure: Option<Failure>,
    /// Number of the statement that was prepared.
    pub(crate) statement: Option<u32>,
    /// The server named a database: it is in use from now on.
    pub(crate) schema: Option<Box<[u8]>>,
    pub(crate) flags: Flags,
}
