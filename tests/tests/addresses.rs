//! Which addresses a span tells where the ends of a connection do not agree, or have none.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use wirespan_tests::namespace::Namespace;
use wirespan_tests::nginx::Options;
use wirespan_tests::{Agent, Nginx, Span, tools};

/// Of a service of a cluster: nobody has it.
const SERVICE: &str = "10.96.0.10";
/// Of the one that answers in its place.
const BACKEND: &str = "10.99.0.1";

/// The one span of this kind whose path is `path`.
fn only<'a>(spans: &'a [Span], kind: &str, path: &str) -> Result<&'a Span> {
    let mut found = spans
        .iter()
        .filter(|span| span.kind == kind && span.path() == Some(path));
    let span = found.next();
    let span = span.with_context(|| format!("no {kind} span of {path}: {spans:#?}"))?;
    ensure!(found.next().is_none(), "several {kind} spans of {path}");
    ensure!(span.flags.is_empty(), "{}", span.summary());
    Ok(span)
}

/// Addresses and ports of a span: the server that was named, the peer's, and the own.
fn ends(span: &Span) -> [(Option<&str>, Option<i64>); 3] {
    ["server", "network.peer", "network.local"].map(|end| {
        (
            span.text(&format!("{end}.address")),
            span.integer(&format!("{end}.port")),
        )
    })
}

#[test]
fn behind_address_translation_the_original_and_the_translated_address_are_told() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let folder = tempfile::tempdir()?;
    let namespace = Namespace::make(folder.path())?;
    let (asked, answering) = (tools::free_port()?, tools::free_port()?);
    namespace.add_address(&format!("{BACKEND}/32"))?;
    namespace.translate((SERVICE, asked), (BACKEND, answering))?;
    std::fs::write(folder.path().join("index.html"), "hello\n")?;
    let words = ["-u", "-m", "http.server", "--bind", BACKEND];
    let mut arguments: Vec<OsString> = words.map(Into::into).into();
    arguments.push(answering.to_string().into());
    let mut server = namespace.start(&tools::python()?, arguments)?;
    server.wait_ready("Python listens", Duration::from_secs(20), |server| {
        Ok(server.output()?.contains("Serving HTTP"))
    })?;
    let agent = Agent::watching(&[asked, answering])?;
    let resolve = format!("shop.example:{asked}:{SERVICE}");
    let arguments = [
        "--silent".to_owned(),
        "--show-error".to_owned(),
        "--max-time".to_owned(),
        "30".to_owned(),
        "--resolve".to_owned(),
        resolve,
        format!("http://{SERVICE}:{asked}/none/address"),
        format!("http://shop.example:{asked}/none/name"),
    ];
    let curl = namespace.run(&tools::program("curl")?, arguments.map(Into::into))?;
    ensure!(curl.status.success(), "curl: {}", curl.errors);
    let spans = agent.stop_after(4)?.spans;
    assert_eq!(spans.len(), 4, "{spans:#?}");
    for (path, named) in [("/none/address", SERVICE), ("/none/name", "shop.example")] {
        let named = (Some(named), Some(asked.into()));
        let client = only(&spans, "CLIENT", path)?;
        let service = (Some(SERVICE), Some(asked.into()));
        assert_eq!(ends(client), [named, service, (None, None)], "{path}");
        let server = only(&spans, "SERVER", path)?;
        let [told, _, own] = ends(server);
        let backend = (Some(BACKEND), Some(answering.into()));
        assert_eq!([told, own], [named, backend], "{path}");
    }
    Ok(())
}

#[test]
fn unix_sockets_are_told_by_their_names() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let nginx = Nginx::start(Options::default())?;
    let [worker] = nginx.workers() else {
        anyhow::bail!("one worker, not {:?}", nginx.workers())
    };
    let pids = [*worker, std::process::id()];
    let agent = Agent::run(
        pids.iter()
            .flat_map(|pid| ["--pid".into(), pid.to_string()]),
    )?;
    let mut stream = UnixStream::connect(nginx.socket())?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(b"HEAD /hello.txt HTTP/1.1\r\nHost: shop.example\r\n\r\n")?;
    let mut head = [0; 15];
    stream.read_exact(&mut head)?;
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    // The rest of that answer, and the next one, up to the end.
    stream.write_all(b"HEAD /small/1.txt HTTP/1.0\r\n\r\n")?;
    stream.read_to_end(&mut Vec::new())?;
    drop(stream);
    let spans = agent.stop_after(4)?.spans;
    assert_eq!(spans.len(), 4, "{spans:#?}");
    let path = nginx.socket();
    let socket = (path.to_str(), None);
    let nobody = (None, None);
    let named = (Some("shop.example"), None);
    for (kind, path, expected) in [
        ("CLIENT", "/hello.txt", [named, socket, nobody]),
        ("SERVER", "/hello.txt", [named, nobody, socket]),
        ("CLIENT", "/small/1.txt", [socket, socket, nobody]),
        ("SERVER", "/small/1.txt", [socket, nobody, nobody]),
    ] {
        let span = only(&spans, kind, path)?;
        assert_eq!(ends(span), expected, "{kind} {path}");
        assert_eq!(
            span.text("network.transport"),
            Some("unix"),
            "{kind} {path}"
        );
    }
    Ok(())
}
