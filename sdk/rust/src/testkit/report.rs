//! What came out of a parser, owned and comparable.

use std::collections::BTreeMap;
use std::fmt;

use crate::bindings::wirespan::parser::types as wit;
use crate::{FieldKind, Flags, Kind, Manifest, Side, Status};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeenValue {
    Text(String),
    Integer(i64),
    Truth(bool),
}

/// A span with its texts and values resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenSpan {
    pub name: String,
    pub start: u64,
    pub request_end: u64,
    pub response_start: u64,
    pub end: u64,
    pub position: u64,
    pub side: Side,
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub kind: Kind,
    pub status: Status,
    pub protocol: String,
    pub flags: Flags,
    pub trace: String,
    pub values: BTreeMap<&'static str, SeenValue>,
}

impl SeenSpan {
    /// # Panics
    /// When the parser returned a range that is not there, text that is not UTF-8, or a field that
    /// it did not declare: the host would not take that.
    pub(crate) fn resolve(span: &wit::Span, output: &wit::Output, manifest: &Manifest) -> Self {
        let text = |slice: wit::Slice| {
            let range = slice.start as usize..slice.start as usize + slice.len as usize;
            let bytes = output
                .text
                .get(range)
                .expect("a text lies within the answer")
                .to_vec();
            String::from_utf8(bytes).expect("a text is UTF-8")
        };
        let range =
            span.values_start as usize..span.values_start as usize + span.values_len as usize;
        let values = output
            .values
            .get(range)
            .expect("values lie within the answer")
            .iter();
        Self {
            name: text(span.name),
            start: span.start,
            request_end: span.request_end,
            response_start: span.response_start,
            end: span.end,
            position: span.position,
            side: span.side,
            request_bytes: span.request_bytes,
            response_bytes: span.response_bytes,
            kind: span.kind,
            status: span.status,
            protocol: (*manifest
                .protocols
                .get(span.protocol as usize)
                .expect("a declared protocol"))
            .into(),
            flags: span.flags,
            trace: text(span.trace),
            values: values
                .map(|value| {
                    let field = manifest
                        .fields
                        .get(value.field as usize)
                        .expect("a declared field");
                    let value = match field.kind {
                        FieldKind::Text => SeenValue::Text(text(value.text)),
                        FieldKind::Integer => SeenValue::Integer(value.number),
                        FieldKind::Boolean => SeenValue::Truth(value.number != 0),
                    };
                    (field.name, value)
                })
                .collect(),
        }
    }

    #[must_use]
    pub fn text(&self, field: &str) -> Option<&str> {
        match self.values.get(field)? {
            SeenValue::Text(text) => Some(text),
            _ => None,
        }
    }

    #[must_use]
    pub fn integer(&self, field: &str) -> Option<i64> {
        match self.values.get(field)? {
            SeenValue::Integer(number) => Some(*number),
            _ => None,
        }
    }

    #[must_use]
    pub fn has(&self, flag: Flags) -> bool {
        (self.flags.bits() & flag.bits()) == flag.bits() && flag.bits() != 0
    }
}

/// How a parser parted from a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Ignored(String),
    Upgraded {
        protocol: String,
        client: u64,
        server: u64,
        context: Vec<u8>,
    },
    NotMine,
}

/// Everything a parser said about a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub spans: Vec<SeenSpan>,
    pub end: Option<End>,
}

/// A line for each span: what a failing test prints.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for span in &self.spans {
            let SeenSpan {
                name,
                start,
                request_end,
                response_start,
                end,
                side,
                position,
                flags,
                values,
                ..
            } = span;
            writeln!(
                f,
                "  {start}..{request_end} {response_start}..{end} {side:?} {position} {name:?} {flags:?} {:?}",
                values.values().collect::<Vec<_>>()
            )?;
        }
        writeln!(f, "  {:?}", self.end)
    }
}
