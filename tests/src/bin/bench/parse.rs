//! Exchanges per second of one core, from socket events in memory to spans: through streams and
//! sandbox, beside the same parser compiled natively.
//!
//! Costs of an exchange, all in CPU time of the thread:
//!
//! - the road to spans: ordering, intake, recognition, batches, the parser's calls, checks, spans;
//! - the same with what makes a span ready to leave the node: identity, route, summary, redaction;
//! - of both the calls: the boundary both ways, and the parser in its sandbox;
//! - native: the same calls of the same source in a program without sandbox and boundary, optimised
//!   as the component is (`--profile parser`, baseline x86-64), its batches ready made.
//!
//! The baseline is the road with native calls in place of the sandboxed: what the agent would be if
//! it trusted its parsers.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use wirespan_capture::SocketEvent;
use wirespan_native::clock::thread_nanos;
use wirespan_native::traffic::{Traffic, Turns};
use wirespan_runtime::Limits;

use crate::report::{Figure, Report, target_folder};
use crate::road::{Road, Sandbox, data, open, through_streams};

/// Connections that take turns, as on a busy server.
const CONNECTIONS: usize = 64;

/// Exchanges of each connection in one run; the short form has fewer.
const EXCHANGES: u64 = 1_000;
const EXCHANGES_SHORT: u64 = 50;

const RUNS: usize = 6;

pub(crate) fn http() -> Result<Report> {
    measure("http")
}

pub(crate) fn grpc() -> Result<Report> {
    measure("grpc")
}

pub(crate) fn mysql() -> Result<Report> {
    measure("mysql")
}

pub(crate) fn postgres() -> Result<Report> {
    measure("postgres")
}

fn measure(name: &str) -> Result<Report> {
    let traffic = Traffic::named(name).context("its traffic")?;
    let (short, exchanges, runs) = extent();
    let total = exchanges * CONNECTIONS as u64;
    let native = Native::build()?;
    let sandbox = Sandbox::load(name)?;
    let (mut rates, mut ready) = (Vec::new(), Vec::new());
    let (mut parsers, mut streams) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let alone = native.nanos(traffic, exchanges)?;
        for (road, rates) in [(Road::Parsed, &mut rates), (Road::Ready, &mut ready)] {
            let (whole, calls) = nanos(&sandbox, traffic, exchanges, Limits::default(), road)?;
            let native_road = whole - calls + alone;
            rates.push((1e9 / whole, 1e9 / native_road));
            parsers.push((calls, alone));
        }
        let events = recording(traffic, exchanges);
        let started = thread_nanos();
        through_streams(events);
        streams.push(per(total, thread_nanos() - started));
    }
    Ok(Report {
        what: traffic.what,
        short,
        figures: vec![
            Figure::compared("exchanges/s of one core, to spans", "1/s", &rates),
            Figure::compared("the same, to spans that may leave the node", "1/s", &ready),
            Figure::compared("CPU of the calls", "ns", &parsers),
            Figure::alone("ordering the streams", "ns", &streams),
        ],
    })
}

/// What the boundary costs: the road by the number of events in a call.
pub(crate) fn boundary() -> Result<Report> {
    let traffic = Traffic::named("http").context("its traffic")?;
    let (short, exchanges, runs) = extent();
    let sandbox = Sandbox::load("http")?;
    let mut figures = Vec::new();
    for batch_events in [1, 4, 16, 64, 256] {
        let mut costs = Vec::new();
        for _ in 0..runs {
            let limits = Limits {
                batch_events,
                ..Limits::default()
            };
            costs.push(nanos(
                &sandbox,
                traffic,
                exchanges / 4,
                limits,
                Road::Parsed,
            )?);
        }
        let name = format!("CPU per exchange, {batch_events} events a call");
        figures.push(Figure::compared(name, "ns", &costs));
    }
    Ok(Report {
        what: "as http, by the number of events in a call of the parser; baseline: the calls alone",
        short,
        figures,
    })
}

fn extent() -> (bool, u64, usize) {
    if crate::short() {
        (true, EXCHANGES_SHORT, 1)
    } else {
        (false, EXCHANGES, RUNS)
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn per(total: u64, nanos: u64) -> f64 {
    nanos as f64 / total as f64
}

/// CPU time of an exchange, of the whole road and of the calls alone.
fn nanos(
    sandbox: &Sandbox,
    traffic: Traffic,
    exchanges: u64,
    limits: Limits,
    road: Road,
) -> Result<(f64, f64)> {
    let total = exchanges * CONNECTIONS as u64;
    let events = recording(traffic, exchanges);
    let started = thread_nanos();
    let done = sandbox.run(events, limits, road);
    let nanos = thread_nanos() - started;
    ensure!(
        done.spans == total,
        "{} spans of {total} exchanges",
        done.spans
    );
    let calls = u64::try_from(done.calls.as_nanos())?;
    Ok((per(total, nanos), per(total, calls)))
}

/// What a server's end shows: opens, then an exchange of each connection in turn.
fn recording(traffic: Traffic, exchanges: u64) -> Vec<SocketEvent> {
    let mut turns = Turns::new(traffic, CONNECTIONS);
    let mut events: Vec<SocketEvent> = (0..CONNECTIONS)
        .map(|connection| open(connection, traffic))
        .collect();
    events.extend(turns.opening().into_iter().map(data));
    for _ in 0..exchanges {
        events.extend(turns.round().into_iter().map(data));
    }
    events
}

/// The program with the native parsers.
struct Native(PathBuf);

impl Native {
    /// Builds it, with flags of its own.
    fn build() -> Result<Self> {
        let target = target_folder()?.join("native");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args([
                "build",
                "--quiet",
                "--profile",
                "parser",
                "--package",
                "wirespan-native",
            ])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("CARGO_TARGET_DIR", &target)
            .env("RUSTFLAGS", "-C target-cpu=x86-64")
            .status()
            .context("cargo, which builds the native parsers, cannot be started")?;
        ensure!(status.success(), "the native parsers could not be built");
        Ok(Self(target.join("parser/wirespan-native")))
    }

    fn nanos(&self, traffic: Traffic, exchanges: u64) -> Result<f64> {
        let output = Command::new(&self.0)
            .args([traffic.name, &exchanges.to_string()])
            .output()
            .with_context(|| format!("{} cannot be started", self.0.display()))?;
        let text = String::from_utf8(output.stdout)?;
        let nanos = text.trim().parse();
        nanos.with_context(|| {
            format!(
                "the native parser failed: {}",
                String::from_utf8_lossy(&output.stderr)
            )
        })
    }
}
