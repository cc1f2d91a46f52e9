//! A component made from text, and a bench to run it on.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use wirespan_capture::{Clock, ConnectionKey, Verdict};
use wirespan_runtime::{
    Engine, EngineConfig, Limits, Origin, Output, ParsedSpan, Parser, ParserCounters, Parsers,
    RuntimeCounters, Worker,
};
use wirespan_stream::{
    ConnectionInfo, Direction, GapCause, Role, StreamClose, StreamEvent, Transport,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

pub(crate) const GUEST: &str = include_str!("guest.wat");

/// What a test changes of the guest.
#[derive(Clone)]
pub(crate) struct Guest {
    pub(crate) name: &'static str,
    pub(crate) describe: &'static str,
    pub(crate) start: &'static str,
    pub(crate) stamp: Option<&'static str>,
}

impl Default for Guest {
    fn default() -> Self {
        Self {
            name: "test",
            describe: "",
            start: "",
            stamp: Some("0.1"),
        }
    }
}

impl Guest {
    pub(crate) fn component(&self) -> Vec<u8> {
        let text = GUEST
            .replace("$NAME_LEN", &self.name.len().to_string())
            .replace("$NAME", self.name)
            .replace("$DESCRIBE", self.describe)
            .replace("$START", self.start);
        let mut component = encode(&text);
        if let Some(stamp) = self.stamp {
            add_section(&mut component, "wirespan:parser", stamp.as_bytes());
        }
        component
    }
}

pub(crate) fn encode(text: &str) -> Vec<u8> {
    let mut module = wat::parse_str(text).unwrap();
    let mut resolve = wit_parser::Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../parsers-wit/v0.1");
    let (package, _) = resolve.push_path(wit).unwrap();
    let world = resolve.select_world(&[package], Some("parser")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
    ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .unwrap()
        .encode()
        .unwrap()
}

pub(crate) fn add_section(component: &mut Vec<u8>, name: &str, data: &[u8]) {
    component.push(0);
    component.push(u8::try_from(1 + name.len() + data.len()).unwrap());
    component.push(u8::try_from(name.len()).unwrap());
    component.extend_from_slice(name.as_bytes());
    component.extend_from_slice(data);
}

/// A worker with parsers, and what came out of it.
pub(crate) struct Bench {
    pub(crate) worker: Worker,
    pub(crate) counters: Arc<RuntimeCounters>,
    pub(crate) parser: Arc<ParserCounters>,
    pub(crate) output: Output,
    positions: std::collections::HashMap<(u64, Direction), u64>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Self {
        let engine = Engine::new(&EngineConfig::default()).unwrap();
        let parser = engine.load("test", &Guest::default().component()).unwrap();
        Self::of(engine, vec![(parser, Origin::BuiltIn)], limits)
    }

    pub(crate) fn of(
        engine: Arc<Engine>,
        parsers: Vec<(Arc<Parser>, Origin)>,
        limits: Limits,
    ) -> Self {
        let counters = Arc::new(RuntimeCounters::default());
        let parser = counters.parser(parsers[0].0.label());
        let clock = Clock {
            capture_id: 7,
            unix_offset: 0,
        };
        let worker = Worker::new(
            engine,
            Arc::new(Parsers::new(parsers)),
            clock,
            limits,
            Arc::clone(&counters),
        );
        Self {
            worker,
            counters,
            parser,
            output: Output::default(),
            positions: Default::default(),
        }
    }

    pub(crate) fn open(&mut self, id: u64, time: u64) {
        self.open_as(id, time, Some(Role::Server), false);
    }

    pub(crate) fn open_as(&mut self, id: u64, time: u64, role: Option<Role>, mid_stream: bool) {
        let info = Arc::new(ConnectionInfo {
            key: ConnectionKey {
                socket: id,
                generation: 1,
            },
            id,
            opened: time,
            transport: Transport::Tcp,
            names: None,
            local: Some("127.0.0.1:80".parse().unwrap()),
            remote: Some("127.0.0.1:40000".parse().unwrap()),
            role,
            process: None,
            cgroup_id: 0,
            network_namespace: 0,
            before: None,
        });
        self.worker.handle(StreamEvent::Open {
            info,
            positions: [Some(0), Some(0)],
            mid_stream,
        });
    }

    /// From the client, which is the other end.
    pub(crate) fn client(&mut self, id: u64, time: u64, text: &[u8]) {
        self.data(id, Direction::Received, time, text);
    }

    pub(crate) fn server(&mut self, id: u64, time: u64, text: &[u8]) {
        self.data(id, Direction::Sent, time, text);
    }

    fn data(&mut self, id: u64, direction: Direction, time: u64, text: &[u8]) {
        let position = self.advance(id, direction, text.len() as u64);
        let bytes = Bytes::copy_from_slice(text);
        self.worker.handle(StreamEvent::Data {
            id,
            direction,
            position,
            bytes,
            time,
            order_uncertain: false,
        });
    }

    pub(crate) fn gap(&mut self, id: u64, time: u64, len: u64) {
        let direction = Direction::Received;
        let position = self.advance(id, direction, len);
        let cause = GapCause::Ring;
        self.worker.handle(StreamEvent::Gap {
            id,
            direction,
            position,
            len: Some(len),
            cause,
            time,
        });
    }

    fn advance(&mut self, id: u64, direction: Direction, len: u64) -> u64 {
        let position = self.positions.entry((id, direction)).or_default();
        let before = *position;
        *position += len;
        before
    }

    pub(crate) fn close(&mut self, id: u64, time: u64) {
        self.worker.handle(StreamEvent::Close {
            id,
            reason: StreamClose::Finished,
            time,
        });
    }

    /// Hands over, and gives what the new spans tell: connection, name, event kind.
    pub(crate) fn run(&mut self) -> Vec<(u64, String, u16)> {
        let before = self.output.spans.len();
        self.worker.run(&mut self.output);
        let (ledger, retained) = (self.worker.ledger(), self.worker.retained_bytes());
        assert_eq!(
            ledger.received,
            ledger.gone() + retained as u64,
            "{ledger:?}"
        );
        self.output.spans[before..].iter().map(told).collect()
    }

    pub(crate) fn verdicts(&mut self) -> Vec<Verdict> {
        self.output
            .verdicts
            .drain(..)
            .map(|said| said.verdict)
            .collect()
    }

    pub(crate) fn faults(&self) -> Vec<(&'static str, u64)> {
        self.parser
            .faults()
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    pub(crate) fn dropped(&self) -> Vec<(&'static str, u64)> {
        self.parser
            .dropped()
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

/// Kinds of events, as the guest reports them, without the flag for a restart.
pub(crate) const OPEN: u16 = 0;
pub(crate) const DATA: u16 = 1;
pub(crate) const GAP: u16 = 2;
pub(crate) const SKIPPED: u16 = 4;
pub(crate) const TIMER: u16 = 6;
pub(crate) const CLOSE: u16 = 9;
/// The flag that the host adds after a restart.
pub(crate) const RESTART: u16 = 1 << 8;

pub(crate) fn told(parsed: &ParsedSpan) -> (u64, String, u16) {
    (
        parsed.connection.id,
        parsed.span.name.to_string(),
        parsed.span.flags.0,
    )
}

/// What only the data of these spans says.
pub(crate) fn data(spans: &[(u64, String, u16)]) -> Vec<(u64, &str)> {
    spans
        .iter()
        .filter(|(_, _, kind)| kind & !RESTART == DATA)
        .map(|(id, name, _)| (*id, name.as_str()))
        .collect()
}
