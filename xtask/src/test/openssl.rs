//! OpenSSL 1.1, which Debian 11 was the last to have: its program and libraries are unpacked beside
//! the artefacts for one test, and never installed.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::command;
use crate::suite::{self, Suite};
use crate::terminal::{Mark, Terminal};
use crate::workspace::Workspace;

const SUITE: &str = "bullseye";
const PACKAGES: [&str; 2] = ["libssl1.1", "openssl"];
/// Where the test looks for it, in the target directory.
const FOLDER: &str = "openssl-1.1";

/// From an earlier time, else fetched. Where that cannot be, the test that needs it is counted as
/// skipped.
pub(super) fn prepare(workspace: &Workspace, terminal: &Terminal) {
    let what = format!("OpenSSL 1.1 from {SUITE}");
    let root = workspace.target().join(FOLDER);
    if root.join("usr/bin/openssl").is_file() {
        return;
    }
    match fetch(&root, &what, terminal) {
        Ok(()) => terminal.done(Mark::Good, what, "fetched"),
        Err(error) => terminal.done(Mark::Skipped, what, format!("{error:#}")),
    }
}

fn fetch(root: &Path, what: &str, terminal: &Terminal) -> Result<()> {
    let unfinished = root.with_extension("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)
            .with_context(|| format!("{} cannot be removed", unfinished.display()))?;
    }
    fs::create_dir_all(&unfinished)
        .with_context(|| format!("{} cannot be made", unfinished.display()))?;
    let apt = Suite::configure(SUITE, &unfinished.join("apt"))?;
    let mut update = apt.command("apt-get");
    update.arg("update");
    let mut download = apt.command("apt-get");
    // As if nothing were installed, or the newer version that is would be asked for.
    download
        .args(["-o", "Dir::State::Status=/dev/null", "download"])
        .args(PACKAGES)
        .current_dir(&unfinished);
    for (name, command) in [("update", &mut update), ("download", &mut download)] {
        let finished = command::capture(what, command, None, terminal)?;
        if !finished.status.success() {
            let said = suite::last_line(&finished.output);
            bail!("apt-get {name} of {SUITE} failed: {said}");
        }
    }
    let packages: Vec<_> = fs::read_dir(&unfinished)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .collect();
    ensure!(
        packages.len() == PACKAGES.len(),
        "apt-get downloaded {} packages instead of {}",
        packages.len(),
        PACKAGES.len()
    );
    for package in packages {
        let unpacked = command::succeeds(
            command::command("dpkg-deb")
                .arg("-x")
                .arg(&package)
                .arg(&unfinished),
        );
        ensure!(unpacked, "dpkg-deb cannot unpack {}", package.display());
        fs::remove_file(package)?;
    }
    fs::remove_dir_all(unfinished.join("apt"))?;
    fs::rename(&unfinished, root).with_context(|| format!("{} cannot be made", root.display()))
}
