//! What a worker hands out.

use std::sync::Arc;

use wirespan_capture::Said;
use wirespan_span::Span;
use wirespan_stream::ConnectionInfo;

/// A span and the connection it was seen on, as that was when the span began. Its resource is empty: identity is added later.
#[derive(Clone, Debug)]
pub struct ParsedSpan {
    pub span: Span,
    pub connection: Arc<ConnectionInfo>,
}

/// Emptied by whoever takes it; what is in it is kept until then.
#[derive(Debug, Default)]
pub struct Output {
    pub spans: Vec<ParsedSpan>,
    /// For the source, in the order they were decided.
    pub verdicts: Vec<Said>,
}
