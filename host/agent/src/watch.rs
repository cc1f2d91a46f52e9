//! Puts the parts of a running agent together.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wirespan_capture::live::{Counter, LiveConfig, LiveReport, LiveSource, features};
use wirespan_capture::recording::{RecordingWriter, Totals};
use wirespan_capture::{Clock, Nanos, PcapngWriter, Progress, Said, SocketEvent, Source};
use wirespan_sink::{JsonLines, SinkHandle, spawn};
use wirespan_sink_nats::{NatsConfig, NatsSink};
use wirespan_sink_terminal::TerminalSink;

use crate::artefacts::Artefacts;
use crate::config::{Config, MetricsListen, SINK_QUEUE_SPANS};
use crate::counters::AgentCounters;
use crate::error::AgentError;
use crate::exposition::Exposition;
use crate::filter::Filter;
use crate::metrics::MetricsServer;
use crate::run::{RunSummary, run};
use crate::sandbox::Sandbox;

/// How often a recording looks whether it is to end.
const RECORD_POLL: Duration = Duration::from_millis(100);

/// Rounds over the rings after the stop of a recording.
const RECORD_LAST_ROUNDS: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandardOutput {
    /// Live table.
    Table,
    JsonLines,
    Nothing,
}

/// What has been started, for the line that says so.
#[derive(Debug)]
pub struct Started {
    pub report: LiveReport,
    /// Names and versions of the parsers.
    pub parsers: Vec<String>,
    pub nats: Option<String>,
    pub metrics: Option<SocketAddr>,
    pub warnings: Vec<String>,
}

/// `wirespan run`. `at_rest` is called by threads that have come to rest, and may give back to the kernel what
/// they have freed.
///
/// # Errors
/// When something cannot be started, or the capture cannot go on.
pub fn watch(
    config: &Config,
    artefacts: &Artefacts,
    output: StandardOutput,
    stop: &AtomicBool,
    ready: impl FnOnce(&Started),
    at_rest: fn(),
) -> Result<RunSummary, AgentError> {
    config.check()?;
    features::require()?;
    let sandbox = Sandbox::new(config, artefacts)?;
    let mut warnings = Vec::new();
    let mut sinks = Vec::new();
    match output {
        StandardOutput::Table => sinks.push(sink(TerminalSink::new())?),
        StandardOutput::JsonLines => {
            sinks.push(sink(JsonLines::new(io::stdout(), "standard output"))?)
        }
        StandardOutput::Nothing => {}
    }
    let mut monitor = None;
    if let Some(nats) = nats_config(config)? {
        let connected = NatsSink::connect(nats)?;
        monitor = Some(connected.monitor());
        sinks.push(sink(connected)?);
    }
    let (source, report) = LiveSource::open(&live_config(config, artefacts)?)?;
    let counters = Arc::new(AgentCounters::default());
    let exposition = Exposition {
        capture: source.counters(),
        agent: Arc::clone(&counters),
        runtime: Arc::clone(sandbox.counters()),
        sinks: sinks.clone(),
        nats: monitor,
    };
    let metrics = start_metrics(config, exposition, &mut warnings)?;
    let host_name = host_name();
    let lanes = (0..config.worker_count())
        .map(|_| sandbox.lane(source.clock(), host_name.as_deref(), config))
        .collect::<Result<Vec<_>, _>>()?;
    let filter = Filter::new(
        &config.capture,
        metrics.as_ref().map(MetricsServer::address),
    );
    ready(&Started {
        report,
        parsers: sandbox
            .parsers()
            .iter()
            .map(|p| p.label().to_owned())
            .collect(),
        nats: config.nats.url.clone(),
        metrics: metrics.as_ref().map(MetricsServer::address),
        warnings,
    });
    run(
        Box::new(source),
        lanes,
        filter,
        &sinks,
        &counters,
        stop,
        at_rest,
    )
}

fn sink(sink: impl wirespan_sink::Sink + 'static) -> Result<Arc<SinkHandle>, AgentError> {
    spawn(sink, SINK_QUEUE_SPANS)
        .map(Arc::new)
        .map_err(AgentError::Thread)
}

fn nats_config(config: &Config) -> Result<Option<NatsConfig>, AgentError> {
    let nats = &config.nats;
    let Some(url) = &nats.url else {
        return Ok(None);
    };
    let servers = url
        .split(',')
        .map(|server| server.trim().to_owned())
        .collect();
    let mut wanted = NatsConfig {
        servers,
        ..NatsConfig::default()
    };
    wanted.encoding = nats.encoding()?;
    if let Some(cluster) = &nats.cluster {
        wanted.cluster.clone_from(cluster);
    }
    wanted.credentials_file.clone_from(&nats.credentials);
    wanted.retry_on_initial_connect = nats.retry;
    Ok(Some(wanted))
}

