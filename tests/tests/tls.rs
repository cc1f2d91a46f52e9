//! TLS as programs really do it: each request is exactly one span at each end, with the addresses of
//! its own connection.

use anyhow::{Context, Result, ensure};
use wirespan_tests::crowd::{Crowd, Kind};
use wirespan_tests::expect::assert_distinct_ids;
use wirespan_tests::{Agent, Span, assert_exactly, tools};

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

#[test]
fn rustls_on_threads_of_tokio_is_exact_at_both_ends() -> Result<()> {
    a_crowd(Kind::Rustls, 40, 12)
}
