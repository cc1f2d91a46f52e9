//! Running other programs: quiet while they work, in full when they fail.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::terminal::{Mark, Terminal, clock};

/// How often a waiting line is redrawn.
const REDRAW: Duration = Duration::from_millis(120);
/// How often a log without a terminal says that something still runs.
const STILL_RUNNING: Duration = Duration::from_secs(60);

/// What a program left behind.
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
    pub(crate) standard_output: String,
    pub(crate) elapsed: Duration,
    pub(crate) timed_out: bool,
}

/// A command without what `cargo run` put into this process's environment for this crate: build
/// scripts of others must not see it.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let leaked = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_")
                || name.starts_with("CARGO_MANIFEST_")
                || name == "CARGO_CRATE_NAME"
        });
        if leaked {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Runs a step to its end; its output is shown when it fails, or always with `-v`.
pub(crate) fn step(what: &str, command: &mut Command, terminal: &Terminal) -> Result<Finished> {
    let finished = capture(what, command, None, terminal)?;
    if finished.status.success() {
        terminal.done(Mark::Good, what, clock(finished.elapsed));
        return Ok(finished);
    }
    terminal.done(Mark::Bad, what, finished.status);
    if !terminal.verbose() {
        terminal.line(finished.output.trim_end());
    }
    bail!(
        "{what} failed: `{}` ended with {}",
        describe(command),
        finished.status
    )
}

/// Shows what a program said before it failed, without cargo's list of what went well; unless it was
/// shown while it ran.
pub(crate) fn show_output(finished: &Finished, terminal: &Terminal) {
    const WENT_WELL: [&str; 5] = [
        "Compiling ",
        "Checking ",
        "Downloaded ",
        "Downloading ",
        "Documenting ",
    ];
    if terminal.verbose() {
        return;
    }
    let matters = |line: &&str| {
        !WENT_WELL
            .iter()
            .any(|start| line.trim_start().starts_with(start))
    };
    terminal.line(
        &finished
            .output
            .lines()
            .filter(matters)
            .collect::<Vec<_>>()
            .join("\n"),
    );
}

/// Runs a program and keeps what it prints; `limit` ends one that hangs.
pub(crate) fn capture(
    what: &str,
    command: &mut Command,
    limit: Option<Duration>,
    terminal: &Terminal,
) -> Result<Finished> {
    let started = Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("`{}` cannot be started", describe(command)))?;
    let text = Arc::new(Mutex::new(Output::default()));
    let readers = [
        child
            .stdout
            .take()
            .map(|pipe| follow(pipe, true, &text, terminal.verbose())),
        child
            .stderr
            .take()
            .map(|pipe| follow(pipe, false, &text, terminal.verbose())),
    ];
    let mut said = Instant::now();
    let mut timed_out = false;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        let elapsed = started.elapsed();
        if limit.is_some_and(|limit| elapsed > limit) && !timed_out {
            timed_out = true;
            child
                .kill()
                .with_context(|| format!("`{}` cannot be ended", describe(command)))?;
        }
        if !terminal.verbose() {
            let last = lock(&text).last.clone();
            terminal.running(what, &last, elapsed);
            if !terminal.is_live() && said.elapsed() > STILL_RUNNING {
                said = Instant::now();
                let last: String = last.chars().filter(|c| !c.is_control()).collect();
                terminal.note(format!("{what}: {}, {}", clock(elapsed), last.trim()));
            }
        }
        thread::sleep(if elapsed < REDRAW {
            Duration::from_millis(5)
        } else {
            REDRAW
        });
    };
    // A grandchild that keeps the pipe open must not keep us: after a time-out nobody waits.
    if !timed_out {
        for reader in readers.into_iter().flatten() {
            let _ = reader.join();
        }
    }
    let mut text = lock(&text);
    Ok(Finished {
        status,
        output: std::mem::take(&mut text.all),
        standard_output: std::mem::take(&mut text.standard),
        elapsed: started.elapsed(),
        timed_out,
    })
}

/// True when the program runs and succeeds; nothing is shown.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// What the program prints, when it succeeds.
pub(crate) fn answer(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Where a program is, looked for as a shell does and where Debian puts servers.
pub(crate) fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(Into::into))
        .map(|directory| directory.join(program))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata()
        .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[derive(Default)]
struct Output {
    all: String,
    standard: String,
    last: String,
}

fn follow(
    pipe: impl Read + Send + 'static,
    standard: bool,
    text: &Arc<Mutex<Output>>,
    show: bool,
) -> thread::JoinHandle<()> {
    let text = Arc::clone(text);
    thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut bytes = Vec::new();
        while reader
            .read_until(b'\n', &mut bytes)
            .is_ok_and(|read| read > 0)
        {
            let line = String::from_utf8_lossy(&bytes).into_owned();
            if show {
                eprint!("{line}");
            }
            let mut text = lock(&text);
            text.all.push_str(&line);
            if standard {
                text.standard.push_str(&line);
            }
            if !line.starts_with('{') {
                line.trim_end().clone_into(&mut text.last);
            }
            bytes.clear();
        }
    })
}

fn lock(text: &Mutex<Output>) -> std::sync::MutexGuard<'_, Output> {
    text.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The command as one would type it.
pub(crate) fn describe(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|part| part.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
