//! A summary as a table.

use std::io::IsTerminal as _;

use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Row, Table,
    presets,
};
use wirespan_span::summary::{Figures, RowKey};
use wirespan_span::{FlatSpan, Kind, Span, Summary};

use crate::text::{age, duration, harmless};

/// How a table is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Columns of the terminal; `None`: as wide as the texts.
    pub width: Option<u16>,
    /// Rows of spans at most; the others are summed up in a last one.
    pub rows: Option<usize>,
    pub color: bool,
    /// With it comes the column that says how long ago a row's last span ended.
    pub now_unix_nano: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Service,
    Kind,
    Operation,
    Target,
    Count,
    Errors,
    P50,
    P95,
    P99,
    Last,
}

impl Column {
    /// With the width from which on it is shown: what says most survives longest.
    const ALL: [(Self, u16); 10] = [
        (Self::Service, 0),
        (Self::Kind, 90),
        (Self::Operation, 0),
        (Self::Target, 36),
        (Self::Count, 0),
        (Self::Errors, 56),
        (Self::P50, 48),
        (Self::P95, 72),
        (Self::P99, 64),
        (Self::Last, 100),
    ];

    const fn title(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Kind => "kind",
            Self::Operation => "method",
            Self::Target => "path or statement",
            Self::Count => "count",
            Self::Errors => "errors",
            Self::P50 => "p50",
            Self::P95 => "p95",
            Self::P99 => "p99",
            Self::Last => "last",
        }
    }

    /// Numbers keep their width and stand at the right.
    const fn is_number(self) -> bool {
        !matches!(
            self,
            Self::Service | Self::Kind | Self::Operation | Self::Target
        )
    }

    fn cell(self, key: Option<&RowKey>, figures: &Figures, layout: &Layout) -> Cell {
        let text = |of: fn(&RowKey) -> &str| key.map_or_else(String::new, |key| harmless(of(key)));
        match self {
            Self::Service if key.is_none() => Cell::new("…"),
            Self::Service => Cell::new(text(|key| &key.service)).fg(Color::Cyan),
            Self::Kind => Cell::new(key.map_or("", |key| kind(key.kind))),
            Self::Operation => Cell::new(text(|key| &key.operation)),
            Self::Target => Cell::new(text(|key| &key.target)),
            Self::Count => Cell::new(figures.count),
            Self::Errors if figures.errors > 0 => Cell::new(figures.errors)
                .fg(Color::Red)
                .add_attribute(Attribute::Bold),
            Self::Errors => Cell::new(figures.errors),
            Self::P50 => Cell::new(duration(figures.p50_nanos)),
            Self::P95 => Cell::new(duration(figures.p95_nanos)),
            Self::P99 => Cell::new(duration(figures.p99_nanos)),
            Self::Last => {
                let now = layout.now_unix_nano.unwrap_or_default();
                Cell::new(age(now.saturating_sub(figures.last_unix_nano)))
            }
        }
    }
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Client => "client",
        Kind::Server => "server",
        Kind::Producer => "producer",
        Kind::Consumer => "consumer",
        Kind::Internal => "internal",
    }
}

