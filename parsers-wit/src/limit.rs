//! What one output may hold. A parser with more to say sets `more` and is called again; an output
//! beyond these is taken for nonsense and costs the parser its instance.

/// Spans in one output. With `more`, a batch may give several times as many.
pub const SPANS_PER_OUTPUT: usize = 4096;

/// Values in one output: sixteen a span at the limit of spans.
pub const VALUES_PER_OUTPUT: usize = 65_536;

/// Requests in one output: for each connection of the largest batch, several for each side.
pub const REQUESTS_PER_OUTPUT: usize = 8192;

/// Bytes of `text` in one output.
pub const TEXT_BYTES_PER_OUTPUT: usize = 4 << 20;

/// Outputs of one batch: one, and as many again as `more` asks for.
pub const OUTPUTS_PER_BATCH: usize = 32;

/// Spans that a batch may give whatever it holds: what was in flight when connections end.
pub const SPANS_PER_BATCH_BASE: usize = 4096;

/// Beyond [`SPANS_PER_BATCH_BASE`], one span for this many bytes presented. The shortest exchange
/// known, a Redis `PING`, is 13 bytes.
pub const BYTES_PER_SPAN: usize = 8;

/// Bytes of the name of a span.
pub const NAME_BYTES: usize = 512;

/// Bytes of one text value. A statement is cut at 64 KiB by its parser.
pub const VALUE_BYTES: usize = 64 << 10;

/// Values of one span.
pub const VALUES_PER_SPAN: usize = 128;

/// Bytes handed to the next parser with `upgrade`.
pub const CONTEXT_BYTES: usize = 16 << 10;
