//! Real servers and clients under a live agent: each request is exactly one span at each end.

use std::time::Duration;

use anyhow::{Context, Result};
use wirespan_tests::client::Connection;
use wirespan_tests::curl::Curl;
use wirespan_tests::expect::{Server, assert_distinct_ids};
use wirespan_tests::nginx::Options;
use wirespan_tests::python::TlsClient;
use wirespan_tests::{
    Agent, Certificate, Exchange, Nginx, Python, Span, agent, assert_exactly, process, tools, wait,
};

/// Stops the agent when each exchange should have its two spans, and checks that it does.
fn check(agent: Agent, exchanges: &[Exchange], servers: &[Server]) -> Result<Vec<Span>> {
    let stopped = agent.stop_after(exchanges.len() * 2)?;
    assert_exactly(&stopped.spans, exchanges, servers)?;
    assert_distinct_ids(&stopped.spans)?;
    Ok(stopped.spans)
}

/// Every kind of exchange that nginx and curl make, over few connections.
fn all_kinds(
    nginx: &Nginx,
    url: impl Fn(&str) -> String,
    certificate: &Certificate,
) -> Result<Vec<Exchange>> {
    let upload = nginx.folder().join("root/large.bin");
    let mut curl = Curl::new().trust(certificate).unhurried();
    for number in 0..20 {
        curl = curl.get(url(&format!("/small/{number}.txt?n={number}")));
    }
    let done = curl
        .get(url("/hello.txt"))
        .request("HEAD", url("/hello.txt"))
        .request("HEAD", url("/large.bin"))
        .get(url("/large.bin?download"))
        .get(url("/none"))
        .get(url("/broken"))
        .get(url("/moved"))
        .get(url("/text.txt"))
        .header("Accept-Encoding: gzip")
        .get(url("/hello.txt?empty="))
        .get(url("/hello.txt?"))
        .get(url("/small/a%20b%2Fc.txt"))
        .request("PUT", url("/put/sized.bin"))
        .body(&upload)
        .request("PUT", url("/put/chunked.bin"))
        .chunked(&upload)
        .request("OPTIONS", url("/hello.txt"))
        .get(url("/hello.txt?last"))
        .run()?;
    Ok(done.exchanges)
}

#[test]
fn plain_requests_of_every_kind_are_one_span_at_each_end() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    for sendfile in [true, false] {
        let nginx = Nginx::start(Options {
            sendfile,
            ..Options::default()
        })?;
        let agent = Agent::watching(&[nginx.port])?;
        let exchanges = all_kinds(&nginx, |path| nginx.url(path), &nginx.certificate)?;
        check(agent, &exchanges, &[nginx.server()])?;
    }
    Ok(())
}

#[test]
fn tls_requests_of_every_kind_are_one_span_at_each_end() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let nginx = Nginx::start(Options::default())?;
    let agent = Agent::watching(&[nginx.tls_port])?;
    let exchanges = all_kinds(&nginx, |path| nginx.tls_url(path), &nginx.certificate)?;
    let spans = check(agent, &exchanges, &[nginx.server()])?;
    assert!(
        spans
            .iter()
            .all(|span| span.text("url.scheme") == Some("https")),
        "a scheme is not https"
    );
    Ok(())
}

/// Chunked answers, slow ones, bodies both ways, no body, errors.
fn python_kinds(python: &Python) -> Result<Vec<Exchange>> {
    let upload = python.folder().join("upload.bin");
    std::fs::write(&upload, vec![b'u'; 300_000])?;
    let mut curl = Curl::new();
    if let Some(certificate) = &python.certificate {
        curl = curl.trust(certificate);
    }
    let done = curl
        .get(python.url("/items/7"))
        .get(python.url("/chunked?n=40"))
        .get(python.url("/slow?ms=50"))
        .taking(0.05)
        .request("POST", python.url("/items?sized"))
        .body(&upload)
        .request("POST", python.url("/items?chunked"))
        .chunked(&upload)
        .request("DELETE", python.url("/items/7"))
        .request("HEAD", python.url("/items/7"))
        .get(python.url("/fail"))
        .get(python.url("/busy"))
        .get(python.url("/bytes/10485760"))
        .get(python.url("/nothing/here"))
        .run()?;
    Ok(done.exchanges)
}

