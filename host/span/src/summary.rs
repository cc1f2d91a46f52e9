//! What a table of spans shows: counts, errors and durations by service, operation and target.

use std::collections::HashMap;

use hdrhistogram::Histogram;

use crate::flat::FlatSpan;
use crate::model::{Kind, Span, Status, Value};

/// Rows kept. A histogram is about 10 KiB, so a table is at most some 5 MiB; what does not fit is
/// counted in [`Summary::others`].
pub const MAX_ROWS: usize = 500;

/// Longest target of a row: it is there to tell rows apart, and no terminal shows more.
const MAX_TARGET_CHARACTERS: usize = 200;

/// Histograms keep two digits: a percentile is within 1 % of the measured duration.
const DIGITS: u8 = 2;

/// Longest duration told apart: an hour.
const MAX_NANOS: u64 = 3_600_000_000_000;

/// What the spans of a row have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowKey {
    pub service: String,
    pub kind: Kind,
    pub protocol: String,
    /// The method; where there is none, the span's name.
    pub operation: String,
    /// Route, template or path; the statement of a query; empty where the operation says it all.
    pub target: String,
}

/// Durations in nanoseconds, within 1 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub count: u64,
    /// Spans whose status is `ERROR`.
    pub errors: u64,
    pub p50_nanos: u64,
    pub p95_nanos: u64,
    pub p99_nanos: u64,
    /// End of the latest span.
    pub last_unix_nano: u64,
}

#[derive(Debug)]
struct Row {
    durations: Option<Histogram<u32>>,
    count: u64,
    errors: u64,
    last_unix_nano: u64,
}

impl Default for Row {
    fn default() -> Self {
        // A constant that the histogram accepts; without it percentiles would be 0.
        Self {
            durations: Histogram::new(DIGITS).ok(),
            count: 0,
            errors: 0,
            last_unix_nano: 0,
        }
    }
}

impl Row {
    fn add(&mut self, nanos: u64, status: Status, end_unix_nano: u64) {
        self.count += 1;
        self.errors += u64::from(status == Status::Error);
        self.last_unix_nano = self.last_unix_nano.max(end_unix_nano);
        if let Some(durations) = &mut self.durations {
            // Auto-resizing up to the longest duration, so it cannot refuse one below.
            let _ = durations.record(nanos.clamp(1, MAX_NANOS));
        }
    }

    fn figures(&self) -> Figures {
        // The middle of the histogram's bucket: its ends are up to 0.8 % off.
        let at = |q| {
            self.durations.as_ref().map_or(0, |durations| {
                durations.median_equivalent(durations.value_at_quantile(q))
            })
        };
        Figures {
            count: self.count,
            errors: self.errors,
            p50_nanos: at(0.50),
            p95_nanos: at(0.95),
            p99_nanos: at(0.99),
            last_unix_nano: self.last_unix_nano,
        }
    }
}

/// Aggregates spans; bounded.
#[derive(Debug)]
pub struct Summary {
    rows: HashMap<RowKey, Row>,
    others: Row,
    max_rows: usize,
    spans: u64,
    errors: u64,
}

impl Default for Summary {
    fn default() -> Self {
        Self::new(MAX_ROWS)
    }
}

impl Summary {
    #[must_use]
    pub fn new(max_rows: usize) -> Self {
        Self {
            rows: HashMap::new(),
            others: Row::default(),
            max_rows,
            spans: 0,
            errors: 0,
        }
    }

    pub fn add(&mut self, span: &Span) {
        let text = |name: &str| span.attribute(name).and_then(Value::as_text);
        let (operation, target) = operation_and_target(&span.name, text);
        let key = RowKey {
            service: span.resource.service_name.to_string(),
            kind: span.kind,
            protocol: span.protocol.to_string(),
            operation,
            target,
        };
        self.add_to(key, span.duration_nanos(), span.status, span.end_unix_nano);
    }

    pub fn add_flat(&mut self, span: &FlatSpan) {
        let (operation, target) = operation_and_target(&span.name, |name| span.text(name));
        let key = RowKey {
            service: span.service().to_owned(),
            kind: span.kind,
            protocol: span.protocol.clone(),
            operation,
            target,
        };
        self.add_to(key, span.duration_nanos(), span.status, span.end_unix_nano);
    }

