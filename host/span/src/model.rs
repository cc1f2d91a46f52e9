//! The span as it travels through the agent.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
/// A text of a span: up to 23 bytes in place, a longer one shared by its clones.
pub use smol_str::SmolStr as Text;

use crate::field::{FieldRef, Name};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(Text),
    Integer(i64),
    Boolean(bool),
}

impl Value {
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Integer(_) | Self::Boolean(_) => None,
        }
    }

    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Text(_) | Self::Boolean(_) => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<Text> for Value {
    fn from(text: Text) -> Self {
        Self::Text(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Integer(number.into())
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Integer(number.into())
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Boolean(truth)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    pub field: FieldRef,
    pub value: Value,
}

impl Attribute {
    /// `field` is usually one of [`crate::fields`].
    #[must_use]
    pub fn new(field: &FieldRef, value: impl Into<Value>) -> Self {
        Self {
            field: *field,
            value: value.into(),
        }
    }
}

/// The attributes without those whose name has already come: a name is said once, and the first
/// value counts. Lists are short, so comparing beats a set.
pub(crate) fn distinct(attributes: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attributes
        .iter()
        .enumerate()
        .filter_map(move |(index, attribute)| {
            let repeated = attributes
                .iter()
                .take(index)
                .any(|a| a.field.name() == attribute.field.name());
            (!repeated).then_some(attribute)
        })
}

/// OpenTelemetry span kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Kind {
    Client,
    Server,
    Producer,
    Consumer,
    Internal,
}

impl Kind {
    /// As the flat form has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "CLIENT",
            Self::Server => "SERVER",
            Self::Producer => "PRODUCER",
            Self::Consumer => "CONSUMER",
            Self::Internal => "INTERNAL",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    #[default]
    Unset,
    Ok,
    Error,
}

impl Status {
    /// As the flat form has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unset => "UNSET",
            Self::Ok => "OK",
            Self::Error => "ERROR",
        }
    }
}

/// What was not seen of an exchange, as a bit set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u16);

impl Flags {
    pub const MID_STREAM: Self = Self(1);
    pub const GAP: Self = Self(1 << 1);
    pub const REQUEST_TRUNCATED: Self = Self(1 << 2);
    pub const RESPONSE_TRUNCATED: Self = Self(1 << 3);
    pub const NO_RESPONSE: Self = Self(1 << 4);
    pub const RESET: Self = Self(1 << 5);
    pub const UNFINISHED: Self = Self(1 << 6);
    pub const ORDER_UNCERTAIN: Self = Self(1 << 7);
    pub const PARSER_RESTART: Self = Self(1 << 8);

    /// Every flag with its name in the flat form.
    pub const NAMES: [(Self, &'static str); 9] = [
        (Self::MID_STREAM, "mid_stream"),
        (Self::GAP, "gap"),
        (Self::REQUEST_TRUNCATED, "request_truncated"),
        (Self::RESPONSE_TRUNCATED, "response_truncated"),
        (Self::NO_RESPONSE, "no_response"),
        (Self::RESET, "reset"),
        (Self::UNFINISHED, "unfinished"),
        (Self::ORDER_UNCERTAIN, "order_uncertain"),
        (Self::PARSER_RESTART, "parser_restart"),
    ];

    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .into_iter()
            .filter(move |(flag, _)| self.contains(*flag))
            .map(|(_, name)| name)
    }
}

/// Who the observed process is. Shared by all spans of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    /// `service.name`; never empty once enriched.
    pub service_name: Box<str>,
    pub attributes: Vec<Attribute>,
    /// Subject tokens that do not follow from the attributes.
    pub namespace: Option<Box<str>>,
    /// The workload: in Kubernetes its owner's name, elsewhere the service name.
    pub workload: Option<Box<str>>,
}

/// One exchange, with absolute times in Unix nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub trace_id: u128,
    pub span_id: u64,
    pub parent_span_id: Option<u64>,
    /// Trace flags of a `traceparent` on the wire; 0 without one.
    pub trace_flags: u8,
    pub name: Text,
    pub kind: Kind,
    pub start_unix_nano: u64,
    pub request_end_unix_nano: Option<u64>,
    pub response_start_unix_nano: Option<u64>,
    pub end_unix_nano: u64,
    pub status: Status,
    pub attributes: Vec<Attribute>,
    pub resource: Arc<Resource>,
    pub flags: Flags,
    /// `http`, `http2`, `grpc`, `mysql`, `postgresql`, or a plugin's: also the last subject token.
    pub protocol: Arc<str>,
    /// `name@version` of the parser.
    pub parser: Arc<str>,
}

impl Span {
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        self.attributes
            .iter()
            .find(|a| &*a.field.name == name)
            .map(|a| &a.value)
    }

    /// The same for a name that is known.
    #[must_use]
    pub fn value(&self, name: Name) -> Option<&Value> {
        self.attributes
            .iter()
            .find(|a| a.field.name() == name)
            .map(|a| &a.value)
    }

    /// Adds what is not there yet.
    pub fn add(&mut self, field: &FieldRef, value: impl Into<Value>) {
        if self.value(field.name()).is_none() {
            self.attributes.push(Attribute::new(field, value));
        }
    }

    #[must_use]
    pub fn duration_nanos(&self) -> u64 {
        self.end_unix_nano.saturating_sub(self.start_unix_nano)
    }
}
