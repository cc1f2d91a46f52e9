//! The last result of each target, in `docs/fuzzing.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use super::outcome::{HEAD, Outcome};
use crate::terminal::clock;
use crate::workspace::Workspace;

/// The section that is written; up to the next one of its rank.
const SECTION: &str = "\n## Last result\n";

/// Puts results in the place of those before; returns where they are. Targets that did not run keep
/// theirs.
pub(super) fn write(outcomes: &[Outcome], workspace: &Workspace) -> Result<PathBuf> {
    let path = workspace.root().join("docs/fuzzing.md");
    let page =
        fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let page = renewed(&page, outcomes)
        .with_context(|| format!("{} has no `{}`", path.display(), SECTION.trim()))?;
    fs::write(&path, page).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(path)
}

/// The page with new rows; `None` without the section for them.
fn renewed(page: &str, outcomes: &[Outcome]) -> Option<String> {
    let (before, rest) = page.split_at_checked(page.find(SECTION)?)?;
    let rest = rest.get(SECTION.len()..)?;
    let (old, behind) = rest.split_at_checked(rest.find("\n## ").unwrap_or(rest.len()))?;
    let old = old.lines().filter_map(|line| {
        let name = line.strip_prefix("| `")?.split('`').next()?;
        Some((name.to_owned(), line.to_owned()))
    });
    let new = outcomes
        .iter()
        .map(|outcome| (outcome.name.clone(), outcome.row()));
    let rows: BTreeMap<String, String> = old.chain(new).collect();
    Some(format!("{before}{}{behind}", section(&rows)))
}

fn section(rows: &BTreeMap<String, String>) -> String {
    // Name, inputs, seconds, and at the end what was found.
    let sum = |column: usize| -> u64 {
        rows.values()
            .filter_map(|row| row.split('|').nth(column)?.trim().parse::<u64>().ok())
            .sum()
    };
    let verdict = match sum(7) {
        0 => "no crash, no hang, nothing over the bound on memory, no contradiction".to_owned(),
        1 => "**one input was found**".to_owned(),
        many => format!("**{many} inputs were found**"),
    };
    let mut text = SECTION.to_owned();
    let time = clock(Duration::from_secs(sum(3)));
    let _ = write!(
        text,
        "\nOf each target when it ran last. {} targets, {time}, {} inputs: {verdict}.\n\n{HEAD}",
        rows.len(),
        sum(2)
    );
    for row in rows.values() {
        let _ = writeln!(text, "{row}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_takes_the_place_of_the_one_before_and_others_stay() {
        let outcome = |name: &str, found: usize| Outcome {
            name: name.to_owned(),
            runs: 7,
            corpus: 3,
            coverage: "12".to_owned(),
            peak_mib: 40,
            elapsed: Duration::from_millis(61_400),
            found: vec![PathBuf::new(); found],
        };
        let page = "# A\n\n## Last result\n\nnothing yet\n\n## Next\n\ntext\n";
        let page = renewed(page, &[outcome("sql", 2), outcome("elf", 0)]).unwrap();
        assert!(
            page.starts_with("# A\n\n## Last result\n\nOf each"),
            "{page}"
        );
        assert!(
            page.contains("2 targets, 2:02 min, 14 inputs: **2 inputs"),
            "{page}"
        );
        assert!(
            page.contains("\n| `sql` | 7 | 61 | 3 | 12 | 40 | 2 |\n"),
            "{page}"
        );
        assert!(page.ends_with("|\n\n## Next\n\ntext\n"), "{page}");
        let page = renewed(&page, &[outcome("sql", 0)]).unwrap();
        assert!(page.contains("14 inputs: no crash"), "{page}");
        assert_eq!(page.matches("`elf`").count(), 1);
        assert_eq!(page.matches("`sql`").count(), 1);
        assert_eq!(
            renewed(&page, &[]).unwrap(),
            page,
            "nothing new is nothing new"
        );
        assert_eq!(renewed("# A\n", &[]), None);
    }
}
