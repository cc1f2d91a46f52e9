//! HTTP/1 exchanges per second of one core, from socket events in memory to spans: through streams
//! and sandbox, beside the same parser compiled natively and handed its batches ready made.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use wirespan_capture::{
    Clock, ConnectionKey, Data, Direction, Layer, Missing, Open, Role, SocketEvent, Transport,
};
use wirespan_parser_http::Http;
use wirespan_runtime::{
    Engine, EngineConfig, Limits, Origin, Output, Parsers, RuntimeCounters, Worker,
};
use wirespan_sdk::bindings::wirespan::parser::types as wit;
use wirespan_sdk::driver::Driver;
use wirespan_stream::{Connections, StreamEvent};

use crate::report::{Figure, Report, target_folder};

/// Connections that take turns, as on a busy server.
const CONNECTIONS: u64 = 64;

/// Exchanges of each connection in one run; the short form has fewer.
const EXCHANGES: u64 = 2_000;
const EXCHANGES_SHORT: u64 = 50;

const RUNS: usize = 6;

/// Between two exchanges of a connection.
const PAUSE_NANOS: u64 = 100_000;

pub(crate) fn measure() -> Result<Report> {
    let short = crate::short();
    let (exchanges, runs) = if short {
        (EXCHANGES_SHORT, 1)
    } else {
        (EXCHANGES, RUNS)
    };
    let total = exchanges * CONNECTIONS;
    let events = recording(exchanges);
    let sandbox = Sandbox::load()?;
    let (mut pairs, mut streams, mut costs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let sandboxed = timed(|| sandbox.spans(&events, Limits::default()), total)?;
        let native = timed(|| native_spans(exchanges), total)?;
        pairs.push((rate(total, sandboxed), rate(total, native)));
        costs.push((per_exchange(total, sandboxed), per_exchange(total, native)));
        streams.push(per_exchange(total, cpu_nanos(|| through_streams(&events))?));
    }
    Ok(Report {
        what: "GET with 9 header fields, 1 KiB answer, 64 connections in turn; events in memory to span batches, one thread; baseline: the parser alone, native",
        short,
        figures: vec![
            Figure::compared("exchanges per second of one core", "1/s", &pairs),
            Figure::compared("CPU per exchange", "ns", &costs),
            Figure::alone("of that, ordering the streams", "ns", &streams),
        ],
    })
}

/// What the boundary costs: the same with so many events in a call.
pub(crate) fn boundary() -> Result<Report> {
    let short = crate::short();
    let (exchanges, runs) = if short {
        (EXCHANGES_SHORT, 1)
    } else {
        (EXCHANGES / 4, RUNS)
    };
    let chunks = exchanges * CONNECTIONS * 2;
    let events = recording(exchanges);
    let sandbox = Sandbox::load()?;
    let mut figures = Vec::new();
    for batch_events in [1, 4, 16, 64, 256] {
        let mut pairs = Vec::new();
        for _ in 0..runs {
            let limits = Limits {
                batch_events,
                ..Limits::default()
            };
            let sandboxed = timed(|| sandbox.spans(&events, limits), chunks / 2)?;
            let native = timed(|| native_spans(exchanges), chunks / 2)?;
            pairs.push((
                per_exchange(chunks, sandboxed),
                per_exchange(chunks, native),
            ));
        }
        let name = format!("CPU per chunk, {batch_events} events a call");
        figures.push(Figure::compared(name, "ns", &pairs));
    }
    Ok(Report {
        what: "as parse, by the number of events in a call of the parser; baseline: the parser alone, native",
        short,
        figures,
    })
}

