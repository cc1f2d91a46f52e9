//! A stream: one request and its response, as far as they were seen.

use wirespan_sdk::{Flags, Side};

use crate::head::{Content, GrpcStatus, Head, Kept};
use crate::limits::UNFINISHED_AFTER;
use crate::message::Messages;

/// Where a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    #[default]
    Awaited,
    Begun,
    Over,
    /// Its end, or all of it, may have passed unseen.
    Lost,
}

/// One direction of a stream. The counts are those of the last whole frame.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Half {
    pub(crate) phase: Phase,
    /// Bytes of frames.
    pub(crate) wire: u64,
    /// Bytes of DATA, without padding.
    pub(crate) body: u64,
    /// Frames may be missing: there is no telling how much there was.
    pub(crate) incomplete: bool,
    pub(crate) messages: Messages,
    pub(crate) message_count: u64,
    pub(crate) message_bytes: u64,
}

impl Half {
    /// A frame of DATA is over.
    pub(crate) fn count(&mut self, wire: u64, body: u64) {
        self.wire = self.wire.saturating_add(wire);
        self.body = self.body.saturating_add(body);
        self.message_count = self.messages.count;
        self.message_bytes = self.messages.bytes;
    }
}

/// What the server said.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content: Content,
    pub(crate) grpc_status: GrpcStatus,
    /// What it said of its outcome and its encoding, wherever it did last.
    pub(crate) message: Option<Vec<u8>>,
    pub(crate) encoding: Option<Vec<u8>>,
    /// Fields of it could not be resolved: what was not seen may have been there.
    pub(crate) unknown: bool,
    /// It ended with fields instead of DATA.
    pub(crate) trailers: bool,
    /// DATA came since its first fields.
    pub(crate) data: bool,
}

impl Answer {
    /// Takes what a block says of outcome and encoding.
    pub(crate) fn take_texts(&mut self, head: &Head) {
        for (text, kept) in [
            (&mut self.message, Kept::GrpcMessage),
            (&mut self.encoding, Kept::GrpcEncoding),
        ] {
            if head.has(kept) {
                *text = head.get(kept).map(<[u8]>::to_vec);
            }
        }
    }

    /// Bytes of text that are kept for it.
    pub(crate) fn text_bytes(&self) -> usize {
        let len = |text: &Option<Vec<u8>>| text.as_ref().map_or(0, Vec::len);
        len(&self.message).saturating_add(len(&self.encoding))
    }
}

/// A request and its response. Times are 0 where not seen.
#[derive(Debug)]
pub(crate) struct Call {
    /// Position of its first frame on `side`.
    pub(crate) position: u64,
    pub(crate) side: Side,
    pub(crate) start: u64,
    pub(crate) request_end: u64,
    pub(crate) response_start: u64,
    pub(crate) end: u64,
    /// When frames may have been lost without which its end cannot be told.
    pub(crate) lost_at: u64,
    pub(crate) flags: Flags,
    pub(crate) request: Half,
    pub(crate) response: Half,
    pub(crate) head: Head,
    pub(crate) answer: Answer,
    /// Bytes of text it keeps.
    pub(crate) text_bytes: usize,
    /// Its request was seen.
    pub(crate) has_request: bool,
    pub(crate) pushed: bool,
    /// It outlived the limit and was reported then.
    pub(crate) reported: bool,
    /// RST_STREAM: who sent it, and why, where that was seen.
    pub(crate) reset: Option<(Side, Option<u32>)>,
    /// The server said that it will not answer, and why (GOAWAY).
    pub(crate) refused: Option<u32>,
    /// How many times the header table was lost before the request: part of a pseudonym.
    pub(crate) epoch: u32,
}

impl Call {
    pub(crate) fn new(side: Side, position: u64, time: u64) -> Self {
        Self {
            position,
            side,
            start: time,
            request_end: 0,
            response_start: 0,
            end: 0,
            lost_at: 0,
            flags: Flags::empty(),
            request: Half::default(),
            response: Half::default(),
            head: Head::default(),
            answer: Answer::default(),
            text_bytes: 0,
            has_request: false,
            pushed: false,
            reported: false,
            reset: None,
            refused: None,
            epoch: 0,
        }
    }

