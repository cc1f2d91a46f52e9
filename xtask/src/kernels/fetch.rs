//! Kernels as Debian builds them for clouds: fetched with apt from the suite that has them, never
//! installed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command;
use crate::suite::{self, Suite};
use crate::terminal::{Mark, Terminal};
use crate::workspace::Workspace;

/// A kernel, by the first two numbers of its version.
pub(crate) struct Kernel {
    pub(crate) version: &'static str,
    /// Debian's suite that has it.
    suite: &'static str,
    /// What the names of its packages begin with, before the rest of the version.
    package: &'static str,
}

/// Oldest first.
pub(crate) const KERNELS: &[Kernel] = &[
    Kernel {
        version: "5.10",
        suite: "bullseye",
        package: "linux-image-5.10.",
    },
    Kernel {
        version: "6.1",
        suite: "bookworm",
        package: "linux-image-6.1.",
    },
    Kernel {
        version: "6.12",
        suite: "bookworm-backports",
        package: "linux-image-6.12.",
    },
    Kernel {
        version: "7.3",
        suite: "trixie-backports",
        package: "linux-binary-unsigned-7.3.",
    },
];

/// A kernel's image, and which it is exactly.
pub(crate) struct Image {
    pub(crate) path: PathBuf,
    pub(crate) release: String,
}

/// The image of a kernel: from an earlier time, else fetched.
pub(crate) fn image(kernel: &Kernel, workspace: &Workspace, terminal: &Terminal) -> Result<Image> {
    let directory = workspace.target().join("kernels").join(kernel.version);
    fs::create_dir_all(&directory)
        .with_context(|| format!("{} cannot be made", directory.display()))?;
    if let Some(image) = find(&directory)? {
        return Ok(image);
    }
    let what = format!("kernel {} from {}", kernel.version, kernel.suite);
    fetch(kernel, &directory, &what, terminal)
        .with_context(|| format!("{what} cannot be fetched"))?;
    find(&directory)?.with_context(|| {
        format!(
            "{} has no kernel image after unpacking",
            directory.display()
        )
    })
}

fn fetch(kernel: &Kernel, directory: &Path, what: &str, terminal: &Terminal) -> Result<()> {
    let apt = Suite::configure(kernel.suite, &directory.join("apt"))?;
    let update = command::capture(what, apt.command("apt-get").arg("update"), None, terminal)?;
    if !update.status.success() {
        bail!(
            "apt-get update of {} failed: {}",
            kernel.suite,
            suite::last_line(&update.output)
        );
    }
    let names = command::answer(apt.command("apt-cache").arg("pkgnames").arg(kernel.package))
        .unwrap_or_default();
    let mut names: Vec<&str> = names
        .lines()
        .filter(|name| name.ends_with("-cloud-amd64") || name.ends_with("-cloud-amd64-unsigned"))
        .collect();
    // The newest build; of one build, both packages hold the same image.
    names.sort_by_key(|name| numbers(name));
    let name = names
        .last()
        .with_context(|| format!("{} has no {}*-cloud-amd64", kernel.suite, kernel.package))?;
    let download = command::capture(
        what,
        apt.command("apt-get")
            .args(["download", name])
            .current_dir(directory),
        None,
        terminal,
    )?;
    if !download.status.success() {
        bail!(
            "apt-get download {name} failed: {}",
            suite::last_line(&download.output)
        );
    }
    unpack(directory)?;
    terminal.done(Mark::Good, what, name);
    Ok(())
}

/// Unpacks the one package in `directory`, keeps the image, and removes the rest.
fn unpack(directory: &Path) -> Result<()> {
    let package = files(directory)?
        .into_iter()
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt-get downloaded nothing")?;
    let root = directory.join("unpacked");
    let unpacked = command::succeeds(
        command::command("dpkg-deb")
            .arg("-x")
            .arg(&package)
            .arg(&root),
    );
    if !unpacked {
        bail!("dpkg-deb cannot unpack {}", package.display());
    }
    let image =
        image_in(&root)?.with_context(|| format!("{} holds no kernel image", package.display()))?;
    let name = image.release;
    fs::rename(&image.path, directory.join(format!("vmlinuz-{name}")))?;
    fs::remove_dir_all(&root)?;
    fs::remove_dir_all(directory.join("apt"))?;
    fs::remove_file(&package)?;
    Ok(())
}

/// `boot/vmlinuz-RELEASE`, or `usr/lib/modules/RELEASE/vmlinuz.unsigned` in newer packages.
fn image_in(root: &Path) -> Result<Option<Image>> {
    if let Some(image) = find(&root.join("boot"))? {
        return Ok(Some(image));
    }
    for module in files(&root.join("usr/lib/modules"))? {
        let release = module
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        for name in ["vmlinuz.unsigned", "vmlinuz"] {
            let path = module.join(name);
            if path.is_file() {
                return Ok(Some(Image { path, release }));
            }
        }
    }
    Ok(None)
}

fn find(directory: &Path) -> Result<Option<Image>> {
    Ok(files(directory)?.into_iter().find_map(|path| {
        let release = path
            .file_name()?
            .to_str()?
            .strip_prefix("vmlinuz-")?
            .to_owned();
        Some(Image { path, release })
    }))
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Ok(Vec::new());
    };
    entries.map(|entry| Ok(entry?.path())).collect()
}

/// The numbers in a name, for comparing versions.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit())
        .filter_map(|part| part.parse().ok())
        .collect()
}
