//! Programs as people run them: what each has counted itself is what its spans say, and what cannot be
//! observed is said and not guessed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use wirespan_tests::agent::{self, metric};
use wirespan_tests::crowd::{Crowd, Kind};
use wirespan_tests::curl::Curl;
use wirespan_tests::expect::assert_distinct_ids;
use wirespan_tests::java::Java;
use wirespan_tests::nginx::{Answered, Options};
use wirespan_tests::redis::Redis;
use wirespan_tests::{Agent, Exchange, Nginx, Span, assert_exactly, tools, wait, wget};

/// A log line and a counter follow at once, also on a busy machine.
const SOON: Duration = Duration::from_secs(15);

/// Checks that nginx has counted what its spans say, the bytes of the bodies that no probe has copied
/// included.
fn assert_answered(nginx: &Nginx, spans: &[Span]) -> Result<()> {
    let mut told: Vec<_> = spans
        .iter()
        .filter(|span| span.kind == "SERVER" && span.service() == Some("nginx"))
        .map(|span| Answered::of(span).with_context(|| span.summary()))
        .collect::<Result<_>>()?;
    told.sort();
    let mut answered = wait::until("nginx's log", SOON, || {
        let answered = nginx.answered()?;
        Ok((answered.len() >= told.len()).then_some(answered))
    })?;
    answered.sort();
    assert_eq!(told, answered, "nginx has counted differently");
    Ok(())
}

#[test]
fn what_programs_have_counted_is_what_their_spans_say() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let nginx = Nginx::start(Options {
        access_log: true,
        ..Options::default()
    })?;
    let mut java = Java::start(&nginx.certificate)?;
    let (node, uring) = (
        Crowd::start(Kind::PlainNode)?,
        Crowd::start(Kind::NodeOfUring)?,
    );
    let agent = Agent::watching(&[nginx.port, nginx.tls_port, java.port, node.port, uring.port])?;
    let paths = [
        "/hello.txt",
        "/large.bin?wget",
        "/small/7.txt",
        "/text.txt?",
    ];
    let mut exchanges = wget::get(
        &paths.map(|path| nginx.url(path)),
        nginx.port,
        &nginx.certificate,
    )?;
    exchanges.extend(wget::get(
        &paths.map(|path| nginx.tls_url(path)),
        nginx.tls_port,
        &nginx.certificate,
    )?);
    let upload = nginx.folder().join("root/text.txt");
    let curl = Curl::new()
        .trust(&nginx.certificate)
        .get(nginx.url("/large.bin?curl"))
        .get(nginx.url("/hello.txt?after"))
        .get(nginx.tls_url("/large.bin?curl"))
        .get(nginx.tls_url("/hello.txt?after"))
        .request("HEAD", nginx.tls_url("/large.bin"))
        .get(java.url("/bytes/200000?curl"))
        .request("PUT", java.url("/put"))
        .body(&upload)
        .get(java.url("/status/503"));
    exchanges.extend(curl.run()?.exchanges);
    for (method, path, body) in [
        ("GET", "/bytes/300000?java", 0),
        ("POST", "/items?java", 100_000),
        ("DELETE", "/status/404", 0),
    ] {
        let (url, port) = (java.url(path), java.port);
        exchanges.push(java.ask(method, &url, body, port)?);
    }
    exchanges.push(java.ask("GET", &nginx.url("/large.bin?java"), 0, nginx.port)?);
    exchanges.extend(node.ask(20, 4)?);
    exchanges.extend(uring.ask(20, 4)?);
    let spans = agent.stop_after(exchanges.len() * 2)?.spans;
    let servers = [nginx.server(), java.server(), node.server(), uring.server()];
    assert_exactly(&spans, &exchanges, &servers)?;
    assert_distinct_ids(&spans)?;
    assert_answered(&nginx, &spans)?;
    let of_java = |span: &&Span| span.kind == "SERVER" && span.service() == Some("java");
    assert_eq!(spans.iter().filter(of_java).count(), java.served()?, "Java");
    Ok(())
}

/// What the doctor says of a process.
fn surveyed(pid: u32) -> Result<Value> {
    let finished = agent::wirespan(["doctor", "--processes", "--output", "json"])?;
    let report: Value = serde_json::from_str(&finished.output)
        .with_context(|| format!("the doctor's report: {}", finished.errors))?;
    let rows = report["processes"].as_array().context("processes")?;
    let row = rows.iter().find(|row| row["pid"] == pid);
    row.cloned()
        .with_context(|| format!("the doctor does not know process {pid}"))
}