#[test]
fn a_python_service_is_seen_plain() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let python = Python::plain()?;
    let agent = Agent::watching(&[python.port])?;
    let exchanges = python_kinds(&python)?;
    check(agent, &exchanges, &[python.server()])?;
    Ok(())
}

#[test]
fn a_python_service_and_a_python_client_are_seen_over_tls() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let python = Python::tls()?;
    let certificate = python.certificate.as_ref().expect("a TLS service has one");
    let agent = Agent::watching(&[python.port])?;
    let mut exchanges = python_kinds(&python)?;
    let mut client = TlsClient::start(python.port, certificate)?;
    for (method, target) in [
        ("GET", "/items/1?by=client"),
        ("POST", "/items?by=client"),
        ("GET", "/chunked?n=9"),
        ("GET", "/gone?by=client"),
    ] {
        exchanges.push(client.request(method, target)?);
    }
    check(agent, &exchanges, &[python.server()])?;
    Ok(())
}

#[test]
fn pipelined_and_split_requests_are_exact() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let nginx = Nginx::start(Options {
        workers: 2,
        ..Options::default()
    })?;
    let agent = Agent::watching(&[nginx.port])?;
    let mut connection = Connection::open(nginx.port)?;
    let targets: Vec<String> = (0..32)
        .map(|number| format!("/small/{number}.txt?pipelined"))
        .collect();
    let mut exchanges =
        connection.pipeline(&targets.iter().map(String::as_str).collect::<Vec<_>>())?;
    exchanges.extend(connection.pipeline(&["/broken?1", "/none?2", "/hello.txt?3"])?);
    for size in [1, 2, 7, 30] {
        exchanges.extend(connection.get_in_pieces(&format!("/hello.txt?pieces={size}"), size)?);
    }
    check(agent, &exchanges, &[nginx.server()])?;
    Ok(())
}

#[test]
fn later_requests_on_connections_older_than_the_agent_are_exact() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let nginx = Nginx::start(Options::default())?;
    let mut plain = Connection::open(nginx.port)?;
    let mut tls = TlsClient::start(nginx.tls_port, &nginx.certificate)?;
    plain.get("/hello.txt?before")?;
    tls.request("GET", "/hello.txt?before")?;
    let agent = Agent::watching(&[nginx.port, nginx.tls_port])?;
    let mut exchanges = Vec::new();
    for number in 0..5 {
        exchanges.push(plain.get(&format!("/small/{number}.txt?plain"))?);
        exchanges.push(tls.request("GET", &format!("/small/{number}.txt?tls"))?);
    }
    check(agent, &exchanges, &[nginx.server()])?;
    Ok(())
}

#[test]
fn an_exchange_cut_by_the_start_of_the_agent_is_told_as_such() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let python = Python::plain()?;
    let mut connection = Connection::open(python.port)?;
    let gate = python.folder().join("gate");
    let asked = gate.with_extension("asked");
    let target = format!("/until?file={}", gate.display());
    let slow = std::thread::spawn(move || connection.get(&target).map(|_| connection));
    let limit = Duration::from_secs(20);
    wait::until("the request", limit, || Ok(asked.exists().then_some(())))?;
    let agent = Agent::watching(&[python.port])?;
    std::fs::write(&gate, "")?;
    let mut connection = slow.join().expect("the client does not panic")?;
    let exchanges = [
        connection.get("/items/1?after")?,
        connection.get("/items/2?after")?,
    ];
    let stopped = agent.stop_after(exchanges.len() * 2)?;
    let (cut, whole): (Vec<Span>, Vec<Span>) = stopped
        .spans
        .into_iter()
        .partition(|span| span.method().is_none());
    assert_exactly(&whole, &exchanges, &[python.server()])?;
    assert!(cut.len() <= 2, "more than one span at each end: {cut:?}");
    for span in &cut {
        assert!(
            span.has_flag("mid_stream") && span.path().is_none(),
            "claims what was not seen: {}",
            span.summary()
        );
    }
    Ok(())
}