fn rate(total: u64, nanos: u64) -> f64 {
    1e9 / per_exchange(total, nanos)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn per_exchange(total: u64, nanos: u64) -> f64 {
    nanos as f64 / total as f64
}

/// CPU time of this thread while `work` runs, which must give `expected` spans.
fn timed(work: impl FnOnce() -> Result<u64>, expected: u64) -> Result<u64> {
    let mut spans = Ok(0);
    let nanos = cpu_nanos(|| spans = work())?;
    let spans = spans?;
    ensure!(spans == expected, "{spans} spans of {expected} exchanges");
    Ok(nanos)
}

fn cpu_nanos(work: impl FnOnce()) -> Result<u64> {
    let now = || -> Result<u64> {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        let whole = u64::try_from(time.tv_sec)? * 1_000_000_000;
        Ok(whole + u64::try_from(time.tv_nsec)?)
    };
    let before = now()?;
    work();
    Ok(now()? - before)
}

const REQUEST: &str = "Host: shop.example:8080\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\nConnection: keep-alive\r\n\
    Cookie: session=6f1a0c1e2b; theme=dark\r\nSec-Fetch-Mode: navigate\r\nPriority: u=0, i\r\n\r\n";

fn request(number: u64) -> Bytes {
    format!(
        "GET /items/{}?page={number} HTTP/1.1\r\n{REQUEST}",
        number % 97
    )
    .into()
}

fn response() -> Bytes {
    let head = "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sun, 22 Nov 2026 03:00:00 GMT\r\n\
        Content-Type: application/json\r\nContent-Length: 1024\r\nConnection: keep-alive\r\n\
        ETag: \"65a0-400\"\r\nCache-Control: no-cache\r\n\r\n";
    [head.as_bytes(), &[b'x'; 1024]].concat().into()
}

/// What a server's end shows: opens, then a request and an answer of each connection in turn.
fn recording(exchanges: u64) -> Vec<SocketEvent> {
    let mut events = Vec::new();
    let mut positions = vec![[0_u64; 2]; usize::try_from(CONNECTIONS).unwrap_or(0)];
    for connection in 0..CONNECTIONS {
        events.push(SocketEvent::Open(Box::new(open(connection))));
    }
    let answer = response();
    for number in 0..exchanges {
        let requested = request(number);
        for (connection, positions) in (0..CONNECTIONS).zip(&mut positions) {
            let mut time = time(number, connection);
            for (direction, bytes) in [
                (Direction::Received, &requested),
                (Direction::Sent, &answer),
            ] {
                let Some(position) = positions.get_mut(direction.index()) else {
                    continue;
                };
                time += 1_000;
                events.push(SocketEvent::Data(data(
                    connection, direction, *position, bytes, time,
                )));
                *position += bytes.len() as u64;
            }
        }
    }
    events
}

fn time(number: u64, connection: u64) -> u64 {
    (number + 1) * PAUSE_NANOS + connection * 1_500
}

fn key(connection: u64) -> ConnectionKey {
    ConnectionKey {
        socket: 0xffff_8880_0000_0000 + connection * 2_048,
        generation: connection + 1,
    }
}

fn open(connection: u64) -> Open {
    let port = 20_000 + u16::try_from(connection).unwrap_or(0);
    Open {
        key: key(connection),
        time: 1,
        transport: Transport::Tcp,
        local: Some(SocketAddr::from(([10, 0, 0, 1], 8080))),
        remote: Some(SocketAddr::from(([10, 0, 0, 2], port))),
        role: Some(Role::Server),
        positions: [Some(0), Some(0)],
        mid_stream: false,
        process: None,
        cgroup_id: 0,
        network_namespace: 0,
    }
}

fn data(connection: u64, direction: Direction, position: u64, bytes: &Bytes, time: u64) -> Data {
    Data {
        key: key(connection),
        direction,
        layer: Layer::Socket,
        position,
        len: bytes.len() as u64,
        bytes: bytes.clone(),
        entry: time,
        exit: time,
        missing: Missing::default(),
    }
}

fn through_streams(events: &[SocketEvent]) {
    let (mut streams, mut ordered) = (Connections::default(), Vec::new());
    for event in events {
        streams.push(event.clone(), &mut ordered);
        ordered.clear();
    }
}

struct Sandbox {
    engine: Arc<Engine>,
    parsers: Arc<Parsers>,
}

impl Sandbox {
    fn load() -> Result<Self> {
        let file = target_folder()?.join("artefacts/http.wasm");
        let component = std::fs::read(&file)
            .with_context(|| format!("reading {}; `cargo xtask build` makes it", file.display()))?;
        let engine = Engine::new(&EngineConfig::default())?;
        let parser = engine.load("http", &component)?;
        Ok(Self {
            engine,
            parsers: Arc::new(Parsers::new(vec![(parser, Origin::BuiltIn)])),
        })
    }

    fn spans(&self, events: &[SocketEvent], limits: Limits) -> Result<u64> {
        let clock = Clock {
            capture_id: 1,
            unix_offset: 0,
        };
        let counters = Arc::new(RuntimeCounters::default());
        let mut worker = Worker::new(
            Arc::clone(&self.engine),
            Arc::clone(&self.parsers),
            clock,
            limits,
            counters,
        );
        let mut streams = Connections::default();
        let mut ordered: Vec<StreamEvent> = Vec::new();
        let mut output = Output::default();
        let mut spans = 0;
        // As many at once as the ring gives a busy agent in its 2 ms.
        for batch in events.chunks(256) {
            for event in batch {
                streams.push(event.clone(), &mut ordered);
                ordered.drain(..).for_each(|event| worker.handle(event));
            }
            worker.run(&mut output);
            spans += output.spans.drain(..).count() as u64;
            output.verdicts.clear();
        }
        Ok(spans)
    }
}

/// The parser alone: batches of 64 exchanges as the host would make them.
fn native_spans(exchanges: u64) -> Result<u64> {
    let mut driver = Driver::<Http>::default();
    let mut positions = vec![[0_u64; 2]; usize::try_from(CONNECTIONS).unwrap_or(0)];
    let opens = (0..CONNECTIONS)
        .map(|conn| event(conn, wit::EventKind::Open, wit::Side::Server, 0, 0, 0, 1))
        .collect();
    driver.process(opens, Vec::new(), Vec::new());
    let answer = response();
    let mut spans = 0;
    for number in 0..exchanges {
        let requested = request(number);
        let (mut events, mut bytes) = (Vec::new(), Vec::new());
        for (conn, positions) in (0..CONNECTIONS).zip(&mut positions) {
            let mut time = time(number, conn);
            for ((side, content), position) in [
                (wit::Side::Client, &requested),
                (wit::Side::Server, &answer),
            ]
            .into_iter()
            .zip(positions)
            {
                time += 1_000;
                let offset = u32::try_from(bytes.len())?;
                events.push(event(
                    conn,
                    wit::EventKind::Data,
                    side,
                    *position,
                    content.len() as u64,
                    offset,
                    time,
                ));
                bytes.extend_from_slice(content);
                *position += content.len() as u64;
            }
        }
        let mut output = driver.process(events, Vec::new(), bytes);
        spans += output.spans.len() as u64;
        while output.more {
            output = driver.process(Vec::new(), Vec::new(), Vec::new());
            spans += output.spans.len() as u64;
        }
    }
    Ok(spans)
}

fn event(
    conn: u64,
    kind: wit::EventKind,
    side: wit::Side,
    position: u64,
    len: u64,
    offset: u32,
    time: u64,
) -> wit::Event {
    wit::Event {
        conn,
        time,
        position,
        len,
        offset,
        kind,
        side,
        cause: wit::Cause::None,
    }
}
