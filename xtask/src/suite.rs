//! Packages of other suites of Debian than this machine's, fetched with apt and never installed.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;

/// An apt configuration beside the machine's own, with one suite and nothing shared but proxies.
pub(crate) struct Suite {
    options: Vec<String>,
}

impl Suite {
    /// Keeps what apt knows and fetches in `state`.
    pub(crate) fn configure(suite: &str, state: &Path) -> Result<Self> {
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(state.join(part))
                .with_context(|| format!("{} cannot be made", state.display()))?;
        }
        let sources = state.join("sources.list");
        let line = format!(
            "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {} {suite} main\n",
            archive()?
        );
        fs::write(&sources, line)
            .with_context(|| format!("{} cannot be written", sources.display()))?;
        let options = [
            format!("Dir::Etc::SourceList={}", sources.display()),
            "Dir::Etc::SourceParts=-".to_owned(),
            "Dir::Etc::Preferences=-".to_owned(),
            "Dir::Etc::PreferencesParts=-".to_owned(),
            format!("Dir::State::Lists={}", state.join("lists").display()),
            format!("Dir::Cache={}", state.join("cache").display()),
            "Acquire::Languages=none".to_owned(),
            "APT::Sandbox::User=".to_owned(),
            // An old suite is no longer signed anew.
            "Acquire::Check-Valid-Until=false".to_owned(),
        ];
        Ok(Self {
            options: options.to_vec(),
        })
    }

    /// `program` of apt with this configuration.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = command::command(program);
        for option in &self.options {
            command.args(["-o", option]);
        }
        command
    }
}

/// Where this machine gets Debian's packages from: other suites are there as well.
fn archive() -> Result<String> {
    const LABEL: &str = "Debian";
    let targets = command::answer(command::command("apt-get").args([
        "indextargets",
        "--format",
        "$(LABEL) $(REPO_URI)",
        "Created-By: Packages",
    ]))
    .unwrap_or_default();
    targets
        .lines()
        .find_map(|line| match line.split_once(' ') {
            Some((LABEL, uri)) => Some(uri.trim_end_matches('/').to_owned()),
            _ => None,
        })
        .context("apt knows no archive of Debian: run `apt-get update` on a Debian machine")
}

/// What a failed run of apt said last.
pub(crate) fn last_line(output: &str) -> &str {
    output
        .lines()
        .rfind(|line| !line.trim().is_empty())
        .unwrap_or_default()
}
