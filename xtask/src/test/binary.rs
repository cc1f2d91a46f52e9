//! One test program of the workspace: building all of them, running one.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::outcome::Report;
use crate::build;
use crate::command;
use crate::setup::toolchain;
use crate::terminal::Terminal;
use crate::workspace::Workspace;

/// A test program that runs longer than this hangs: the slowest takes a few minutes.
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(20 * 60);

/// A test program, as cargo tells of it.
pub(super) struct TestBinary {
    package: String,
    target: String,
    kind: String,
    manifest: PathBuf,
    executable: PathBuf,
}

/// The part of cargo's `compiler-artifact` message that matters here.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Builds the test programs of the workspace.
pub(super) fn build(workspace: &Workspace, terminal: &Terminal) -> Result<Vec<TestBinary>> {
    let mut cargo = build::host("test", workspace);
    cargo.args([
        "--workspace",
        "--no-run",
        "--message-format=json-render-diagnostics",
    ]);
    let finished = command::step("test programs", &mut cargo, terminal)?;
    let mut binaries = Vec::new();
    for line in finished
        .standard_output
        .lines()
        .filter(|line| line.starts_with('{'))
    {
        let message: Message =
            serde_json::from_str(line).context("cargo's messages changed their form")?;
        let (Some(target), Some(profile), Some(executable)) =
            (message.target, message.profile, message.executable)
        else {
            continue;
        };
        if message.reason == "compiler-artifact" && profile.test {
            binaries.push(TestBinary::new(message.manifest_path, target, executable)?);
        }
    }
    Ok(binaries)
}

impl TestBinary {
    fn new(manifest: PathBuf, target: Target, executable: PathBuf) -> Result<Self> {
        let text = std::fs::read_to_string(&manifest)
            .with_context(|| format!("{} cannot be read", manifest.display()))?;
        let manifest_table: ManifestFile = toml::from_str(&text)
            .with_context(|| format!("{} is not a manifest", manifest.display()))?;
        Ok(Self {
            package: manifest_table.package.name,
            target: target.name,
            kind: target.kind.into_iter().next().unwrap_or_default(),
            manifest,
            executable,
        })
    }

    /// Tests that attach probes to the whole node see each other's traffic, and tests with real
    /// servers compete for two CPUs: these run one at a time.
    pub(super) fn is_serial(&self) -> bool {
        self.package == "wirespan-tests"
            || self.target.starts_with("live")
            || self.target.starts_with("kernel")
    }

    /// What precedes the test's name in `tests/cases.toml`.
    pub(super) fn id(&self) -> String {
        if self.kind == "test" || self.kind == "bin" {
            format!("{}::{}", self.package, self.target)
        } else {
            self.package.clone()
        }
        .replace('-', "_")
    }

    pub(super) fn title(&self) -> String {
        match self.kind.as_str() {
            "test" | "bin" => format!("{} ({})", self.package, self.target),
            _ => self.package.clone(),
        }
    }

    pub(super) fn run(
        &self,
        filters: &[String],
        workspace: &Workspace,
        terminal: &Terminal,
    ) -> Result<Report> {
        let directory = self
            .manifest
            .parent()
            .context("a manifest lies in a directory")?;
        let mut program = command::command(&self.executable);
        program
            .args(["--show-output", "--color=never"])
            .args(filters)
            .current_dir(directory)
            .env("CARGO_MANIFEST_DIR", directory)
            .env("WIRESPAN_ARTEFACTS", workspace.artefacts())
            .env("PATH", toolchain::path_with_tools());
        if self.is_serial() {
            program.arg("--test-threads=1");
        }
        let finished = command::capture(&self.title(), &mut program, Some(TIME_LIMIT), terminal)?;
        Ok(Report::read(&finished))
    }
}

#[derive(Deserialize)]
struct ManifestFile {
    package: Package,
}

#[derive(Deserialize)]
struct Package {
    name: String,
}
