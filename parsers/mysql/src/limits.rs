//! What is spent on one connection, at most, beside what all SQL databases have.

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

/// What beginnings of blocks may hold that are not here whole, of all connections together: a thousand
/// whole blocks are an eighth of an instance's memory and a quarter. What finds no room stays with the
/// host.
pub(crate) const BLOCKS_BYTES: usize = 16 << 20;
