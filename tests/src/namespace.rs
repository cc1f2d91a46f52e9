//! A network namespace, with loopback and nothing else: what happens in it touches nobody.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::process::{self, Finished, Running};
use crate::tools;

const LIMIT: Duration = Duration::from_secs(60);

/// Deleted when this is dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    folder: PathBuf,
    ip: PathBuf,
}

impl Namespace {
    /// # Errors
    /// When it cannot be made. Whatever runs in it has its output in `folder`.
    pub fn make(folder: &Path) -> Result<Self> {
        let namespace = Self {
            name: format!("wirespan-{}", std::process::id()),
            folder: folder.to_owned(),
            ip: tools::program("ip")?,
        };
        namespace.ip(&["netns", "add", &namespace.name])?;
        namespace.ip(&["-n", &namespace.name, "link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Gives loopback another address.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn add_address(&self, address: &str) -> Result<()> {
        self.ip(&["-n", &self.name, "address", "add", address, "dev", "lo"])
    }

    /// What goes to `from`, which nobody has, arrives at `to`: an address and a port each.
    ///
    /// # Errors
    /// When `nft` is missing or the kernel cannot.
    pub fn translate(&self, from: (&str, u16), to: (&str, u16)) -> Result<()> {
        let known = ["route", "add", "local", from.0, "dev", "lo", "src", to.0];
        self.ip(&[&["-n", &self.name], &known[..]].concat())?;
        let rules = self.folder.join("rules.nft");
        std::fs::write(
            &rules,
            format!(
                "table ip translation {{ chain output {{ type nat hook output priority -100; \
                 ip daddr {} tcp dport {} dnat to {}:{}; }}\n}}\n",
                from.0, from.1, to.0, to.1
            ),
        )?;
        let finished = self.run(
            &tools::program("nft")?,
            ["-f".into(), rules.into_os_string()],
        )?;
        ensure!(finished.status.success(), "nft: {}", finished.errors);
        Ok(())
    }

    /// Runs a program in it to its end. Its process id is the program's own.
    ///
    /// # Errors
    /// When it cannot be started or does not end.
    pub fn run(
        &self,
        program: &Path,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Finished> {
        let all = self.within(program, arguments);
        process::run(&self.folder, &self.ip, all, LIMIT)
    }

    /// Starts a program in it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        &self,
        program: &Path,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Running> {
        let all = self.within(program, arguments);
        Running::start(&self.folder, &self.ip, all, &[])
    }

    fn within(
        &self,
        program: &Path,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Vec<OsString> {
        let mut all: Vec<OsString> = ["netns", "exec", &self.name].map(Into::into).into();
        all.push(program.into());
        all.extend(arguments);
        all
    }

    fn ip(&self, arguments: &[&str]) -> Result<()> {
        let finished = process::run(&self.folder, &self.ip, arguments, LIMIT)?;
        ensure!(
            finished.status.success(),
            "ip {}: {}",
            arguments.join(" "),
            finished.errors
        );
        Ok(())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // It goes with the last process in it.
        let _ = self.ip(&["netns", "delete", &self.name]);
    }
}
