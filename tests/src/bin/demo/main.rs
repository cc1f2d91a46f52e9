//! The whole road in one program: real servers, the agent, traffic, and a stranger on NATS who sees
//! what the programs did without any of them knowing.

mod report;
mod traffic;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::Signal;
use wirespan_tests::nginx::Options;
use wirespan_tests::{Agent, Nats, Nginx, Python, Span, assert_exactly};

/// Spans leave within a second; the rest is for a busy machine.
const ARRIVAL: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    match demonstrate() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn demonstrate() -> Result<()> {
    let style = report::Style {
        colour: std::io::stdout().is_terminal() || std::env::var_os("CLICOLOR_FORCE").is_some(),
    };
    let start = Instant::now();

    style.heading("Servers that know nothing of Wirespan");
    let nats = Nats::start()?;
    style.item("nats-server", &nats.url());
    let nginx = Nginx::start(Options {
        workers: 2,
        ..Options::default()
    })?;
    style.item(
        "nginx",
        &format!("{}  {}", nginx.url(""), nginx.tls_url("")),
    );
    let orders = Python::start(true, &[("OTEL_SERVICE_NAME", "orders")])?;
    style.item("orders (Python)", &orders.url(""));

    style.heading("The agent, and a stranger on NATS");
    let mut subscription = nats.subscribe("wirespan.spans.v1.>")?;
    let agent = Agent::publishing(&nats.url(), &[nginx.port, nginx.tls_port, orders.port])?;
    style.item("wirespan run", &format!("--nats {}", nats.url()));
    style.item("subscribed to", "wirespan.spans.v1.>");

    let exchanges = traffic::send(&nginx, &orders)?;
    style.heading(&format!(
        "{} requests by curl, as they arrived on NATS",
        exchanges.len()
    ));
    let expected = exchanges.len() * 2;
    let mut spans = Vec::new();
    let end = Instant::now() + ARRIVAL;
    while spans.len() < expected {
        let Some(message) = subscription.next(end.saturating_duration_since(Instant::now())) else {
            break;
        };
        let batch = Span::parse_lines(&(String::from_utf8_lossy(&message.payload) + "\n"))
            .context("a message on NATS")?;
        spans.extend(
            batch
                .into_iter()
                .map(|span| (span, message.subject.clone())),
        );
    }
    style.spans(&spans);
    let spans: Vec<Span> = spans.into_iter().map(|(span, _)| span).collect();

    style.heading("By service, method and path");
    report::say(&style.table(&spans).to_string());

    agent.stop(Signal::TERM)?;
    let mut servers = vec![nginx.server(), orders.server()];
    if let Some(last) = servers.last_mut() {
        "orders".clone_into(&mut last.service);
    }
    assert_exactly(&spans, &exchanges, &servers)
        .context("the spans are not what the clients did")?;
    style.heading(&format!(
        "{} requests, {} spans: each once at its client and once at its server. {:.1} s, nothing left running.",
        exchanges.len(),
        spans.len(),
        start.elapsed().as_secs_f64(),
    ));
    Ok(())
}
