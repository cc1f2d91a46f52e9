//! Packages of the Python package index that bring libraries of their own, for tests to watch: they are
//! unpacked into the target directory, and never installed.

use std::fs;

use anyhow::{Context, Result};

use crate::command;
use crate::terminal::Terminal;
use crate::workspace::Workspace;

/// libpq with a libssl of its own, stripped, with another name than the system's.
const WHEELS: [&str; 1] = ["psycopg2-binary==2.9.13"];
/// Where the tests look for them, in the target directory.
const FOLDER: &str = "wheels";

/// From an earlier time, else fetched.
pub(super) fn fetch(workspace: &Workspace, terminal: &Terminal) -> Result<()> {
    let folder = workspace.target().join(FOLDER);
    // Written last: what is without it was not finished.
    let mark = folder.join("wheels");
    let wanted = WHEELS.join(" ");
    if fs::read_to_string(&mark).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("{} cannot be removed", folder.display()))?;
    }
    let mut pip = command::command("/usr/bin/python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-input"])
        .args(["--disable-pip-version-check", "--root-user-action=ignore"])
        .args(["--no-deps", "--only-binary", ":all:", "--target"])
        .arg(&folder)
        .args(WHEELS);
    command::step(
        &format!("{wanted} from the Python package index"),
        &mut pip,
        terminal,
    )?;
    fs::write(&mark, wanted).with_context(|| format!("{} cannot be written", mark.display()))
}
