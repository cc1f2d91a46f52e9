//! TLS as programs really do it: each request is exactly one span at each end, with the addresses of
//! its own connection.

use anyhow::{Context, Result, ensure};
use wirespan_tests::crowd::{Crowd, Kind};
use wirespan_tests::expect::assert_distinct_ids;
use wirespan_tests::{Agent, Span, assert_exactly, tools};

/// Checks that each span whose request tells the client's port has that port, and no other.
fn assert_own_peers(spans: &[Span], expected: usize) -> Result<()> {
    let mut told = 0;
    for span in spans {
        let Some(port) = span
            .text("url.query")
            .and_then(|query| query.strip_prefix("port="))
        else {
            continue;
        };
        told += 1;
        let port: i64 = port.parse().context("the port in a query")?;
        let name = if span.kind == "SERVER" {
            "network.peer.port"
        } else {
            "network.local.port"
        };
        ensure!(
            span.integer(name) == Some(port),
            "{name} is {:?}: {}",
            span.integer(name),
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
    assert_own_peers(&spans, 2 * clients * requests)?;
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
