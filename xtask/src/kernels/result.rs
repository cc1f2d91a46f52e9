//! What a machine printed before it turned itself off, and whether that is what should be there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::fetch::Kernel;
use super::plan::{BY_FENTRY, CASES, Case, SETS, Wanted};
use super::sets::{self, Missing};
use crate::terminal::clock;

/// How one kernel did.
pub(super) struct KernelResult {
    pub(super) version: &'static str,
    pub(super) release: String,
    pub(super) took: Duration,
    /// The agent's line on what it attached.
    pub(super) attached: String,
    /// The probe sets that it did without.
    pub(super) missing: Vec<Missing>,
    /// What `wirespan doctor` found wanting.
    pub(super) lacks: Vec<String>,
    /// The machine lived to the end of the test, whatever came of it.
    pub(super) is_through: bool,
    /// What is wrong with all of it.
    problem: Option<String>,
    /// What is wrong with a case.
    problems: BTreeMap<&'static str, String>,
    /// The same where trace points were used though fentry would do, if so.
    again: Option<BTreeMap<&'static str, String>>,
    agent_log: String,
    console: PathBuf,
}

impl KernelResult {
    /// Reads the sections that the guest marks on the console.
    pub(super) fn read(kernel: &Kernel, release: &str, console: &str, log: &Path) -> Self {
        let agent_log = section(console, "log").unwrap_or_default();
        let attached = agent_log
            .lines()
            .find_map(|line| {
                line.split_once("watching with ")
                    .map(|(_, what)| what.to_owned())
            })
            .unwrap_or_default();
        let is_through = section(console, "end").is_some();
        let mut result = Self {
            version: kernel.version,
            release: release.to_owned(),
            took: Duration::ZERO,
            attached,
            missing: sets::missing(&agent_log),
            lacks: lacks(&section(console, "doctor").unwrap_or_default()),
            is_through,
            problem: None,
            problems: BTreeMap::new(),
            again: None,
            agent_log,
            console: log.to_owned(),
        };
        if !is_through {
            result.problem =
                Some("the machine died or hung before the test was through".to_owned());
        } else if let Some(error) = section(console, "error") {
            result.problem = Some(error.trim().to_owned());
        } else {
            let by_fentry = result.attached.contains(BY_FENTRY);
            let told = result.judge(console, "", "case", by_fentry, CASES);
            result.problems = told;
            if let Some(problem) = sets::problem(kernel.version, &result.missing) {
                result.problems.insert(SETS, problem);
            }
            if by_fentry {
                let repeated = CASES.iter().filter(|case| case.name != "kill");
                let mut told = result.judge(console, "again ", "again", false, repeated);
                let missing = sets::missing(&section(console, "again log").unwrap_or_default());
                if let Some(problem) = sets::problem(kernel.version, &missing) {
                    told.insert(SETS, problem);
                }
                result.missing.extend(missing);
                result.again = Some(told);
            }
        }
        result
    }

    /// Of a kernel that could not be had.
    pub(super) fn not_tried(kernel: &Kernel, error: &anyhow::Error) -> Self {
        Self {
            version: kernel.version,
            release: kernel.version.to_owned(),
            took: Duration::ZERO,
            attached: String::new(),
            missing: Vec::new(),
            lacks: Vec::new(),
            is_through: false,
            problem: Some(format!("{error:#}")),
            problems: BTreeMap::new(),
            again: None,
            agent_log: String::new(),
            console: PathBuf::new(),
        }
    }

    /// What is wrong with the cases, of which the console tells in sections that begin so.
    fn judge<'case>(
        &mut self,
        console: &str,
        prefix: &str,
        what: &str,
        by_fentry: bool,
        cases: impl IntoIterator<Item = &'case Case>,
    ) -> BTreeMap<&'static str, String> {
        let mut problems = BTreeMap::new();
        let spans = match spans(&section(console, &format!("{prefix}spans")).unwrap_or_default()) {
            Ok(spans) => spans,
            Err(problem) => {
                self.problem = Some(problem);
                return problems;
            }
        };
        for case in cases {
            let said = section(console, &format!("{what} {}", case.name));
            let problem = match said.as_deref().map(str::trim) {
                Some("done") if case.by_fentry && !by_fentry => told(&spans, case),
                Some("done") => case.spans.iter().find_map(|wanted| check(&spans, wanted)),
                Some(error) => Some(error.to_owned()),
                None => Some("it did not take place".to_owned()),
            };
            if let Some(problem) = problem {
                problems.insert(case.name, problem);
            }
        }
        let wanted = || CASES.iter().flat_map(|case| case.spans);
        let other = spans
            .iter()
            .find(|span| !wanted().any(|wanted| is_of(span, wanted)));
        if let Some(other) = other {
            self.problem = Some(format!("a span that nobody expects: {other}"));
        }
        problems
    }

    /// Whether calls were seen by fentry, and the cases took place once more by trace points.
    pub(super) fn has_both(&self) -> bool {
        self.again.is_some()
    }

    /// What is wrong with one case by trace points.
    pub(super) fn problem_again(&self, case: &Case) -> Option<&str> {
        let problem = self.again.as_ref().and_then(|again| again.get(case.name));
        self.problem
            .as_deref()
            .or_else(|| problem.map(String::as_str))
    }

    /// What is wrong with one case.
    pub(super) fn problem(&self, case: &Case) -> Option<&str> {
        self.problem
            .as_deref()
            .or_else(|| self.problems.get(case.name).map(String::as_str))
    }

    pub(super) fn is_good(&self) -> bool {
        let again = self.again.as_ref();
        self.problem.is_none() && self.problems.is_empty() && again.is_none_or(BTreeMap::is_empty)
    }

    pub(super) fn verdict(&self) -> String {
        if let Some(problem) = &self.problem {
            return problem.lines().next().unwrap_or_default().to_owned();
        }
        let good = CASES.len().saturating_sub(self.problems.len());
        format!("{good} of {} cases, {}", CASES.len(), clock(self.took))
    }

    /// Everything that helps to find out why.
    pub(super) fn explanation(&self) -> String {
        let mut text = self.problem.clone().unwrap_or_default();
        for (case, problem) in &self.problems {
            text.push_str(&format!("\n{case}: {problem}"));
        }
        for (case, problem) in self.again.iter().flatten() {
            text.push_str(&format!("\n{case}, by trace points: {problem}"));
        }
        format!(
            "{}\n{}\nthe whole console: {}",
            text.trim(),
            self.agent_log.trim_end(),
            self.console.display()
        )
    }
}

