//! What a parser can ask for.

use crate::bindings::wirespan::parser::types as wit;
use crate::bindings::wirespan::parser::types::Ask;
use crate::output::Answer;
use crate::stream::Stream;
use crate::{Side, SpanBuilder};

/// Through this a parser reports spans and says what to do with the bytes it was shown.
#[derive(Debug)]
pub struct Context<'a> {
    pub(crate) answer: &'a mut Answer,
    pub(crate) conn: u64,
    pub(crate) streams: &'a mut [Stream; 2],
    /// The connection is no longer this parser's.
    pub(crate) done: &'a mut bool,
}

impl Context<'_> {
    /// Begins a span.
    pub fn span(&mut self, name: impl AsRef<[u8]>) -> SpanBuilder<'_> {
        SpanBuilder::new(self.answer, self.conn, name.as_ref())
    }

    /// Begins a span whose name many spans have: see [`SpanBuilder::fixed`].
    pub fn span_fixed(&mut self, name: &'static str) -> SpanBuilder<'_> {
        SpanBuilder::fixed_name(self.answer, self.conn, name)
    }

    /// Bytes of `side` below `position` are done with.
    #[inline(always)]
    pub fn consumed(&mut self, side: Side, position: u64) {
        let stream = self.stream(side);
        stream.consumed = position.clamp(stream.consumed, stream.next.max(stream.consumed));
    }

    /// Do not show `side` again before its stream has reached `position`. Only to save work: without it,
    /// it is shown again with what comes, less and less often where that is little. A parser that
    /// concludes something from which side spoke when has to do without, or what waits unseen of one
    /// side is missed in its place among what the other says.
    pub fn need_to(&mut self, side: Side, position: u64) {
        self.stream(side).need = position;
    }

    /// Something of `side` was done that its positions do not tell, with bytes that the parser keeps
    /// itself: the other side may go on, and what is not consumed of this one is shown again.
    pub fn progress(&mut self, side: Side) {
        self.stream(side).progressed = true;
    }

    /// What is shown of `side` now can only be understood after something on the other side: it is
    /// kept, even across a gap behind it, and shown again when the other side made progress.
    pub fn hold(&mut self, side: Side) {
        self.stream(side).held = true;
    }

    /// Bytes of `side` below `position` are not wanted: they are neither shown nor copied, and
    /// [`crate::Parser::skipped`] tells when the stream is there. What is shown below `position` is
    /// consumed. `u64::MAX` means the rest of the side. Nothing happens when the stream is past
    /// `position` already.
    pub fn skip_to(&mut self, side: Side, position: u64) {
        let stream = self.stream(side);
        if position <= stream.consumed {
            return;
        }
        stream.skip_from = stream.consumed;
        stream.skip = position;
        stream.skip_lost = false;
        stream.skip_told = false;
        stream.consumed = position.min(stream.next);
    }

    /// [`crate::Parser::timer`] is to be called at `time`. There is one timer a connection: a new
    /// time replaces the old one.
    pub fn wake_at(&mut self, time: u64) {
        self.request(Ask::WakeAt, Side::Client, time, 0, b"", b"");
    }

    /// This connection is no longer of interest. `reason`, a few fixed words, becomes a counter.
    /// The parser's state is dropped: report first what is in flight.
    pub fn ignore(&mut self, reason: &'static str) {
        self.finish(Ask::Ignore, 0, 0, reason.as_bytes(), b"");
    }

    /// Another protocol begins at these positions. `protocol` names it or is empty: then it is
    /// recognised anew. `context` is for the next parser, which finds it as
    /// [`crate::fact::HANDOVER`]. The parser's state is dropped.
    pub fn upgrade(&mut self, protocol: &str, client: u64, server: u64, context: &[u8]) {
        self.finish(Ask::Upgrade, client, server, protocol.as_bytes(), context);
    }

    /// This is not the protocol it was taken for. The parser's state is dropped.
    pub fn not_mine(&mut self) {
        self.finish(Ask::NotMine, 0, 0, b"", b"");
    }

    fn stream(&mut self, side: Side) -> &mut Stream {
        let [client, server] = &mut *self.streams;
        match side {
            Side::Client => client,
            Side::Server => server,
        }
    }

    fn finish(&mut self, ask: Ask, client: u64, server: u64, text: &[u8], context: &[u8]) {
        if !*self.done {
            *self.done = true;
            self.request(ask, Side::Client, client, server, text, context);
        }
    }

    fn request(
        &mut self,
        ask: Ask,
        side: Side,
        position: u64,
        other: u64,
        text: &[u8],
        context: &[u8],
    ) {
        let text = self.answer.add_text(text);
        let context = self.answer.add_text(context);
        self.answer.requests.push(wit::Request {
            conn: self.conn,
            position,
            other,
            ask,
            side,
            text,
            context,
        });
    }
}
