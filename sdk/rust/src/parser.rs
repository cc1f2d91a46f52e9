//! The trait that a parser implements, and what it is told.

use crate::bindings::wirespan::parser::types as wit;
use crate::{Cause, Context, Input, Manifest, Side, fact};

/// The state of one connection, and what to do with its events.
///
/// Events of one connection come in the best known order of both sides. Only `data` needs an
/// implementation beside the first three.
pub trait Parser: Sized + 'static {
    const MANIFEST: Manifest;

    /// Is this the beginning of the parser's protocol? `NeedMore` for every prefix that could
    /// still become it.
    fn recognise(prefix: &Prefix<'_>) -> Recognition;

    /// A connection is now this parser's.
    fn open(opening: &Opening<'_>, cx: &mut Context<'_>) -> Self;

    /// Bytes of `side`. Say how far they are done with by [`Context::consumed`] or
    /// [`Context::skip_to`]: as long as that advances and bytes are left, `data` is called again
    /// at once, so handle one message a call. What is not consumed is shown again when more
    /// comes on this side, or when the other side made progress: that holds a side back.
    fn data(&mut self, side: Side, input: Input<'_>, cx: &mut Context<'_>);

    /// Bytes of `side` that will never come. What was not consumed before them is gone too.
    fn gap(&mut self, side: Side, gap: Gap, cx: &mut Context<'_>) {
        let _ = (side, gap, cx);
    }

    /// The stretch given to [`Context::skip_to`] has passed.
    fn skipped(&mut self, side: Side, skipped: Skipped, cx: &mut Context<'_>) {
        let _ = (side, skipped, cx);
    }

    /// `side` sends no more; `position` is its end.
    fn end(&mut self, side: Side, position: u64, time: u64, cx: &mut Context<'_>) {
        let _ = (side, position, time, cx);
    }

    /// The connection is gone: report now what is in flight.
    fn close(&mut self, cause: Cause, time: u64, cx: &mut Context<'_>) {
        let _ = (cause, time, cx);
    }

    /// The time given to [`Context::wake_at`] has come. Can come unasked.
    fn timer(&mut self, time: u64, cx: &mut Context<'_>) {
        let _ = (time, cx);
    }

    /// From here on the connection carries the plaintext of TLS; positions start anew.
    fn secured(&mut self, opening: &Opening<'_>, cx: &mut Context<'_>) {
        *self = Self::open(opening, cx);
    }

    /// The host is short of memory: free what can be freed.
    fn evict(&mut self) {}
}

/// What each side sent so far, as the host guesses the sides.
#[derive(Clone, Copy, Debug)]
pub struct Prefix<'a> {
    pub client: &'a [u8],
    pub server: &'a [u8],
    pub facts: Facts<'a>,
}

/// The answer of [`Parser::recognise`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recognition {
    /// Not this protocol, whatever follows.
    No,
    /// Could be.
    NeedMore,
    Yes {
        /// 0 to 100: breaks ties between parsers only.
        confidence: u8,
        /// The host took the wrong side for the client.
        swapped: bool,
        /// Index into the manifest's protocols.
        protocol: u8,
    },
}

impl Recognition {
    /// The first protocol of the manifest, with the sides as the host guessed them.
    #[must_use]
    pub const fn yes(confidence: u8) -> Self {
        Self::Yes {
            confidence,
            swapped: false,
            protocol: 0,
        }
    }

    pub(crate) fn to_wit(self) -> wit::Verdict {
        match self {
            Self::No => wit::Verdict::No,
            Self::NeedMore => wit::Verdict::NeedMore,
            Self::Yes {
                confidence,
                swapped,
                protocol,
            } => wit::Verdict::Yes(wit::Recognition {
                confidence,
                swapped,
                protocol,
            }),
        }
    }
}

/// How a connection begins for the parser.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// The end of the connection that is observed.
    pub observed: Side,
    pub facts: Facts<'a>,
    pub time: u64,
    /// The connection was with this parser before, and its state was lost with an instance.
    pub restart: bool,
}

impl Opening<'_> {
    /// Whether bytes passed before the first that is shown.
    #[must_use]
    pub fn mid_stream(&self) -> bool {
        self.restart || self.facts.is_true(fact::MID_STREAM)
    }
}

/// What is known about a connection; keys are in [`crate::fact`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    pub(crate) facts: &'a [wit::Fact],
    pub(crate) texts: &'a [u8],
}

impl<'a> Facts<'a> {
    #[must_use]
    pub fn number(&self, key: u16) -> Option<u64> {
        self.facts.iter().find(|f| f.key == key).map(|f| f.number)
    }

    #[must_use]
    pub fn is_true(&self, key: u16) -> bool {
        self.number(key).is_some_and(|n| n != 0)
    }

    /// The text of a fact, where it is there and not empty.
    #[must_use]
    pub fn text(&self, key: u16) -> Option<&'a [u8]> {
        let slice = self.facts.iter().find(|f| f.key == key)?.text;
        let start = slice.start as usize;
        self.texts
            .get(start..start.checked_add(slice.len as usize)?)
            .filter(|t| !t.is_empty())
    }
}

/// Bytes that will never come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Where they would have begun; where that is unknown, the last position known.
    pub position: u64,
    /// `None`: how many is unknown, the next position of the side is a new beginning.
    pub len: Option<u64>,
    pub cause: Cause,
    pub time: u64,
}

impl Gap {
    /// Position after the gap, where it is known.
    #[must_use]
    pub fn end(&self) -> Option<u64> {
        self.position.checked_add(self.len?)
    }
}

/// A stretch that was stepped over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skipped {
    pub position: u64,
    /// Less than was asked for when the side ended first.
    pub end: u64,
    /// When its last byte passed.
    pub time: u64,
    /// Some of it was lost on its way to the host, beside what was not wanted.
    pub lost: bool,
}
