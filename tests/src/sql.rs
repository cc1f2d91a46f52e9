//! What must come out for SQL: for each query or execution of a client, one span at each end, and
//! nothing else.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use serde::Deserialize;

use crate::Span;

/// A query or an execution, as its client has counted it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// Absent where the client cannot know what it sent under that name.
    pub text: Option<String>,
    /// Absent where there was no result set.
    pub rows: Option<u64>,
    /// Absent where nothing was counted.
    pub affected: Option<u64>,
    /// SQLSTATE, or the error's number where the protocol has one.
    pub error: Option<String>,
    /// The server did not carry it out: something before it failed.
    #[serde(default)]
    pub skipped: bool,
    /// So much in one call that an agent copies only its beginning: a gap may be told.
    #[serde(default)]
    pub bulk: bool,
    /// The beginning of a packet of its answer may be in what is not copied: then a gap is told, and
    /// nothing is said of rows.
    #[serde(default)]
    pub cut: bool,
    /// Its text is longer than what a span carries.
    #[serde(default)]
    pub truncated: bool,
    /// Only where it is another than the session's.
    pub database: Option<String>,
}

impl Query {
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: Some(text.into()),
            ..Self::default()
        }
    }

    #[must_use]
    pub fn rows(self, rows: u64) -> Self {
        Self {
            rows: Some(rows),
            ..self
        }
    }

    #[must_use]
    pub fn affected(self, affected: u64) -> Self {
        Self {
            affected: Some(affected),
            ..self
        }
    }

    #[must_use]
    pub fn fails(self, error: &str) -> Self {
        Self {
            error: Some(error.to_owned()),
            ..self
        }
    }
}

/// One end of a connection: the processes that can hold it, and their `service.name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    pub service: String,
    /// Several where it is not known which.
    pub pids: Vec<u32>,
}

impl End {
    #[must_use]
    pub fn new(service: &str, pids: impl Into<Vec<u32>>) -> Self {
        Self {
            service: service.to_owned(),
            pids: pids.into(),
        }
    }
}

/// What went over one connection, or over several between the same two ends.
#[derive(Clone, Debug)]
pub struct Session {
    pub system: &'static str,
    pub database: Option<String>,
    pub client: End,
    pub server: End,
    pub queries: Vec<Query>,
}

impl Session {
    /// For each end of each query, the spans it may give: the best one first.
    fn expected(&self) -> impl Iterator<Item = Vec<Key>> {
        self.queries.iter().flat_map(|query| {
            [("CLIENT", &self.client), ("SERVER", &self.server)].map(|(kind, end)| {
                let key = Key {
                    kind: kind.to_owned(),
                    service: Some(end.service.clone()),
                    pids: end.pids.iter().copied().map(u64::from).collect(),
                    system: Some(self.system.to_owned()),
                    database: query.database.clone().or_else(|| self.database.clone()),
                    text: query.text.clone(),
                    rows: query.rows.and_then(|rows| rows.try_into().ok()),
                    affected: query.affected.and_then(|rows| rows.try_into().ok()),
                    error: query.error.clone(),
                    status: if query.error.is_some() {
                        "ERROR"
                    } else {
                        "UNSET"
                    }
                    .to_owned(),
                    flags: [
                        (query.skipped, "no_response"),
                        (query.truncated, "request_truncated"),
                    ]
                    .into_iter()
                    .filter(|(is_so, _)| *is_so)
                    .map(|(_, flag)| flag.to_owned())
                    .collect(),
                };
                let with_gap = |key: &Key| {
                    let mut key = key.clone();
                    key.flags.push("gap".to_owned());
                    key
                };
                let mut allowed = vec![key.clone()];
                if query.bulk {
                    allowed.push(with_gap(&key));
                }
                if query.cut {
                    allowed.push(with_gap(&Key { rows: None, ..key }));
                }
                allowed
            })
        })
    }
}

/// Spans that `sessions` must give.
#[must_use]
pub fn count(sessions: &[Session]) -> usize {
    sessions
        .iter()
        .map(|session| session.queries.len() * 2)
        .sum()
}

/// What is compared of a span: all but its times and sizes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    kind: String,
    service: Option<String>,
    pids: Vec<u64>,
    system: Option<String>,
    database: Option<String>,
    text: Option<String>,
    rows: Option<i64>,
    affected: Option<i64>,
    error: Option<String>,
    status: String,
    flags: Vec<String>,
}

