//! Which addresses a span tells where the ends of a connection do not agree, or have none.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use wirespan_agent::{Artefacts, Embedded};
use wirespan_capture::Source;
use wirespan_capture::live::{LiveConfig, LiveSource};
use wirespan_stream::{Connections, Limits, StreamEvent};
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

/// Ends that are kept at a time, of the sixty that there are.
const KEPT: usize = 8;

/// What the kernel tells of connections, put in order by a table that is too small for them.
struct Kept {
    source: LiveSource,
    table: Connections,
    told: Vec<StreamEvent>,
}

impl Kept {
    /// Until `done` holds of what was told since the last time.
    fn until(&mut self, done: impl Fn(&[StreamEvent]) -> bool) -> Result<Vec<StreamEvent>> {
        let begun = Instant::now();
        let mut events = Vec::new();
        while !done(&self.told) {
            ensure!(
                begun.elapsed() < Duration::from_secs(20),
                "not told: {:#?}",
                self.told
            );
            self.source.poll(Duration::from_millis(50), &mut events)?;
            for event in events.drain(..) {
                self.table.push(event, &mut self.told);
            }
        }
        Ok(std::mem::take(&mut self.told))
    }
}

/// Bytes of both directions.
fn data(told: &[StreamEvent]) -> Vec<(u64, &[u8])> {
    let data = told.iter().filter_map(|event| match event {
        StreamEvent::Data { id, bytes, .. } => Some((*id, &bytes[..])),
        _ => None,
    });
    data.collect()
}

#[test]
fn a_forgotten_connection_of_the_kernel_comes_back_with_its_addresses_and_its_process() -> Result<()>
{
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let object = Artefacts::new(Embedded::default()).probes()?;
    let mut config = LiveConfig::new(object.into_owned());
    config.observe_self = true;
    config.tls = false;
    config.pids = vec![std::process::id()];
    config.ports = vec![address.port()];
    let mut kept = Kept {
        source: LiveSource::open(&config)?.0,
        table: Connections::new(Limits {
            connections: KEPT,
            ..Limits::default()
        }),
        told: Vec::new(),
    };
    let mut pairs = (0..30)
        .map(|_| {
            let client = TcpStream::connect(address)?;
            let (server, _) = listener.accept()?;
            let mut pair = (client, server);
            say(&mut pair, b"first")?;
            Ok(pair)
        })
        .collect::<Result<Vec<_>>>()?;
    // Both ends have moved the same bytes.
    kept.until(|told| data(told).len() >= 60)?;
    ensure!(kept.table.len() <= KEPT, "{} are kept", kept.table.len());

    let oldest = pairs.first_mut().context("there are thirty")?;
    say(oldest, b"again")?;
    let told = kept.until(|told| data(told).len() >= 2)?;
    let (client, server) = (oldest.0.local_addr()?, address);
    let mut ends: Vec<(Option<SocketAddr>, Option<SocketAddr>)> = Vec::new();
    for event in &told {
        let StreamEvent::Open {
            info, mid_stream, ..
        } = event
        else {
            continue;
        };
        ensure!(*mid_stream, "{event:?}");
        let process = info.process.as_ref().map(|process| process.pid);
        ensure!(process == Some(std::process::id()), "{event:?}");
        let bytes: Vec<&[u8]> = data(&told)
            .into_iter()
            .filter_map(|(id, bytes)| (id == info.id).then_some(bytes))
            .collect();
        ensure!(bytes == [b"again"], "{told:#?}");
        ends.push((info.local, info.remote));
    }
    ends.sort_by_key(|(local, _)| *local == Some(server));
    assert_eq!(
        ends,
        [(Some(client), Some(server)), (Some(server), Some(client))]
    );
    assert_eq!(kept.table.counters().anonymous, 0);
    Ok(())
}

/// Bytes from the client to the server.
fn say((client, server): &mut (TcpStream, TcpStream), bytes: &[u8]) -> Result<()> {
    client.write_all(bytes)?;
    let mut heard = vec![0; bytes.len()];
    server.read_exact(&mut heard)?;
    ensure!(heard == bytes, "the server heard {heard:?}");
    Ok(())
}
