//! Frames of HTTP/2 and messages of gRPC.

use wirespan_parser_grpc::wire::{
    DEFAULT_FRAME_BYTES, Header, Kind, LARGEST_FRAME_BYTES, Messages, Settings, headers_fragment,
    promise,
};

use super::{cut, cuts, is_part};

/// Length of a frame's header (RFC 9113, 4.1).
const HEADER_BYTES: usize = 9;

pub(crate) fn run(input: &[u8]) {
    let (places, bytes) = cuts(input);
    frames(bytes);
    let _ = Settings::read(bytes);
    messages(bytes, &places);
}

fn frames(mut rest: &[u8]) {
    while let Some(header) = Header::read(rest) {
        assert!(rest.len() >= HEADER_BYTES && header.stream < 1 << 31);
        assert!(header.len <= LARGEST_FRAME_BYTES);
        let body = &rest[HEADER_BYTES..];
        let payload = &body[..body.len().min(header.len as usize)];
        for largest in [DEFAULT_FRAME_BYTES, LARGEST_FRAME_BYTES] {
            let fits = header.check(largest).is_ok();
            assert!(!fits || header.len <= largest);
        }
        if let Some(fragment) = headers_fragment(&header, payload) {
            assert!(is_part(fragment, payload));
        }
        if let Some((stream, fragment)) = promise(&header, payload) {
            assert!(stream < 1 << 31 && is_part(fragment, payload));
        }
        if header.kind == Kind::Settings
            && let Ok(settings) = Settings::read(payload)
        {
            let agreed = settings.frame_bytes.unwrap_or(DEFAULT_FRAME_BYTES);
            assert!((DEFAULT_FRAME_BYTES..=LARGEST_FRAME_BYTES).contains(&agreed));
        }
        rest = &body[payload.len()..];
    }
}

/// Messages in pieces, some of them stepped over where nothing of them is of interest, are the
/// messages.
fn messages(bytes: &[u8], places: &[usize]) {
    let mut whole = Messages::default();
    whole.read(bytes);
    let mut pieces = Messages::default();
    for (number, piece) in cut(bytes, places).into_iter().enumerate() {
        let mut rest = piece;
        if number % 2 == 1 && !pieces.broken {
            let ahead = usize::try_from(pieces.ahead()).unwrap_or(usize::MAX);
            let passed = ahead.min(rest.len());
            pieces.pass(passed as u64);
            rest = &rest[passed..];
        }
        pieces.read(rest);
    }
    let told = |messages: &Messages| {
        (
            messages.count,
            messages.bytes,
            messages.compressed,
            messages.broken,
            messages.is_whole(),
            messages.ahead(),
        )
    };
    assert_eq!(told(&pieces), told(&whole), "messages cut at {places:?}");
    assert!(whole.bytes.saturating_add(whole.count * 5) <= bytes.len() as u64);
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags, 0, 0, 0, stream]);
        frame.extend(payload);
        frame
    };
    let frames = [
        frame(4, 0, 0, &[0, 1, 0, 0, 16, 0, 0, 5, 0, 0, 64, 0]),
        frame(1, 0x2c, 1, &[2, 0, 0, 0, 0, 15, 0x82, 0x84, 0, 0]),
        frame(5, 0xc, 1, &[1, 0, 0, 0, 2, 0x82, 0]),
        frame(0, 1, 1, b"\0\0\0\0\x03abc\x01\0\0\0\x01z"),
        frame(9, 4, 1, &[0x82]),
        frame(7, 0, 0, &[0; 8]),
    ];
    let messages = b"\0\0\0\0\x03abc\x01\0\0\0\x00\0\0\0\0\x01z".to_vec();
    [frames.concat(), messages]
        .iter()
        .flat_map(|bytes| [&[0], &[3, 20, 90, 180][..]].map(|cuts| [cuts, bytes].concat()))
        .collect()
}
