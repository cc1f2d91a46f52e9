//! Programs made by Go: their TLS is their own, and their functions are on stacks that move.

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
