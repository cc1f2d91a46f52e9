//! Engine and built-in parsers, and what they make of a capture.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use wirespan_capture::{Clock, ConnectionKey};
use wirespan_runtime::{
    Engine, EngineConfig, Limits, Origin, Output, Parsers, RuntimeCounters, Worker,
};
use wirespan_span::Span;
use wirespan_stream::{Connections, StreamEvent};

use crate::capture::{Capture, Item};

/// Events that go through before the parsers run, as with a replay.
const EVENTS_A_RUN: usize = 1_024;

/// Where the parsers are looked for, as the agent does.
const ARTEFACTS: &str = "WIRESPAN_ARTEFACTS";

/// A span, and the connection that it was seen on.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub key: ConnectionKey,
    pub span: Span,
}

/// Something that happens on the road behind the streams.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Event(StreamEvent),
    Watermark(u64),
}

#[derive(Debug)]
pub struct Road {
    engine: Arc<Engine>,
    parsers: Arc<Parsers>,
}

impl Road {
    /// With all the parsers that `cargo xtask build` has made.
    ///
    /// # Errors
    /// When there are none, or one does not load.
    pub fn new() -> Result<Self> {
        let directory = artefacts()?;
        let engine = Engine::new(&EngineConfig::default())?;
        let mut files: Vec<PathBuf> = std::fs::read_dir(&directory)
            .with_context(|| {
                format!(
                    "reading {}; `cargo xtask build` makes it",
                    directory.display()
                )
            })?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_>>()?;
        files.retain(|file| file.extension().is_some_and(|ending| ending == "wasm"));
        files.sort();
        let mut parsers = Vec::new();
        for file in &files {
            let component =
                std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
            let name = file.file_stem().unwrap_or_default().to_string_lossy();
            parsers.push((engine.load(&name, &component)?, Origin::BuiltIn));
        }
        ensure!(
            !parsers.is_empty(),
            "no parsers in {}; `cargo xtask build` makes them",
            directory.display()
        );
        Ok(Self {
            engine,
            parsers: Arc::new(Parsers::new(parsers)),
        })
    }

    #[must_use]
    pub fn parsers(&self) -> &Parsers {
        &self.parsers
    }

    pub(crate) fn worker(&self, clock: Clock, counters: &Arc<RuntimeCounters>) -> Worker {
        Worker::new(
            Arc::clone(&self.engine),
            Arc::clone(&self.parsers),
            clock,
            Limits::default(),
            Arc::clone(counters),
        )
    }

    /// The spans of a capture, in an order that depends on nothing but the spans.
    ///
    /// # Errors
    /// When a parser fails.
    pub fn spans(&self, capture: &Capture) -> Result<Vec<Told>> {
        self.spans_of_streams(capture.clock, &streams(capture))
    }

    pub(crate) fn spans_of_streams(&self, clock: Clock, steps: &[Step]) -> Result<Vec<Told>> {
        let counters = Arc::new(RuntimeCounters::default());
        let mut worker = self.worker(clock, &counters);
        let mut output = Output::default();
        for run in steps.chunks(EVENTS_A_RUN) {
            for step in run {
                match step {
                    Step::Event(event) => worker.handle(event.clone()),
                    Step::Watermark(time) => worker.advance(*time),
                }
            }
            worker.run(&mut output);
        }
        self.healthy(&counters)?;
        let mut told: Vec<Told> = output
            .spans
            .into_iter()
            .map(|parsed| Told {
                key: parsed.connection.key,
                span: parsed.span,
            })
            .collect();
        told.sort_by_key(|told| (told.span.span_id, told.span.start_unix_nano));
        Ok(told)
    }

    /// No parser has failed.
    pub(crate) fn alive(&self, counters: &RuntimeCounters) -> Result<()> {
        for parser in self.parsers.iter() {
            for (cause, count) in counters.parser(parser.label()).faults() {
                ensure!(count == 0, "{} failed: {cause}", parser.label());
            }
        }
        Ok(())
    }

    /// No parser has failed, and none said what cannot be.
    fn healthy(&self, counters: &RuntimeCounters) -> Result<()> {
        self.alive(counters)?;
        for parser in self.parsers.iter() {
            let of = counters.parser(parser.label());
            for (what, counter) in [
                ("times that cannot be", &of.impossible_times),
                ("text that is not UTF-8", &of.invalid_text),
                ("values beyond their limit", &of.invalid_values),
            ] {
                ensure!(counter.get() == 0, "{} gave {what}", parser.label());
            }
        }
        Ok(())
    }
}

/// What the streams make of a capture.
pub(crate) fn streams(capture: &Capture) -> Vec<Step> {
    let mut connections = Connections::default();
    let (mut events, mut steps) = (Vec::new(), Vec::new());
    let mut last = 0;
    for item in &capture.items {
        match item {
            Item::Event(event) => connections.push(event.clone(), &mut events),
            Item::Watermark(time) => {
                last = *time;
                connections.tick(last, &mut events);
            }
        }
        steps.extend(events.drain(..).map(Step::Event));
        if matches!(item, Item::Watermark(_)) {
            steps.push(Step::Watermark(last));
        }
    }
    connections.finish(last, &mut events);
    steps.extend(events.drain(..).map(Step::Event));
    steps
}

fn artefacts() -> Result<PathBuf> {
    if let Some(directory) = std::env::var_os(ARTEFACTS) {
        return Ok(directory.into());
    }
    // `target/release/program`, or `target/release/deps/test`.
    let program = std::env::current_exe()?;
    program
        .ancestors()
        .map(|above| above.join("artefacts"))
        .find(|directory| Path::is_dir(directory))
        .context("no folder of artefacts above this program; `cargo xtask build` makes it")
}
