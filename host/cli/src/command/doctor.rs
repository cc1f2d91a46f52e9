//! `wirespan doctor`

use std::io::{self, Write};

use anyhow::{Result, bail};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, Color, ContentArrangement, Table};
use wirespan_agent::Config;
use wirespan_capture::live::features::{self, FeatureReport, FeatureState};
use wirespan_capture::live::survey::{self, Plaintext, ProcessRow, Survey};
use wirespan_capture::live::without_tls;
use wirespan_capture::process::proc_root;

use crate::arguments::{Doctor, FileOutput};

pub(crate) fn doctor(arguments: &Doctor) -> Result<()> {
    let config = Config::load(arguments.config.as_deref())?;
    let as_json = arguments.json || arguments.output == Some(FileOutput::Json);
    let deny = config.tls.deny_list();
    let tls_left_out = without_tls(config.tls.enabled, &deny);
    let mut out = io::stdout().lock();
    if arguments.processes {
        let survey = survey::processes(&proc_root(), &deny, tls_left_out.as_deref());
        if as_json {
            serde_json::to_writer_pretty(&mut out, &survey)?;
            writeln!(out)?;
        } else {
            writeln!(out, "{}", processes(&survey))?;
            if survey.unreadable > 0 {
                writeln!(
                    out,
                    "{} processes could not be looked into: {}",
                    survey.unreadable,
                    survey.remedy.as_deref().unwrap_or_default()
                )?;
            }
        }
        return Ok(());
    }
    let mut report = features::probe();
    features::calls(&mut report, config.call_places()?);
    features::tls(&mut report, tls_left_out.as_deref(), &deny);
    if as_json {
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

fn empty<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED.with_rounded_corners());
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header);
    table
}

fn table(report: &FeatureReport) -> Table {
    let mut table = empty(["feature", "state", "found", "what to do"]);
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

fn processes(survey: &Survey) -> Table {
    let mut table = empty(["pid", "process", "sockets", "TLS", "plaintext", "why not"]);
    for row in &survey.processes {
        let ProcessRow {
            pid,
            command,
            sockets,
            tls,
            plaintext,
            reason,
            ..
        } = row;
        let (seen, color) = match plaintext {
            Plaintext::Seen => ("seen", Color::Green),
            Plaintext::Partly => ("partly seen", Color::Yellow),
            Plaintext::NotSeen => ("not seen", Color::Red),
            Plaintext::NoTls => ("no TLS found", Color::Reset),
        };
        table.add_row([
            Cell::new(pid),
            Cell::new(command),
            Cell::new(sockets),
            Cell::new(tls.join("\n")),
            Cell::new(seen).fg(color),
            Cell::new(reason.as_deref().unwrap_or_default()),
        ]);
    }
    table
}