#[test]
fn programs_started_after_the_agent_are_seen() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let (port, tls_port) = (tools::free_port()?, tools::free_port()?);
    let agent = Agent::watching(&[port, tls_port])?;
    let nginx = Nginx::start(Options {
        ports: Some((port, tls_port)),
        ..Options::default()
    })?;
    let curl = Curl::new().trust(&nginx.certificate);
    let exchanges = curl
        .get(nginx.url("/hello.txt?first"))
        .get(nginx.tls_url("/hello.txt?first"))
        .run()?
        .exchanges;
    check(agent, &exchanges, &[nginx.server()])?;
    Ok(())
}

#[test]
fn many_clients_at_once_are_not_mixed() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let nginx = Nginx::start(Options {
        workers: 2,
        ..Options::default()
    })?;
    let python = Python::tls()?;
    let agent = Agent::watching(&[nginx.port, nginx.tls_port, python.port])?;
    let client = |client: usize| {
        let mut curl = Curl::new().option("--insecure");
        for number in 0..40 {
            curl = match number % 3 {
                0 => curl.get(nginx.url(&format!("/small/{number}.txt?client={client}"))),
                1 => curl.get(nginx.tls_url(&format!("/small/{number}.txt?client={client}"))),
                _ => curl.get(python.url(&format!("/items/{number}?client={client}"))),
            };
        }
        curl.run()
    };
    let mut exchanges = Vec::new();
    std::thread::scope(|scope| -> Result<()> {
        let clients: Vec<_> = (0..8)
            .map(|number| scope.spawn(move || client(number)))
            .collect();
        for client in clients {
            exchanges.extend(client.join().expect("a client does not panic")?.exchanges);
        }
        Ok(())
    })?;
    check(agent, &exchanges, &[nginx.server(), python.server()])?;
    Ok(())
}

#[test]
fn connections_closed_after_each_answer_are_exact() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let nginx = Nginx::start(Options {
        keepalive_requests: 0,
        ..Options::default()
    })?;
    let agent = Agent::watching(&[nginx.port, nginx.tls_port])?;
    let mut curl = Curl::new().trust(&nginx.certificate);
    for number in 0..30 {
        curl = curl
            .get(nginx.url(&format!("/small/{number}.txt")))
            .get(nginx.tls_url(&format!("/small/{number}.txt?tls")));
    }
    let exchanges = curl.run()?.exchanges;
    check(agent, &exchanges, &[nginx.server()])?;
    Ok(())
}

#[test]
fn under_load_each_request_is_a_span_or_its_loss_is_counted() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    const CONNECTIONS: usize = 16;
    let nginx = Nginx::start(Options::default())?;
    let agent = Agent::watching(&[nginx.port])?;
    let connections = CONNECTIONS.to_string();
    let arguments = ["-t1", "-c", &connections, "-d2s", &nginx.url("/none")];
    let limit = Duration::from_secs(30);
    let wrk = process::run(agent.folder(), &tools::program("wrk")?, arguments, limit)?;
    let line = wrk.output.lines().find(|line| line.contains("requests in"));
    let requests: usize = line
        .and_then(|line| line.split_whitespace().next())
        .context("wrk tells how many requests it made")?
        .parse()?;
    let stopped = agent.stop_after(requests * 2)?;
    // Read when nothing was on its way any more: a loss is counted where it is met, not where it happens.
    let lost = agent::metric(&stopped.metrics, "wirespan_stream_gap_bytes_total")?;
    for kind in ["CLIENT", "SERVER"] {
        let complete = |span: &&Span| span.kind == kind && span.http_status() == Some(404);
        let complete = stopped.spans.iter().filter(complete).count();
        // What was in flight when wrk had enough was answered, but not counted by wrk.
        assert!(
            complete <= requests + CONNECTIONS,
            "{complete} {kind} spans of {requests} requests"
        );
        assert!(
            complete >= requests || lost > 0.0,
            "{complete} {kind} spans of {requests} requests, and nothing is counted as lost"
        );
    }
    let others = stopped.spans.iter();
    let others = others.filter(|span| span.http_status() != Some(404) && span.flags.is_empty());
    assert_eq!(
        others.count(),
        0,
        "a span without an answer that does not say so"
    );
    Ok(())
}
