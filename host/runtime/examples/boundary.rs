//! What the boundary between host and parser costs: a chunk and its span with batches of different
//! sizes, one event a call among them, and HTTP exchanges with the parser given as an argument.
//!
//! ```text
//! cargo run --release -p wirespan-runtime --example boundary -- target/artefacts/http.wasm
//! ```
#[path = "../tests/runtime/bench.rs"]
#[expect(dead_code, reason = "the example uses a part of what the tests do")]
mod bench;

use std::time::Instant;

use bench::Bench;
use wirespan_runtime::{Engine, EngineConfig, Limits, Origin};

const CONNECTIONS: u64 = 64;
const CHUNKS: u64 = 400_000;
const EXCHANGES: u64 = 300_000;

const REQUEST: &[u8] =
    b"GET /users/7?full=1 HTTP/1.1\r\nHost: users.example\r\nUser-Agent: curl/8.5.0\r\n\
    Accept: */*\r\nX-Request-Id: 5b1c9a0e\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: application/json\r\n\
    Content-Length: 26\r\nConnection: keep-alive\r\n\r\n{\"id\":7,\"name\":\"somebody\"}";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    println!("one chunk of 128 bytes in, one span out, {CONNECTIONS} connections:");
    for events in [1, 4, 16, 64, 512] {
        let nanos = chunks(events);
        println!("  {events:>3} events a call: {nanos:>7.0} ns a chunk");
    }
    for path in &arguments {
        let bytes = std::fs::read(path).expect("the component can be read");
        for events in [1, 64, 512] {
            let nanos = exchanges(path, &bytes, events);
            println!(
                "{path}, {events:>3} events a call: {nanos:>6.0} ns an HTTP exchange, {:.0} a second",
                1e9 / nanos
            );
        }
    }
}

fn limits(events: usize) -> Limits {
    Limits {
        batch_events: events,
        ..Limits::default()
    }
}

fn chunks(events: usize) -> f64 {
    let mut bench = Bench::with(limits(events));
    (1..=CONNECTIONS).for_each(|id| bench.open(id, 1));
    let text = [b'x'; 128];
    let started = Instant::now();
    for number in 0..CHUNKS {
        bench.client(number % CONNECTIONS + 1, 2 + number, &text);
        if number % 4096 == 0 {
            take(&mut bench);
        }
    }
    let spans = take(&mut bench);
    assert!(spans > 0, "the guest reports its chunks");
    started.elapsed().as_nanos() as f64 / CHUNKS as f64
}

fn exchanges(path: &str, bytes: &[u8], events: usize) -> f64 {
    let engine = Engine::new(&EngineConfig::default()).expect("an engine");
    let parser = engine.load(path, bytes).expect("a parser");
    let mut bench = Bench::of(engine, vec![(parser, Origin::BuiltIn)], limits(events));
    (1..=CONNECTIONS).for_each(|id| bench.open(id, 1));
    let started = Instant::now();
    let mut spans = 0;
    for number in 0..EXCHANGES {
        let id = number % CONNECTIONS + 1;
        bench.client(id, 2 + number * 2, REQUEST);
        bench.server(id, 3 + number * 2, RESPONSE);
        if number % 4096 == 0 {
            spans += take(&mut bench);
        }
    }
    spans += take(&mut bench);
    assert_eq!(spans as u64, EXCHANGES, "each exchange is one span");
    started.elapsed().as_nanos() as f64 / EXCHANGES as f64
}

/// Runs what waits and drops the spans, as a sink would.
fn take(bench: &mut Bench) -> usize {
    bench.worker.run(&mut bench.output);
    bench.output.verdicts.clear();
    bench.output.spans.drain(..).count()
}
