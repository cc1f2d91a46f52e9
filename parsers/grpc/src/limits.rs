//! What is spent on one connection, at most.

/// Bytes of a header block. Servers refuse more than 8 to 64 KiB (nginx 32 KiB, Envoy 60 KiB,
/// grpc 16 KiB, Go 1 MiB); the host keeps 256 KiB of a side.
pub(crate) const BLOCK_BYTES: usize = 128 << 10;

/// CONTINUATION frames of one header block. A block of the size above comes in eight frames of the
/// default size; the flood of 2024 (VU#421644) sends them without end.
pub(crate) const CONTINUATIONS: u32 = 256;

/// Streams open at a time. Servers allow 100 to 1000.
pub(crate) const STREAMS: usize = 8192;

/// Bytes of text kept for the streams that are open.
pub(crate) const TEXT_BYTES: usize = 1 << 20;

/// Streams that the client reset right after it opened them, beyond those that ended otherwise:
/// "rapid reset" (CVE-2023-44487). Nothing is lost with such a connection.
pub(crate) const RAPID_RESETS: u32 = 1000;

/// What is reset within this time (5 ms) is reset at once. Deadlines are longer: calls that a server
/// leaves hanging are no flood, however many they are.
pub(crate) const RAPID_NANOS: u64 = 5_000_000;

/// A header value that is kept; a longer one is taken for unknown.
pub(crate) const VALUE_BYTES: usize = 4 << 10;

/// The same for the path, which has the query in it. Browsers and servers stop at 8 to 64 KiB.
pub(crate) const PATH_BYTES: usize = 32 << 10;

/// Entries kept of a dynamic table, the newest. The default table of 4096 bytes has at most 128,
/// the largest in use (64 KiB) 2048.
pub(crate) const TABLE_ENTRIES: usize = 2048;

/// Bytes of values kept of a dynamic table.
pub(crate) const TABLE_BYTES: usize = 64 << 10;

/// How often the place in a direction may be lost to bytes that only looked like frames.
pub(crate) const FALSE_STARTS: u8 = 16;

/// Ranges of stream numbers whose requests passed unseen, and streams that were reset since: the
/// newest are kept.
pub(crate) const UNSEEN_RANGES: usize = 16;

/// A header block that is decoded to find out whether it is one. Most are below 1 KiB; of a larger
/// one the next frame tells. Bytes made to look like frames at every place cost no more than this
/// much work each.
pub(crate) const SEEK_BLOCK_BYTES: usize = 4 << 10;

/// An exchange whose response began is reported after this many nanoseconds (60 s) even when the
/// response goes on: people look at the last minutes, and a watch can last for days.
pub(crate) const UNFINISHED_AFTER: u64 = 60_000_000_000;

/// Longest name of a span that the host takes.
pub(crate) const NAME_BYTES: usize = 512;
