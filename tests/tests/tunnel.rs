//! After an upgrade or a CONNECT the rest of the connection is another protocol's: recognised anew,
//! or left alone.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use anyhow::{Context, Result, ensure};
use wirespan_tests::curl::Curl;
use wirespan_tests::expect::{Server, assert_distinct_ids};
use wirespan_tests::nginx::Options;
use wirespan_tests::watch::Watch;
use wirespan_tests::{Nginx, assert_exactly, tools};

/// Reads a head; gives its first line.
fn head(reader: &mut impl BufRead) -> Result<String> {
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    Ok(first)
}

/// A proxy of this process: each connection is a tunnel to where its CONNECT says.
fn proxy(listener: TcpListener, connections: usize) -> Result<()> {
    for _ in 0..connections {
        let (mut client, _) = listener.accept()?;
        let mut reader = BufReader::new(client.try_clone()?);
        let line = head(&mut reader)?;
        let target = line.split_whitespace().nth(1).context("a target")?;
        let server = TcpStream::connect(target)?;
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
        ensure!(
            reader.buffer().is_empty(),
            "nothing is sent before the answer"
        );
        let (from, to) = (server.try_clone()?, client.try_clone()?);
        let back = thread::spawn(move || pump(from, to));
        pump(client, server)?;
        back.join().expect("a pump does not panic")?;
    }
    Ok(())
}

fn pump(mut from: TcpStream, mut to: TcpStream) -> Result<()> {
    std::io::copy(&mut from, &mut to)?;
    // The other end may have gone first.
    let _ = to.shutdown(Shutdown::Write);
    Ok(())
}

#[test]
fn requests_within_a_connect_tunnel_are_seen_on_both_of_its_legs() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let nginx = Nginx::start(Options::default())?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let watch = Watch::start(&[nginx.port, port])?;
    let proxy = thread::spawn(move || proxy(listener, 1));
    let done = Curl::new()
        .option("--proxytunnel")
        .option("--proxy")
        .option(&format!("http://127.0.0.1:{port}"))
        .get(nginx.url("/hello.txt?tunnelled"))
        .get(nginx.url("/none"))
        .get(nginx.url("/small/3.txt"))
        .run()?;
    proxy.join().expect("the proxy does not panic")?;
    let own = std::fs::read_to_string("/proc/self/comm")?;
    let own = own.trim_end();
    let mut exchanges = Vec::new();
    for inner in done.exchanges {
        // curl to the proxy, the proxy to nginx.
        let mut outer = inner.clone();
        outer.port = port;
        let mut inner = inner.by(own, std::process::id());
        inner.port = nginx.port;
        exchanges.extend([outer, inner]);
    }
    let tunnel = Server {
        ports: vec![port],
        pids: vec![std::process::id()],
        service: own.to_owned(),
    };
    let seen = watch.stop_after(exchanges.len() * 2 + 2)?;
    for (what, spans) in [("live", seen.live), ("replayed", seen.replayed)] {
        assert_distinct_ids(&spans).context(what)?;
        let (connect, spans): (Vec<_>, Vec<_>) = spans
            .into_iter()
            .partition(|span| span.method() == Some("CONNECT"));
        let mut kinds: Vec<_> = connect.iter().map(|span| &*span.kind).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, ["CLIENT", "SERVER"], "{what}: {connect:?}");
        assert!(
            connect
                .iter()
                .all(|span| span.http_status() == Some(200) && span.flags.is_empty()),
            "{what}: {connect:?}"
        );
        assert_exactly(&spans, &exchanges, &[tunnel.clone(), nginx.server()]).context(what)?;
    }
    Ok(())
}

/// Frames of both ends of a WebSocket (RFC 6455), a request within: nobody made it.
const FRAMES: &[u8] =
    b"\x81\x85\0\0\0\0hello\x82\xa5\0\0\0\0\r\n\r\nGET /phantom HTTP/1.1\r\nHost: no\r\n";

#[test]
fn a_websocket_is_one_exchange_and_nothing_of_what_follows_is_a_request() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let watch = Watch::start(&[port])?;
    let server = thread::spawn(move || -> Result<()> {
        let (mut stream, _) = listener.accept()?;
        let mut reader = BufReader::new(stream.try_clone()?);
        head(&mut reader)?;
        stream.write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        )?;
        let mut frames = vec![0; FRAMES.len()];
        for _ in 0..20 {
            reader.read_exact(&mut frames)?;
            stream.write_all(&frames)?;
        }
        Ok(())
    });
    let mut client = TcpStream::connect(("127.0.0.1", port))?;
    client.write_all(
        b"GET /chat?room=1 HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    )?;
    let mut reader = BufReader::new(client.try_clone()?);
    head(&mut reader)?;
    let mut frames = vec![0; FRAMES.len()];
    for _ in 0..20 {
        client.write_all(FRAMES)?;
        reader.read_exact(&mut frames)?;
    }
    server.join().expect("the server does not panic")?;
    drop((client, reader));
    let seen = watch.stop_after(2)?;
    for (what, spans) in [("live", seen.live), ("replayed", seen.replayed)] {
        let mut kinds: Vec<_> = spans.iter().map(|span| &*span.kind).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, ["CLIENT", "SERVER"], "{what}: {spans:?}");
        assert!(
            spans.iter().all(|span| span.path() == Some("/chat")
                && span.http_status() == Some(101)
                && span.flags.is_empty()),
            "{what}: {spans:?}"
        );
    }
    Ok(())
}
