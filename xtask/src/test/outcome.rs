//! What test programs print, read back.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::command::Finished;
use crate::terminal::{Mark, Terminal};

/// How one test ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    /// Not run, and why.
    Skipped(String),
}

/// The tests of one program.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) tests: BTreeMap<String, Outcome>,
    pub(crate) elapsed: Duration,
    /// What to show when something failed.
    pub(crate) explanation: String,
    /// What each failed test said first.
    pub(crate) reasons: BTreeMap<String, String>,
}

/// A test that finds out while running that it cannot be run prints this and the reason.
const SKIPPED: &str = "SKIPPED:";

impl Report {
    /// Of something that is one test.
    pub(crate) fn single(
        name: &str,
        outcome: Outcome,
        elapsed: Duration,
        explanation: String,
    ) -> Self {
        Self {
            tests: BTreeMap::from([(name.to_owned(), outcome)]),
            elapsed,
            explanation,
            reasons: BTreeMap::new(),
        }
    }

    /// Reads what libtest prints. A program that ends without a word on its result, or with a
    /// failure that none of its tests tells of, is a failed test itself.
    pub(super) fn read(finished: &Finished) -> Self {
        let mut report = Self {
            tests: results(&finished.standard_output),
            ..Self::default()
        };
        report.elapsed = finished.elapsed;
        for (name, reason) in skipped(&finished.standard_output) {
            if report.tests.get(&name) == Some(&Outcome::Passed) {
                report.tests.insert(name, Outcome::Skipped(reason));
            }
        }
        let has_result = finished
            .standard_output
            .lines()
            .any(|line| line.starts_with("test result: "));
        let trouble = if finished.timed_out {
            Some("the program did not end in time")
        } else if !has_result
            && (finished.standard_output.trim().is_empty() || !finished.status.success())
        {
            Some("the program ended without telling a result")
        } else if !finished.status.success() && report.failed() == 0 {
            Some("the program failed outside its tests")
        } else {
            None
        };
        if let Some(trouble) = trouble {
            report.tests.insert(format!("({trouble})"), Outcome::Failed);
        }
        if report.failed() > 0 {
            let text = finished.output.as_str();
            let from = text
                .find("\nfailures:\n")
                .filter(|_| trouble.is_none())
                .unwrap_or_default();
            report.explanation = without_traces(text.get(from..).unwrap_or(text));
            report.reasons = reasons(&report.explanation);
            if let Some(trouble) = trouble {
                report.explanation.push_str(trouble);
            }
        }
        report
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tests.is_empty()
    }

    pub(crate) fn passed(&self) -> usize {
        self.count(|outcome| *outcome == Outcome::Passed)
    }

    pub(crate) fn failed(&self) -> usize {
        self.count(|outcome| *outcome == Outcome::Failed)
    }

    pub(crate) fn skipped(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Skipped(_)))
    }

    pub(crate) fn counts(&self) -> String {
        let mut parts = vec![format!("{} passed", self.passed())];
        if self.failed() > 0 {
            parts.push(format!("{} failed", self.failed()));
        }
        if self.skipped() > 0 {
            parts.push(format!("{} skipped", self.skipped()));
        }
        parts.join(", ")
    }

    fn count(&self, is_wanted: impl Fn(&Outcome) -> bool) -> usize {
        self.tests
            .values()
            .filter(|outcome| is_wanted(outcome))
            .count()
    }
}

/// `test <name> ... <outcome>`; what a child of a test prints may stand between the last two.
fn results(output: &str) -> BTreeMap<String, Outcome> {
    let mut tests = BTreeMap::new();
    let mut pending: Option<String> = None;
    for line in output.lines() {
        let (name, rest) = match line
            .strip_prefix("test ")
            .and_then(|line| line.split_once(" ... "))
        {
            Some((name, rest)) => (
                Some(name.trim_end_matches(" - should panic").to_owned()),
                rest,
            ),
            None => (None, line),
        };
        let outcome = outcome(rest);
        match (name, outcome) {
            (Some(name), Some(outcome)) => {
                tests.insert(unique(&tests, name), outcome);
            }
            (Some(name), None) => pending = Some(name),
            (None, Some(outcome)) => {
                if let Some(name) = pending.take() {
                    tests.insert(unique(&tests, name), outcome);
                }
            }
            (None, None) => {}
        }
    }
    // The program died inside this one.
    if let Some(name) = pending {
        tests.insert(name, Outcome::Failed);
    }
    tests
}

