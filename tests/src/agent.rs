//! The agent as a user starts it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::{Finished, Running};
use crate::{Span, process, tools, wait};

/// Loading the probes and compiling the parsers for the first time, on a busy machine.
const READY: Duration = Duration::from_secs(180);

/// A span leaves within a fraction of a second of its last byte; the rest is for busy machines.
const SPANS: Duration = Duration::from_secs(15);

/// A call that is in flight has passed bytes that are in no book yet, and plaintext waits for its socket for
/// ten seconds.
const BOOKS: Duration = Duration::from_secs(30);

/// Counters that tell of losses.
const LOSSES: [&str; 3] = [
    "wirespan_capture_",
    "wirespan_queue_",
    "wirespan_stream_gap_bytes",
];

/// Bytes that the books lack, once no call is in flight: none, whatever else goes on.
const MISSING: [&str; 2] = [
    "wirespan_capture_kernel_unaccounted_bytes",
    "wirespan_conservation_difference",
];

/// Bytes on their way from the kernel to the parsers: none, once all is quiet.
const UNDER_WAY: [&str; 2] = [
    "wirespan_capture_waiting_bytes",
    "wirespan_queue_waiting_bytes",
];

/// After the last expected span: time for one that nobody expects to show itself.
const SETTLE: Duration = Duration::from_millis(500);

/// `wirespan run`, with its spans as JSON lines on standard output.
#[derive(Debug)]
pub struct Agent {
    process: Running,
    folder: TempDir,
    metrics_port: u16,
    /// It watches some ports, and nobody uses those but the test.
    only_ports: bool,
}

/// What an agent has left behind.
#[derive(Debug)]
pub struct Stopped {
    pub finished: Finished,
    pub spans: Vec<Span>,
    /// Its metrics page just before it was stopped, where somebody waited for spans.
    pub metrics: String,
}

impl Agent {
    /// Watches connections with one of `ports` at either end, and returns when it does.
    ///
    /// # Errors
    /// When it does not start.
    pub fn watching(ports: &[u16]) -> Result<Self> {
        let arguments = ports
            .iter()
            .flat_map(|port| ["--port".to_owned(), port.to_string()]);
        Self::run(arguments.collect::<Vec<_>>())
    }

    /// `wirespan run` with more arguments.
    ///
    /// # Errors
    /// When it does not start.
    pub fn run<S: Into<OsString>>(arguments: impl IntoIterator<Item = S>) -> Result<Self> {
        Self::start("json", arguments)
    }

    /// `wirespan run` that only publishes.
    ///
    /// # Errors
    /// When it does not start.
    pub fn publishing(nats: &str, ports: &[u16]) -> Result<Self> {
        let ports = ports
            .iter()
            .flat_map(|port| ["--port".to_owned(), port.to_string()]);
        Self::start(
            "none",
            ["--nats".to_owned(), nats.to_owned()]
                .into_iter()
                .chain(ports),
        )
    }

    /// `wirespan run` that parses everything and prints nothing.
    ///
    /// # Errors
    /// When it does not start.
    pub fn quiet<S: Into<OsString>>(arguments: impl IntoIterator<Item = S>) -> Result<Self> {
        Self::start("none", arguments)
    }

    fn start<S: Into<OsString>>(
        output: &str,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("wirespan-agent-")
            .tempdir()?;
        let metrics_port = tools::free_port()?;
        let metrics = format!("127.0.0.1:{metrics_port}");
        let mut all: Vec<OsString> = ["run", "--output", output, "--metrics", &metrics]
            .map(Into::into)
            .to_vec();
        all.extend(arguments.into_iter().map(Into::into));
        let only_ports = all.iter().any(|argument| argument == "--port");
        let mut process = Running::start(folder.path(), &tools::wirespan()?, all, &[])?;
        wait_watching(&mut process)?;
        Ok(Self {
            process,
            folder,
            metrics_port,
            only_ports,
        })
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    #[must_use]
    pub fn metrics_port(&self) -> u16 {
        self.metrics_port
    }

    /// Spans so far.
    ///
    /// # Errors
    /// When a line is not a span.
    pub fn spans(&self) -> Result<Vec<Span>> {
        Span::parse_lines(&self.process.output()?)
    }

    /// Waits for `count` spans, and a little longer for any that should not be there; then stops.
    /// That fewer came is for the caller to see from the spans.
    ///
    /// # Errors
    /// When the agent fails or does not stop.
    pub fn stop_after(self, count: usize) -> Result<Stopped> {
        let start = Instant::now();
        while self.spans()?.len() < count && start.elapsed() < SPANS {
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(SETTLE);
        self.assert_books()?;
        let metrics = metrics(self.metrics_port)?;
        // Shown where the test fails: whether something was lost on the way, and where.
        for line in metrics.lines().filter(|line| !line.ends_with(" 0")) {
            if LOSSES.iter().any(|name| line.starts_with(name)) {
                println!("{line}");
            }
        }
        let stopped = self.stop(Signal::TERM)?;
        Ok(Stopped { metrics, ..stopped })
    }

    /// Every byte that passed is in one of the books, from the kernel side to the parsers, and each book
    /// agrees with the next.
    ///
    /// # Errors
    /// When bytes are unaccounted for once nothing is in flight any more.
    pub fn assert_books(&self) -> Result<()> {
        let mut last = Vec::new();
        let balanced = wait::until("every byte is accounted for", BOOKS, || {
            let metrics = metrics(self.metrics_port)?;
            last.clear();
            // An agent that watches everything sees whoever asks it, too.
            let others = if self.only_ports { &UNDER_WAY[..] } else { &[] };
            for name in MISSING.iter().chain(others) {
                last.push((*name, metric(&metrics, name)?));
            }
            Ok(last.iter().all(|(_, bytes)| *bytes == 0.0).then_some(()))
        });
        balanced.with_context(|| format!("left over: {last:?}"))
    }

    /// # Errors
    /// When the agent does not stop, or with another status than 0.
    pub fn stop(self, signal: Signal) -> Result<Stopped> {
        let finished = self.process.stop(signal)?;
        ensure!(
            finished.status.success(),
            "the agent ended with {}: {}",
            finished.status,
            finished.errors
        );
        adds_up(&finished)?;
        let spans = Span::parse_lines(&finished.output)?;
        Ok(Stopped {
            finished,
            spans,
            metrics: String::new(),
        })
    }

    /// SIGKILL: nothing is drained.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(self) -> Result<Finished> {
        self.process.stop(Signal::KILL)
    }
}

/// `wirespan record`.
#[derive(Debug)]
pub struct Recorder {
    process: Running,
    pub file: PathBuf,
    folder: TempDir,
}

impl Recorder {
    /// # Errors
    /// When it does not start.
    pub fn watching(ports: &[u16]) -> Result<Self> {
        let arguments = ports
            .iter()
            .flat_map(|port| ["--port".to_owned(), port.to_string()]);
        Self::run(arguments.collect::<Vec<_>>())
    }

