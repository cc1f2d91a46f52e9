//! Figures with what they are to be compared to.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Serialize;

/// A quantity measured several times in turn with its baseline.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) measured: Summary,
    /// The same without Wirespan, or done the other way.
    pub(crate) baseline: Option<Summary>,
    /// Measured by baseline, pair by pair.
    pub(crate) ratio: Option<Summary>,
}

/// Median of the runs, and their range: with six runs it holds the true median in 97 of 100 cases.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) lowest: f64,
    pub(crate) highest: f64,
    pub(crate) runs: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// What was done, in a sentence.
    pub(crate) what: &'static str,
    pub(crate) short: bool,
    pub(crate) figures: Vec<Figure>,
}

impl Summary {
    pub(crate) fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let (low, high) = (at(sorted.len().saturating_sub(1) / 2), at(sorted.len() / 2));
        Self {
            median: f64::midpoint(low, high),
            lowest: at(0),
            highest: at(sorted.len().saturating_sub(1)),
            runs: sorted.len(),
        }
    }
}

impl Figure {
    /// `pairs` of measured and baseline, taken in turn.
    pub(crate) fn compared(
        name: impl Into<String>,
        unit: &'static str,
        pairs: &[(f64, f64)],
    ) -> Self {
        let column = |value: fn(&(f64, f64)) -> f64| {
            Summary::of(&pairs.iter().map(value).collect::<Vec<_>>())
        };
        Self {
            name: name.into(),
            unit,
            measured: column(|pair| pair.0),
            baseline: Some(column(|pair| pair.1)),
            ratio: Some(column(|pair| pair.0 / pair.1)),
        }
    }

    pub(crate) fn alone(name: impl Into<String>, unit: &'static str, values: &[f64]) -> Self {
        Self {
            name: name.into(),
            unit,
            measured: Summary::of(values),
            baseline: None,
            ratio: None,
        }
    }
}

impl Report {
    /// Prints the figures and writes `target/bench/NAME.json`.
    pub(crate) fn publish(&self, name: &str) -> Result<()> {
        println!("{name}: {}", self.what);
        for figure in &self.figures {
            let Figure {
                name,
                unit,
                measured,
                ..
            } = figure;
            let line = format!(
                "  {name:<44} {:>12.1} {unit} [{:.1}, {:.1}]",
                measured.median, measured.lowest, measured.highest
            );
            match (figure.baseline, figure.ratio) {
                (Some(baseline), Some(ratio)) => {
                    println!(
                        "{line}  baseline {:.1}  ratio {:.3} [{:.3}, {:.3}]",
                        baseline.median, ratio.median, ratio.lowest, ratio.highest
                    );
                }
                _ => println!("{line}"),
            }
        }
        let folder = target_folder()?.join("bench");
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{name}.json"));
        std::fs::write(&path, serde_json::to_string_pretty(self)? + "\n")
            .with_context(|| format!("writing {}", path.display()))
    }
}

/// This program lies in `target/release`.
pub(crate) fn target_folder() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own
        .ancestors()
        .nth(2)
        .context("the target folder")?
        .to_owned())
}
