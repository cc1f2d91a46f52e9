//! Starting, stopping and leaving no trace.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;
use wirespan_tests::agent::{self, Agent};
use wirespan_tests::curl::Curl;
use wirespan_tests::nginx::Options;
use wirespan_tests::process::KILLED_GRACE;
use wirespan_tests::{Nats, Nginx, Recorder, assert_exactly, kill, tools, wait};

/// Ids of the programs that a process holds open.
fn programs_of(pid: u32) -> Result<BTreeSet<u32>> {
    let mut programs = BTreeSet::new();
    for entry in
        std::fs::read_dir(format!("/proc/{pid}/fdinfo")).context("open files of the agent")?
    {
        // Files come and go while they are listed.
        let Ok(text) = std::fs::read_to_string(entry?.path()) else {
            continue;
        };
        let ids = text
            .lines()
            .filter_map(|line| line.strip_prefix("prog_id:"));
        programs.extend(ids.filter_map(|id| id.trim().parse::<u32>().ok()));
    }
    Ok(programs)
}

/// Ids of all programs in the kernel.
fn programs_loaded() -> Result<BTreeSet<u32>> {
    let ids = aya::programs::loaded_programs()
        .filter_map(Result::ok)
        .map(|program| program.id());
    Ok(ids.collect())
}

fn assert_gone(programs: &BTreeSet<u32>) -> Result<()> {
    wait::until(
        "the kernel has let go of every program",
        KILLED_GRACE,
        || Ok(programs_loaded()?.is_disjoint(programs).then_some(())),
    )?;
    for list in ["uprobe_events", "kprobe_events"] {
        let left =
            std::fs::read_to_string(format!("/sys/kernel/tracing/{list}")).unwrap_or_default();
        assert!(!left.contains("wirespan"), "{list}: {left}");
    }
    Ok(())
}

#[test]
fn every_way_to_stop_detaches_every_probe() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let nginx = Nginx::start(Options::default())?;
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        let agent = Agent::watching(&[nginx.port, nginx.tls_port])?;
        let programs = programs_of(agent.pid())?;
        assert!(!programs.is_empty(), "the agent holds no program");
        assert!(programs.is_subset(&programs_loaded()?));
        if signal == Signal::KILL {
            agent.kill()?;
        } else {
            agent.stop(signal)?;
        }
        assert_gone(&programs)?;
        assert!(nginx.alive()?, "a worker of nginx has died");
        Curl::new()
            .option("--insecure")
            .get(nginx.url("/hello.txt"))
            .get(nginx.tls_url("/hello.txt"))
            .run()?;
    }
    Ok(())
}

/// The short form of `cargo xtask soak --kill`.
#[test]
fn killed_at_any_moment_it_leaves_no_probe_and_no_error() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let outcome = kill::run(kill::Plan { kills: 3, seed: 1 })?;
    assert!(
        outcome.requests.iter().all(|count| *count > 0),
        "{outcome:#?}"
    );
    // Attaching, running, detaching: something was there to be left behind.
    assert!(
        outcome
            .kills
            .iter()
            .any(|kill| kill.held > 0 && !kill.too_late),
        "{outcome:#?}"
    );
    Ok(())
}

#[test]
fn what_came_just_before_the_signal_is_delivered() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let nginx = Nginx::start(Options::default())?;
    let agent = Agent::watching(&[nginx.port])?;
    let exchanges = Curl::new()
        .get(nginx.url("/hello.txt?1"))
        .get(nginx.url("/hello.txt?2"))
        .run()?
        .exchanges;
    let stopped = agent.stop(Signal::TERM)?;
    assert_exactly(&stopped.spans, &exchanges, &[nginx.server()])
}

#[test]
fn two_agents_see_the_same() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let nginx = Nginx::start(Options::default())?;
    let agents = [
        Agent::watching(&[nginx.port, nginx.tls_port])?,
        Agent::watching(&[nginx.port, nginx.tls_port])?,
    ];
    let exchanges = Curl::new()
        .option("--insecure")
        .get(nginx.url("/hello.txt"))
        .get(nginx.tls_url("/hello.txt"))
        .run()?
        .exchanges;
    let mut ids = Vec::new();
    for agent in agents {
        let spans = agent.stop_after(exchanges.len() * 2)?.spans;
        assert_exactly(&spans, &exchanges, &[nginx.server()])?;
        ids.push(
            spans
                .into_iter()
                .map(|span| span.span_id)
                .collect::<BTreeSet<_>>(),
        );
    }
    // Whoever gets both counts each exchange once.
    assert_eq!(ids[0], ids[1]);
    Ok(())
}

#[test]
fn the_agent_does_not_see_itself() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let nats = Nats::start()?;
    let nginx = Nginx::start(Options::default())?;
    // The whole node: a filter must not be what keeps its own connections out.
    let agent = Agent::run(["--nats", &nats.url()])?;
    let (own, metrics_port) = (u64::from(agent.pid()), agent.metrics_port());
    let exchanges = Curl::new()
        .get(nginx.url("/hello.txt?once"))
        .run()?
        .exchanges;
    for _ in 0..5 {
        agent::metrics(metrics_port)?;
    }
    // Long enough for a loop to show: each span published would be a reason for the next.
    std::thread::sleep(Duration::from_secs(2));
    let stopped = agent.stop(Signal::TERM)?;
    let of_nats = |span: &&wirespan_tests::Span| {
        span.pid() == Some(own) || span.pid() == Some(nats.pid().into())
    };
    let seen: Vec<String> = stopped
        .spans
        .iter()
        .filter(of_nats)
        .map(wirespan_tests::Span::summary)
        .collect();
    assert!(seen.is_empty(), "the agent or its NATS server: {seen:?}");
    let scraped: Vec<String> = stopped
        .spans
        .iter()
        .filter(|span| {
            span.path() == Some("/metrics")
                && span.integer("server.port") == Some(metrics_port.into())
        })
        .map(wirespan_tests::Span::summary)
        .collect();
    assert!(scraped.is_empty(), "its own metrics page: {scraped:?}");
    let ours: Vec<_> = stopped
        .spans
        .into_iter()
        .filter(|span| span.text("url.query") == Some("once"))
        .collect();
    assert_exactly(&ours, &exchanges, &[nginx.server()])
}

#[test]
fn recording_stops_by_itself_and_by_signal() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    for signal in [Signal::INT, Signal::TERM] {
        let (file, _folder) = Recorder::watching(&[tools::free_port()?])?.stop(signal)?;
        assert!(agent::replay(&file)?.is_empty());
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("second.wsrec");
    let finished = agent::wirespan([
        "record",
        "--duration",
        "1",
        "--output",
        &file.to_string_lossy(),
    ])?;
    assert!(finished.status.success(), "{}", finished.errors);
    agent::replay(&file)?;
    Ok(())
}
