//! The road of the agent from socket events to spans, without kernel and sinks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use wirespan_agent::{Enricher, Lane};
use wirespan_capture::{
    Clock, ConnectionKey, Data, Direction, Layer, Missing, Open, Role, SocketEvent, Transport,
};
use wirespan_native::traffic::{Traffic, Turn};
use wirespan_route::Routes;
use wirespan_runtime::{
    Engine, EngineConfig, Limits, Origin, Output, Parsers, RuntimeCounters, Worker,
};
use wirespan_span::Redactor;
use wirespan_stream::{Connections, StreamEvent};

use crate::report::target_folder;

/// Events that the ring gives a busy agent at once, in its 2 ms.
const DRAINED: usize = 256;

/// A parser, compiled and ready.
pub(crate) struct Sandbox {
    pub(crate) engine: Arc<Engine>,
    parsers: Arc<Parsers>,
}

/// How far the road goes that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Road {
    /// To the spans of the parsers.
    Parsed,
    /// To spans that may leave the node: with identity, route and summary, and redacted.
    Ready,
}

/// What came of a recording.
pub(crate) struct Done {
    pub(crate) spans: u64,
    /// CPU time of the parser's calls, with the crossing of the boundary.
    pub(crate) calls: Duration,
}

impl Sandbox {
    /// With `WIRESPAN_BENCH_PERF_MAP=1`, `perf record` sees the parser's functions by name.
    pub(crate) fn load(parser: &str) -> Result<Self> {
        let file = target_folder()?.join(format!("artefacts/{parser}.wasm"));
        let component = std::fs::read(&file)
            .with_context(|| format!("reading {}; `cargo xtask build` makes it", file.display()))?;
        let engine = Engine::new(&EngineConfig {
            perf_map: std::env::var_os("WIRESPAN_BENCH_PERF_MAP").is_some_and(|value| value == "1"),
            ..EngineConfig::default()
        })?;
        let parser = engine.load(parser, &component)?;
        Ok(Self {
            engine,
            parsers: Arc::new(Parsers::new(vec![(parser, Origin::BuiltIn)])),
        })
    }

    pub(crate) fn worker(&self, limits: Limits) -> Worker {
        Worker::new(
            Arc::clone(&self.engine),
            Arc::clone(&self.parsers),
            Clock {
                capture_id: 1,
                unix_offset: 0,
            },
            limits,
            Arc::new(RuntimeCounters::default()),
        )
    }

    /// All of a recording, in portions as the ring gives them.
    pub(crate) fn run(&self, events: Vec<SocketEvent>, limits: Limits, road: Road) -> Done {
        let mut worker = self.worker(limits);
        worker.measure_calls();
        match road {
            Road::Parsed => parse(events, worker),
            Road::Ready => finish(events, worker),
        }
    }
}

fn parse(events: Vec<SocketEvent>, mut worker: Worker) -> Done {
    let (mut streams, mut ordered) = (Connections::default(), Vec::<StreamEvent>::new());
    let (mut output, mut spans) = (Output::default(), 0);
    let mut events = events.into_iter().peekable();
    while events.peek().is_some() {
        for event in events.by_ref().take(DRAINED) {
            streams.push(event, &mut ordered);
            ordered.drain(..).for_each(|event| worker.handle(event));
        }
        worker.run(&mut output);
        spans += output.spans.drain(..).count() as u64;
        output.verdicts.clear();
    }
    Done {
        spans,
        calls: worker.calls_time(),
    }
}

fn finish(events: Vec<SocketEvent>, worker: Worker) -> Done {
    let mut lane = Lane::new(
        Connections::default(),
        worker,
        Enricher::new(Some("node-7")),
        Some(Arc::new(Routes::default())),
        Redactor::default(),
    );
    let mut spans = 0;
    let mut events = events.into_iter().peekable();
    while events.peek().is_some() {
        events
            .by_ref()
            .take(DRAINED)
            .for_each(|event| lane.push(event));
        lane.run(|_| spans += 1, |_| {});
    }
    Done {
        spans,
        calls: lane.worker().calls_time(),
    }
}

/// Ordering alone.
pub(crate) fn through_streams(events: Vec<SocketEvent>) {
    let (mut streams, mut ordered) = (Connections::default(), Vec::new());
    for event in events {
        streams.push(event, &mut ordered);
        ordered.clear();
    }
}

/// What a server's end shows when a connection comes.
pub(crate) fn open(connection: usize, traffic: Traffic) -> SocketEvent {
    let client = u16::try_from(10_000 + connection % 50_000).unwrap_or(0);
    SocketEvent::Open(Box::new(Open {
        key: key(connection),
        time: 1,
        transport: Transport::Tcp,
        local: Some(SocketAddr::from(([10, 0, 0, 1], traffic.port))),
        remote: Some(SocketAddr::from(([10, 0, 0, 2], client))),
        role: Some(Role::Server),
        positions: [Some(0), Some(0)],
        mid_stream: false,
        process: None,
        cgroup_id: 0,
        network_namespace: 0,
    }))
}

pub(crate) fn data(turn: Turn) -> SocketEvent {
    SocketEvent::Data(Data {
        key: key(turn.connection),
        direction: if turn.from_client {
            Direction::Received
        } else {
            Direction::Sent
        },
        layer: Layer::Socket,
        position: turn.position,
        len: turn.bytes.len() as u64,
        bytes: turn.bytes.into(),
        entry: turn.time,
        exit: turn.time,
        missing: Missing::default(),
    })
}

fn key(connection: usize) -> ConnectionKey {
    ConnectionKey {
        socket: 0xffff_8880_0000_0000 + connection as u64 * 2_048,
        generation: connection as u64 + 1,
    }
}