fn live_config(config: &Config, artefacts: &Artefacts) -> Result<LiveConfig, AgentError> {
    let mut live = LiveConfig::new(artefacts.probes()?.into_owned());
    live.tls = config.tls.enabled;
    live.deny = config.tls.deny_list();
    live.calls = config.call_places()?;
    live.rings_bytes = u64::from(config.capture.ring_mib) << 20;
    live.pids.clone_from(&config.capture.pids);
    live.ports.clone_from(&config.capture.ports);
    live.containers.clone_from(&config.capture.containers);
    Ok(live)
}

fn start_metrics(
    config: &Config,
    exposition: Exposition,
    warnings: &mut Vec<String>,
) -> Result<Option<MetricsServer>, AgentError> {
    let render = Arc::new(move || exposition.render());
    match config.metrics_listen()? {
        MetricsListen::Off => Ok(None),
        MetricsListen::Explicit(address) => MetricsServer::start(address, render).map(Some),
        MetricsListen::Default(address) => match MetricsServer::start(address, render) {
            Ok(server) => Ok(Some(server)),
            Err(error) => {
                warnings.push(error.to_string());
                Ok(None)
            }
        },
    }
}

/// The node's name as the kernel has it.
fn host_name() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// What `wirespan record` writes; at least one.
#[derive(Clone, Debug, Default)]
pub struct RecordFiles {
    pub recording: Option<PathBuf>,
    /// Packets made up of the same.
    pub pcapng: Option<PathBuf>,
}

/// What a recording has come to.
#[derive(Clone, Copy, Debug)]
pub struct Recorded {
    pub totals: Totals,
    /// Records that found no room in the rings: of what only they told nothing is in the files.
    pub lost_records: u64,
    /// Bytes of those, and of others that are in the files without them.
    pub lost_bytes: u64,
}

struct Writers {
    recording: Option<RecordingWriter>,
    packets: Option<PcapngWriter>,
}

impl Writers {
    fn create(files: &RecordFiles, clock: Clock) -> Result<Self, AgentError> {
        let recording = files.recording.as_ref();
        let packets = files.pcapng.as_ref();
        Ok(Self {
            recording: recording
                .map(|path| RecordingWriter::create(path, clock))
                .transpose()?,
            packets: packets
                .map(|path| PcapngWriter::create(path, clock))
                .transpose()?,
        })
    }

    fn write(&mut self, events: &[SocketEvent], watermark: Nanos) -> Result<(), AgentError> {
        if let Some(recording) = &mut self.recording {
            recording.write(events)?;
            recording.set_watermark(watermark);
        }
        if let Some(packets) = &mut self.packets {
            packets.write(events)?;
        }
        Ok(())
    }

    fn finish(self) -> Result<Totals, AgentError> {
        let recording = self.recording.map(RecordingWriter::finish).transpose()?;
        let packets = self.packets.map(PcapngWriter::finish).transpose()?;
        Ok(recording.or(packets).unwrap_or_default())
    }
}

/// `wirespan record`: everything that passes, into files.
///
/// # Errors
/// When the capture or the file cannot be opened, or the file cannot be written.
pub fn record(
    config: &Config,
    artefacts: &Artefacts,
    files: &RecordFiles,
    duration: Option<Duration>,
    stop: &AtomicBool,
    ready: impl FnOnce(&Started),
) -> Result<Recorded, AgentError> {
    config.check()?;
    features::require()?;
    let mut live = live_config(config, artefacts)?;
    live.copy_all = true;
    let (mut source, report) = LiveSource::open(&live)?;
    let mut writer = Writers::create(files, source.clock())?;
    let mut filter = Filter::new(&config.capture, None);
    ready(&Started {
        report,
        parsers: Vec::new(),
        nats: None,
        metrics: None,
        warnings: Vec::new(),
    });
    let end = duration.map(|d| Instant::now() + d);
    let verdicts = source.verdicts();
    let mut events = Vec::new();
    let mut last_rounds = RECORD_LAST_ROUNDS;
    loop {
        let stopping = stop.load(Ordering::Relaxed) || end.is_some_and(|end| Instant::now() >= end);
        let wait = if stopping {
            source.hold_back()
        } else {
            RECORD_POLL
        };
        let progress = source.poll(wait, &mut events)?;
        events.retain(|event| filter.admits(event, |key| verdicts.set(Said::ignored(key))));
        writer.write(&events, source.watermark())?;
        events.clear();
        if stopping {
            last_rounds = last_rounds.saturating_sub(1);
            if progress != Progress::More || last_rounds == 0 {
                break;
            }
        }
    }
    let counters = source.counters();
    drop(source);
    let lost = [Counter::RingFullBytes, Counter::RingShortenedBytes];
    Ok(Recorded {
        totals: writer.finish()?,
        lost_records: counters.kernel(Counter::RingFull),
        lost_bytes: lost.map(|counter| counters.kernel(counter)).iter().sum(),
    })
}
