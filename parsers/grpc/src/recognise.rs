//! Is this HTTP/2? On a connection seen from its beginning the client's preface tells. One that was
//! joined in the middle is recognised by its frames, and by what they hold which side is the client.

use wirespan_sdk::{Pattern, PatternSide, Prefix, Recognition, fact};

use crate::frame::{ACK, DEFAULT_FRAME_BYTES, END_HEADERS, HEADER_BYTES, Header, Kind, PREFACE};
use crate::seek::{Block, Evidence, Test, continued, test};

/// The preface; or a frame of less than 64 KiB, of a kind below 16, on a stream below 2^31.
pub(crate) const PATTERNS: &[Pattern] = &[
    Pattern {
        side: PatternSide::Either,
        offset: 0,
        mask: &[0xff; 14],
        value: b"PRI * HTTP/2.0",
    },
    Pattern {
        side: PatternSide::Either,
        offset: 0,
        mask: &[0xff, 0, 0, 0xf0, 0, 0x80],
        value: &[0; 6],
    },
];

/// No other protocol begins like this.
const CERTAIN: u8 = 99;

/// Header blocks that can be decoded.
const LIKELY: u8 = 90;

/// Several frames without such.
const POSSIBLE: u8 = 70;

/// Frames of a certain form, without a header block, that are enough.
const FRAMES: u32 = 3;

/// The first SETTINGS of a side. A dozen are in use, of six bytes each.
const FIRST_BYTES: u32 = 384;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Nothing,
    No,
    Undecided,
    Preface,
    Request,
    Response,
    Frames,
}

pub(crate) fn recognise(prefix: &Prefix<'_>) -> Recognition {
    let yes = |confidence, swapped| Recognition::Yes {
        confidence,
        swapped,
        protocol: 0,
    };
    let partial = |bytes: &[u8]| !bytes.is_empty() && PREFACE.starts_with(bytes);
    let mid = prefix.facts.is_true(fact::MID_STREAM);
    let sides = (look(prefix.client, mid), look(prefix.server, mid));
    match sides {
        (Look::Preface, Look::Preface) => return Recognition::No,
        (Look::Preface, _) => return yes(CERTAIN, false),
        (_, Look::Preface) => return yes(CERTAIN, true),
        _ if partial(prefix.client) || partial(prefix.server) => return Recognition::NeedMore,
        _ => {}
    }
    if !mid {
        // From its beginning the client has to begin with the preface; the server may go first.
        return match sides {
            (Look::Nothing, Look::Response) => yes(LIKELY, false),
            (Look::Nothing | Look::Undecided | Look::Frames, Look::Nothing)
            | (Look::Nothing, Look::Undecided | Look::Frames) => Recognition::NeedMore,
            _ => Recognition::No,
        };
    }
    match sides {
        (Look::Request, Look::Request) | (Look::Response, Look::Response) => Recognition::No,
        (Look::Request, _) | (_, Look::Response) => yes(LIKELY, false),
        (_, Look::Request) | (Look::Response, _) => yes(LIKELY, true),
        // A side that begins in the middle of a frame says nothing.
        (Look::Frames, _) | (_, Look::Frames) => yes(POSSIBLE, false),
        (Look::No, Look::No | Look::Nothing) | (Look::Nothing, Look::No) => Recognition::No,
        _ => Recognition::NeedMore,
    }
}

fn look(bytes: &[u8], mid: bool) -> Look {
    if bytes.is_empty() {
        return Look::Nothing;
    }
    if bytes.starts_with(PREFACE) {
        return Look::Preface;
    }
    if PREFACE.starts_with(bytes) {
        return Look::Undecided;
    }
    let mut rest = bytes;
    let mut frames = 0u32;
    if !mid && let Some(settings) = Header::read(rest).filter(is_first) {
        // A side may begin with any settings, known or not.
        let len = HEADER_BYTES.saturating_add(settings.len as usize);
        rest = rest.get(len..).unwrap_or_default();
    }
    while let Some(header) = Header::read(rest) {
        let mut len = HEADER_BYTES.saturating_add(header.len as usize);
        let mut found = test(rest);
        let begins = matches!(header.kind, Kind::Headers | Kind::PushPromise);
        if begins && found == Test::Yes(Evidence::Weak) && !header.has(END_HEADERS) {
            found = match continued(rest) {
                Block::No => Test::No,
                Block::Wait => Test::Wait,
                Block::Whole(evidence, end) => {
                    len = end;
                    Test::Yes(evidence)
                }
            };
        }
        match found {
            Test::No => return Look::No,
            Test::Wait => break,
            Test::Yes(Evidence::Request) => return Look::Request,
            Test::Yes(Evidence::Response) => return Look::Response,
            Test::Yes(Evidence::Form) => frames = frames.saturating_add(1),
            Test::Yes(Evidence::Weak) => {}
        }
        rest = rest.get(len..).unwrap_or_default();
    }
    // The beginning of a header of a frame.
    if rest.first().is_some_and(|&byte| byte != 0) && rest.len() < HEADER_BYTES {
        return Look::No;
    }
    if frames >= FRAMES {
        Look::Frames
    } else {
        Look::Undecided
    }
}

/// SETTINGS, with which each side has to begin (RFC 9113, 3.4).
fn is_first(header: &Header) -> bool {
    header.kind == Kind::Settings
        && !header.has(ACK)
        && header.len <= FIRST_BYTES
        && header.check(DEFAULT_FRAME_BYTES).is_ok()
}
