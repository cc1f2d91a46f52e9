//! The file system of the virtual machine: a few programs and the libraries they are linked to.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::archive::Archive;
use super::plan::{GO, NGINX, WRK};
use crate::command;
use crate::terminal::Terminal;
use crate::workspace::Workspace;

/// Server and client of the case of TLS, and what makes certificates.
const OPENSSL: &str = "/usr/bin/openssl";

/// Compiling net/http for the first time, on a busy machine.
const GO_LIMIT: Duration = Duration::from_secs(300);

/// Makes the initial file system in which the cases take place; the programs must have been built.
pub(super) fn for_cases(workspace: &Workspace, terminal: &Terminal) -> Result<PathBuf> {
    let by_go = compiled_by_go(workspace, terminal)?;
    write("initrd", &programs(workspace), &[(GO, by_go)], workspace)
}

/// That in which the cost of being watched is counted.
pub(super) fn for_cost(workspace: &Workspace) -> Result<PathBuf> {
    let mut programs = programs(workspace);
    for (place, name) in [(NGINX, "nginx"), (WRK, "wrk")] {
        let program = command::find(name).with_context(|| {
            format!("`{name}` is not installed: run `cargo xtask setup --kernels`")
        })?;
        programs.push((place, program));
    }
    write("initrd-cost", &programs, &[], workspace)
}

/// What each of them has, by its place there.
fn programs(workspace: &Workspace) -> Vec<(&'static str, PathBuf)> {
    vec![
        ("/init", workspace.programs().join("guest")),
        ("/wirespan", workspace.programs().join("wirespan")),
        (OPENSSL, PathBuf::from(OPENSSL)),
    ]
}

/// `alone` are linked to nothing, which `ldd` calls an error.
fn write(
    name: &str,
    programs: &[(&str, PathBuf)],
    alone: &[(&str, PathBuf)],
    workspace: &Workspace,
) -> Result<PathBuf> {
    let kernels = folder(workspace)?;
    let mut archive = Archive::new();
    let mut directories = BTreeSet::new();
    for mount_point in ["/dev", "/proc", "/sys", "/tmp"] {
        archive.directory(mount_point);
    }
    // The first process writes here before it can mount anything.
    archive.character_device("/dev/console", 5, 1);
    let mut libraries = BTreeSet::new();
    for (place, program) in programs {
        add_directories(&mut archive, &mut directories, Path::new(place));
        archive.program(place, &read(program)?);
        libraries.extend(libraries_of(program)?);
    }
    for (place, program) in alone {
        archive.program(place, &read(program)?);
    }
    for library in libraries {
        add_directories(&mut archive, &mut directories, &library);
        archive.program(&library.to_string_lossy(), &read(&library)?);
    }
    let path = kernels.join(name);
    fs::write(&path, archive.finish())
        .with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(path)
}

/// Server and client of the case of Go, in one program that is linked to nothing.
fn compiled_by_go(workspace: &Workspace, terminal: &Terminal) -> Result<PathBuf> {
    let go = command::find("go").context(
        "`go` is not installed, which makes a program that is watched: run `cargo xtask setup --kernels`",
    )?;
    let program = folder(workspace)?.join("https");
    let mut build = command::command(go);
    build
        .args(["build", "-o"])
        .arg(&program)
        .arg(workspace.root().join("xtask/guest/go/https.go"))
        .env("GO111MODULE", "off")
        .env("GOFLAGS", "")
        .env("CGO_ENABLED", "0")
        // The tests' own: what the standard library compiles to is there already.
        .env("GOCACHE", std::env::temp_dir().join("wirespan-go-cache"));
    let what = "a program made by Go";
    let finished = command::capture(what, &mut build, Some(GO_LIMIT), terminal)?;
    if !finished.status.success() {
        bail!("{what} cannot be compiled: {}", finished.output.trim());
    }
    Ok(program)
}

/// Where all of it lies.
fn folder(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.target().join("kernels");
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    Ok(folder)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// What the dynamic linker would load, and itself, where it looks for them.
fn libraries_of(program: &Path) -> Result<Vec<PathBuf>> {
    let output = command::answer(command::command("ldd").arg(program))
        .with_context(|| format!("ldd cannot tell what {} is linked to", program.display()))?;
    Ok(output
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect())
}

fn add_directories(archive: &mut Archive, made: &mut BTreeSet<PathBuf>, file: &Path) {
    let mut parents: Vec<&Path> = file
        .ancestors()
        .skip(1)
        .filter(|path| path.parent().is_some())
        .collect();
    parents.reverse();
    for parent in parents {
        if made.insert(parent.to_owned()) {
            archive.directory(&parent.to_string_lossy());
        }
    }
}
