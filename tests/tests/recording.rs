//! `wirespan record`, and what `replay` makes of its files.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use wirespan_tests::agent::{replay, wirespan};
use wirespan_tests::client::Connection;
use wirespan_tests::curl::Curl;
use wirespan_tests::nginx::Options;
use wirespan_tests::watch::Watch;
use wirespan_tests::{Exchange, Nginx, Python, Span, assert_exactly, tools};

/// Some of everything, on a plain and on two TLS ports.
fn traffic(nginx: &Nginx, python: &Python) -> Result<Vec<Exchange>> {
    let upload = nginx.folder().join("root/text.txt");
    let mut exchanges =
        Connection::open(nginx.port)?.pipeline(&["/small/1.txt", "/none", "/small/2.txt?two"])?;
    let curl = Curl::new().option("--insecure").unhurried();
    let curl = curl
        .get(nginx.url("/hello.txt"))
        .get(nginx.url("/large.bin"))
        .get(nginx.url("/broken"));
    let curl = curl
        .get(nginx.tls_url("/hello.txt?tls"))
        .get(nginx.tls_url("/large.bin?tls"));
    let curl = curl
        .request("PUT", nginx.tls_url("/put/text.txt"))
        .chunked(&upload);
    let curl = curl
        .get(python.url("/chunked?n=20"))
        .request("POST", python.url("/items"))
        .body(&upload);
    exchanges.extend(curl.run()?.exchanges);
    Ok(exchanges)
}

/// One recording for all tests of this file: making it needs the kernel, reading it does not.
fn record() -> Result<(tempfile::TempDir, std::path::PathBuf, Recorded)> {
    let nginx = Nginx::start(Options::default())?;
    let python = Python::tls()?;
    let ports = [nginx.port, nginx.tls_port, python.port];
    let watch = Watch::start_with(&ports, &[])?;
    let exchanges = traffic(&nginx, &python)?;
    let (stopped, file, folder) = watch.stop_recorded_after(exchanges.len() * 2)?;
    let live = stopped.spans;
    let servers = vec![nginx.server(), python.server()];
    Ok((
        folder,
        file,
        Recorded {
            exchanges,
            live,
            servers,
        },
    ))
}

struct Recorded {
    exchanges: Vec<Exchange>,
    live: Vec<Span>,
    servers: Vec<wirespan_tests::expect::Server>,
}

/// What two captures of one exchange agree on: all but its times, for each has its own probes, and
/// with them whether their order is certain.
fn essence(spans: &[Span]) -> Vec<String> {
    let mut lines: Vec<String> = spans
        .iter()
        .map(|span| {
            let mut attributes = span.attributes.clone();
            attributes.sort_keys();
            let attributes = serde_json::to_string(&attributes).unwrap_or_default();
            let what = (
                &span.name,
                &span.kind,
                &span.status,
                &span.protocol,
                &span.parser,
            );
            format!(
                "{:?} {what:?} {attributes}",
                span.resource.get("process.pid")
            )
        })
        .collect();
    lines.sort_unstable();
    lines
}

#[test]
fn a_recording_replays_to_the_spans_that_were_seen_live() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let (_folder, file, recorded) = record()?;
    let replayed = replay(&file)?;
    assert_exactly(&recorded.live, &recorded.exchanges, &recorded.servers).context("live")?;
    assert_exactly(&replayed, &recorded.exchanges, &recorded.servers).context("replayed")?;
    for (seen, again) in essence(&recorded.live).iter().zip(essence(&replayed)) {
        assert_eq!(*seen, again, "seen live, and replayed");
    }
    assert_eq!(replayed, replay(&file)?, "two replays differ");

    let mode = std::fs::metadata(&file)?.permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "others can read the plaintext: {mode:o}");

    cut_off(&file, &replayed)
}

/// A recording cut anywhere gives what came before, says so, and is no failure.
fn cut_off(file: &Path, whole: &[Span]) -> Result<()> {
    let bytes = std::fs::read(file)?;
    let folder = tempfile::tempdir()?;
    let cut = folder.path().join("cut.wsrec");
    let mut most = 0;
    for twentieth in 1..20 {
        std::fs::write(
            &cut,
            bytes
                .get(..bytes.len() * twentieth / 20)
                .unwrap_or_default(),
        )?;
        let finished = wirespan([
            Path::new("replay"),
            "--output".as_ref(),
            "json".as_ref(),
            &cut,
        ])?;
        assert!(
            finished.status.success(),
            "at {twentieth}/20: {} {}",
            finished.status,
            finished.errors
        );
        assert!(
            finished.errors.contains("cut"),
            "no warning at {twentieth}/20: {:?}",
            finished.errors
        );
        let spans = Span::parse_lines(&finished.output)?;
        let complete: Vec<&Span> = spans.iter().filter(|span| span.flags.is_empty()).collect();
        assert!(
            complete.iter().all(|span| whole.contains(span)),
            "a span that is not in the whole at {twentieth}/20"
        );
        most = most.max(complete.len());
    }
    assert!(most > 0, "nothing came out of any cut recording");
    Ok(())
}

#[test]
fn a_recording_that_is_too_short_to_be_one_is_refused_or_empty() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for (name, content) in [
        ("empty", &b""[..]),
        ("text", b"hello, this is a text\n"),
        ("zeros", &[0; 4096]),
    ] {
        let file = folder.path().join(name);
        std::fs::write(&file, content)?;
        let finished = wirespan([Path::new("replay"), &file])?;
        assert_eq!(
            finished.status.code(),
            Some(1),
            "{name}: {}",
            finished.errors
        );
        assert!(
            finished.errors.contains(&*file.to_string_lossy()),
            "{name} is not named: {}",
            finished.errors
        );
        assert!(finished.output.is_empty());
    }
    Ok(())
}
