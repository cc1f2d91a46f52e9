//! The readers of what stands on the wire, each by itself: nothing is read beyond its end, a part says
//! nothing that the whole contradicts, and pieces come to the same as the whole.

pub(crate) mod frames;
pub(crate) mod http;
pub(crate) mod http2;
pub(crate) mod mysql;
pub(crate) mod postgres;

use std::fmt::Debug;

/// Prefixes of an input that are tried, beside the whole.
const PREFIXES: usize = 64;

/// What a reader that can wait for more says of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said<T> {
    Incomplete,
    Invalid,
    Read(T),
}

/// Lengths of prefixes: all of a short input, else its first ones and its last.
fn prefixes(len: usize) -> impl Iterator<Item = usize> {
    let first = len.min(PREFIXES / 2);
    let last = len.saturating_sub(PREFIXES / 2).max(first);
    (0..first).chain(last..=len)
}

/// Once a reader has said something, more bytes behind do not change it.
fn says_the_same_from_any_prefix_on<'a, T: PartialEq + Debug>(
    bytes: &'a [u8],
    read: impl Fn(&'a [u8]) -> Said<T>,
) {
    let mut before: Option<(usize, Said<T>)> = None;
    for len in prefixes(bytes.len()) {
        let said = read(&bytes[..len]);
        if let Some((shorter, earlier)) = &before {
            assert_eq!(
                *earlier, said,
                "said of {shorter} bytes, and of {len} of {bytes:?}"
            );
        } else if said != Said::Incomplete {
            before = Some((len, said));
        }
    }
}

/// `part` lies within `whole`.
fn is_part(part: &[u8], whole: &[u8]) -> bool {
    part.is_empty() || {
        let (part, whole) = (part.as_ptr_range(), whole.as_ptr_range());
        whole.start <= part.start && part.end <= whole.end
    }
}

/// Divides the input: the first byte says how many bytes behind it say where the rest is cut.
fn cuts(input: &[u8]) -> (Vec<usize>, &[u8]) {
    let Some((&count, rest)) = input.split_first() else {
        return (Vec::new(), input);
    };
    let (places, rest) = rest.split_at(usize::from(count % 8).min(rest.len()));
    let mut cuts: Vec<usize> = places
        .iter()
        .map(|place| usize::from(*place) * rest.len() / 255)
        .collect();
    cuts.sort_unstable();
    (cuts, rest)
}

/// `bytes` cut at these places.
fn cut<'a>(bytes: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut from = 0;
    for &place in places {
        pieces.push(&bytes[from..place]);
        from = place;
    }
    pieces.push(&bytes[from..]);
    pieces
}
