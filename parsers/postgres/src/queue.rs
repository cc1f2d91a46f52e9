//! What the client sent and the server has not answered, and the answer being read.

use wirespan_parser_sql::{Known, Text};
use wirespan_sdk::Flags;

use crate::wire::SqlState;

/// A message, or where messages were missed, that waits for its turn.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) item: Item,
    pub(crate) position: u64,
    pub(crate) start: u64,
    /// When its last byte passed.
    pub(crate) end: u64,
    pub(crate) bytes: u64,
    pub(crate) flags: Flags,
}

/// Of a statement or portal; one that was too long to be kept is unknown.
pub(crate) type Name = Option<Box<[u8]>>;

#[derive(Debug)]
pub(crate) enum Item {
    /// SSLRequest or GSSENCRequest: answered by one byte.
    Encryption,
    Startup,
    Query(Text),
    Function,
    Parse {
        name: Name,
        text: Known,
    },
    Bind {
        portal: Name,
        statement: Name,
    },
    DescribeStatement(Name),
    DescribePortal(Name),
    CloseStatement(Name),
    ClosePortal(Name),
    Execute(Name),
    Sync,
    /// The client sent something that was lost.
    Lost,
}

impl Item {
    /// Ends with a ReadyForQuery.
    pub(crate) fn is_ended_by_ready(&self) -> bool {
        matches!(
            self,
            Self::Startup | Self::Query(_) | Self::Function | Self::Sync
        )
    }

    /// Bytes of text it holds.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Query(text) => text.weight(),
            Self::Parse {
                text: Some(text), ..
            } => text.text.len(),
            _ => 0,
        }
    }
}

/// A longer command tag is no name of an operation.
const COMMAND_BYTES: usize = 32;

/// The words of a command tag; none where they are too many.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Command {
    bytes: [u8; COMMAND_BYTES],
    len: u8,
}

impl Command {
    pub(crate) fn new(name: &[u8]) -> Self {
        let mut new = Self::default();
        if let Some(bytes) = new.bytes.get_mut(..name.len()) {
            bytes.copy_from_slice(name);
            new.len = name.len() as u8;
        }
        new
    }

    pub(crate) fn name(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// What the server said of the first in the queue.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// Times of its first and last byte; 0 before.
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
    /// A result with columns was announced or read.
    pub(crate) result: bool,
    pub(crate) affected: Option<u64>,
    /// Messages of it were lost: what was counted is not all.
    pub(crate) incomplete: bool,
    /// What the last command's tag counts.
    pub(crate) count: Option<u64>,
    pub(crate) commands: u32,
    /// One of several commands before the last took names from statements.
    pub(crate) deallocates: bool,
    /// And so did the last.
    pub(crate) last_deallocates: bool,
    /// Of the only command; of several, of the last.
    pub(crate) command: Command,
    pub(crate) error: bool,
    pub(crate) code: Option<SqlState>,
    /// The client copies to the server, and has not said that it is done or failed.
    pub(crate) copy_in: bool,
    /// It has said so before the server told it to begin.
    pub(crate) copied_ahead: bool,
    /// Replication.
    pub(crate) copy_both: bool,
    /// Reported before its end.
    pub(crate) reported: bool,
    pub(crate) flags: Flags,
}

/// Something in an extended query failed: the server skips to the next Sync.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) answer: Answer,
    /// How much of the queue the client had sent by then.
    pub(crate) sent: usize,
}

/// The texts that the messages of a group would give to names if they were carried out.
#[derive(Debug, Default)]
pub(crate) struct Intended {
    statements: Vec<(Box<[u8]>, Known)>,
    portals: Vec<(Box<[u8]>, Known)>,
    /// A name was not seen: any may have been given another text.
    any: bool,
}

/// Names whose intended texts are kept while a group is walked; those beyond are unknown.
const INTENDED: usize = 64;

impl Intended {
    pub(crate) fn statement(&self, name: &[u8]) -> Option<Known> {
        find(&self.statements, name).or_else(|| self.any.then_some(None))
    }

    pub(crate) fn portal(&self, name: &[u8]) -> Option<Known> {
        find(&self.portals, name).or_else(|| self.any.then_some(None))
    }

    /// A name was given a text, and it is not known which.
    pub(crate) fn set_any(&mut self) {
        self.statements.clear();
        self.portals.clear();
        self.any = true;
    }

    pub(crate) fn set_statement(&mut self, name: &[u8], text: Known) {
        set(&mut self.statements, name, text);
    }

    pub(crate) fn set_portal(&mut self, name: &[u8], text: Known) {
        set(&mut self.portals, name, text);
    }
}

fn find(list: &[(Box<[u8]>, Known)], name: &[u8]) -> Option<Known> {
    if list.len() >= INTENDED {
        return Some(None);
    }
    let known = list.iter().find(|(other, _)| **other == *name)?;
    Some(known.1.clone())
}

fn set(list: &mut Vec<(Box<[u8]>, Known)>, name: &[u8], text: Known) {
    if let Some(entry) = list.iter_mut().find(|(other, _)| **other == *name) {
        entry.1 = text;
    } else if list.len() < INTENDED {
        list.push((name.into(), text));
    }
}

/// A text that can change what names mean: nothing is known of one that is unknown or cut.
pub(crate) fn may_deallocate(text: &Text) -> bool {
    let Some(text) = text.bytes().filter(|_| !text.is_truncated()) else {
        return true;
    };
    ["deallocate", "discard"].iter().any(|word| {
        text.windows(word.len())
            .any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
    })
}
