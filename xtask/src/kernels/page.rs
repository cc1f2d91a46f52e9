//! `docs/kernels.md`: on which kernels it was seen to work.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::result::KernelResult;
use crate::terminal::clock;
use crate::workspace::Workspace;

const HEAD: &str = "\
# Kernels

Written by `cargo xtask kernels`, which boots each kernel (Debian's, for clouds) in an emulated
machine, starts the agent there, lets one HTTP exchange over loopback take place, and wants one
server span and one client span of it: method, path and status right, nothing flagged as missing,
no other span. The time is that of the whole machine, from boot to power off, without KVM.

| kernel | spans | probes attached | time |
|---|---|---|---|
";

/// Writes the page; returns where it is.
pub(super) fn write(results: &[KernelResult], workspace: &Workspace) -> Result<PathBuf> {
    let mut text = HEAD.to_owned();
    for result in results {
        let spans = if result.is_good() {
            "right"
        } else {
            "**wrong**"
        };
        writeln!(
            text,
            "| {} | {spans} | {} | {} |",
            result.release,
            result.attached,
            clock(result.took)
        )?;
    }
    for result in results.iter().filter(|result| !result.is_good()) {
        writeln!(text, "\nOn {}: {}", result.release, result.verdict())?;
    }
    text.push_str("\n## What these kernels lack\n\nAs `wirespan doctor` says it there:\n\n");
    for result in results {
        if result.lacks.is_empty() {
            writeln!(text, "- {}: nothing", result.version)?;
        } else {
            writeln!(text, "- {}: {}", result.version, result.lacks.join("; "))?;
        }
    }
    let path = workspace.root().join("docs/kernels.md");
    fs::create_dir_all(workspace.root().join("docs"))?;
    fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(path)
}
