//! A span as a stranger reads it: the flat form of the documentation, one JSON object a line.
//! Deliberately not the agent's own type.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    pub trace_id: String,
    pub span_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_span_id: Option<String>,
    pub name: String,
    pub kind: String,
    pub start_unix_nano: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_end_unix_nano: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_start_unix_nano: Option<u64>,
    pub end_unix_nano: u64,
    pub status: String,
    #[serde(default)]
    pub attributes: Map<String, Value>,
    #[serde(default)]
    pub resource: Map<String, Value>,
    #[serde(default)]
    pub flags: Vec<String>,
    pub protocol: String,
    pub parser: String,
}

impl Span {
    /// Lines of spans; a last line that is still being written is left out.
    ///
    /// # Errors
    /// When a line is not a span.
    pub fn parse_lines(text: &str) -> Result<Vec<Self>> {
        let complete = text
            .rfind('\n')
            .map_or("", |end| text.get(..end).unwrap_or_default());
        complete
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_str(line).with_context(|| format!("not a span: {line}")))
            .collect()
    }

    #[must_use]
    pub fn text(&self, attribute: &str) -> Option<&str> {
        self.attributes.get(attribute)?.as_str()
    }

    #[must_use]
    pub fn integer(&self, attribute: &str) -> Option<i64> {
        self.attributes.get(attribute)?.as_i64()
    }

    #[must_use]
    pub fn method(&self) -> Option<&str> {
        self.text("http.request.method")
    }

    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.text("url.path")
    }

    #[must_use]
    pub fn http_status(&self) -> Option<i64> {
        self.integer("http.response.status_code")
    }

    #[must_use]
    pub fn service(&self) -> Option<&str> {
        self.resource.get("service.name")?.as_str()
    }

    #[must_use]
    pub fn pid(&self) -> Option<u64> {
        self.resource.get("process.pid")?.as_u64()
    }

    #[must_use]
    pub fn seconds(&self) -> f64 {
        std::time::Duration::from_nanos(self.end_unix_nano.saturating_sub(self.start_unix_nano))
            .as_secs_f64()
    }

    #[must_use]
    pub fn has_flag(&self, flag: &str) -> bool {
        self.flags.iter().any(|known| known == flag)
    }

    /// One line a person can compare.
    #[must_use]
    pub fn summary(&self) -> String {
        let text = |value: Option<&str>| value.unwrap_or("-").to_owned();
        format!(
            "{} {} {} {}{} {} pid {} {:.6} s {:?}",
            self.kind,
            text(self.service()),
            text(self.method()),
            text(self.path()),
            self.text("url.query")
                .map(|query| format!("?{query}"))
                .unwrap_or_default(),
            self.http_status()
                .map_or_else(|| "-".to_owned(), |status| status.to_string()),
            self.pid().unwrap_or(0),
            self.seconds(),
            self.flags,
        )
    }
}
