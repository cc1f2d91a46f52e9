//! What is spent on one connection, at most.

/// Bytes of the head of a message. Servers refuse more than 8 to 64 KiB (nginx 8 KiB a line and
/// 32 KiB in all, Apache 8 KiB a line, Node 16 KiB, Tomcat 8 KiB, gunicorn 8 KiB a line).
pub(crate) const HEAD_BYTES: u64 = 64 << 10;

/// Bytes of a request target that a span has; a longer one is cut. IIS, Node and Jetty take 16 KiB
/// of a whole line, others 8 KiB. Percent-encoded it is below the host's limit of 64 KiB for a text.
pub(crate) const TARGET_BYTES: usize = 16 << 10;

/// Header lines of a message. Apache and Tomcat refuse more than 100, Go and Node have no limit.
pub(crate) const HEADER_LINES: u16 = 1024;

/// Requests that wait for their response on one connection. Servers read ahead far less; more of
/// them is an attack, or responses that were not seen.
pub(crate) const IN_FLIGHT: usize = 1024;

/// Bytes kept of the requests that wait for their response on one connection: the largest head a
/// few times over.
pub(crate) const IN_FLIGHT_BYTES: usize = 256 << 10;

/// The line with the size of a chunk, extensions included, or a trailer: Node, Go and nginx refuse
/// far shorter.
pub(crate) const CHUNK_LINE_BYTES: usize = 4 << 10;

/// A method that is longer is not taken for one: the longest registered has 17 letters.
pub(crate) const METHOD_BYTES: usize = 32;

/// Bytes of a header's value that a span has. Of a longer `User-Agent` it has the beginning; a part
/// of a host or a trace context would be another one, so such a value is left out.
pub(crate) const VALUE_BYTES: usize = 4 << 10;

/// How often a message start may be looked for where none is, before the connection is left alone.
pub(crate) const FAILED_STARTS: u8 = 16;

/// An exchange whose response began is reported after this many nanoseconds (60 s) even when the
/// response goes on: people look at the last minutes, and an event stream can last for days.
pub(crate) const UNFINISHED_AFTER: u64 = 60_000_000_000;

/// No response is shorter: `HTTP/1.1 200`, with or without a reason, and two line ends. Fewer bytes that
/// were lost behind a response are none: captures are off by some, at an end or where one is kept alive.
pub(crate) const SHORTEST_RESPONSE: u64 = 16;
