//! TLS as programs really do it: each request is exactly one span at each end, with the addresses of
//! its own connection.

use anyhow::{Context, Result, ensure};
use wirespan_capture::Role;
use wirespan_tests::crowd::{Crowd, Kind};
use wirespan_tests::expect::assert_distinct_ids;
use wirespan_tests::plaintext::{self, Carried};
use wirespan_tests::watch::Watch;
use wirespan_tests::{Agent, Span, assert_exactly, tools};

/// What the clients of rustls say, and hear again.
#[path = "../rustls/src/body.rs"]
mod body;

/// Checks that each span has a peer, and that of the server's the client's port is the one that the
/// request tells.
fn assert_own_peers(spans: &[Span], server: u16, expected: usize) -> Result<()> {
    let mut told = 0;
    for span in spans {
        let query = span.text("url.query").unwrap_or_default();
        let port = match query.strip_prefix("port=") {
            _ if span.kind == "CLIENT" => i64::from(server),
            Some(port) => port.parse().context("the port in a query")?,
            None => continue,
        };
        told += 1;
        ensure!(
            span.integer("network.peer.port") == Some(port),
            "the peer's port is {:?}, not {port}: {}",
            span.integer("network.peer.port"),
            span.summary()
        );
    }
    ensure!(told == expected, "{told} of {expected} spans tell a port");
    Ok(())
}

/// Watches a crowd from before its first connection to its last.
fn a_crowd(kind: Kind, clients: usize, requests: usize) -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let crowd = Crowd::start(kind)?;
    let agent = Agent::watching(&[crowd.port])?;
    let exchanges = crowd.ask(clients, requests)?;
    let spans = agent.stop_after(exchanges.len() * 2)?.spans;
    assert_own_peers(&spans, crowd.port, exchanges.len() + clients * requests)?;
    assert_exactly(&spans, &exchanges, &[crowd.server()])?;
    assert_distinct_ids(&spans)
}

#[test]
fn a_thousand_aiohttp_connections_in_one_thread_have_each_their_own_peer() -> Result<()> {
    a_crowd(Kind::Aiohttp, 1000, 2)
}

#[test]
fn nodes_https_is_exact_at_both_ends() -> Result<()> {
    a_crowd(Kind::Node, 200, 3)
}

/// What a client of rustls says in all, and what it hears.
fn conversation(client: usize, port: u16, requests: usize) -> (Vec<u8>, Vec<u8>) {
    let port = port.to_string();
    let (mut said, mut heard) = (Vec::new(), Vec::new());
    let mut exchange = |line: String, asked: &[u8], answered: &[u8]| {
        for (all, line, body) in [
            (
                &mut said,
                format!("{line} HTTP/1.1\r\nHost: localhost"),
                asked,
            ),
            (&mut heard, "HTTP/1.1 200 OK".to_owned(), answered),
        ] {
            all.extend(format!("{line}\r\nContent-Length: {}\r\n\r\n", body.len()).bytes());
            all.extend(body);
        }
    };
    exchange(format!("GET /port?client={client}"), &[], port.as_bytes());
    for number in 0..requests {
        let body = body::of(number);
        let method = if body.is_empty() { "GET" } else { "POST" };
        exchange(
            format!("{method} /items/{number}?port={port}"),
            &body,
            &body,
        );
    }
    (said, heard)
}

/// Checks that one end of each client's connection has every byte of it, and none of another's.
fn assert_every_byte(ends: &[Carried], role: Role, clients: usize, requests: usize) -> Result<()> {
    let mut seen = Vec::new();
    for end in ends.iter().filter(|end| end.open.role == Some(role)) {
        let (asked, answered, at) = match role {
            Role::Client => (&end.sent, &end.received, end.open.local),
            Role::Server => (&end.received, &end.sent, end.open.remote),
        };
        let first = std::str::from_utf8(asked.split(|byte| *byte == b'\r').next().unwrap_or(&[]))?;
        let number = first
            .strip_prefix("GET /port?client=")
            .and_then(|rest| rest.strip_suffix(" HTTP/1.1"))
            .with_context(|| format!("the first request is {first:?}"))?
            .parse()?;
        let port = at.context("an end without the client's address")?.port();
        let (said, heard) = conversation(number, port, requests);
        for (what, wanted, found) in [("requests", &said, asked), ("answers", &heard, answered)] {
            let differs = wanted
                .iter()
                .zip(found)
                .position(|(one, other)| one != other);
            ensure!(
                wanted == found,
                "{what} of client {number} at the {role:?}: {} bytes of {}, others from {differs:?} on",
                found.len(),
                wanted.len()
            );
        }
        seen.push(number);
    }
    seen.sort_unstable();
    ensure!(
        seen.iter().copied().eq(0..clients),
        "the clients of which there is a {role:?}: {seen:?}"
    );
    Ok(())
}

#[test]
fn rustls_on_threads_of_tokio_is_exact_at_both_ends_to_the_byte() -> Result<()> {
    const CLIENTS: usize = 40;
    const REQUESTS: usize = 12;
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let crowd = Crowd::start(Kind::Rustls)?;
    let watch = Watch::start_with(&[crowd.port], &[])?;
    let exchanges = crowd.ask(CLIENTS, REQUESTS)?;
    let (stopped, file, _folder) = watch.stop_recorded_after(exchanges.len() * 2)?;
    assert_own_peers(
        &stopped.spans,
        crowd.port,
        exchanges.len() + CLIENTS * REQUESTS,
    )?;
    assert_exactly(&stopped.spans, &exchanges, &[crowd.server()])?;
    assert_distinct_ids(&stopped.spans)?;
    // Its spans tell sizes; the bytes are in the recording.
    let ends = plaintext::of_recording(&file)?;
    ensure!(ends.len() == 2 * CLIENTS, "{} ends", ends.len());
    assert_every_byte(&ends, Role::Client, CLIENTS, REQUESTS)?;
    assert_every_byte(&ends, Role::Server, CLIENTS, REQUESTS)
}
