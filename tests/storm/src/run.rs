//! One storm: the actor in a process of its own, the observer here.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use wirespan_capture::live::CallPlaces;

use crate::observer::{Observer, Report};
use crate::pace;

/// Where the kernel side lies, as for every test.
const ARTEFACTS: &str = "WIRESPAN_ARTEFACTS";

/// How long after the last call the capture may take to have all.
const SETTLE: Duration = Duration::from_secs(30);

/// What kind of storm.
#[derive(Clone, Debug)]
pub struct Storm {
    pub actor: PathBuf,
    pub seed: u64,
    pub operations: u64,
    /// Processes that act at the same time.
    pub workers: u64,
    pub huge_bytes: usize,
    pub rings_bytes: u64,
    /// Where calls are looked at.
    pub calls: CallPlaces,
    /// The rings are too small on purpose: reports may be lost, and the positions must tell.
    pub tight: bool,
}

/// The kernel side's object.
///
/// # Errors
/// It has not been built.
pub fn object() -> Result<Vec<u8>> {
    let directory = std::env::var_os(ARTEFACTS).map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/artefacts"),
        PathBuf::from,
    );
    let path = directory.join("probes.o");
    std::fs::read(&path)
        .with_context(|| format!("{} cannot be read: run `cargo xtask build`", path.display()))
}

/// Runs it to its end.
///
/// # Errors
/// The actor or the capture fails. What differs is in the report.
pub fn run(storm: &Storm) -> Result<Report> {
    let directory = tempfile::tempdir()?;
    let journal = directory.path().join("journal");
    File::create(&journal)?;
    let mut actor = Command::new(&storm.actor)
        .arg(directory.path())
        .arg(&journal)
        .args([storm.seed, storm.operations, storm.workers].map(|number| number.to_string()))
        .arg(storm.huge_bytes.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("{} cannot be started", storm.actor.display()))?;
    let mut line = String::new();
    let output = actor.stdout.take().context("the actor's output")?;
    BufReader::new(output).read_line(&mut line)?;
    ensure!(
        line == "ready\n",
        "the actor did not begin: it says {line:?}"
    );

    let mut observer = Observer::start(object()?, &journal, storm)?;
    let mut start = actor.stdin.take().context("the actor's input")?;
    start.write_all(b"go\n")?;
    let status = loop {
        observer.step(Duration::from_millis(20))?;
        if !storm.tight {
            pace::tell(&journal, observer.progress())?;
        }
        if let Some(status) = actor.try_wait()? {
            break status;
        }
    };
    let ended = Instant::now();
    // What the probes saw last is still on its way, and some ends are found out a little later.
    loop {
        observer.step(Duration::from_millis(100))?;
        let settled = ended.elapsed() > Duration::from_millis(500);
        // Asked in any case: it reads what the actor has written last. With rings that are too small the
        // report of an end can be lost too.
        let all = observer.unfinished()? == 0 || storm.tight;
        if (settled && all) || ended.elapsed() > SETTLE {
            break;
        }
    }
    let mut report = observer.finish();
    if !status.success() {
        let what = format!("the actor itself failed: {status}");
        report.differences.insert(0, what);
    }
    Ok(report)
}
