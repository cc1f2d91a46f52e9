//! Programs that tests watch and that are built here. They are workspaces of their own: what they
//! depend on is not to change the features of what the agent depends on.

use anyhow::Result;

use crate::command;
use crate::terminal::Terminal;
use crate::workspace::Workspace;

/// Directories of `tests/`.
const FIXTURES: [&str; 2] = ["tonic", "rustls"];

/// Builds them beside the agent, where the tests look for them.
pub(super) fn build(workspace: &Workspace, terminal: &Terminal) -> Result<()> {
    for fixture in FIXTURES {
        let mut cargo = command::command("cargo");
        cargo
            .args(["build", "--release", "--locked"])
            .current_dir(workspace.root().join("tests").join(fixture))
            .env("CARGO_TARGET_DIR", workspace.target());
        command::step(&format!("tests/{fixture}"), &mut cargo, terminal)?;
    }
    Ok(())
}
