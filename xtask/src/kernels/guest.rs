//! The file system of the virtual machine: three programs and the libraries they are linked to.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::archive::Archive;
use crate::command;
use crate::workspace::Workspace;

/// Server and client of the case of TLS.
const OPENSSL: &str = "/usr/bin/openssl";

/// Makes the initial file system; the programs must have been built.
pub(super) fn initrd(workspace: &Workspace) -> Result<PathBuf> {
    let programs = [
        ("/init", workspace.programs().join("guest")),
        ("/wirespan", workspace.programs().join("wirespan")),
        (OPENSSL, PathBuf::from(OPENSSL)),
    ];
    let mut archive = Archive::new();
    let mut directories = BTreeSet::new();
    for mount_point in ["/dev", "/proc", "/sys", "/tmp"] {
        archive.directory(mount_point);
    }
    // The first process writes here before it can mount anything.
    archive.character_device("/dev/console", 5, 1);
    let mut libraries = BTreeSet::new();
    for (place, program) in &programs {
        add_directories(&mut archive, &mut directories, Path::new(place));
        archive.program(place, &read(program)?);
        libraries.extend(libraries_of(program)?);
    }
    for library in libraries {
        add_directories(&mut archive, &mut directories, &library);
        archive.program(&library.to_string_lossy(), &read(&library)?);
    }
    let path = workspace.target().join("kernels/initrd");
    fs::create_dir_all(workspace.target().join("kernels"))?;
    fs::write(&path, archive.finish())
        .with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(path)
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
