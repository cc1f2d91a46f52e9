//! What is spent on one connection, at most, beside what all SQL databases have.

/// Length of a message, itself included: the server refuses to allocate a gigabyte
/// (`MaxAllocSize`), so none is longer.
pub(crate) const MESSAGE_BYTES: u32 = 0x3fff_ffff;

/// Length of a message that is believed while it is not certain where messages begin: beyond it,
/// four arbitrary bytes are the likelier reading.
pub(crate) const TRIAL_MESSAGE_BYTES: u32 = 16 << 20;

/// Length of a startup packet (`MAX_STARTUP_PACKET_LENGTH` of the server).
pub(crate) const STARTUP_BYTES: u32 = 10_000;

/// Bytes of the name of a statement, portal or database that are kept. The server's identifiers
/// have 63; a longer name is not followed.
pub(crate) const NAME_BYTES: usize = 256;

/// Bytes of an error message that are waited for: its code is among the first fields.
pub(crate) const ERROR_BYTES: u32 = 16 << 10;

/// Bytes of a command tag: the longest have about 40.
pub(crate) const TAG_BYTES: u32 = 256;

/// Messages whose room an idle connection keeps: what a query needs, so that the usual connection
/// never allocates for one.
pub(crate) const IDLE_QUEUE: usize = 4;

/// Replication streams for days: its exchange is reported after this many nanoseconds (60 s).
pub(crate) const UNFINISHED_AFTER: u64 = 60_000_000_000;
