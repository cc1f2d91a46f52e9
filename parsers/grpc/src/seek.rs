//! Finding a frame in the middle of a direction.
//!
//! What is taken for a frame must not look like one by chance: its length, flags, stream and
//! payload must fit its kind, and where that says little the next frame must fit too. The answer
//! depends on the bytes alone, never on where they were cut.

use wirespan_sdk::Side;

use crate::frame::{
    ACK, DEFAULT_FRAME_BYTES, END_HEADERS, END_STREAM, HEADER_BYTES, Header, Kind, PADDED, PREFACE,
    PRIORITY, headers_fragment, number,
};
use crate::head::{Content, GrpcStatus, Head};
use crate::hpack::Decoder;
use crate::limits::SEEK_BLOCK_BYTES;

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
    /// Of a form that is rare by chance.
    Form,
    /// The next frame must fit too.
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
pub(crate) fn find(side: Side, first: bool, bytes: &[u8]) -> Found {
    if side == Side::Client && first {
        if bytes.starts_with(PREFACE) {
            return Found::Preface;
        }
        if PREFACE.starts_with(bytes) {
            return Found::Wait(0);
        }
    }
    let mut offset = 0;
    while let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) {
        // Frames of the default size at most.
        if let &[0, 0..=0x40, ..] | &[0] = rest {
            let result = match test(rest) {
                Test::Yes(Evidence::Request) if side == Side::Server => Test::No,
                Test::Yes(Evidence::Response) if side == Side::Client => Test::No,
                Test::Yes(Evidence::Weak) => next_fits(rest),
                other => other,
            };
            match result {
                Test::No => {}
                Test::Wait => return Found::Wait(offset),
                Test::Yes(_) => return Found::Frame(offset),
            }
        }
        offset = offset.saturating_add(1);
    }
    Found::Wait(bytes.len())
}

/// Looks at one frame.
pub(crate) fn test(bytes: &[u8]) -> Test {
    let Some(header) = Header::read(bytes) else {
        return match bytes {
            [0, _, _, kind, ..] if *kind > 8 => Test::No,
            [0, ..] => Test::Wait,
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
            Kind::Data | Kind::PushPromise => Test::Yes(Evidence::Weak),
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
        Kind::Settings => form(header.has(ACK) || !payload.is_empty() && are_settings(payload)),
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
            headers(&header, payload)
        }
        Kind::Data | Kind::PushPromise | Kind::Headers | Kind::Priority => {
            Test::Yes(Evidence::Weak)
        }
        Kind::Continuation | Kind::Other => Test::No,
    }
}

/// Whether the frame after this one can be one.
fn next_fits(bytes: &[u8]) -> Test {
    let Some(header) = Header::read(bytes) else {
        return Test::Wait;
    };
    let end = HEADER_BYTES.saturating_add(header.len as usize);
    let rest = bytes.get(end..).unwrap_or_default();
    let Some(next) = Header::read(rest) else {
        return Test::Wait;
    };
    let continues = header.kind == Kind::Headers && !header.has(END_HEADERS);
    let fits = if continues {
        next.kind == Kind::Continuation && next.stream == header.stream
    } else {
        is_plausible(&next, rest)
    };
    if fits {
        Test::Yes(Evidence::Weak)
    } else {
        Test::No
    }
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

fn are_settings(payload: &[u8]) -> bool {
    payload
        .chunks_exact(6)
        .all(|setting| matches!(setting, [0, 1..=16, ..]))
}

fn headers(header: &Header, payload: &[u8]) -> Test {
    let mut head = Head::default();
    let block = headers_fragment(header, payload).unwrap_or_default();
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
