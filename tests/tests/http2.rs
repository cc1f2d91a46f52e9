//! HTTP/2 between real servers and clients: each stream is exactly one span at each end, live and
//! from a recording.

use anyhow::{Context, Result};
use wirespan_tests::ask::Ask;
use wirespan_tests::curl::Curl;
use wirespan_tests::expect::{Server, assert_distinct_ids};
use wirespan_tests::http2::{Nghttpd, Nghttpx, Node, nghttp};
use wirespan_tests::nginx::Options;
use wirespan_tests::watch::{Seen, Watch};
use wirespan_tests::{Exchange, Nginx, Span, assert_exactly, tools};

/// Checks what was seen live and what was recorded.
fn check(watch: Watch, exchanges: &[Exchange], servers: &[Server]) -> Result<Seen> {
    let seen = watch.stop_after(exchanges.len() * 2)?;
    for (what, spans) in [("live", &seen.live), ("replayed", &seen.replayed)] {
        assert_exactly(spans, exchanges, servers).context(what)?;
        assert_distinct_ids(spans).context(what)?;
    }
    Ok(seen)
}

/// What nghttp does with its options: padding, priorities, trailers, CONTINUATION, windows and
/// tables of other sizes, uploads, many streams at once.
fn features(url: impl Fn(&str) -> String, upload: &str) -> Result<Vec<Exchange>> {
    let several: Vec<String> = (0..30)
        .map(|number| url(&format!("/hello.txt?n={number}")))
        .chain([url("/none?x=")])
        .collect();
    let large = [url("/hello.txt?beside"), url("/large.bin")];
    let one = [url("/hello.txt?alone")];
    let mut exchanges = Vec::new();
    for options in [
        &[][..],
        &["--padding=200", "--weight=20"],
        &["--multiply=3", "--no-dep"],
        &["--window-bits=10", "--connection-window-bits=12"],
        &["--header-table-size=0", "--encoder-header-table-size=0"],
        &["--header-table-size=64", "--encoder-header-table-size=70"],
        &["--peer-max-concurrent-streams=3"],
        &["--continuation", "--header=x-fixture: a value"],
    ] {
        exchanges.extend(nghttp(options, &several)?);
        if !options.contains(&"--multiply=3") {
            exchanges.extend(nghttp(options, &large)?);
        }
    }
    let data = format!("--data={upload}");
    for options in [
        &[&*data][..],
        &[&data, "--trailer=x-fixture: trailer"],
        &[&data, "--no-content-length", "--padding=100"],
        &["--header=:method: HEAD"],
        &["--header=:method: OPTIONS"],
    ] {
        exchanges.extend(nghttp(options, &one)?);
    }
    Ok(exchanges)
}

#[test]
fn every_feature_of_the_protocol_is_one_span_a_stream_at_each_end() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let plain = Nghttpd::start(false, &[])?;
    let odd = Nghttpd::start(
        false,
        &[
            "--push=/index.html=/style.css,/hello.txt",
            "--padding=150",
            "--trailer=x-fixture: trailer",
            "--no-content-length",
        ],
    )?;
    let tls = Nghttpd::start(true, &["--push=/index.html=/style.css"])?;
    let watch = Watch::start(&[plain.port, odd.port, tls.port])?;
    let upload = plain.folder().join("root/large.bin");
    let upload = upload.to_string_lossy();
    let mut exchanges = features(|path| plain.url(path), &upload)?;
    exchanges.extend(features(|path| odd.url(path), &upload)?);
    exchanges.extend(nghttp(&["--multiply=3"], &[odd.url("/index.html")])?);
    exchanges.extend(nghttp(&["--no-push"], &[odd.url("/index.html")])?);
    exchanges.extend(nghttp(
        &[],
        &[tls.tls_url("/index.html"), tls.tls_url("/large.bin")],
    )?);
    let pushed = exchanges.iter().filter(|exchange| exchange.pushed).count();
    assert_eq!(pushed, 7, "nghttpd pushed");
    let servers = [plain.server(), odd.server(), tls.server()];
    check(watch, &exchanges, &servers)?;
    Ok(())
}