    pub(crate) fn flag(&mut self, flags: Flags) {
        self.flags = self.flags | flags;
    }

    pub(crate) fn half(&mut self, side: Side) -> &mut Half {
        match side {
            Side::Client => &mut self.request,
            Side::Server => &mut self.response,
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.request.phase, Phase::Over | Phase::Lost)
            && self.response.phase == Phase::Over
    }

    /// When it is reported even if it goes on.
    pub(crate) fn limit(&self) -> Option<u64> {
        let begun = match (self.response_start, self.lost_at) {
            _ if self.reported || self.response.phase == Phase::Over => return None,
            (0, 0) => return None,
            (0, begun) | (begun, 0) => begun,
            (start, lost) => start.min(lost),
        };
        Some(begun.saturating_add(UNFINISHED_AFTER))
    }

    /// Its DATA may be messages of gRPC.
    pub(crate) fn may_be_grpc(&self) -> bool {
        match (self.head.content, self.answer.content) {
            (Content::Grpc, _) => true,
            (Content::Other, _) => false,
            (Content::Unsaid, Content::Grpc) => true,
            (Content::Unsaid, Content::Other) => false,
            (Content::Unsaid, Content::Unsaid) => !self.has_request || self.head.unknown > 0,
        }
    }

    /// Said to be gRPC; or, where that could not be seen, of a form that nothing else has: messages
    /// with gRPC's prefix from end to end both ways, and fields at the end of the response. A server
    /// need not wait for the end of the request: then the messages that came of it are looked at.
    pub(crate) fn is_grpc(&self) -> bool {
        if !self.may_be_grpc() {
            return false;
        }
        let messages = |half: &Half| half.messages.is_whole() && half.message_count > 0;
        self.head.content == Content::Grpc
            || self.answer.content == Content::Grpc
            || self.answer.grpc_status != GrpcStatus::Absent
            || self.answer.trailers
                && self.response.phase == Phase::Over
                && messages(&self.response)
                && messages(&self.request)
                && !self.request.incomplete
                && !self.response.incomplete
    }
}

/// The streams that are open, in the order of their numbers.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    calls: Vec<(u32, Box<Call>)>,
    pub(crate) text_bytes: usize,
}

/// A list that once was longer is given back when it has room for this many more than it needs.
const SPARE: usize = 64;

impl Calls {
    pub(crate) fn get(&mut self, stream: u32) -> Option<&mut Call> {
        let index = self.find(stream).ok()?;
        self.calls.get_mut(index).map(|(_, call)| &mut **call)
    }

    pub(crate) fn insert(&mut self, stream: u32, call: Box<Call>) {
        self.text_bytes = self.text_bytes.saturating_add(call.text_bytes);
        match self.find(stream) {
            Ok(index) => {
                if let Some(known) = self.calls.get_mut(index) {
                    known.1 = call;
                }
            }
            Err(index) => self.calls.insert(index, (stream, call)),
        }
    }

    pub(crate) fn remove(&mut self, stream: u32) -> Option<Box<Call>> {
        let index = self.find(stream).ok()?;
        let (_, call) = self.calls.remove(index);
        self.text_bytes = self.text_bytes.saturating_sub(call.text_bytes);
        if self.calls.is_empty() && self.calls.capacity() > SPARE {
            self.calls = Vec::new();
        }
        Some(call)
    }

    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Call)> {
        self.calls
            .iter_mut()
            .map(|(stream, call)| (*stream, &mut **call))
    }

    pub(crate) fn take(&mut self) -> Vec<(u32, Box<Call>)> {
        self.text_bytes = 0;
        std::mem::take(&mut self.calls)
    }

    pub(crate) fn shrink(&mut self) {
        self.calls.shrink_to_fit();
    }

    fn find(&self, stream: u32) -> Result<usize, usize> {
        match self.calls.last() {
            // Most often the newest is looked for, or a new one.
            Some((last, _)) if *last < stream => Err(self.calls.len()),
            _ => self
                .calls
                .binary_search_by_key(&stream, |(number, _)| *number),
        }
    }
}
