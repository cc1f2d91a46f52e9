//! What a header block says of an exchange.

use crate::hpack::{Field, Name, Sink, Value};
use crate::spare;

/// The fields whose text is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kept {
    Method,
    Path,
    Scheme,
    Authority,
    Host,
    UserAgent,
    Traceparent,
    GrpcMessage,
    GrpcEncoding,
}

/// How many there are.
const KEPT: usize = 9;

/// Those that only a request has.
const OF_REQUESTS: [Kept; 4] = [Kept::Method, Kept::Path, Kept::Scheme, Kept::Authority];

/// What is known of a field whose text is kept: where that lies. A header block is far below 4 GiB,
/// so that the largest lengths are free for the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    at: u32,
    len: u32,
}

impl Slot {
    const ABSENT: Self = Self {
        at: 0,
        len: u32::MAX,
    };
    /// It was there, but what it says is not known: too long, or said twice and differently.
    const UNCLEAR: Self = Self {
        at: 0,
        len: u32::MAX - 1,
    };
}

/// What `content-type` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Content {
    /// Nothing, as far as is known.
    #[default]
    Unsaid,
    Grpc,
    Other,
}

/// Outcome of a call, as the trailers say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum GrpcStatus {
    #[default]
    Absent,
    Code(u16),
    /// It was there, but is no number, or not known.
    Unclear,
}

/// Most pseudo-header fields that a request has beside `:protocol` (RFC 9113, 8.3.1). They come
/// first.
const PSEUDO_FIELDS: u32 = 4;

/// The fields of one block that matter.
#[derive(Debug)]
pub(crate) struct Head {
    slots: [Slot; KEPT],
    /// Their texts, one after the other.
    text: Vec<u8>,
    /// 0: not said, or not known.
    pub(crate) status: u16,
    pub(crate) grpc_status: GrpcStatus,
    /// Nanoseconds.
    pub(crate) timeout: Option<u64>,
    pub(crate) content: Content,
    /// Fields so far.
    fields: u32,
    /// Fields whose name is unknown.
    pub(crate) unknown: u32,
    /// Table entries that were never seen and can be `:path`; 0 where there is none.
    pub(crate) path_entries: [u64; 2],
}

impl Default for Head {
    fn default() -> Self {
        Self {
            slots: [Slot::ABSENT; KEPT],
            text: Vec::new(),
            status: 0,
            grpc_status: GrpcStatus::Absent,
            timeout: None,
            content: Content::Unsaid,
            fields: 0,
            unknown: 0,
            path_entries: [0; 2],
        }
    }
}

impl Head {
    /// Of a block that could not be read.
    pub(crate) fn unknown() -> Self {
        Self {
            unknown: 1,
            ..Self::default()
        }
    }

    /// The text of a field, where it is known.
    pub(crate) fn get(&self, kept: Kept) -> Option<&[u8]> {
        let Slot { at, len } = self.slot(kept);
        let at = at as usize;
        // No text is as long as one that is not known.
        self.text.get(at..at.saturating_add(len as usize))
    }

    /// Whether a field was there, known or not.
    pub(crate) fn has(&self, kept: Kept) -> bool {
        self.slot(kept) != Slot::ABSENT
    }

    fn slot(&self, kept: Kept) -> Slot {
        self.slots
            .get(kept as usize)
            .copied()
            .unwrap_or(Slot::ABSENT)
    }

    #[inline]
    fn set(&mut self, kept: Kept, value: Option<&[u8]>) {
        let new = match value {
            Some(value) if self.slot(kept) == Slot::ABSENT => {
                if self.text.capacity() == 0 && !value.is_empty() {
                    self.text = spare::text();
                }
                let (at, len) = (self.text.len() as u32, value.len() as u32);
                self.text.extend_from_slice(value);
                Slot { at, len }
            }
            Some(_) if self.get(kept) == value => return,
            _ => Slot::UNCLEAR,
        };
        if let Some(slot) = self.slots.get_mut(kept as usize) {
            *slot = new;
        }
    }

    /// `:authority`, else `host` (RFC 9113, 8.3.1).
    pub(crate) fn authority(&self) -> Option<&[u8]> {
        self.get(Kept::Authority).or(self.get(Kept::Host))
    }

    /// Gives its memory to the next one.
    pub(crate) fn recycle(&mut self) {
        spare::keep_text(std::mem::take(&mut self.text));
    }

    /// Where the unseen entries cannot hold the path, they are of no interest.
    pub(crate) fn finish(&mut self) {
        if self.has(Kept::Path) {
            self.path_entries = [0, 0];
        }
    }

    /// Some pseudo-header field of a request.
    pub(crate) fn is_request(&self) -> bool {
        OF_REQUESTS.into_iter().any(|kept| self.has(kept))
    }

    /// Bytes of text that are kept for it.
    pub(crate) fn text_bytes(&self) -> usize {
        self.text.len()
    }
}

