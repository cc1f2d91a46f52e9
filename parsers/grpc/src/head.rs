//! What a header block says of an exchange.

use std::ops::Deref;
use std::rc::Rc;

use crate::hpack::{Name, Sink, Value};

/// A text that is kept: of the static table, of the dynamic one, or its own.
#[derive(Clone, Debug)]
pub(crate) enum Text {
    Static(&'static [u8]),
    Shared(Rc<[u8]>),
}

impl Deref for Text {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Static(text) => text,
            Self::Shared(text) => text,
        }
    }
}

/// A field that is kept as it is.
#[derive(Clone, Debug, Default)]
pub(crate) enum Slot {
    #[default]
    Absent,
    Known(Text),
    /// It was there, but what it says is not known: too long, or said twice and differently.
    Unclear,
}

impl Slot {
    pub(crate) fn get(&self) -> Option<&[u8]> {
        match self {
            Self::Known(text) => Some(text),
            Self::Absent | Self::Unclear => None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Known(Text::Shared(text)) => text.len(),
            _ => 0,
        }
    }

    fn set(&mut self, value: Value<'_>) {
        *self = match (&*self, bytes(value)) {
            (Self::Known(known), Some(bytes)) if **known == *bytes => return,
            (Self::Absent, Some(bytes)) => Self::Known(match value {
                Value::Static(text) => Text::Static(text),
                Value::Shared(text) => Text::Shared(Rc::clone(text)),
                _ => Text::Shared(Rc::from(bytes)),
            }),
            _ => Self::Unclear,
        };
    }
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
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    pub(crate) method: Slot,
    pub(crate) path: Slot,
    pub(crate) scheme: Slot,
    pub(crate) authority: Slot,
    host: Slot,
    pub(crate) user_agent: Slot,
    pub(crate) traceparent: Slot,
    pub(crate) grpc_message: Slot,
    pub(crate) encoding: Slot,
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

impl Head {
    /// Of a block that could not be read.
    pub(crate) fn unknown() -> Self {
        Self {
            unknown: 1,
            ..Self::default()
        }
    }

    /// `:authority`, else `host` (RFC 9113, 8.3.1).
    pub(crate) fn authority(&self) -> Option<&[u8]> {
        self.authority.get().or(self.host.get())
    }

    /// Where the unseen entries cannot hold the path, they are of no interest.
    pub(crate) fn finish(&mut self) {
        if !matches!(self.path, Slot::Absent) {
            self.path_entries = [0, 0];
        }
    }

    /// Some pseudo-header field of a request.
    pub(crate) fn is_request(&self) -> bool {
        [&self.method, &self.path, &self.scheme, &self.authority]
            .iter()
            .any(|slot| !matches!(slot, Slot::Absent))
    }

    /// Bytes of text that are kept for it.
    pub(crate) fn text_bytes(&self) -> usize {
        [
            &self.method,
            &self.path,
            &self.scheme,
            &self.authority,
            &self.host,
            &self.user_agent,
            &self.traceparent,
            &self.grpc_message,
            &self.encoding,
        ]
        .iter()
        .map(|slot| slot.len())
        .sum()
    }
}

impl Sink for Head {
    fn field(&mut self, name: Name, value: Value<'_>) {
        self.fields = self.fields.saturating_add(1);
        match name {
            Name::Other => {}
            Name::Unknown => {
                self.unknown = self.unknown.saturating_add(1);
                if let (true, Value::Unseen(number)) = (self.fields <= PSEUDO_FIELDS, value)
                    && let Some(entry) = self.path_entries.iter_mut().find(|entry| **entry == 0)
                {
                    *entry = number;
                }
            }
            Name::Method => self.method.set(value),
            Name::Path => self.path.set(value),
            Name::Scheme => self.scheme.set(value),
            Name::Authority => self.authority.set(value),
            Name::Host => self.host.set(value),
            Name::UserAgent => self.user_agent.set(value),
            Name::Traceparent => self.traceparent.set(value),
            Name::GrpcMessage => self.grpc_message.set(value),
            Name::GrpcEncoding => self.encoding.set(value),
            Name::Status => self.status = bytes(value).and_then(number).unwrap_or(0),
            Name::GrpcStatus => {
                self.grpc_status = match bytes(value).and_then(number) {
                    Some(code) => GrpcStatus::Code(code),
                    None => GrpcStatus::Unclear,
                };
            }
            Name::GrpcTimeout => self.timeout = bytes(value).and_then(timeout),
            Name::ContentType => {
                self.content = match bytes(value) {
                    Some(value) if is_grpc(value) => Content::Grpc,
                    Some(_) => Content::Other,
                    None => Content::Unsaid,
                };
            }
        }
    }
}

fn bytes<'a>(value: Value<'a>) -> Option<&'a [u8]> {
    match value {
        Value::Static(bytes) => Some(bytes),
        Value::Shared(bytes) => Some(bytes),
        Value::Bytes(bytes) => Some(bytes),
        Value::Unseen(_) | Value::Dropped => None,
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
    name.eq_ignore_ascii_case(b"application/grpc")
        && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// A deadline in nanoseconds: up to eight digits and a unit (gRPC over HTTP/2, `grpc-timeout`).
fn timeout(value: &[u8]) -> Option<u64> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = str::from_utf8(digits).ok()?.parse().ok()?;
    let nanos = match unit {
        b'H' => 3_600_000_000_000,
        b'M' => 60_000_000_000,
        b'S' => 1_000_000_000,
        b'm' => 1_000_000,
        b'u' => 1000,
        b'n' => 1,
        _ => return None,
    };
    number.checked_mul(nanos)
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
    fn timeouts_are_in_nanoseconds() {
        for (value, nanos) in [
            ("1H", Some(3_600_000_000_000)),
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
