//! Lines, heads and bodies of HTTP/1.

use wirespan_parser_http::wire::{
    Body, Coding, Extent, Head, Lines, Name, Parsed, Part, Progress, long_request_line,
    odd_status_line, request_line, status_line,
};

use super::{Said, cut, cuts, is_part, says_the_same_from_any_prefix_on};

pub(crate) fn run(input: &[u8]) {
    let (places, bytes) = cuts(input);
    lines(bytes);
    let said = |parsed| match parsed {
        Parsed::Incomplete => Said::Incomplete,
        Parsed::Invalid => Said::Invalid,
        Parsed::Line(line, len) => Said::Read((line, len)),
    };
    says_the_same_from_any_prefix_on(bytes, |bytes| said(request_line(bytes)));
    if let Parsed::Line(line, len) = request_line(bytes) {
        assert!(len <= bytes.len(), "a line longer than what there is");
        assert!(is_part(line.method, bytes) && is_part(line.target, bytes));
        assert!(!line.method.is_empty() && !line.target.is_empty());
    }
    says_the_same_from_any_prefix_on(bytes, |bytes| match status_line(bytes) {
        Parsed::Incomplete => Said::Incomplete,
        Parsed::Invalid => Said::Invalid,
        Parsed::Line(line, len) => Said::Read((line, len)),
    });
    if let Parsed::Line(line, len) = status_line(bytes) {
        assert!(len <= bytes.len() && (100..1000).contains(&line.status));
    }
    if let Some((status, len)) = odd_status_line(bytes) {
        assert!(len <= bytes.len() && (100..1000).contains(&status));
    }
    if let Some((method, target)) = long_request_line(bytes) {
        assert!(is_part(method, bytes) && is_part(target, bytes));
    }
    head(bytes, &places);
    body(bytes, &places);
}

/// Those of a split at every line feed.
fn lines(bytes: &[u8]) {
    let mut expected: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
    let rest = expected.pop().unwrap_or_default();
    let mut lines = Lines::new(bytes);
    let found: Vec<&[u8]> = lines.by_ref().collect();
    assert_eq!(found, expected, "lines");
    assert_eq!(lines.end(), bytes.len() - rest.len(), "end of the lines");
}

/// What a head came to.
#[derive(Debug, PartialEq, Eq)]
struct HeadRead {
    progress: Progress,
    at: u64,
    extent: Extent,
    content_length: Option<u64>,
    coding: Coding,
    values: Vec<(Name, Vec<u8>, bool)>,
}

/// A head read in pieces is the head: what stands behind the last whole line is shown again.
fn head(bytes: &[u8], places: &[usize]) {
    let read = |ends: &[usize]| {
        let mut head = Head::new(1);
        let (mut at, mut values) = (0, Vec::new());
        let mut progress = Progress::More;
        for &end in ends {
            let from = usize::try_from(at).unwrap_or(usize::MAX);
            let Some(shown) = bytes.get(from..end) else {
                continue;
            };
            progress = head.read(shown, 0, &mut at, |name, value, continued| {
                assert!(is_part(value, bytes), "a value from elsewhere");
                values.push((name, value.to_vec(), continued));
            });
            if progress != Progress::More {
                break;
            }
        }
        assert!(at <= bytes.len() as u64, "read beyond the end");
        HeadRead {
            progress,
            at,
            extent: head.extent(at),
            content_length: head.content_length,
            coding: head.coding,
            values,
        }
    };
    let whole = read(&[bytes.len()]);
    let ends: Vec<usize> = places.iter().copied().chain([bytes.len()]).collect();
    assert_eq!(read(&ends), whole, "a head cut at {places:?}");
}

/// A body read in pieces is the body.
fn body(bytes: &[u8], places: &[usize]) {
    let len = bytes.len() as u64;
    for part in [
        Part::ChunkSize,
        Part::Length(0),
        Part::Length(len / 2),
        Part::Length(len),
        Part::Length(u64::MAX - 1),
        Part::UntilClose,
    ] {
        let read = |pieces: &[&[u8]]| {
            let mut body = Body::new(part, 0);
            let (mut at, mut shown) = (0_u64, 0_usize);
            let mut progress = Progress::More;
            for piece in pieces {
                shown += piece.len();
                // What was read is not shown again, nor what was skipped.
                let from = usize::try_from(at).unwrap_or(usize::MAX);
                let Some(bytes) = bytes.get(from..shown) else {
                    continue;
                };
                let before = at;
                progress = body.advance(bytes, &mut at);
                assert!(before <= at && at <= shown as u64, "read beyond the end");
                if let Progress::Skip(to) = progress {
                    assert!(to > at || to == u64::MAX, "a skip that leads nowhere");
                }
                if !matches!(progress, Progress::More | Progress::Skip(_)) {
                    break;
                }
            }
            assert!(body.size <= at, "more content than bytes");
            (progress, at, body.size, body.part)
        };
        let whole = read(&[bytes]);
        assert_eq!(
            read(&cut(bytes, places)),
            whole,
            "a body ({part:?}) cut at {places:?}"
        );
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    [
        &b"GET /a?b=c HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\nExpect: 100-continue\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.0 404\r\nContent-Length: 5, 5\r\nUpgrade: h2c\r\n folded\r\n\r\n",
        b"5;a=b\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nX: y\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n",
    ]
    .iter()
    .flat_map(|bytes| [&[0], &[3, 10, 100, 200][..]].map(|cuts| [cuts, bytes].concat()))
    .collect()
}
