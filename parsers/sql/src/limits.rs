//! What is spent on one connection, at most, whichever database it is of.

/// Bytes of a statement's text that are kept: what a span may carry.
pub const TEXT_BYTES: usize = 64 << 10;

/// Commands or messages that wait for their answer on one connection: batches of some thousands of
/// executions are sent ahead, with what belongs to each.
pub const IN_FLIGHT: usize = 32_768;

/// Bytes of texts that wait for their answer on one connection; what is sent beyond it has none.
pub const IN_FLIGHT_BYTES: usize = 1 << 20;

/// Prepared statements (and portals) whose text is kept for one connection; drivers' own caches hold
/// some hundreds.
pub const STATEMENTS: usize = 4096;

/// Bytes of their texts. The least recently used go first.
pub const STATEMENT_BYTES: usize = 1 << 20;

/// Buffers for texts that are kept for the next query, by all connections together.
pub const SPARE_BUFFERS: usize = 64;

/// Bytes of such a buffer; larger ones are given back.
pub const SPARE_BUFFER_BYTES: usize = 4 << 10;

/// How often the two sides may fall out of step before the connection is left alone.
pub const OUT_OF_STEP: u8 = 16;
