//! Programs made by Go: their TLS is their own, and their functions are on stacks that move.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use wirespan_tests::ask::Ask;
use wirespan_tests::curl::Curl;
use wirespan_tests::expect::assert_distinct_ids;
use wirespan_tests::go::Go;
use wirespan_tests::watch::Watch;
use wirespan_tests::{Exchange, assert_exactly, tools};

fn asks() -> Vec<Ask> {
    let get = |path: String| Ask {
        method: "GET",
        path,
        body: 0,
    };
    let mut asks = vec![
        get("/items/1?first".to_owned()),
        get("/bytes/300000".to_owned()),
        get("/slow/50".to_owned()),
        get("/pieces/20".to_owned()),
        get("/fail".to_owned()),
        get("/none".to_owned()),
        Ask {
            method: "POST",
            path: "/items/2".to_owned(),
            body: 200_000,
        },
        Ask {
            method: "HEAD",
            path: "/items/3".to_owned(),
            body: 0,
        },
    ];
    asks.extend((0..60).map(|number| get(format!("/items/{number}?n={number}"))));
    asks
}

/// A server that has just started, its client, and curl: over both versions of HTTP. Much is sent
/// before a connection can be recognised, which live is a gap; a recording has everything.
fn check(options: &[&str]) -> Result<()> {
    let server = Go::start(options)?;
    let watch = Watch::start(&[server.port])?;
    let mut exchanges: Vec<Exchange> = server.ask(&asks(), false)?;
    exchanges.extend(server.ask(&asks(), true)?);
    let curl = Curl::new().trust(&server.certificate);
    exchanges.extend(
        curl.option("--http1.1")
            .get(server.url("/items/7?curl"))
            .get(server.url("/bytes/5000?curl"))
            .run()?
            .exchanges,
    );
    let seen = watch.stop_after(exchanges.len() * 2)?;
    assert_exactly(&seen.replayed, &exchanges, &[server.server()]).context("replayed")?;
    assert_distinct_ids(&seen.replayed)?;
    assert_distinct_ids(&seen.live)?;
    ensure!(!seen.live.is_empty(), "nothing was seen live");
    Ok(())
}

#[test]
fn https_of_go_is_one_span_at_each_end() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    check(&[])
}

#[test]
fn https_of_a_stripped_go_program_is_one_span_at_each_end() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    check(&["-ldflags=-s -w"])
}

/// The kernel side waits for a call that has sent, some time beyond the end of its connection.
#[test]
fn a_write_that_returns_four_seconds_after_the_end_is_told_whole() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let server = Go::start_late(Duration::from_secs(4))?;
    let watch = Watch::start(&[server.port])?;
    // One after another: the kernel gives the next socket the address of one that has ended, and a socket is
    // known by that. The pause puts them at other moments of the rounds in which sockets are asked for.
    let mut exchanges: Vec<Exchange> = Vec::new();
    for number in 0..2 {
        let curl = Curl::new().trust(&server.certificate);
        let done = curl
            .option("--http1.1")
            .get(server.url(&format!("/late/{number}")));
        exchanges.extend(done.run()?.exchanges);
        std::thread::sleep(Duration::from_millis(4_700));
    }
    let seen = watch.stop_after(exchanges.len() * 2)?;
    for (what, spans) in [("live", &seen.live), ("replayed", &seen.replayed)] {
        assert_exactly(spans, &exchanges, &[server.server()]).context(what)?;
        assert_distinct_ids(spans).context(what)?;
    }
    Ok(())
}
