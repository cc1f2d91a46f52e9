//! Finding a frame in the middle of a direction.
//!
//! What is taken for a frame must not look like one by chance: its length, flags, stream and
//! payload must fit its kind, and where that says little the frames after it must fit too. Of several
//! places that could be one the first to be certain is taken, so that a place which only asks for
//! more bytes holds nothing up. The answer depends on the bytes alone, never on where they were cut.

use wirespan_sdk::Side;

use crate::frame::{
    ACK, DEFAULT_FRAME_BYTES, END_HEADERS, END_STREAM, HEADER_BYTES, Header, Kind, PADDED, PREFACE,
    PRIORITY, headers_fragment, number, promise,
};
use crate::head::{Content, GrpcStatus, Head};
use crate::hpack::Decoder;
use crate::limits::{BLOCK_BYTES, SEEK_BLOCK_BYTES};

/// Offset from where to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Frame(usize),
    /// The client's preface, at the first byte.
    Preface,
    /// More bytes are needed to tell whether this is one; what is before is none.
    Wait(usize),
}

/// What a frame shows of the role of its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// Of a form that is rare by chance: another frame must follow.
    Form,
    /// Two others must follow.
    Weak,
    Request,
    Response,
}

/// Whether a frame begins at the first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    No,
    Wait,
    Yes(Evidence),
}

/// The first frame in `bytes`. `first`: they are the first of their side, and may be its beginning.
/// No frame has a stream beyond `limit`.
pub(crate) fn find(side: Side, first: bool, limit: u32, bytes: &[u8]) -> Found {
    if side == Side::Client && first {
        if bytes.starts_with(PREFACE) {
            return Found::Preface;
        }
        if PREFACE.starts_with(bytes) {
            return Found::Wait(0);
        }
    }
    let mut waiting = None;
    // Offset of the frame, and where the bytes end that make it certain.
    let mut found: Option<(usize, usize)> = None;
    let mut offset = 0usize;
    while let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty())
        && found.is_none_or(|(_, end)| offset < end)
    {
        // Frames of the default size at most.
        if let &[0, 0..=0x40, ..] | &[0] = rest {
            match chain(side, limit, rest) {
                Chain::No => {}
                Chain::Wait => waiting = waiting.or(Some(offset)),
                Chain::Certain { start, end } => {
                    let end = offset.saturating_add(end);
                    if found.is_none_or(|(_, first)| end < first) {
                        found = Some((offset.saturating_add(start), end));
                    }
                }
            }
        }
        offset = offset.saturating_add(1);
    }
    match found {
        Some((offset, _)) => Found::Frame(offset),
        None => Found::Wait(waiting.unwrap_or(bytes.len())),
    }
}

/// Frames of so much weight, and another, are enough.
const ENOUGH: u32 = 2;

/// Whether frames follow each other.
enum Chain {
    No,
    Wait,
    /// The bytes up to `end` make it certain that a frame begins at `start`. That is the second one
    /// where the first says little: the end of one and the beginning of the next often look like
    /// a frame that happens to end where they do.
    Certain {
        start: usize,
        end: usize,
    },
}

fn chain(side: Side, limit: u32, bytes: &[u8]) -> Chain {
    let (mut at, mut weight, mut extensions) = (0usize, 0u32, 0u32);
    let mut start = 0;
    // The stream whose header block goes on, and where that began.
    let mut block = None;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(header) = Header::read(rest) else {
            return match rest {
                [] | [0, ..] => Chain::Wait,
                _ => Chain::No,
            };
        };
        let end = at
            .saturating_add(HEADER_BYTES)
            .saturating_add(header.len as usize);
        let test = match block {
            // An extension says nothing, but may stand between.
            None if at > 0 && extensions < EXTENSIONS && is_extension(&header) => {
                extensions = extensions.saturating_add(1);
                at = end;
                continue;
            }
            None => test(rest),
            Some((stream, _)) if !continues(&header, stream) => Test::No,
            Some((_, begin)) if is_decoded(&header, end, begin) => {
                match continued(bytes.get(begin..).unwrap_or_default()) {
                    Block::No => Test::No,
                    Block::Wait => Test::Wait,
                    Block::Whole(Evidence::Weak, _) => Test::Yes(Evidence::Form),
                    Block::Whole(evidence, _) => Test::Yes(evidence),
                }
            }
            Some(_) => Test::Yes(Evidence::Form),
        };
        let (weak, strong) = match test {
            _ if header.stream > limit => return Chain::No,
            Test::No => return Chain::No,
            Test::Wait => return Chain::Wait,
            Test::Yes(Evidence::Request) if side == Side::Server => return Chain::No,
            Test::Yes(Evidence::Response) if side == Side::Client => return Chain::No,
            Test::Yes(Evidence::Request | Evidence::Response) => (false, true),
            Test::Yes(Evidence::Form) => (false, false),
            Test::Yes(Evidence::Weak) => (true, false),
        };
        if strong {
            return Chain::Certain { start, end };
        }
        if weight >= ENOUGH {
            // Of some frames the header says enough. Of the others no less is needed than was looked at,
            // or which place is certain first would depend on how much is here.
            let by_header = match block {
                None => header.kind == Kind::Data,
                Some((_, begin)) => !is_decoded(&header, end, begin),
            };
            let end = if by_header {
                at.saturating_add(HEADER_BYTES)
            } else {
                end
            };
            return Chain::Certain { start, end };
        }
        weight = weight.saturating_add(if weak { 1 } else { 2 });
        let ends = header.has(END_HEADERS);
        block = match header.kind {
            Kind::Headers | Kind::PushPromise if !ends => Some((header.stream, at)),
            Kind::Continuation if !ends => block,
            _ => None,
        };
        if at == 0 && weak && block.is_none() {
            start = end;
        }
        at = end;
    }
}

