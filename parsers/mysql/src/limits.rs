//! What is spent on one connection, at most.

/// Bytes of a statement's text that are kept: what a span may carry.
pub(crate) const TEXT_BYTES: usize = 64 << 10;

/// Bytes of a query that are looked at beyond its text: its attributes stand in front. Behind more
/// than these the text is unknown.
pub(crate) const ATTRIBUTE_BYTES: usize = 64 << 10;

/// Attributes of a query; libraries send one or two.
pub(crate) const ATTRIBUTES: u64 = 1024;

/// Bytes of the name of a database that are kept. The server's identifiers have 64 characters.
pub(crate) const NAME_BYTES: usize = 256;

/// Bytes of a login that are looked at: the database stands behind the name of the user and what
/// proves who it is, which is at most some hundreds of bytes.
pub(crate) const LOGIN_BYTES: usize = 4 << 10;

/// Bytes of a greeting; those of servers have about 100.
pub(crate) const GREETING_BYTES: usize = 1024;

/// Bytes of a login: its attributes have up to 64 KiB.
pub(crate) const MAX_LOGIN_BYTES: u32 = 80 << 10;

/// Bytes of an OK, EOF or ERR packet that are waited for. Session tracking can
/// make an OK longer; what is behind is stepped over.
pub(crate) const STATUS_BYTES: usize = 16 << 10;

/// Columns of a result, which servers limit to 4096.
pub(crate) const COLUMNS: u64 = 4096;

/// Commands that wait for their answer on one connection: some thousands are sent ahead.
pub(crate) const IN_FLIGHT: usize = 32_768;

/// Bytes of texts that wait for their answer on one connection; what is sent beyond it has none.
pub(crate) const IN_FLIGHT_BYTES: usize = 1 << 20;

/// Prepared statements whose text is kept for one connection; drivers' own caches hold some
/// hundreds.
pub(crate) const STATEMENTS: usize = 4096;

/// Bytes of their texts. The least recently used go first.
pub(crate) const STATEMENT_BYTES: usize = 1 << 20;

/// Buffers for texts that are kept for the next query, by all connections together.
pub(crate) const SPARE_BUFFERS: usize = 64;

/// Bytes of such a buffer; larger ones are given back.
pub(crate) const SPARE_BUFFER_BYTES: usize = 4 << 10;

/// How often the two sides may fall out of step before the connection is left alone.
pub(crate) const OUT_OF_STEP: u8 = 16;

/// Bytes of a compressed frame that are decompressed at a time: their times are told apart, and
/// more are not waited for.
pub(crate) const FRAME_BLOCK_BYTES: u64 = 16 << 10;

/// Decompressed bytes that are read at a time.
pub(crate) const PIECE_BYTES: usize = 32 << 10;

/// How far zstd may look back: servers and clients use levels that need 2 MiB, and up to 8 MiB.
pub const ZSTD_WINDOW_BYTES: usize = 8 << 20;

/// What decoders in the middle of a frame may hold, of all connections together: a quarter of an
/// instance's memory. A frame for which nothing is left is a gap.
pub(crate) const DECODERS_BYTES: usize = 16 << 20;