/// Documentation tests of two crates can have one name.
fn unique(tests: &BTreeMap<String, Outcome>, name: String) -> String {
    if tests.contains_key(&name) {
        format!("{name} ({})", tests.len())
    } else {
        name
    }
}

fn outcome(text: &str) -> Option<Outcome> {
    let text = text.trim();
    match text {
        "ok" => Some(Outcome::Passed),
        "FAILED" => Some(Outcome::Failed),
        "ignored" => Some(Outcome::Skipped("ignored".to_owned())),
        _ if text.starts_with("ok (") => Some(Outcome::Passed),
        _ => text
            .strip_prefix("ignored, ")
            .map(|reason| Outcome::Skipped(reason.to_owned())),
    }
}

/// Tests that said that they skip, with the reason.
fn skipped(output: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut current = None;
    for line in output.lines() {
        if let Some(name) = line
            .strip_prefix("---- ")
            .and_then(|line| line.strip_suffix(" stdout ----"))
        {
            current = Some(name.to_owned());
        } else if let Some(reason) = line.trim_start().strip_prefix(SKIPPED)
            && let Some(name) = current.take()
        {
            found.push((name, reason.trim().to_owned()));
        }
    }
    found
}

/// `text` without the calls that led to a panic: they are long, and what was said stands before them.
fn without_traces(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut in_trace = false;
    for line in text.lines() {
        if in_trace {
            // "  12: function" and "             at file:line".
            let call = line.trim_start();
            in_trace = line.starts_with(' ')
                && (call.starts_with("at ")
                    || call.starts_with(|first: char| first.is_ascii_digit()));
        }
        if line.trim().eq_ignore_ascii_case("stack backtrace:") {
            in_trace = true;
        }
        if !in_trace {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// How much of what a failed test said stands in the summary, lines.
const REASON_LINES: usize = 15;

/// The first lines of what each failed test said; a panic's message stands first in it.
fn reasons(explanation: &str) -> BTreeMap<String, String> {
    let mut said: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut current = None;
    for line in explanation.lines() {
        if let Some(name) = line
            .strip_prefix("---- ")
            .and_then(|line| line.strip_suffix(" stdout ----"))
        {
            current = Some(name.to_owned());
        } else if line == "failures:" {
            current = None;
        } else if let Some(name) = &current
            && !line.trim().is_empty()
        {
            said.entry(name.clone()).or_default().push(line);
        }
    }
    said.into_iter()
        .map(|(name, lines)| {
            let from = lines
                .iter()
                .position(|line| line.starts_with("thread '") || line.starts_with("Error: "))
                .unwrap_or_default();
            let lines = lines.iter().skip(from).take(REASON_LINES).copied();
            (name, lines.collect::<Vec<_>>().join("\n"))
        })
        .collect()
}

/// All programs together.
#[derive(Default)]
pub(super) struct Summary {
    tests: BTreeMap<String, Outcome>,
    reasons: BTreeMap<String, String>,
}

impl Summary {
    /// Adds the tests of a program; `id` keeps equal names of two programs apart.
    pub(super) fn add(&mut self, id: &str, report: Report) {
        for (name, reason) in report.reasons {
            self.reasons.insert(format!("{id}::{name}"), reason);
        }
        for (name, outcome) in report.tests {
            self.tests.insert(format!("{id}::{name}"), outcome);
        }
    }

    /// The outcome of the test that `name` names, in full or by the last parts of its path.
    pub(super) fn find(&self, name: &str) -> Option<&Outcome> {
        let suffix = format!("::{name}");
        self.tests
            .iter()
            .find(|(full, _)| full.as_str() == name || full.ends_with(&suffix))
            .map(|(_, outcome)| outcome)
    }

    pub(super) fn failed(&self) -> usize {
        self.tests
            .values()
            .filter(|outcome| **outcome == Outcome::Failed)
            .count()
    }

    /// The reasons of what was skipped, the names of what failed, and the one line that scripts read.
    pub(super) fn show(&self, terminal: &Terminal) {
        let mut skipped = 0_usize;
        let mut passed = 0_usize;
        for (name, outcome) in &self.tests {
            match outcome {
                Outcome::Passed => passed = passed.saturating_add(1),
                Outcome::Failed => {}
                Outcome::Skipped(reason) => {
                    skipped = skipped.saturating_add(1);
                    terminal.done(Mark::Skipped, name, reason);
                }
            }
        }
        for (name, _) in self
            .tests
            .iter()
            .filter(|(_, outcome)| **outcome == Outcome::Failed)
        {
            terminal.done(Mark::Bad, name, "");
            for line in self
                .reasons
                .get(name)
                .iter()
                .flat_map(|reason| reason.lines())
            {
                terminal.line(&format!("      {line}"));
            }
        }
        terminal.line(&format!(
            "{passed} passed, {} failed, {skipped} skipped",
            self.failed()
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    fn finished(text: &str, code: i32) -> Finished {
        Finished {
            status: ExitStatus::from_raw(code << 8),
            output: text.to_owned(),
            standard_output: text.to_owned(),
            elapsed: Duration::ZERO,
            timed_out: false,
        }
    }

    #[test]
    fn every_way_a_test_can_end_is_counted_once() {
        let text = "running 5 tests\ntest a::b ... ok\ntest c ... FAILED\ntest d ... ignored, needs a reason\n\
                    test e - should panic ... ok\ntest f ... chatter of a child\nok\n\nsuccesses:\n\n\
                    ---- f stdout ----\nSKIPPED: no privileges\n\nfailures:\n\n---- c stdout ----\nboom\n\n\
                    test result: FAILED. 3 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out\n";
        let report = Report::read(&finished(text, 101));
        assert_eq!(
            (report.passed(), report.failed(), report.skipped()),
            (2, 1, 2)
        );
        assert_eq!(
            report.tests.get("f"),
            Some(&Outcome::Skipped("no privileges".to_owned()))
        );
        assert!(report.explanation.contains("boom"));
    }

    #[test]
    fn what_a_failed_test_said_is_kept_without_the_calls_that_led_there() {
        let text = "running 2 tests\ntest a ... FAILED\ntest b ... FAILED\n\nfailures:\n\n\
                    ---- a stdout ----\nseed 7\nthread 'a' panicked at x.rs:1:2:\nleft: 1\n\
                    stack backtrace:\n   0: begin\n             at ./y.rs:3:4\n   1: end\n\
                    note: some details\n\n---- b stdout ----\nError: no server\n\n\
                    Stack backtrace:\n   0: begin\n\n\nfailures:\n    a\n    b\n\n\
                    test result: FAILED. 0 passed; 2 failed; 0 ignored\n";
        let report = Report::read(&finished(text, 101));
        assert_eq!(
            report.reasons,
            BTreeMap::from([
                (
                    "a".to_owned(),
                    "thread 'a' panicked at x.rs:1:2:\nleft: 1\nnote: some details".to_owned()
                ),
                ("b".to_owned(), "Error: no server".to_owned()),
            ])
        );
        assert!(!report.explanation.contains("y.rs"));
        assert!(report.explanation.contains("seed 7"));
    }

    #[test]
    fn a_program_that_says_nothing_or_dies_is_a_failure() {
        let result = "test result: ok. 0 passed; 0 failed";
        for (text, code, failed) in [
            ("", 0, 1),
            ("test a ... ", 139, 2),
            (result, 1, 1),
            (result, 0, 0),
        ] {
            assert_eq!(
                Report::read(&finished(text, code)).failed(),
                failed,
                "{text:?} {code}"
            );
        }
    }
}
