//! What came of a target, read from what libFuzzer prints.

use std::path::PathBuf;
use std::time::Duration;

/// What one target came to.
pub(super) struct Outcome {
    pub(super) name: String,
    pub(super) runs: u64,
    pub(super) corpus: usize,
    pub(super) coverage: String,
    pub(super) peak_mib: u64,
    pub(super) elapsed: Duration,
    pub(super) found: Vec<PathBuf>,
}

/// `stat::name: value` of the final statistics.
pub(super) fn statistic(output: &str, name: &str) -> Option<u64> {
    let line = output.lines().rev().find(|line| line.contains(name))?;
    line.split_whitespace().last()?.parse().ok()
}

/// The number of the last progress line: `#12345` or `#12345: cov: …`.
pub(super) fn last_run(output: &str) -> Option<u64> {
    output.lines().rev().find_map(|line| {
        let rest = line.strip_prefix('#')?;
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    })
}

pub(super) fn word_after(output: &str, label: &str) -> Option<String> {
    let line = output.lines().rev().find(|line| line.contains(label))?;
    let rest = line.split(label).nth(1)?;
    rest.split_whitespace().next().map(str::to_owned)
}

/// What the panics said.
pub(super) fn panics(output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    let mut said: Vec<&str> = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        if line.contains("panicked at") || line.starts_with("SUMMARY") {
            said.extend(lines.iter().skip(number).take(3).copied());
        }
    }
    said.truncate(12);
    said.join("\n")
}

impl Outcome {
    /// As a row of the table that [`HEAD`] begins.
    pub(super) fn row(&self) -> String {
        format!(
            "| `{}` | {} | {} | {} | {} | {} | {} |",
            self.name,
            self.runs,
            self.elapsed.as_secs(),
            self.corpus,
            self.coverage,
            self.peak_mib,
            self.found.len()
        )
    }
}

/// Beginning of a table of outcomes.
pub(super) const HEAD: &str = "| target | inputs | seconds | corpus | edges | peak MiB | found |\n|---|---:|---:|---:|---:|---:|---:|\n";

pub(super) fn table(outcomes: &[Outcome]) -> String {
    let rows: Vec<String> = outcomes.iter().map(Outcome::row).collect();
    format!("{HEAD}{}", rows.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libfuzzer_prints_is_read() {
        let output = "#8\tpulse  cov: 10 ft: 12 corp: 3/8b exec/s: 4 rss: 40Mb\n\
            #4096: cov: 812 ft: 2000 corp: 90 exec/s 100 oom/timeout/crash: 0/0/0 rss: 61Mb\n\
            Done 5000 runs in 3 second(s)\n\
            stat::number_of_executed_units: 5000\nstat::peak_rss_mb:              61\n";
        assert_eq!(statistic(output, "number_of_executed_units:"), Some(5000));
        assert_eq!(statistic(output, "peak_rss_mb:"), Some(61));
        assert_eq!(last_run(output), Some(4096));
        assert_eq!(word_after(output, "cov: ").as_deref(), Some("812"));
    }
}