impl Key {
    fn of(span: &Span) -> Self {
        let text = |name| span.text(name).map(str::to_owned);
        Self {
            kind: span.kind.clone(),
            service: span.service().map(str::to_owned),
            pids: span.pid().into_iter().collect(),
            system: text("db.system.name"),
            database: text("db.namespace"),
            text: text("db.query.text"),
            rows: span.integer("db.response.returned_rows"),
            affected: span.integer("wirespan.db.affected_rows"),
            error: text("db.response.status_code"),
            status: span.status.clone(),
            // Two captures of one connection may differ in what they know of the order.
            flags: span
                .flags
                .iter()
                .filter(|flag| *flag != "order_uncertain")
                .cloned()
                .collect(),
        }
    }

    /// A line that fits on a screen.
    fn show(&self) -> String {
        let mut key = self.clone();
        if let Some(text) = &mut key.text
            && text.len() > SHOWN
        {
            let length = text.len();
            text.truncate(text.floor_char_boundary(SHOWN));
            text.push_str(&format!("… ({length} bytes)"));
        }
        format!("{key:?}")
    }
}

/// Bytes of a text that a difference shows.
const SHOWN: usize = 300;

/// Checks that `spans` are exactly what `sessions` must give.
///
/// # Errors
/// With every difference, one a line.
pub fn assert_exactly(spans: &[Span], sessions: &[Session]) -> Result<()> {
    let mut left: BTreeMap<Key, Vec<&Span>> = BTreeMap::new();
    for span in spans {
        left.entry(Key::of(span)).or_default().push(span);
    }
    let mut differences: Vec<String> = spans.iter().filter_map(fault).collect();
    let mut expected: Vec<Vec<Key>> = sessions.iter().flat_map(Session::expected).collect();
    // Whoever takes less is served first.
    expected.sort_by_key(Vec::len);
    for allowed in expected {
        let found = allowed.iter().find_map(|wanted| {
            wanted.pids.iter().find_map(|pid| {
                let pids = vec![*pid];
                left.get_mut(&Key {
                    pids,
                    ..wanted.clone()
                })?
                .pop()
            })
        });
        if found.is_none() {
            let wanted = allowed.first().map(Key::show).unwrap_or_default();
            differences.push(format!("missing:      {wanted}"));
        }
    }
    differences.extend(
        left.iter()
            .flat_map(|(key, spans)| spans.iter().map(move |_| key))
            .map(|key| format!("not expected: {}", key.show())),
    );
    if differences.is_empty() {
        return Ok(());
    }
    bail!(
        "{} spans expected, {} seen\n{}",
        count(sessions),
        spans.len(),
        differences.join("\n")
    )
}

/// What is wrong with a span by itself.
fn fault(span: &Span) -> Option<String> {
    let times = [
        Some(span.start_unix_nano),
        span.request_end_unix_nano,
        span.response_start_unix_nano,
        Some(span.end_unix_nano),
    ];
    let known: Vec<u64> = times.into_iter().flatten().collect();
    let is_copy = span.text("db.query.text").is_some_and(|text| {
        ["copy", "COPY", "load data"]
            .iter()
            .any(|word| text.starts_with(word))
    });
    let system = span.text("db.system.name");
    let protocol = match system {
        Some("mariadb") => Some("mysql"),
        other => other,
    };
    let checks = [
        // The server asks for what is copied.
        (known.is_sorted() || is_copy, "times out of order"),
        (
            known
                .iter()
                .all(|time| (span.start_unix_nano..=span.end_unix_nano).contains(time)),
            "a time outside the span",
        ),
        (
            known.len() == 4 || span.has_flag("no_response"),
            "a time is absent",
        ),
        (protocol == Some(&*span.protocol), "another protocol"),
        (
            span.trace_id.len() == 32 && span.span_id.len() == 16,
            "ids of the wrong length",
        ),
        (
            span.text("error.type") == span.text("db.response.status_code"),
            "error.type is not the code",
        ),
    ];
    let (_, wrong) = checks.into_iter().find(|(right, _)| !right)?;
    // A span with a text of 64 KiB would hide the others.
    let shown = format!("{span:?}");
    let end = shown.floor_char_boundary(8 * SHOWN);
    Some(format!(
        "{wrong}: {} {}",
        Key::of(span).show(),
        &shown[..end]
    ))
}
