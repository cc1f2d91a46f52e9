//! `wirespan doctor`

use std::io::{self, Write};

use anyhow::{Result, bail};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, Color, ContentArrangement, Table};
use wirespan_capture::live::features::{self, FeatureReport, FeatureState};

use crate::arguments::Doctor;

pub(crate) fn doctor(arguments: &Doctor) -> Result<()> {
    let report = features::probe();
    let mut out = io::stdout().lock();
    if arguments.json {
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{}", table(&report))?;
    }
    if report.can_capture() {
        return Ok(());
    }
    let missing: Vec<_> = report
        .rows
        .iter()
        .filter(|row| row.state == FeatureState::Missing)
        .map(|row| row.name.as_str())
        .collect();
    bail!(
        "nothing can be captured here: {} missing; the table says what to do",
        missing.join(", ")
    );
}

fn table(report: &FeatureReport) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED.with_rounded_corners());
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["feature", "state", "found", "what to do"]);
    for row in &report.rows {
        let (state, color) = match row.state {
            FeatureState::Ok => ("ok", Color::Green),
            FeatureState::Degraded => ("degraded", Color::Yellow),
            FeatureState::Missing => ("missing", Color::Red),
        };
        table.add_row([
            Cell::new(&row.name),
            Cell::new(state).fg(color),
            Cell::new(&row.detail),
            Cell::new(row.remedy.as_deref().unwrap_or_default()),
        ]);
    }
    table
}