#[test]
fn javas_tls_is_said_not_to_be_observable_and_nothing_is_guessed() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let nginx = Nginx::start(Options::default())?;
    let mut java = Java::start(&nginx.certificate)?;
    let agent = Agent::watching(&[nginx.tls_port, java.tls_port])?;
    let curl = Curl::new()
        .trust(&nginx.certificate)
        .get(java.tls_url("/bytes/100000?curl"))
        .get(java.tls_url("/status/404?curl"));
    let mut exchanges: Vec<Exchange> = curl.run()?.exchanges;
    for exchange in &mut exchanges {
        exchange.server_hidden = true;
    }
    let (url, port) = (java.tls_url("/bytes/100000?java"), java.tls_port);
    exchanges.push(Exchange {
        server_hidden: true,
        client_hidden: true,
        ..java.ask("GET", &url, 0, port)?
    });
    for path in ["/hello.txt?java", "/large.bin?java"] {
        exchanges.push(Exchange {
            client_hidden: true,
            ..java.ask("GET", &nginx.tls_url(path), 0, nginx.tls_port)?
        });
    }
    let row = surveyed(java.pid())?;
    assert_eq!(row["plaintext"], "not_seen", "{row}");
    let reason = row["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("Java"), "{row}");
    // curl's and Java's own with Java's server, and Java's with nginx: four ends are Java's.
    wait::until("what is encrypted is counted", SOON, || {
        let metrics = agent::metrics(agent.metrics_port())?;
        let encrypted = metric(&metrics, "wirespan_connections_encrypted_total")?;
        Ok((encrypted == 4.0).then_some(()))
    })?;
    let spans = agent.stop_after(4)?.spans;
    assert_exactly(&spans, &exchanges, &[nginx.server(), java.server()])?;
    assert!(
        spans.iter().all(|span| span.service() != Some("java")),
        "a span of what cannot be observed: {spans:#?}"
    );
    assert_eq!(spans.len(), 4, "the observable ends");
    Ok(())
}

#[test]
fn redis_is_recognised_as_none_of_ours_and_no_longer_copied_then() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    const CONNECTIONS: usize = 2;
    const BYTES: usize = 4096;
    const REQUESTS: usize = 5000;
    const IGNORED: &str = "wirespan_capture_kernel_ignored_bytes_total";
    let redis = Redis::start()?;
    let agent = Agent::watching(&[redis.port])?;
    assert_eq!(redis.command(&["set", "key", "value"])?, "OK\n");
    assert_eq!(redis.command(&["get", "key"])?, "value\n");
    redis.benchmark(CONNECTIONS, REQUESTS, BYTES)?;
    let received = redis.info("total_connections_received")?;
    let commands = redis.info("total_commands_processed")?;
    ensure!(commands > 2 * REQUESTS as u64, "{commands} commands");
    // Those of both questions too, and each has two ends.
    let ends = u32::try_from(2 * (received + 1))?;
    let metrics = wait::until("each connection is counted", SOON, || {
        let metrics = agent::metrics(agent.metrics_port())?;
        let unknown = metric(&metrics, "wirespan_connections_unknown_total")?;
        Ok((unknown == f64::from(ends)).then_some(metrics))
    })?;
    let passed = metric(&metrics, "wirespan_capture_kernel_passed_bytes_total")?;
    // SET sends so much, GET receives it, and both ends are seen.
    assert!(passed >= (4 * REQUESTS * BYTES) as f64, "{passed} passed");
    // How much of those was copied before, is a question of when the agent got a processor. Of a connection
    // that it has looked at nothing is.
    let mut connection = TcpStream::connect(("127.0.0.1", redis.port))?;
    connection.set_read_timeout(Some(SOON))?;
    let value = "x".repeat(BYTES);
    let mut set = || -> Result<()> {
        connection.write_all(format!("SET held {value}\r\n").as_bytes())?;
        let mut answer = [0; 5];
        connection.read_exact(&mut answer)?;
        ensure!(&answer == b"+OK\r\n", "Redis said {answer:?}");
        Ok(())
    };
    // Being counted is not yet being left alone: the kernel side is told by another thread, of each end.
    let before = wait::until("both ends of the connection are left alone", SOON, || {
        let before = agent::metrics(agent.metrics_port())?;
        set()?;
        let after = agent::metrics(agent.metrics_port())?;
        let ignored = metric(&after, IGNORED)? - metric(&before, IGNORED)?;
        Ok((ignored >= (2 * BYTES) as f64).then_some(after))
    })?;
    let unknown = metric(&before, "wirespan_connections_unknown_total")?;
    assert_eq!(unknown, f64::from(ends + 2));
    for _ in 0..REQUESTS {
        set()?;
    }
    let after = agent::metrics(agent.metrics_port())?;
    let more = |name: &str| Ok::<_, anyhow::Error>(metric(&after, name)? - metric(&before, name)?);
    let copied = more("wirespan_capture_kernel_copied_bytes_total")?;
    let ignored = more(IGNORED)?;
    assert_eq!(copied, 0.0, "bytes copied of what nobody knows");
    assert!(ignored >= (2 * REQUESTS * BYTES) as f64, "{ignored} passed");
    let stopped = agent.stop_after(0)?;
    assert_eq!(stopped.spans, [], "spans of Redis");
    Ok(())
}