    /// `wirespan record` with more arguments.
    ///
    /// # Errors
    /// When it does not start.
    pub fn run<S: Into<OsString>>(more: impl IntoIterator<Item = S>) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("wirespan-recorder-")
            .tempdir()?;
        let file = folder.path().join("traffic.wsrec");
        let mut arguments: Vec<OsString> =
            vec!["record".into(), "--output".into(), file.clone().into()];
        arguments.extend(more.into_iter().map(Into::into));
        let mut process = Running::start(folder.path(), &tools::wirespan()?, arguments, &[])?;
        wait_watching(&mut process)?;
        Ok(Self {
            process,
            file,
            folder,
        })
    }

    /// Stops it; the file lives as long as the folder that is given back.
    ///
    /// # Errors
    /// When it does not stop, or with another status than 0.
    pub fn stop(self, signal: Signal) -> Result<(PathBuf, TempDir)> {
        // What is in the rings is drained at the end; what the kernel has not run yet is not.
        std::thread::sleep(SETTLE);
        let finished = self.process.stop(signal)?;
        ensure!(
            finished.status.success(),
            "the recorder ended with {}: {}",
            finished.status,
            finished.errors
        );
        // Shown where the test fails: whether it is complete.
        println!("{}", finished.errors.trim_end());
        Ok((self.file, self.folder))
    }
}

fn wait_watching(process: &mut Running) -> Result<()> {
    process.wait_ready("the probes are attached", READY, |process| {
        Ok(process.errors()?.contains("watching"))
    })
}

/// `wirespan` with any arguments, to its end.
///
/// # Errors
/// When it cannot be started or does not end in time.
pub fn wirespan<S: Into<OsString>>(arguments: impl IntoIterator<Item = S>) -> Result<Finished> {
    let folder = tempfile::tempdir()?;
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    process::run(folder.path(), &tools::wirespan()?, arguments, READY)
}

/// Every byte and every span is accounted for, as the program itself has found.
pub(crate) fn adds_up(finished: &Finished) -> Result<()> {
    ensure!(
        !finished.errors.contains("do not add up"),
        "the laws of conservation are broken: {}",
        finished.errors
    );
    Ok(())
}

/// `wirespan replay -o json FILE`.
///
/// # Errors
/// When it fails.
pub fn replay(file: &Path) -> Result<Vec<Span>> {
    replay_with(file, &[])
}

/// [`replay`] with further options.
///
/// # Errors
/// As there.
pub fn replay_with(file: &Path, options: &[&str]) -> Result<Vec<Span>> {
    let mut arguments: Vec<OsString> = vec![
        "replay".into(),
        "--output".into(),
        "json".into(),
        file.into(),
    ];
    arguments.extend(options.iter().map(OsString::from));
    let finished = wirespan(arguments)?;
    ensure!(
        finished.status.success(),
        "replay ended with {}: {}",
        finished.status,
        finished.errors
    );
    adds_up(&finished)?;
    Span::parse_lines(&finished.output).context("spans of a replay")
}

/// A counter or gauge of the agent's metrics, all label sets added up.
///
/// # Errors
/// When the metrics cannot be read.
pub fn metric(text: &str, name: &str) -> Result<f64> {
    let lines = text.lines().filter(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with([' ', '{']))
    });
    lines
        .map(|line| {
            line.rsplit(' ')
                .next()
                .unwrap_or_default()
                .parse::<f64>()
                .context("a metric's value")
        })
        .sum()
}

/// The text of an agent's metrics page, by curl.
///
/// # Errors
/// When it cannot be fetched.
pub fn metrics(port: u16) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let url = format!("http://127.0.0.1:{port}/metrics");
    wait::until("the metrics page", Duration::from_secs(5), || {
        let fetched = process::run(
            folder.path(),
            &tools::program("curl")?,
            ["-sS", "--max-time", "5", &url],
            Duration::from_secs(10),
        )?;
        Ok(fetched.status.success().then_some(fetched.output))
    })
}