impl Sink for Head {
    #[inline(always)]
    fn field(&mut self, field: Field<'_>) {
        let Field { name, value, .. } = field;
        self.fields = self.fields.saturating_add(1);
        let text = match value {
            Value::Known(text) => Some(text),
            Value::Unseen(_) | Value::Dropped => None,
        };
        let kept = match name {
            Name::Other => return,
            Name::Unknown => {
                self.unknown = self.unknown.saturating_add(1);
                if let (true, Value::Unseen(number)) = (self.fields <= PSEUDO_FIELDS, value)
                    && let Some(entry) = self.path_entries.iter_mut().find(|entry| **entry == 0)
                {
                    *entry = number;
                }
                return;
            }
            Name::Status => {
                self.status = text.and_then(number).unwrap_or(0);
                return;
            }
            Name::GrpcStatus => {
                self.grpc_status = match text.and_then(number) {
                    Some(code) => GrpcStatus::Code(code),
                    None => GrpcStatus::Unclear,
                };
                return;
            }
            Name::GrpcTimeout => {
                self.timeout = text.and_then(timeout);
                return;
            }
            Name::ContentType => {
                self.content = match text {
                    Some(text) if is_grpc(text) => Content::Grpc,
                    Some(_) => Content::Other,
                    None => Content::Unsaid,
                };
                return;
            }
            Name::Method => Kept::Method,
            Name::Path => Kept::Path,
            Name::Scheme => Kept::Scheme,
            Name::Authority => Kept::Authority,
            Name::Host => Kept::Host,
            Name::UserAgent => Kept::UserAgent,
            Name::Traceparent => Kept::Traceparent,
            Name::GrpcMessage => Kept::GrpcMessage,
            Name::GrpcEncoding => Kept::GrpcEncoding,
        };
        self.set(kept, text);
    }
}

/// Up to four digits.
fn number(text: &[u8]) -> Option<u16> {
    if text.is_empty() || text.len() > 4 {
        return None;
    }
    text.iter().try_fold(0u16, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|&digit| digit < 10)?;
        number.checked_mul(10)?.checked_add(u16::from(digit))
    })
}

/// `application/grpc`, with or without a message format or parameters. gRPC-Web is another protocol.
fn is_grpc(value: &[u8]) -> bool {
    let Some((name, rest)) = value.split_at_checked(b"application/grpc".len()) else {
        return false;
    };
    // As everyone writes it; the other way looks at byte after byte.
    (name == b"application/grpc" || name.eq_ignore_ascii_case(b"application/grpc"))
        && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// A deadline in nanoseconds: up to eight digits and a unit (gRPC over HTTP/2, `grpc-timeout`).
fn timeout(value: &[u8]) -> Option<u64> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    // Eight digits always fit.
    let number = digits.iter().try_fold(0u64, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|&digit| digit < 10)?;
        Some(number.wrapping_mul(10).wrapping_add(u64::from(digit)))
    })?;
    const HOUR: u64 = 3_600_000_000_000;
    let nanos = match unit {
        b'H' if number > u64::MAX / HOUR => return None,
        b'H' => HOUR,
        b'M' => 60_000_000_000,
        b'S' => 1_000_000_000,
        b'm' => 1_000_000,
        b'u' => 1000,
        b'n' => 1,
        _ => return None,
    };
    // Of the others none comes near the end. A checked product has 128 bits on this target.
    Some(number.wrapping_mul(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_of_grpc() {
        for (value, grpc) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/gRPC;charset=utf-8", true),
            ("application/grpc-web+proto", false),
            ("application/grpcx", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(is_grpc(value.as_bytes()), grpc, "{value}");
        }
    }

    #[test]
    fn a_field_said_twice_and_differently_is_not_known() {
        let mut head = Head::default();
        assert!(!head.has(Kept::Path) && head.get(Kept::Path).is_none());
        head.set(Kept::Scheme, Some(b""));
        assert_eq!(head.get(Kept::Scheme), Some(&b""[..]));
        head.set(Kept::Path, Some(b"/a"));
        head.set(Kept::Path, Some(b"/a"));
        assert_eq!(head.get(Kept::Path), Some(&b"/a"[..]));
        for value in [Some(&b"/b"[..]), Some(b"/a"), None] {
            head.set(Kept::Path, value);
            assert!(head.has(Kept::Path) && head.get(Kept::Path).is_none());
        }
        head.set(Kept::Method, None);
        assert!(head.has(Kept::Method) && head.get(Kept::Method).is_none());
        assert_eq!(head.text_bytes(), 2);
    }

    #[test]
    fn timeouts_are_in_nanoseconds() {
        for (value, nanos) in [
            ("1H", Some(3_600_000_000_000)),
            ("5124095H", Some(18_446_742_000_000_000_000)),
            ("5124096H", None),
            ("99999999M", Some(5_999_999_940_000_000_000)),
            ("250m", Some(250_000_000)),
            ("99999999n", Some(99_999_999)),
            ("100000000n", None),
            ("5", None),
            ("S", None),
            ("-1S", None),
        ] {
            assert_eq!(timeout(value.as_bytes()), nanos, "{value}");
        }
    }
}
