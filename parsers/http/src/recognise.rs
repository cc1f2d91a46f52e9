//! Is this HTTP/1.x? Decided by the whole first line of a side: method, target and version, or
//! version and status. RTSP, SIP and ICY have the same form with another name in it, HTTP/2 the
//! same name with another number.

use wirespan_sdk::{Pattern, PatternSide, Prefix, Recognition};

use crate::exchange::Method;
use crate::line::{Parsed, request_line, status_line};

/// Three letters of the same case: every method in use and `HTTP`.
pub(crate) const PATTERNS: &[Pattern] = &[
    Pattern {
        side: PatternSide::Either,
        offset: 0,
        mask: &[0xe0; 3],
        value: &[0x40; 3],
    },
    Pattern {
        side: PatternSide::Either,
        offset: 0,
        mask: &[0xe0; 3],
        value: &[0x60; 3],
    },
];

/// A request line with a known method: no other protocol has it.
const CERTAIN: u8 = 95;

/// A request line with some other method, or a status line without a request.
const LIKELY: u8 = 80;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Nothing,
    Undecided,
    No,
    Request(u8),
    Response,
}

pub(crate) fn recognise(prefix: &Prefix<'_>) -> Recognition {
    let yes = |confidence, swapped| Recognition::Yes {
        confidence,
        swapped,
        protocol: 0,
    };
    match (side(prefix.client), side(prefix.server)) {
        (Side::Request(_), Side::Request(_)) => Recognition::No,
        (Side::Request(confidence), _) => yes(confidence, false),
        (_, Side::Request(confidence)) => yes(confidence, true),
        (Side::Response, Side::Response) => Recognition::No,
        (_, Side::Response) => yes(LIKELY, false),
        (Side::Response, _) => yes(LIKELY, true),
        // A server of another protocol may speak first, and its client speak HTTP all the same.
        (Side::Undecided | Side::Nothing, _) | (_, Side::Undecided) => Recognition::NeedMore,
        (Side::No, Side::No | Side::Nothing) => Recognition::No,
    }
}

fn side(bytes: &[u8]) -> Side {
    if bytes.is_empty() {
        return Side::Nothing;
    }
    match (request_line(bytes), status_line(bytes)) {
        (Parsed::Line(line, _), _) => {
            let known = Method::of(line.method) != Method::Other;
            Side::Request(if known { CERTAIN } else { LIKELY })
        }
        (_, Parsed::Line(..)) => Side::Response,
        (Parsed::Incomplete, _) | (_, Parsed::Incomplete) => Side::Undecided,
        (Parsed::Invalid, Parsed::Invalid) => Side::No,
    }
}