/// What the guest printed between the marks of this name.
pub(super) fn section(console: &str, name: &str) -> Option<String> {
    let (_, after) = console.split_once(&format!("<<<wirespan {name}\n"))?;
    let (text, _) = after.split_once(&format!(">>>wirespan {name}"))?;
    Some(text.to_owned())
}

/// The agent's output, a span a line.
fn spans(lines: &str) -> Result<Vec<Value>, String> {
    let lines = lines.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            serde_json::from_str(line)
                .map_err(|_| format!("a line of the agent's output is not JSON: {line}"))
        })
        .collect()
}

fn attribute(span: &Value, name: &str) -> String {
    match span
        .get("attributes")
        .and_then(|attributes| attributes.get(name))
    {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "nothing".to_owned(),
    }
}

fn is_of(span: &Value, wanted: &Wanted) -> bool {
    attribute(span, wanted.attribute) == wanted.value
}

/// Nothing may be told of what is not seen.
fn told(spans: &[Value], case: &Case) -> Option<String> {
    let span = spans
        .iter()
        .find(|span| case.spans.iter().any(|wanted| is_of(span, wanted)))?;
    Some(format!("nothing of it is seen, and yet there is {span}"))
}

/// One exchange was made, so one span stands at either end of it, with nothing flagged.
fn check(spans: &[Value], wanted: &Wanted) -> Option<String> {
    let mut kinds = Vec::new();
    for span in spans.iter().filter(|span| is_of(span, wanted)) {
        for (name, value) in wanted.also {
            let found = attribute(span, name);
            if found != *value {
                return Some(format!(
                    "a span has {name} = {found} instead of {value}: {span}"
                ));
            }
        }
        if let Some(flag) = span
            .get("flags")
            .and_then(Value::as_array)
            .and_then(|flags| flags.first())
        {
            return Some(format!(
                "a span says that something was not seen ({flag}): {span}"
            ));
        }
        kinds.push(span.get("kind").and_then(Value::as_str).unwrap_or_default());
    }
    kinds.sort_unstable();
    (kinds != ["CLIENT", "SERVER"]).then(|| {
        format!(
            "one client and one server span of {} should be there, not {kinds:?}",
            wanted.value
        )
    })
}

/// What the doctor's report calls other than in order.
fn lacks(report: &str) -> Vec<String> {
    let report: Value = serde_json::from_str(report).unwrap_or_default();
    let rows = report
        .get("rows")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let text = |row: &Value, key: &str| {
        row.get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    rows.iter()
        .filter(|row| !text(row, "state").eq_ignore_ascii_case("ok"))
        .map(|row| format!("{}: {}", text(row, "name"), text(row, "detail")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{CASES, check, section, spans};

    fn span(kind: &str, path: &str) -> String {
        format!(
            r#"{{"kind":"{kind}","flags":[],"attributes":{{"http.request.method":"GET","url.path":"{path}","http.response.status_code":200}}}}"#
        )
    }

    #[test]
    fn exactly_one_right_span_at_either_end_is_good() {
        let (client, server) = (span("CLIENT", "/kernel"), span("SERVER", "/kernel"));
        let http = CASES.iter().find(|case| case.name == "http").unwrap();
        let wanted = &http.spans[0];
        let check = |lines: &str| check(&spans(lines).unwrap(), wanted);
        assert_eq!(check(&format!("{client}\n{server}\n")), None);
        for bad in [
            String::new(),
            client.clone(),
            format!("{client}\n{server}\n{server}"),
            span("SERVER", "/other"),
            format!("{client}\n{}", server.replace("200", "500")),
            format!("{client}\n{}", server.replace("[]", r#"["gap"]"#)),
        ] {
            assert!(check(&bad).is_some(), "{bad}");
        }
        assert!(spans("{").is_err());
    }

    #[test]
    fn sections_are_found_among_what_the_kernel_says() {
        let console = "boot\n<<<wirespan log\na\nb\n>>>wirespan log\n";
        assert_eq!(section(console, "log").as_deref(), Some("a\nb\n"));
        assert_eq!(section(console, "spans"), None);
    }
}
