//! Spans on NATS, as someone sees them who knows only the documentation.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;
use wirespan_tests::agent::{self, Agent};
use wirespan_tests::curl::Curl;
use wirespan_tests::nats::Message;
use wirespan_tests::nginx::Options;
use wirespan_tests::{Exchange, Nats, Nginx, Span, assert_exactly, tools};

const LIMIT: Duration = Duration::from_secs(15);

fn ask(nginx: &Nginx) -> Result<Vec<Exchange>> {
    let mut curl = Curl::new().trust(&nginx.certificate);
    for number in 0..20 {
        curl = curl
            .get(nginx.url(&format!("/small/{number}.txt")))
            .get(nginx.tls_url(&format!("/small/{number}.txt?tls")));
    }
    Ok(curl.run()?.exchanges)
}

fn arguments(nginx: &Nginx, url: &str) -> Vec<String> {
    let ports = [nginx.port, nginx.tls_port].map(|port| port.to_string());
    ["--nats", url, "--port", &ports[0], "--port", &ports[1]]
        .map(String::from)
        .to_vec()
}

fn lines(messages: &[Message]) -> Result<Vec<Span>> {
    let texts = messages
        .iter()
        .map(|message| String::from_utf8_lossy(&message.payload).into_owned() + "\n");
    Span::parse_lines(&texts.collect::<String>())
}

#[test]
fn a_stranger_gets_every_span_on_its_subject() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let nats = Nats::start()?;
    let nginx = Nginx::start(Options::default())?;
    let mut subscription = nats.subscribe("wirespan.spans.v1.>")?;
    let agent = Agent::run(arguments(&nginx, &nats.url()))?;
    let exchanges = ask(&nginx)?;
    let messages = subscription.collect(LIMIT, |messages| {
        lines(messages).is_ok_and(|spans| spans.len() >= exchanges.len() * 2)
    });
    agent.stop(Signal::TERM)?;
    let spans = lines(&messages)?;
    assert_exactly(&spans, &exchanges, &[nginx.server()])?;

    let subjects: BTreeSet<&str> = messages
        .iter()
        .map(|message| message.subject.as_str())
        .collect();
    assert_eq!(
        subjects,
        BTreeSet::from([
            "wirespan.spans.v1._._.curl.http",
            "wirespan.spans.v1._._.nginx.http"
        ])
    );
    for message in &messages {
        assert_eq!(message.header("Content-Type"), Some("application/x-ndjson"));
        assert!(
            message
                .header("Nats-Msg-Id")
                .is_some_and(|id| !id.is_empty())
        );
        assert_eq!(message.header("traceparent"), None);
        let workload = message.subject.split('.').nth(5);
        assert!(
            lines(std::slice::from_ref(message))?
                .iter()
                .all(|span| span.service() == workload),
            "a span on another's subject"
        );
    }
    let ids: BTreeSet<_> = messages
        .iter()
        .map(|message| message.header("Nats-Msg-Id"))
        .collect();
    assert_eq!(
        ids.len(),
        messages.len(),
        "two messages share a Nats-Msg-Id"
    );
    Ok(())
}

#[test]
fn the_cluster_is_a_token_and_encodings_say_what_they_are() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let nats = Nats::start()?;
    let nginx = Nginx::start(Options::default())?;
    for (encoding, kind) in [
        ("otlp", "application/x-protobuf"),
        ("otlp-json", "application/json"),
    ] {
        let mut subscription = nats.subscribe("wirespan.spans.v1.>")?;
        let mut arguments = arguments(&nginx, &nats.url());
        arguments.extend(["--encoding", encoding, "--cluster", "east 1"].map(String::from));
        let agent = Agent::run(arguments)?;
        Curl::new().get(nginx.url("/hello.txt?who")).run()?;
        let messages = subscription.collect(LIMIT, |messages| messages.len() >= 2);
        agent.stop(Signal::TERM)?;
        assert_eq!(messages.len(), 2, "one for curl, one for nginx");
        for message in &messages {
            assert_eq!(message.header("Content-Type"), Some(kind));
            let tokens: Vec<&str> = message.subject.split('.').collect();
            assert_eq!(tokens.len(), 7, "{}", message.subject);
            assert!(
                !tokens[3].contains(' ') && tokens[3].starts_with("east"),
                "{}",
                message.subject
            );
            let holds = |needle: &[u8]| {
                message
                    .payload
                    .windows(needle.len())
                    .any(|window| window == needle)
            };
            assert!(
                holds(b"url.query") && holds(b"who"),
                "{encoding} without the attributes"
            );
            assert_eq!(
                encoding == "otlp-json",
                serde_json::from_slice::<serde_json::Value>(&message.payload).is_ok()
            );
        }
    }
    Ok(())
}

#[test]
fn a_server_that_cannot_be_reached_is_named() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let url = format!("nats://127.0.0.1:{}", tools::free_port()?);
    let finished = agent::wirespan(["run", "--metrics", "off", "--nats", &url])?;
    assert_eq!(finished.status.code(), Some(1), "{}", finished.errors);
    assert!(
        finished.errors.contains(&url.replace("nats://", "")),
        "{}",
        finished.errors
    );
    Ok(())
}

#[test]
fn a_server_that_refuses_is_named_with_its_reason() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let nats = Nats::with_arguments(&["--user", "someone", "--pass", "secret-word"])?;
    let finished = agent::wirespan(["run", "--metrics", "off", "--nats", &nats.url()])?;
    assert_eq!(finished.status.code(), Some(1), "{}", finished.errors);
    assert!(
        finished.errors.to_lowercase().contains("authorization"),
        "{}",
        finished.errors
    );
    let wrong = format!("nats://someone:wrong-word@127.0.0.1:{}", nats.port);
    let finished = agent::wirespan(["run", "--metrics", "off", "--nats", &wrong])?;
    assert_eq!(finished.status.code(), Some(1), "{}", finished.errors);
    assert!(
        !finished.errors.contains("wrong-word"),
        "a password in a message: {}",
        finished.errors
    );
    Ok(())
}

#[test]
fn publishing_goes_on_when_the_server_comes_back() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let nats = Nats::start()?;
    let port = nats.port;
    let nginx = Nginx::start(Options::default())?;
    let agent = Agent::run(arguments(&nginx, &nats.url()))?;
    drop(nats);
    let mut exchanges = Curl::new()
        .get(nginx.url("/hello.txt?away"))
        .run()?
        .exchanges;
    std::thread::sleep(Duration::from_secs(1));
    let nats = Nats::on_port(port)?;
    let mut subscription = nats.subscribe("wirespan.spans.v1.>")?;
    // A subscription made after the server is back may miss what is sent on reconnecting.
    let mut messages = Vec::new();
    for number in 0..100 {
        exchanges.extend(
            Curl::new()
                .get(nginx.url(&format!("/hello.txt?back={number}")))
                .run()?
                .exchanges,
        );
        messages = subscription.collect(Duration::from_millis(200), |messages| messages.len() >= 2);
        if !messages.is_empty() {
            break;
        }
    }
    assert!(
        !messages.is_empty(),
        "nothing is published after the server has come back"
    );
    let stopped = agent.stop_after(exchanges.len() * 2)?;
    assert_exactly(&stopped.spans, &exchanges, &[nginx.server()])
}