    fn add_to(&mut self, key: RowKey, nanos: u64, status: Status, end_unix_nano: u64) {
        self.spans += 1;
        self.errors += u64::from(status == Status::Error);
        let has_room = self.rows.len() < self.max_rows;
        let row = match self.rows.get_mut(&key) {
            Some(row) => row,
            None if has_room => self.rows.entry(key).or_default(),
            None => &mut self.others,
        };
        row.add(nanos, status, end_unix_nano);
    }

    /// Most spans first; the order of equals is that of their keys.
    #[must_use]
    pub fn rows(&self) -> Vec<(&RowKey, Figures)> {
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by(|(ka, a), (kb, b)| b.count.cmp(&a.count).then_with(|| ka.cmp(kb)));
        rows.into_iter()
            .map(|(key, row)| (key, row.figures()))
            .collect()
    }

    /// What found no row of its own.
    #[must_use]
    pub fn others(&self) -> Option<Figures> {
        (self.others.count > 0).then(|| self.others.figures())
    }

    /// Spans added.
    #[must_use]
    pub const fn spans(&self) -> u64 {
        self.spans
    }

    /// Spans added whose status is `ERROR`.
    #[must_use]
    pub const fn errors(&self) -> u64 {
        self.errors
    }
}

fn operation_and_target<'a>(
    name: &str,
    text: impl Fn(&str) -> Option<&'a str>,
) -> (String, String) {
    let first = |names: &[&str]| names.iter().find_map(|name| text(name)).unwrap_or_default();
    let (operation, target) = if let Some(method) = text("http.request.method") {
        (
            text("http.request.method_original").unwrap_or(method),
            first(&["http.route", "url.template", "url.path"]),
        )
    } else if let Some(method) = text("rpc.method") {
        (method, "")
    } else if text("db.system.name").is_some() {
        (
            text("db.query.summary").unwrap_or(name),
            first(&["db.query.text"]),
        )
    } else {
        (name, "")
    };
    (
        operation.to_owned(),
        target.chars().take(MAX_TARGET_CHARACTERS).collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;
    use crate::field::Class;

    fn with_path(path: &str, micros: u64) -> Span {
        let mut span = example::span();
        span.attributes[1] = example::text("url.path", Class::Identifier, path);
        span.end_unix_nano = span.start_unix_nano + micros * 1_000;
        span
    }

    #[test]
    fn rows_are_by_service_method_and_path() {
        let mut summary = Summary::default();
        for micros in 1..=100 {
            summary.add(&with_path("/a", micros));
        }
        let mut failed = with_path("/b", 5);
        failed.status = Status::Error;
        summary.add(&failed);
        let rows = summary.rows();
        assert_eq!(rows.len(), 2);
        let (key, figures) = &rows[0];
        assert_eq!(
            (&*key.service, &*key.operation, &*key.target),
            ("users", "GET", "/a")
        );
        assert_eq!((figures.count, figures.errors), (100, 0));
        for (measured, exact) in [
            (figures.p50_nanos, 50_000),
            (figures.p95_nanos, 95_000),
            (figures.p99_nanos, 99_000),
        ] {
            assert!(
                measured.abs_diff(exact) <= exact / 100,
                "{measured} for {exact}"
            );
        }
        assert_eq!(rows[1].1.errors, 1);
        assert_eq!((summary.spans(), summary.errors()), (101, 1));
    }

    #[test]
    fn what_finds_no_row_is_counted() {
        let mut summary = Summary::new(2);
        for path in ["/a", "/b", "/c", "/d", "/a"] {
            summary.add(&with_path(path, 1));
        }
        assert_eq!(summary.rows().len(), 2);
        assert_eq!(summary.rows()[0].1.count, 2);
        assert_eq!(summary.others().unwrap().count, 2);
    }

    #[test]
    fn a_span_read_back_falls_into_the_same_row() {
        let span = with_path("/a", 1);
        let mut summary = Summary::default();
        summary.add(&span);
        summary.add_flat(&FlatSpan::try_from(&span).unwrap());
        assert_eq!(summary.rows().len(), 1);
        assert_eq!(summary.rows()[0].1.count, 2);
    }

    #[test]
    fn extreme_durations_are_taken() {
        let mut summary = Summary::default();
        let mut span = with_path("/a", 0);
        summary.add(&span);
        span.start_unix_nano = 0;
        span.end_unix_nano = u64::MAX;
        summary.add(&span);
        span.start_unix_nano = u64::MAX;
        span.end_unix_nano = 0;
        summary.add(&span);
        assert_eq!(summary.rows()[0].1.count, 3);
    }
}