/// The table, each row on one line, without a line break at the end. Most spans first.
#[must_use]
pub fn render(summary: &Summary, layout: &Layout) -> String {
    let columns: Vec<Column> = Column::ALL
        .into_iter()
        .filter(|(column, from)| {
            layout.width.is_none_or(|width| width >= *from)
                && (*column != Column::Last || layout.now_unix_nano.is_some())
        })
        .map(|(column, _)| column)
        .collect();
    let mut table = new_table(layout);
    let mut header = Row::from(
        columns
            .iter()
            .map(|column| Cell::new(column.title()).add_attribute(Attribute::Bold)),
    );
    header.max_height(1);
    table.set_header(header);
    let rows = summary.rows();
    let shown = layout.rows.unwrap_or(rows.len());
    for (key, figures) in rows.iter().take(shown) {
        table.add_row(row(&columns, Some(key), figures, layout));
    }
    let hidden = rows.iter().skip(shown).map(|(_, figures)| *figures);
    if let Some(rest) = sum(hidden.chain(summary.others())) {
        table.add_row(row(&columns, None, &rest, layout));
    }
    for (index, column) in columns.iter().enumerate() {
        if let (true, Some(of_table)) = (column.is_number(), table.column_mut(index)) {
            of_table.set_cell_alignment(CellAlignment::Right);
            of_table.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect::<Vec<_>>()
        .join("\n")
}

fn new_table(layout: &Layout) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_truncation_indicator("…");
    match layout.width {
        Some(width) => {
            table
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(width);
        }
        None => {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
    }
    if layout.color {
        table.enforce_styling()
    } else {
        table.force_no_tty()
    };
    table
}

fn row(columns: &[Column], key: Option<&RowKey>, figures: &Figures, layout: &Layout) -> Row {
    let mut row = Row::from(
        columns
            .iter()
            .map(|column| column.cell(key, figures, layout)),
    );
    row.max_height(1);
    row
}

/// Rows that are not shown as one. Percentiles of several rows cannot be had from theirs; the
/// highest are an upper bound.
fn sum(figures: impl Iterator<Item = Figures>) -> Option<Figures> {
    figures.reduce(|a, b| Figures {
        count: a.count + b.count,
        errors: a.errors + b.errors,
        p50_nanos: a.p50_nanos.max(b.p50_nanos),
        p95_nanos: a.p95_nanos.max(b.p95_nanos),
        p99_nanos: a.p99_nanos.max(b.p99_nanos),
        last_unix_nano: a.last_unix_nano.max(b.last_unix_nano),
    })
}

/// Collects spans for one table at the end, as `replay -o table` prints it.
#[derive(Debug, Default)]
pub struct TableSummary {
    summary: Summary,
}

impl TableSummary {
    pub fn add(&mut self, span: &Span) {
        self.summary.add(span);
    }

    pub fn add_flat(&mut self, span: &FlatSpan) {
        self.summary.add_flat(span);
    }

    #[must_use]
    pub const fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Fits the terminal if standard output is one.
    #[must_use]
    pub fn render(&self) -> String {
        let terminal = std::io::stdout().is_terminal();
        let width = terminal
            .then(crate::sink::size)
            .flatten()
            .map(|(columns, _)| columns);
        render(
            &self.summary,
            &Layout {
                width,
                color: crate::sink::wants_color(terminal),
                ..Layout::default()
            },
        )
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::Arc;
    use wirespan_span::{
        Attribute as SpanAttribute, Cardinality, Class, Field, FieldRef, FieldType, Flags,
        Resource, Status, Value,
    };

    pub(crate) fn span(service: &str, method: &str, path: &str, millis: u64) -> Span {
        let text = |name: &str, value: &str| SpanAttribute {
            field: FieldRef::keep(Field {
                name: name.into(),
                field_type: FieldType::Text,
                description: "".into(),
                example: "".into(),
                cardinality: Cardinality::Unbounded,
                class: Class::Public,
            })
            .unwrap(),
            value: Value::from(value),
        };
        Span {
            trace_id: 1,
            span_id: 1,
            parent_span_id: None,
            trace_flags: 0,
            name: method.into(),
            kind: Kind::Server,
            start_unix_nano: 0,
            request_end_unix_nano: None,
            response_start_unix_nano: None,
            end_unix_nano: millis * 1_000_000,
            status: if path == "/bad" {
                Status::Error
            } else {
                Status::Unset
            },
            attributes: vec![text("http.request.method", method), text("url.path", path)],
            resource: Arc::new(Resource {
                service_name: service.into(),
                ..Resource::default()
            }),
            flags: Flags::default(),
            protocol: "http".into(),
            parser: "http@0.1.0".into(),
        }
    }

    fn summary() -> Summary {
        let mut summary = Summary::default();
        for _ in 0..3 {
            summary.add(&span("nginx", "GET", "/", 2));
        }
        summary.add(&span("python3", "POST", "/bad", 40));
        summary.add(&span(
            "python3",
            "GET",
            &format!("/{}", "long/".repeat(60)),
            1,
        ));
        summary
    }

    #[test]
    fn the_plain_table_says_everything() {
        let mut summary = Summary::default();
        for _ in 0..3 {
            summary.add(&span("nginx", "GET", "/", 2));
        }
        summary.add(&span("python3", "POST", "/bad", 40));
        assert_eq!(
            render(&summary, &Layout::default()),
            [
                " service  kind    method  path or statement  count  errors      p50      p95      p99",
                " nginx    server  GET     /                      3       0  2.00 ms  2.00 ms  2.00 ms",
                " python3  server  POST    /bad                   1       1  40.0 ms  40.0 ms  40.0 ms",
            ]
            .join("\n")
        );
    }

    #[test]
    fn a_row_is_a_line_and_fits_at_any_width() {
        for width in 30..200 {
            let layout = Layout {
                width: Some(width),
                now_unix_nano: Some(9_000_000_000),
                ..Layout::default()
            };
            let table = render(&summary(), &layout);
            assert_eq!(table.lines().count(), 4, "{width}\n{table}");
            for line in table.lines() {
                assert!(line.chars().count() <= width.into(), "{width}\n{table}");
            }
            assert!(table.contains("count"), "{width}\n{table}");
        }
        // Too narrow for anything; it only has to come back.
        for width in 0..30 {
            let _ = render(
                &summary(),
                &Layout {
                    width: Some(width),
                    ..Layout::default()
                },
            );
        }
    }

    #[test]
    fn what_is_not_shown_is_summed_up() {
        let table = render(
            &summary(),
            &Layout {
                rows: Some(1),
                ..Layout::default()
            },
        );
        let last = table.lines().last().unwrap();
        assert!(last.trim_start().starts_with('…'), "{table}");
        assert!(last.contains("2       1"), "{table}");
    }

    #[test]
    fn colours_only_when_asked_for_and_no_escape_from_the_network() {
        let mut summary = summary();
        summary.add(&span("\x1b[31mevil", "GET", "/\x1b]0;title\x07", 1));
        assert!(!render(&summary, &Layout::default()).contains('\x1b'));
        let colored = render(
            &summary,
            &Layout {
                color: true,
                ..Layout::default()
            },
        );
        assert!(colored.contains('\x1b'));
        assert!(!colored.contains("\x1b]0"));
        assert!(!colored.contains("\x1b[31mevil"));
    }
}
