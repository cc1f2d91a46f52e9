//! What a machine printed before it turned itself off, and whether that is what should be there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::fetch::Kernel;
use crate::terminal::clock;

/// How one kernel did.
pub(super) struct KernelResult {
    pub(super) version: &'static str,
    pub(super) release: String,
    pub(super) took: Duration,
    /// The agent's line on what it attached.
    pub(super) attached: String,
    /// What `wirespan doctor` found wanting.
    pub(super) lacks: Vec<String>,
    /// The machine lived to the end of the test, whatever came of it.
    pub(super) is_through: bool,
    problem: Option<String>,
    agent_log: String,
    console: PathBuf,
}

/// What the guest asks for.
const WANTED: [(&str, &str); 3] = [
    ("http.request.method", "GET"),
    ("url.path", "/kernel"),
    ("http.response.status_code", "200"),
];

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
        let problem = if !is_through {
            Some("the machine died or hung before the test was through".to_owned())
        } else if let Some(error) = section(console, "error") {
            Some(error.trim().to_owned())
        } else {
            check(&section(console, "spans").unwrap_or_default())
        };
        Self {
            version: kernel.version,
            release: release.to_owned(),
            took: Duration::ZERO,
            attached,
            lacks: lacks(&section(console, "doctor").unwrap_or_default()),
            is_through,
            problem,
            agent_log,
            console: log.to_owned(),
        }
    }

    /// Of a kernel that could not be had.
    pub(super) fn not_tried(kernel: &Kernel, error: &anyhow::Error) -> Self {
        Self {
            version: kernel.version,
            release: kernel.version.to_owned(),
            took: Duration::ZERO,
            attached: String::new(),
            lacks: Vec::new(),
            is_through: false,
            problem: Some(format!("{error:#}")),
            agent_log: String::new(),
            console: PathBuf::new(),
        }
    }

    pub(super) fn is_good(&self) -> bool {
        self.problem.is_none()
    }

    pub(super) fn verdict(&self) -> String {
        match &self.problem {
            None => format!("one server span, one client span, {}", clock(self.took)),
            Some(problem) => problem.lines().next().unwrap_or_default().to_owned(),
        }
    }

    /// Everything that helps to find out why.
    pub(super) fn explanation(&self) -> String {
        let problem = self.problem.as_deref().unwrap_or_default();
        format!(
            "{problem}\n{}\nthe whole console: {}",
            self.agent_log.trim_end(),
            self.console.display()
        )
    }
}

fn section(console: &str, name: &str) -> Option<String> {
    let (_, after) = console.split_once(&format!("<<<wirespan {name}\n"))?;
    let (text, _) = after.split_once(&format!(">>>wirespan {name}"))?;
    Some(text.to_owned())
}

/// One exchange was made, so one span stands at either end of it, and there is no other.
fn check(lines: &str) -> Option<String> {
    let mut kinds = Vec::new();
    for line in lines.lines().filter(|line| !line.trim().is_empty()) {
        let Ok(span) = serde_json::from_str::<Value>(line) else {
            return Some(format!("a line of the agent's output is not JSON: {line}"));
        };
        let text = |value: Option<&Value>| match value {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => "nothing".to_owned(),
        };
        let attributes = span.get("attributes");
        for (name, wanted) in WANTED {
            let found = text(attributes.and_then(|attributes| attributes.get(name)));
            if found != wanted {
                return Some(format!(
                    "a span has {name} = {found} instead of {wanted}: {line}"
                ));
            }
        }
        if let Some(flag) = span
            .get("flags")
            .and_then(Value::as_array)
            .and_then(|flags| flags.first())
        {
            return Some(format!(
                "a span says that something was not seen ({flag}): {line}"
            ));
        }
        kinds.push(text(span.get("kind")));
    }
    kinds.sort();
    (kinds != ["CLIENT", "SERVER"])
        .then(|| format!("one client and one server span should be there, not {kinds:?}"))
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
    use super::{check, section};

    fn span(kind: &str, path: &str) -> String {
        format!(
            r#"{{"kind":"{kind}","flags":[],"attributes":{{"http.request.method":"GET","url.path":"{path}","http.response.status_code":200}}}}"#
        )
    }

    #[test]
    fn exactly_one_right_span_at_either_end_is_good() {
        let (client, server) = (span("CLIENT", "/kernel"), span("SERVER", "/kernel"));
        assert_eq!(check(&format!("{client}\n{server}\n")), None);
        for bad in [
            String::new(),
            client.clone(),
            format!("{client}\n{server}\n{server}"),
            span("SERVER", "/other"),
        ] {
            assert!(check(&bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn sections_are_found_among_what_the_kernel_says() {
        let console = "boot\n<<<wirespan log\na\nb\n>>>wirespan log\n";
        assert_eq!(section(console, "log").as_deref(), Some("a\nb\n"));
        assert_eq!(section(console, "spans"), None);
    }
}
