//! `wirespan-native PROTOCOL ROUNDS`: the CPU time that the parser of this protocol takes natively
//! for one exchange of each of 64 connections, `ROUNDS` times, in nanoseconds an exchange.
//!
//! The parser is handed batches as the host makes them; only its calls are timed, not the making of
//! the batches. Built with the profile of the components (`--profile parser`: optimised across
//! crates, one unit) for the oldest x86-64, as components are.

use anyhow::{Context, Result, bail, ensure};
use wirespan_native::clock::thread_nanos;
use wirespan_native::traffic::{Traffic, Turn, Turns};
use wirespan_parser_grpc::Http2;
use wirespan_parser_http::Http;
use wirespan_parser_mysql::Mysql;
use wirespan_parser_postgres::Postgres;
use wirespan_sdk::Parser;
use wirespan_sdk::bindings::wirespan::parser::types::{Cause, Event, EventKind, Side};
use wirespan_sdk::driver::Driver;

/// Connections that take turns.
const CONNECTIONS: usize = 64;

/// Rounds in a batch: with two chunks an exchange, 256 events.
const ROUNDS: u64 = 2;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [protocol, rounds] = arguments.as_slice() else {
        bail!("usage: wirespan-native PROTOCOL ROUNDS");
    };
    let traffic =
        Traffic::named(protocol).with_context(|| format!("no traffic is named {protocol:?}"))?;
    let rounds: u64 = rounds.parse().context("ROUNDS is a number")?;
    let nanos = match traffic.name {
        "http" => measure::<Http>(traffic, rounds)?,
        "grpc" => measure::<Http2>(traffic, rounds)?,
        "mysql" => measure::<Mysql>(traffic, rounds)?,
        _ => measure::<Postgres>(traffic, rounds)?,
    };
    println!("{nanos}");
    Ok(())
}

fn measure<P: Parser>(traffic: Traffic, rounds: u64) -> Result<f64> {
    let mut driver = Driver::<P>::default();
    let mut turns = Turns::new(traffic, CONNECTIONS);
    let opens = (0..CONNECTIONS).map(|connection| Event {
        kind: EventKind::Open,
        side: Side::Server,
        ..event(connection, 1)
    });
    driver.process(opens.collect(), Vec::new(), Vec::new());
    let (mut nanos, mut spans) = (0, 0);
    call(&mut driver, turns.opening(), &mut nanos, &mut spans);
    (nanos, spans) = (0, 0);
    for _ in 0..rounds / ROUNDS {
        let batch = (0..ROUNDS).flat_map(|_| turns.round()).collect();
        call(&mut driver, batch, &mut nanos, &mut spans);
    }
    let expected = rounds / ROUNDS * ROUNDS * CONNECTIONS as u64;
    ensure!(spans == expected, "{spans} spans of {expected} exchanges");
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    Ok(nanos as f64 / expected as f64)
}

fn event(connection: usize, time: u64) -> Event {
    Event {
        conn: connection as u64,
        time,
        position: 0,
        len: 0,
        offset: 0,
        kind: EventKind::Data,
        side: Side::Client,
        cause: Cause::None,
    }
}

/// One call, with the events of a connection together and the bytes of a side in one stretch, as the
/// contract has it.
fn call<P: Parser>(driver: &mut Driver<P>, mut turns: Vec<Turn>, nanos: &mut u64, spans: &mut u64) {
    turns.sort_by_key(|turn| turn.connection);
    let (mut events, mut bytes) = (Vec::new(), Vec::new());
    for turns in turns.chunk_by(|a, b| a.connection == b.connection) {
        let of = |client: bool| turns.iter().filter(move |turn| turn.from_client == client);
        let client: Vec<u8> = of(true).flat_map(|turn| turn.bytes.clone()).collect();
        let mut offsets = [bytes.len(), bytes.len() + client.len()];
        for turn in turns {
            let offset = &mut offsets[usize::from(!turn.from_client)];
            events.push(Event {
                position: turn.position,
                len: turn.bytes.len() as u64,
                offset: u32::try_from(*offset).unwrap_or(u32::MAX),
                side: if turn.from_client {
                    Side::Client
                } else {
                    Side::Server
                },
                ..event(turn.connection, turn.time)
            });
            *offset += turn.bytes.len();
        }
        bytes.extend(client);
        of(false).for_each(|turn| bytes.extend_from_slice(&turn.bytes));
    }
    let started = thread_nanos();
    let mut output = driver.process(events, Vec::new(), bytes);
    *spans += output.spans.len() as u64;
    while output.more {
        output = driver.process(Vec::new(), Vec::new(), Vec::new());
        *spans += output.spans.len() as u64;
    }
    *nanos += thread_nanos() - started;
}
