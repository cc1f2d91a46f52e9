//! A request and its response, as far as they were seen.

use std::cell::RefCell;
use std::ops::Range;

use wirespan_sdk::Flags;

use crate::limits::{TARGET_BYTES, VALUE_BYTES};

/// Request methods of RFC 9110, PATCH (RFC 5789) and QUERY (RFC 10008).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Method {
    /// The request was not seen.
    #[default]
    Unseen,
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    Query,
    Other,
}

impl Method {
    pub(crate) fn of(name: &[u8]) -> Self {
        match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"CONNECT" => Self::Connect,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"PATCH" => Self::Patch,
            b"QUERY" => Self::Query,
            _ => Self::Other,
        }
    }

    /// Its name, for the methods that have one of their own.
    pub(crate) fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
            Self::Options => "OPTIONS",
            Self::Trace => "TRACE",
            Self::Patch => "PATCH",
            Self::Query => "QUERY",
            Self::Other | Self::Unseen => return None,
        })
    }
}

/// Where a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Message {
    #[default]
    Awaited,
    Begun,
    /// To its end, or as far as it will ever be seen.
    Over,
}

/// The `x` of `HTTP/1.x` where the request line was not seen to its end.
pub(crate) const UNKNOWN_MINOR: u8 = u8::MAX;

/// A request and its response. Times are 0 where not seen.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) method: Method,
    pub(crate) minor: u8,
    pub(crate) status: u16,
    pub(crate) request: Message,
    pub(crate) response: Message,
    pub(crate) flags: Flags,
    /// It outlived the limit and was reported then, or it is not to be reported.
    pub(crate) reported: bool,
    /// What comes after this exchange is not to be relied on, and why.
    pub(crate) last: Option<&'static str>,
    /// Why the response may be that of another request, which passed unseen.
    pub(crate) doubt: Flags,
    /// Of the request; where that was not seen, of the response.
    pub(crate) position: u64,
    pub(crate) start: u64,
    pub(crate) request_end: u64,
    pub(crate) response_position: u64,
    pub(crate) response_start: u64,
    pub(crate) end: u64,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    pub(crate) request_body: Option<u64>,
    pub(crate) response_body: Option<u64>,
    pub(crate) texts: Texts,
}

impl Default for Exchange {
    fn default() -> Self {
        Self {
            method: Method::Unseen,
            minor: 1,
            status: 0,
            request: Message::Awaited,
            response: Message::Awaited,
            flags: Flags::empty(),
            reported: false,
            last: None,
            doubt: Flags::empty(),
            position: 0,
            start: 0,
            request_end: 0,
            response_position: 0,
            response_start: 0,
            end: 0,
            request_bytes: 0,
            response_bytes: 0,
            request_body: None,
            response_body: None,
            texts: Texts::default(),
        }
    }
}

impl Exchange {
    pub(crate) fn flag(&mut self, flag: Flags) {
        self.flags = self.flags | flag;
    }

    pub(crate) fn is_over(&self) -> bool {
        self.request == Message::Over && self.response == Message::Over
    }
}

/// The texts of a request that a span has, in one buffer.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    buffer: Vec<u8>,
    method: Piece,
    target: Piece,
    host: Piece,
    user_agent: Piece,
    traceparent: Piece,
    upgrade: Piece,
}

/// Which of the texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    Method,
    Target,
    Host,
    UserAgent,
    Traceparent,
    /// The protocol that a 101 names.
    Upgrade,
}

impl Text {
    /// How much of a value of `len` bytes a span has.
    fn kept(self, len: usize) -> Option<usize> {
        match self {
            Self::Target => Some(len.min(TARGET_BYTES)),
            Self::UserAgent => Some(len.min(VALUE_BYTES)),
            _ => (len <= VALUE_BYTES).then_some(len),
        }
    }
}

/// A range of the buffer; heads are far below 4 GiB.
#[derive(Clone, Copy, Debug, Default)]
enum Piece {
    #[default]
    Absent,
    At(u32, u32),
    /// There were several that differ, or it was too long: none is told.
    Unclear,
}