/// Whether the frame ends a header block that is short enough to be decoded.
fn is_decoded(header: &Header, end: usize, begin: usize) -> bool {
    header.has(END_HEADERS) && end.saturating_sub(begin) <= SEEK_BLOCK_BYTES.saturating_mul(2)
}

/// A header block over several frames.
pub(crate) enum Block {
    No,
    Wait,
    /// It ends at this offset.
    Whole(Evidence, usize),
}

/// The header block that begins with the frame at the first byte, and goes on in those behind it.
pub(crate) fn continued(bytes: &[u8]) -> Block {
    let Some((first, payload)) = frame(bytes) else {
        return Block::Wait;
    };
    let begin = match first.kind {
        Kind::PushPromise => promise(&first, payload).map(|(_, fragment)| fragment),
        _ => headers_fragment(&first, payload),
    };
    let Some(begin) = begin else {
        return Block::No;
    };
    let mut whole = begin.to_vec();
    let mut at = HEADER_BYTES.saturating_add(payload.len());
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        match Header::read(rest) {
            None if rest.first().is_none_or(|&byte| byte == 0) => return Block::Wait,
            Some(header) if continues(&header, first.stream) => {}
            _ => return Block::No,
        }
        let Some((header, payload)) = frame(rest) else {
            return Block::Wait;
        };
        whole.extend_from_slice(payload);
        if whole.len() > BLOCK_BYTES {
            return Block::No;
        }
        at = at
            .saturating_add(HEADER_BYTES)
            .saturating_add(payload.len());
        if header.has(END_HEADERS) {
            break;
        }
    }
    let evidence = if whole.len() > SEEK_BLOCK_BYTES {
        Test::Yes(Evidence::Weak)
    } else if first.kind == Kind::PushPromise {
        promised(
            &first,
            promise(&first, payload).map(|(stream, _)| (stream, &*whole)),
        )
    } else {
        headers(&whole)
    };
    match evidence {
        Test::Yes(evidence) => Block::Whole(evidence, at),
        Test::Wait => Block::Wait,
        Test::No => Block::No,
    }
}

/// A frame that is here whole.
fn frame(bytes: &[u8]) -> Option<(Header, &[u8])> {
    let header = Header::read(bytes)?;
    let end = HEADER_BYTES.saturating_add(header.len as usize);
    Some((header, bytes.get(HEADER_BYTES..end)?))
}

fn continues(header: &Header, stream: u32) -> bool {
    header.kind == Kind::Continuation
        && header.stream == stream
        && header.flags & !END_HEADERS == 0
        && header.check(DEFAULT_FRAME_BYTES).is_ok()
}

