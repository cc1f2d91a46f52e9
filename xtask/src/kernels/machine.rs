//! An emulated machine: what it is made up of, and what it printed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::fetch::{Image, Kernel};
use crate::command;
use crate::terminal::Terminal;
use crate::workspace::Workspace;

/// A kind of machine.
pub(super) struct Machine {
    /// Of the emulator, beside [`EVERY`].
    pub(super) options: &'static [&'static str],
    /// On the kernel's command line, beside [`COMMAND_LINE`].
    pub(super) word: &'static str,
    /// One that takes longer is ended.
    pub(super) limit: Duration,
    /// What the name of its console's file ends with, after the kernel's version.
    pub(super) log: &'static str,
}

/// Without the 16-byte compare-and-swap: emulated, it now and then corrupts flags, and the kernel dies in
/// its allocator; without it the kernel takes a lock instead.
const EVERY: [&str; 8] = [
    "-cpu",
    "max,-cx16",
    "-m",
    "1G",
    "-nographic",
    "-no-reboot",
    "-nic",
    "none",
];

const COMMAND_LINE: &str = "console=ttyS0 quiet loglevel=3 panic=-1";

/// What a machine printed before it turned itself off or was ended.
pub(super) struct Console {
    pub(super) text: String,
    /// Where that is kept.
    pub(super) path: PathBuf,
    pub(super) took: Duration,
}

impl Machine {
    /// Boots a kernel and waits until it is over.
    pub(super) fn boot(
        &self,
        kernel: &Kernel,
        image: &Image,
        initrd: &Path,
        workspace: &Workspace,
        terminal: &Terminal,
    ) -> Result<Console> {
        let mut qemu = command::command("qemu-system-x86_64");
        qemu.args(EVERY)
            .args(self.options)
            .arg("-kernel")
            .arg(&image.path)
            .arg("-initrd")
            .arg(initrd)
            .arg("-append")
            .arg(format!("{COMMAND_LINE} {}", self.word).trim_end())
            .current_dir(workspace.root());
        let what = format!("Linux {} in a virtual machine", image.release);
        let finished = command::capture(&what, &mut qemu, Some(self.limit), terminal)?;
        let text = finished.output.replace('\r', "");
        let path = workspace
            .target()
            .join("kernels")
            .join(format!("{}{}.log", kernel.version, self.log));
        fs::write(&path, &text).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Console {
            text,
            path,
            took: finished.elapsed,
        })
    }
}
