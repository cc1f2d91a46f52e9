//! Processes that end with their fixture.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{tools, wait};

/// Time a process gets to end by itself before it is killed: what a cluster gives it, unless told otherwise.
/// An agent detaches its probes one after the other, each with a grace period of the kernel.
const GRACE: Duration = Duration::from_secs(30);

/// The same after SIGKILL: what a process held in the kernel is let go of by the kernel alone, one after the
/// other, where an agent does it with many threads.
pub const KILLED_GRACE: Duration = Duration::from_secs(60);

/// A process of ours, with its output in files. Ends when this is dropped, and also when the
/// thread that started it ends (`PR_SET_PDEATHSIG`, by way of `setpriv`).
#[derive(Debug)]
pub struct Running {
    child: Child,
    name: String,
    output: PathBuf,
    errors: PathBuf,
}

/// How a process has ended, and what it said.
#[derive(Debug)]
pub struct Finished {
    pub pid: u32,
    pub status: ExitStatus,
    pub output: String,
    pub errors: String,
}

impl Running {
    /// Starts `program` with its output in `folder`. When this process dies, it gets SIGTERM.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start<S: AsRef<OsStr>>(
        folder: &Path,
        program: &Path,
        arguments: impl IntoIterator<Item = S>,
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let mut command = Command::new(tools::program("setpriv")?);
        command
            .args(["--pdeathsig", "TERM", "--"])
            .arg(program)
            .args(arguments)
            .envs(environment.iter().copied());
        Self::spawn(folder, program, command)
    }

    /// Starts `command` as it is, which is to become `program` without a fork.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(folder: &Path, program: &Path, command: Command) -> Result<Self> {
        Self::spawn_reading(folder, program, command, Stdio::null())
    }

    /// As [`Self::spawn`], with a standard input.
    ///
    /// # Errors
    /// As there.
    pub fn spawn_reading(
        folder: &Path,
        program: &Path,
        mut command: Command,
        input: Stdio,
    ) -> Result<Self> {
        let name = program
            .file_name()
            .unwrap_or(program.as_os_str())
            .to_string_lossy()
            .into_owned();
        // Not the pid, which is not known yet: a fixture can start the same program twice.
        let stem = tempfile::Builder::new()
            .prefix(&format!("{name}-"))
            .suffix(".out")
            .tempfile_in(folder)?
            .into_temp_path()
            .keep()?;
        let errors = stem.with_extension("err");
        let child = command
            .stdin(input)
            .stdout(File::create(&stem)?)
            .stderr(File::create(&errors)?)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self {
            child,
            name,
            output: stem,
            errors,
        })
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard output so far.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn output(&self) -> Result<String> {
        read(&self.output)
    }

    /// What it has written to standard error so far.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn errors(&self) -> Result<String> {
        read(&self.errors)
    }

    /// Waits until `ready` says so.
    ///
    /// # Errors
    /// When the process ends before, or `limit` passes; with what it wrote to standard error.
    pub fn wait_ready(
        &mut self,
        what: &str,
        limit: Duration,
        mut ready: impl FnMut(&Self) -> Result<bool>,
    ) -> Result<()> {
        let waited = wait::until(what, limit, || {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status} before: {what}", self.name);
            }
            Ok(ready(self)?.then_some(()))
        });
        waited.with_context(|| format!("{} said: {}", self.name, self.errors().unwrap_or_default()))
    }

    /// # Errors
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        send(self.pid(), signal)
    }

    /// Waits until the process ends by itself.
    ///
    /// # Errors
    /// When it does not within `limit`; then it is killed.
    pub fn finish(mut self, limit: Duration) -> Result<Finished> {
        let name = self.name.clone();
        let status = wait::until(&format!("the end of {name}"), limit, || {
            Ok(self.child.try_wait()?)
        })
        .with_context(|| format!("{name} said: {}", self.errors().unwrap_or_default()))?;
        Ok(Finished {
            pid: self.pid(),
            status,
            output: self.output()?,
            errors: self.errors()?,
        })
    }

    /// Sends `signal` and waits for the end.
    ///
    /// # Errors
    /// When it does not end within the grace.
    pub fn stop(self, signal: Signal) -> Result<Finished> {
        self.signal(signal)?;
        self.finish(if signal == Signal::KILL {
            KILLED_GRACE
        } else {
            GRACE
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let _ = self.signal(Signal::TERM);
        if wait::until("its end", GRACE, || Ok(self.child.try_wait()?)).is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Runs a program to its end.
///
/// # Errors
/// When it cannot be started, or has not ended within `limit`. Its status is the caller's to judge.
pub fn run<S: AsRef<OsStr>>(
    folder: &Path,
    program: &Path,
    arguments: impl IntoIterator<Item = S>,
    limit: Duration,
) -> Result<Finished> {
    let mut command = Command::new(program);
    command.args(arguments);
    Running::spawn(folder, program, command)?.finish(limit)
}

/// Processes whose parent is `pid`.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn children(pid: u32) -> Result<Vec<u32>> {
    let listed = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .context("children of a process")?;
    listed
        .split_whitespace()
        .map(|child| child.parse().context("a process id"))
        .collect()
}

fn send(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .context("a process id")?;
    kill_process(pid, signal).context("sending a signal")
}

/// Servers may write what is not UTF-8.
fn read(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