/// Looks at one frame.
pub(crate) fn test(bytes: &[u8]) -> Test {
    let Some(header) = Header::read(bytes) else {
        return match bytes {
            [] | [0, ..] => Test::Wait,
            _ => Test::No,
        };
    };
    if !is_plausible(&header, bytes) {
        return Test::No;
    }
    let end = HEADER_BYTES.saturating_add(header.len as usize);
    let payload = bytes.get(HEADER_BYTES..end);
    let Some(payload) = payload else {
        return match header.kind {
            Kind::Data => Test::Yes(Evidence::Weak),
            _ => Test::Wait,
        };
    };
    let form = |fits| {
        if fits {
            Test::Yes(Evidence::Form)
        } else {
            Test::No
        }
    };
    match header.kind {
        Kind::Settings if header.has(ACK) => Test::Yes(Evidence::Weak),
        Kind::Settings => settings(payload),
        Kind::Ping => form(true),
        Kind::WindowUpdate => form(number(payload).is_some_and(|n| n > 0 && n >> 31 == 0)),
        Kind::Reset => form(number(payload).is_some_and(|code| code <= 0xd)),
        Kind::GoAway => form(
            number(payload).is_some_and(|last| last >> 31 == 0)
                && payload
                    .get(4..)
                    .and_then(number)
                    .is_some_and(|code| code <= 0xd),
        ),
        Kind::Headers if header.has(END_HEADERS) && payload.len() <= SEEK_BLOCK_BYTES => {
            headers(headers_fragment(&header, payload).unwrap_or_default())
        }
        Kind::PushPromise if header.has(END_HEADERS) && payload.len() <= SEEK_BLOCK_BYTES => {
            promised(&header, promise(&header, payload))
        }
        Kind::Data | Kind::PushPromise | Kind::Headers | Kind::Priority => {
            Test::Yes(Evidence::Weak)
        }
        Kind::Continuation | Kind::Other => Test::No,
    }
}

/// Extensions in use are small and rare.
const EXTENSION_BYTES: u32 = 1024;
const EXTENSIONS: u32 = 4;

fn is_extension(header: &Header) -> bool {
    header.kind == Kind::Other && header.len <= EXTENSION_BYTES
}

/// Length, flags and stream fit the kind.
fn is_plausible(header: &Header, bytes: &[u8]) -> bool {
    let reserved = bytes.get(5).is_some_and(|byte| byte & 0x80 != 0);
    let flags = match header.kind {
        Kind::Data => END_STREAM | PADDED,
        Kind::Headers => END_STREAM | END_HEADERS | PADDED | PRIORITY,
        Kind::Settings | Kind::Ping => ACK,
        Kind::PushPromise => END_HEADERS | PADDED,
        Kind::Priority | Kind::Reset | Kind::GoAway | Kind::WindowUpdate => 0,
        Kind::Continuation | Kind::Other => return false,
    };
    let empty = header.kind == Kind::Data && header.len == 0 && !header.has(END_STREAM);
    !reserved && !empty && header.flags & !flags == 0 && header.check(DEFAULT_FRAME_BYTES).is_ok()
}

/// Settings are of a certain form when all of them are known ones. Others are allowed, and ignored
/// (RFC 9113, 6.5.2): those of gRPC (0xfe03), those that clients make up so that they stay ignored.
fn settings(payload: &[u8]) -> Test {
    let known = |setting: &&[u8]| matches!(setting, [0, 1..=16, ..]);
    let all = payload.chunks_exact(6);
    match all.clone().filter(known).count() {
        // Without a setting it is nine bytes that four zeros sent as a message of gRPC have too.
        0 => Test::No,
        known if known == all.len() => Test::Yes(Evidence::Form),
        _ => Test::Yes(Evidence::Weak),
    }
}

/// PUSH_PROMISE shows a server: it holds a request.
fn promised(header: &Header, promise: Option<(u32, &[u8])>) -> Test {
    let Some((stream, block)) = promise else {
        return Test::No;
    };
    let mut head = Head::default();
    let odd = !header.stream.is_multiple_of(2);
    if !odd || stream == 0 || !stream.is_multiple_of(2) || block.is_empty() {
        return Test::No;
    }
    match Decoder::joined().decode(block, &mut head) {
        Ok(()) if head.is_request() => Test::Yes(Evidence::Response),
        Ok(()) => Test::Yes(Evidence::Weak),
        Err(_) => Test::No,
    }
}

fn headers(block: &[u8]) -> Test {
    let mut head = Head::default();
    if block.is_empty() || Decoder::joined().decode(block, &mut head).is_err() {
        return Test::No;
    }
    let answer = head.status != 0 || head.grpc_status != GrpcStatus::Absent;
    match (head.is_request(), answer) {
        (true, true) => Test::No,
        (true, false) => Test::Yes(Evidence::Request),
        (false, true) => Test::Yes(Evidence::Response),
        (false, false) if head.content != Content::Unsaid => Test::Yes(Evidence::Form),
        (false, false) => Test::Yes(Evidence::Weak),
    }
}
