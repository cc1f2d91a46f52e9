//! Spans as people like to look at them.

use std::collections::BTreeMap;
use std::io::Write;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Attribute, Cell, CellAlignment, Color, Table};
use wirespan_tests::Span;

/// Span lines shown of all that arrived.
const LINES: usize = 12;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) colour: bool,
}

/// Codes of ANSI terminals.
const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const CYAN: &str = "36";

impl Style {
    pub(crate) fn heading(self, text: &str) {
        say(&format!("\n{}", self.paint(BOLD, text)));
    }

    pub(crate) fn item(self, name: &str, value: &str) {
        say(&format!(
            "  {} {}",
            self.paint(CYAN, &format!("{name:<16}")),
            self.paint(DIM, value)
        ));
    }

    /// Some lines, spread over all spans in the order of time.
    pub(crate) fn spans(self, arrived: &[(Span, String)]) {
        let mut spans: Vec<&(Span, String)> = arrived.iter().collect();
        spans.sort_by_key(|(span, _)| span.start_unix_nano);
        // Odd: clients and servers take turns.
        let step = spans.len().div_ceil(LINES) | 1;
        for (span, subject) in spans.iter().copied().step_by(step) {
            let kind = if span.kind == "SERVER" {
                "◀ server"
            } else {
                "▶ client"
            };
            let request = format!(
                "{} {}",
                span.method().unwrap_or("?"),
                span.path().unwrap_or("?")
            );
            let status = span
                .http_status()
                .map_or_else(|| "-".to_owned(), |status| status.to_string());
            say(&format!(
                "  {} {kind}  {}  {}  {:>9}  {}",
                self.paint(CYAN, &format!("{:<8}", span.service().unwrap_or("?"))),
                format_args!("{request:<20}"),
                self.paint(if span.status == "ERROR" { RED } else { GREEN }, &status),
                duration(span.seconds()),
                self.paint(DIM, subject)
            ));
        }
        say(&format!(
            "  {}",
            self.paint(
                DIM,
                &format!("{} of {} spans", spans.len().div_ceil(step), spans.len())
            )
        ));
    }

    #[must_use]
    pub(crate) fn table(self, spans: &[Span]) -> Table {
        let mut rows: BTreeMap<(&str, &str, &str, &str), Vec<&Span>> = BTreeMap::new();
        for span in spans {
            let key = (
                span.service().unwrap_or("?"),
                &*span.kind,
                span.path().unwrap_or("?"),
                span.method().unwrap_or("?"),
            );
            rows.entry(key).or_default().push(span);
        }
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED.with_rounded_corners());
        if self.colour {
            table.enforce_styling();
        }
        let titles = [
            "service", "seen at", "method", "path", "count", "errors", "p50", "p95", "p99",
        ];
        table.set_header(titles.map(|title| Cell::new(title).add_attribute(Attribute::Bold)));
        for ((service, kind, path, method), spans) in rows {
            let errors = spans.iter().filter(|span| span.status == "ERROR").count();
            let mut seconds: Vec<f64> = spans.iter().map(|span| span.seconds()).collect();
            seconds.sort_by(f64::total_cmp);
            let number = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
            let errors_cell = number(errors.to_string());
            let mut row = vec![
                Cell::new(service).fg(Color::Cyan),
                Cell::new(kind.to_lowercase()),
                Cell::new(method),
                Cell::new(path),
                number(spans.len().to_string()),
                if errors > 0 {
                    errors_cell.fg(Color::Red)
                } else {
                    errors_cell.fg(Color::DarkGrey)
                },
            ];
            row.extend([50, 95, 99].map(|percent| number(duration(percentile(&seconds, percent)))));
            table.add_row(row);
        }
        table
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// A reader who has seen enough is no reason to fail.
pub(crate) fn say(line: &str) {
    let _closed = writeln!(std::io::stdout(), "{line}");
}

/// Nearest rank: with few values, a value that was really there.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0.0)
}

fn duration(seconds: f64) -> String {
    if seconds < 0.001 {
        format!("{:.0} µs", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}