#[test]
fn curl_is_seen_with_prior_knowledge_by_alpn_and_by_upgrade() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let nghttpd = Nghttpd::start(false, &[])?;
    let nginx = Nginx::start(Options {
        http2: true,
        ..Options::default()
    })?;
    let backend = Nginx::start(Options::default())?;
    let nghttpx = Nghttpx::before(backend.port)?;
    let watch = Watch::start(&[nghttpd.port, nginx.port, nginx.tls_port, nghttpx.port])?;
    let upload = nginx.folder().join("root/text.txt");
    // One connection for each: curl 7.88 would begin a connection anew that it uses again.
    let prior = || Curl::new().version("--http2-prior-knowledge");
    let mut exchanges = Vec::new();
    for curl in [
        prior().get(nghttpd.url("/hello.txt?prior")),
        prior().get(nghttpd.url("/none")),
        prior().get(nginx.url("/small/2.txt?prior")),
        prior().get(nginx.url("/broken")),
        prior().request("HEAD", nginx.url("/hello.txt")),
    ] {
        exchanges.extend(curl.run()?.exchanges);
    }
    let alpn = Curl::new().version("--http2").trust(&nginx.certificate);
    let alpn = alpn
        .unhurried()
        .get(nginx.tls_url("/hello.txt?alpn"))
        .get(nginx.tls_url("/large.bin?alpn"))
        .get(nginx.tls_url("/text.txt"))
        .header("Accept-Encoding: gzip")
        .get(nginx.tls_url("/moved"))
        .request("HEAD", nginx.tls_url("/large.bin"))
        .request("PUT", nginx.tls_url("/put/http2.txt"))
        .body(&upload)
        .run()?;
    exchanges.extend(alpn.exchanges);
    let upgrade = Curl::new()
        .version("--http2")
        .get(nghttpx.url("/hello.txt?upgrade"))
        .get(nghttpx.url("/small/1.txt"))
        .get(nghttpx.url("/none?upgraded"))
        .run()?
        .exchanges;
    assert!(upgrade.iter().all(|exchange| exchange.http2), "upgraded");
    // The request that asked for the upgrade is answered twice: with 101, and as stream 1.
    let asked = Exchange {
        status: 101,
        http2: false,
        response_bytes: Some(0),
        ..upgrade[0].clone()
    };
    exchanges.extend(upgrade);
    exchanges.push(asked);
    let servers = [nghttpd.server(), nginx.server(), nghttpx.server()];
    let seen = check(watch, &exchanges, &servers)?;
    let over_tls = |span: &&Span| span.text("url.scheme") == Some("https");
    assert_eq!(seen.live.iter().filter(over_tls).count(), 12, "over TLS");
    Ok(())
}

/// Every kind of request of Node's fixture.
fn asks() -> Vec<Ask> {
    let ask = |method, path: &str, body| Ask {
        method,
        path: path.to_owned(),
        body,
    };
    let mut asks = vec![
        ask("GET", "/", 0),
        ask("GET", "/bytes/20000?large", 0),
        ask("GET", "/status/404", 0),
        ask("GET", "/status/503", 0),
        ask("DELETE", "/status/204", 0),
        ask("POST", "/upload?large", 20_000),
        ask("POST", "/upload", 10),
    ];
    asks.extend((0..20).map(|number| ask("GET", &format!("/bytes/{number}?many"), 0)));
    asks
}

#[test]
fn node_without_tls_is_exact() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let node = Node::start(false)?;
    let watch = Watch::start(&[node.port])?;
    let mut exchanges = node.ask(&asks())?;
    let curl = Curl::new().version("--http2-prior-knowledge");
    exchanges.extend(curl.get(node.url("/bytes/7?curl")).run()?.exchanges);
    check(watch, &exchanges, &[node.server()])?;
    Ok(())
}

#[test]
fn node_with_tls_is_exact_at_both_ends() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let node = Node::start(true)?;
    let certificate = node.certificate.as_ref().context("a certificate")?;
    let watch = Watch::start(&[node.port])?;
    let mut exchanges = node.ask(&asks())?;
    let curl = Curl::new().version("--http2").trust(certificate);
    let curl = curl
        .get(node.url("/bytes/7?curl"))
        .get(node.url("/bytes/100000?curl"))
        .get(node.url("/status/404"))
        .run()?;
    exchanges.extend(curl.exchanges);
    check(watch, &exchanges, &[node.server()])?;
    Ok(())
}
