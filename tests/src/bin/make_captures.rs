//! Makes `tests/captures/` anew: real servers and clients, recorded, with the spans that a replay
//! gives today. What it writes is to be read before it is committed.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use rustix::process::Signal;
use wirespan_capture::SocketEvent;
use wirespan_tests::agent::replay_with;
use wirespan_tests::client::Connection;
use wirespan_tests::curl::Curl;
use wirespan_tests::nginx::Options;
use wirespan_tests::python::TlsClient;
use wirespan_tests::{Exchange, Nginx, Python, Recorder, assert_exactly, rewrite};

fn main() -> ExitCode {
    match make() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("make_captures: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn make() -> Result<()> {
    let nginx = Nginx::start(Options::default())?;
    let python = Python::tls()?;
    record("http-nginx-plain", &nginx, &python, &[nginx.port], || {
        plain(&nginx)
    })?;
    record("http-nginx-tls", &nginx, &python, &[nginx.tls_port], || {
        tls(&nginx)
    })?;
    record("http-python-tls", &nginx, &python, &[python.port], || {
        service(&python)
    })?;

    let mut old = Connection::open(nginx.port)?;
    old.get("/hello.txt?before")?;
    record(
        "http-joined-mid-stream",
        &nginx,
        &python,
        &[nginx.port],
        || {
            (0..3)
                .map(|number| old.get(&format!("/small/{number}.txt?after")))
                .collect()
        },
    )
}

fn record(
    name: &str,
    nginx: &Nginx,
    python: &Python,
    ports: &[u16],
    traffic: impl FnOnce() -> Result<Vec<Exchange>>,
) -> Result<()> {
    let recorder = Recorder::watching(ports)?;
    let exchanges = traffic()?;
    let (recorded, _folder) = recorder.stop(Signal::TERM)?;
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("captures")
        .join(name)
        .with_extension("wsrec");
    rewrite::rewrite(&recorded, &file, |mut event, events| {
        let process = match &mut event {
            SocketEvent::Process(process) => Some(process),
            SocketEvent::Executed(executed) => Some(&mut executed.process),
            SocketEvent::Held(held) => Some(&mut held.process),
            _ => None,
        };
        if let Some(process) = process {
            let mut anonymous = (**process).clone();
            anonymous.cgroup_path.clear();
            anonymous.container_id = None;
            *process = anonymous.into();
        }
        events.push(event);
    })?;
    let spans = replay_with(&file, &["--no-route-templates"])?;
    assert_exactly(&spans, &exchanges, &[nginx.server(), python.server()])
        .context("the recording is not what the clients did")?;
    let lines: Vec<String> = spans
        .iter()
        .map(serde_json::to_string)
        .collect::<Result<_, _>>()?;
    std::fs::write(file.with_extension("jsonl"), lines.join("\n") + "\n")?;
    println!(
        "{name}: {} exchanges, {} spans, {} bytes",
        exchanges.len(),
        spans.len(),
        std::fs::metadata(&file)?.len()
    );
    Ok(())
}

fn plain(nginx: &Nginx) -> Result<Vec<Exchange>> {
    let upload = nginx.folder().join("root/text.txt");
    let mut exchanges = Connection::open(nginx.port)?.pipeline(&[
        "/small/1.txt",
        "/none",
        "/small/2.txt?two",
        "/broken",
    ])?;
    let curl = Curl::new()
        .get(nginx.url("/hello.txt"))
        .request("HEAD", nginx.url("/large.bin"));
    let curl = curl
        .get(nginx.url("/text.txt"))
        .header("Accept-Encoding: gzip");
    let curl = curl
        .request("PUT", nginx.url("/put/sized"))
        .body(&upload)
        .request("PUT", nginx.url("/put/chunked"))
        .chunked(&upload);
    exchanges.extend(
        curl.get(nginx.url("/large.bin"))
            .get(nginx.url("/hello.txt?last"))
            .run()?
            .exchanges,
    );
    Ok(exchanges)
}

fn tls(nginx: &Nginx) -> Result<Vec<Exchange>> {
    let upload = nginx.folder().join("root/text.txt");
    let curl = Curl::new()
        .trust(&nginx.certificate)
        .get(nginx.tls_url("/hello.txt"))
        .get(nginx.tls_url("/none?tls"));
    let curl = curl
        .get(nginx.tls_url("/text.txt"))
        .header("Accept-Encoding: gzip");
    let curl = curl
        .request("PUT", nginx.tls_url("/put/tls"))
        .chunked(&upload)
        .get(nginx.tls_url("/large.bin"));
    Ok(curl.get(nginx.tls_url("/hello.txt?last")).run()?.exchanges)
}

fn service(python: &Python) -> Result<Vec<Exchange>> {
    let certificate = python
        .certificate
        .as_ref()
        .context("a TLS service has one")?;
    let mut client = TlsClient::start(python.port, certificate)?;
    [
        ("GET", "/items/1"),
        ("POST", "/items?q=1"),
        ("GET", "/chunked?n=12"),
        ("GET", "/fail"),
        ("DELETE", "/items/1"),
        ("GET", "/gone"),
    ]
    .into_iter()
    .map(|(method, target)| client.request(method, target))
    .collect()
}