impl Texts {
    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }

    pub(crate) fn get(&self, text: Text) -> Option<&[u8]> {
        match *self.piece(text) {
            Piece::At(start, len) => self.buffer.get(range(start, len)),
            Piece::Absent | Piece::Unclear => None,
        }
    }

    /// Takes in a value; a second, different one makes it unclear. `false`: it is longer than the
    /// limit, and cut or left out.
    #[must_use]
    pub(crate) fn set(&mut self, text: Text, value: &[u8]) -> bool {
        let kept = text.kept(value.len());
        let piece = match self.get(text) {
            Some(known) if known == value => return true,
            Some(_) => Piece::Unclear,
            None if matches!(self.piece(text), Piece::Unclear) => return true,
            None => self.append(kept.and_then(|kept| value.get(..kept))),
        };
        *self.piece_mut(text) = piece;
        kept == Some(value.len())
    }

    /// More of a folded value, which is the last one set. `false` as for [`Self::set`].
    #[must_use]
    pub(crate) fn extend(&mut self, text: Text, value: &[u8]) -> bool {
        let Piece::At(start, len) = *self.piece(text) else {
            return true;
        };
        let known = range(start, len);
        if known.end != self.buffer.len() {
            return true;
        }
        let whole = known.len().saturating_add(1).saturating_add(value.len());
        self.buffer.push(b' ');
        self.buffer.extend_from_slice(value);
        let kept = text.kept(whole);
        self.buffer
            .truncate(known.start.saturating_add(kept.unwrap_or_default()));
        *self.piece_mut(text) = match kept {
            Some(kept) => piece(known.start, kept),
            None => Piece::Unclear,
        };
        kept == Some(whole)
    }

    fn append(&mut self, value: Option<&[u8]>) -> Piece {
        let Some(value) = value else {
            return Piece::Unclear;
        };
        let start = self.buffer.len();
        self.buffer.extend_from_slice(value);
        piece(start, value.len())
    }

    fn piece(&self, text: Text) -> &Piece {
        match text {
            Text::Method => &self.method,
            Text::Target => &self.target,
            Text::Host => &self.host,
            Text::UserAgent => &self.user_agent,
            Text::Traceparent => &self.traceparent,
            Text::Upgrade => &self.upgrade,
        }
    }

    fn piece_mut(&mut self, text: Text) -> &mut Piece {
        match text {
            Text::Method => &mut self.method,
            Text::Target => &mut self.target,
            Text::Host => &mut self.host,
            Text::UserAgent => &mut self.user_agent,
            Text::Traceparent => &mut self.traceparent,
            Text::Upgrade => &mut self.upgrade,
        }
    }
}

fn range(start: u32, len: u32) -> Range<usize> {
    let start = start as usize;
    start..start.saturating_add(len as usize)
}

fn piece(start: usize, len: usize) -> Piece {
    match (u32::try_from(start), u32::try_from(len)) {
        (Ok(start), Ok(len)) => Piece::At(start, len),
        _ => Piece::Unclear,
    }
}

/// Exchanges kept for the next ones, for all connections together.
const SPARE: usize = 64;

/// A buffer that grew beyond this is not kept.
const SPARE_BYTES: usize = 4 << 10;

thread_local! {
    // An exchange needs memory while it is in flight, an idle connection none.
    #[expect(clippy::vec_box, reason = "the boxes are what is kept")]
    static POOL: RefCell<Vec<Box<Exchange>>> = const { RefCell::new(Vec::new()) };
}

/// An exchange of which nothing is known yet.
pub(crate) fn fresh() -> Box<Exchange> {
    POOL.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Gives an exchange back.
pub(crate) fn recycle(mut exchange: Box<Exchange>) {
    POOL.with_borrow_mut(|pool| {
        let mut buffer = std::mem::take(&mut exchange.texts.buffer);
        if pool.len() < SPARE && buffer.capacity() <= SPARE_BYTES {
            buffer.clear();
            *exchange = Exchange {
                texts: Texts {
                    buffer,
                    ..Texts::default()
                },
                ..Exchange::default()
            };
            pool.push(exchange);
        }
    });
}

/// Gives the memory of spare exchanges back.
pub(crate) fn drop_spare() {
    POOL.with_borrow_mut(|pool| *pool = Vec::new());
}
