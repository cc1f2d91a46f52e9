//! `tests/cases.toml`: which test shows how a hostile or odd situation ends.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::outcome::{Outcome, Report, Summary};
use crate::terminal::{Mark, Terminal};
use crate::workspace::Workspace;

/// Tests in a virtual machine may be skipped: its kernel has to be fetched, and cannot be everywhere.
const KERNELS: &str = "kernels::";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    #[serde(default)]
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    number: u16,
    /// Which part of the case, where it has several.
    part: Option<String>,
    title: String,
    #[serde(default)]
    tests: Vec<String>,
    reason: Option<String>,
}

impl Case {
    fn label(&self) -> String {
        format!(
            "{}{}",
            self.number,
            self.part.as_deref().unwrap_or_default()
        )
    }
}

/// Adds a failure for each named test that did not run.
pub(super) fn check(
    workspace: &Workspace,
    summary: &mut Summary,
    skips_allowed: bool,
    terminal: &Terminal,
) -> Result<()> {
    let path = workspace.root().join("tests/cases.toml");
    let text =
        fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let cases = parse(&text).with_context(|| format!("{} is wrong", path.display()))?;
    let mut missing = Vec::new();
    for case in &cases {
        for test in &case.tests {
            let problem = match summary.find(test) {
                Some(Outcome::Passed | Outcome::Failed) => None,
                Some(Outcome::Skipped(reason)) => (!skips_allowed && !test.starts_with(KERNELS))
                    .then(|| format!("was skipped: {reason}")),
                None => Some("is not there or did not run".to_owned()),
            };
            if let Some(problem) = problem {
                missing.push(format!(
                    "case {} ({}): {test} {problem}",
                    case.label(),
                    case.title
                ));
            }
        }
    }
    let shown = cases.iter().filter(|case| !case.tests.is_empty()).count();
    let mark = if missing.is_empty() {
        Mark::Good
    } else {
        Mark::Bad
    };
    terminal.done(
        mark,
        "tests/cases.toml",
        format!(
            "{shown} shown by tests, {} with a reason why not",
            cases.len().saturating_sub(shown)
        ),
    );
    for line in missing {
        summary.add(
            "cases",
            Report::single(&line, Outcome::Failed, Duration::ZERO, String::new()),
        );
    }
    Ok(())
}

fn parse(text: &str) -> Result<Vec<Case>> {
    let file: CaseFile = toml::from_str(text)?;
    let mut seen = BTreeSet::new();
    for case in &file.case {
        if !seen.insert(case.label()) {
            bail!("case {} stands there twice", case.label());
        }
        let has_reason = case
            .reason
            .as_ref()
            .is_some_and(|reason| !reason.trim().is_empty());
        if case.tests.is_empty() != has_reason {
            bail!("case {} needs either tests or a reason", case.label());
        }
    }
    Ok(file.case)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_has_tests_or_a_reason_and_stands_there_once() {
        let good = "[[case]]\nnumber = 1\ntitle = 't'\ntests = ['a::b']\n\
                    [[case]]\nnumber = 1\npart = 'b'\ntitle = 't'\nreason = 'r'\n";
        assert_eq!(parse(good).expect("a good file").len(), 2);
        for bad in [
            "[[case]]\nnumber = 1\ntitle = 't'\n",
            "[[case]]\nnumber = 1\ntitle = 't'\ntests = ['a']\nreason = 'r'\n",
            "[[case]]\nnumber = 1\ntitle = 't'\nreason = 'r'\n[[case]]\nnumber = 1\ntitle = 't'\nreason = 'r'\n",
            "[[case]]\nnumber = 1\ntitle = 't'\nresaon = 'r'\n",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
