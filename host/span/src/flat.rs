//! The flat JSON form, read back: for subscribers, the demo and tests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::json;
use crate::model::{Kind, Span, Status};

/// A line of the flat form. Keys that are not known here are ignored, so that an older reader
/// understands a newer agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlatSpan {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits.
    pub span_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_span_id: Option<String>,
    pub name: String,
    pub kind: Kind,
    pub start_unix_nano: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_end_unix_nano: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_start_unix_nano: Option<u64>,
    pub end_unix_nano: u64,
    pub status: Status,
    #[serde(default)]
    pub attributes: BTreeMap<String, FlatValue>,
    #[serde(default)]
    pub resource: BTreeMap<String, FlatValue>,
    #[serde(default)]
    pub flags: Vec<String>,
    pub protocol: String,
    pub parser: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FlatValue {
    Boolean(bool),
    Integer(i64),
    Text(String),
}

impl FlatValue {
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Boolean(_) | Self::Integer(_) => None,
        }
    }

    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Boolean(_) | Self::Text(_) => None,
        }
    }
}

impl FlatSpan {
    /// The spans of a payload of `application/x-ndjson`. Empty lines are skipped.
    ///
    /// # Errors
    /// When a line is not a span.
    pub fn from_lines(payload: &[u8]) -> Result<Vec<Self>, serde_json::Error> {
        payload
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.iter().all(u8::is_ascii_whitespace))
            .map(serde_json::from_slice)
            .collect()
    }

    /// `service.name`, or nothing.
    #[must_use]
    pub fn service(&self) -> &str {
        self.resource
            .get("service.name")
            .and_then(FlatValue::as_text)
            .unwrap_or_default()
    }

    #[must_use]
    pub fn text(&self, attribute: &str) -> Option<&str> {
        self.attributes.get(attribute).and_then(FlatValue::as_text)
    }

    #[must_use]
    pub fn integer(&self, attribute: &str) -> Option<i64> {
        self.attributes
            .get(attribute)
            .and_then(FlatValue::as_integer)
    }

    #[must_use]
    pub fn duration_nanos(&self) -> u64 {
        self.end_unix_nano.saturating_sub(self.start_unix_nano)
    }
}

impl TryFrom<&Span> for FlatSpan {
    type Error = serde_json::Error;

    /// By way of the written form, so that what is read here is what a subscriber reads.
    fn try_from(span: &Span) -> Result<Self, Self::Error> {
        let mut line = Vec::new();
        json::write_object(span, &mut line);
        serde_json::from_slice(&line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    #[test]
    fn lines_are_read_back_whole() {
        let mut payload = Vec::new();
        json::write_line(&example::span(), &mut payload);
        payload.push(b'\n');
        json::write_line(&example::span(), &mut payload);
        let spans = FlatSpan::from_lines(&payload).unwrap();
        assert_eq!(spans.len(), 2);
        let span = &spans[0];
        assert_eq!(span, &FlatSpan::try_from(&example::span()).unwrap());
        assert_eq!(span.service(), "users");
        assert_eq!(span.text("url.path"), Some("/users/7"));
        assert_eq!(span.integer("http.response.status_code"), Some(200));
        assert_eq!(span.duration_nanos(), 1_200_000);
        assert_eq!(span.flags, ["mid_stream"]);
        assert_eq!(span.kind, Kind::Server);
    }

    #[test]
    fn unknown_keys_are_ignored_and_foreign_lines_refused() {
        let mut line = Vec::new();
        json::write_object(&example::span(), &mut line);
        let newer = String::from_utf8(line)
            .unwrap()
            .replacen('{', r#"{"new":[1,{}],"#, 1);
        assert_eq!(FlatSpan::from_lines(newer.as_bytes()).unwrap().len(), 1);
        assert!(FlatSpan::from_lines(b"{}").is_err());
        assert!(FlatSpan::from_lines(b"no").is_err());
    }
}
