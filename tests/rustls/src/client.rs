//! Many clients at once, each with a connection of its own.

use std::collections::HashSet;
use std::sync::Arc;
use std::thread::ThreadId;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, SupportedCipherSuite, SupportedProtocolVersion};

use crate::trust::Anyone;
use crate::{body, message};

/// How clients differ: versions of TLS and families of ciphers, each of which seals its records otherwise.
const KINDS: [(&SupportedProtocolVersion, &str); 4] = [
    (&TLS13, "AES"),
    (&TLS13, "CHACHA20"),
    (&TLS12, "AES"),
    (&TLS12, "CHACHA20"),
];

fn connector(version: &'static SupportedProtocolVersion, cipher: &str) -> Result<TlsConnector> {
    let mut provider = aws_lc_rs::default_provider();
    let is_it = |suite: &SupportedCipherSuite| format!("{:?}", suite.suite()).contains(cipher);
    provider.cipher_suites.retain(is_it);
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone::new()))
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Each asks for its port; then, when all are connected, says `requests` things that have this port in
/// their query and hears the same.
pub(crate) async fn ask(port: u16, clients: usize, requests: usize) -> Result<()> {
    let connectors: Vec<TlsConnector> = KINDS
        .iter()
        .map(|(version, cipher)| connector(version, cipher))
        .collect::<Result<_>>()?;
    let ready = Arc::new(Barrier::new(clients));
    let tasks: Vec<_> = (0..clients)
        .zip(connectors.into_iter().cycle())
        .map(|(number, connector)| {
            let ready = Arc::clone(&ready);
            tokio::spawn(client(number, port, connector, requests, ready))
        })
        .collect();
    let mut migrated = 0;
    for task in tasks {
        migrated += usize::from(task.await?? > 1);
    }
    ensure!(migrated > 0, "no connection went from thread to thread");
    Ok(())
}

/// Says on how many threads it was.
async fn client(
    number: usize,
    port: u16,
    connector: TlsConnector,
    requests: usize,
    ready: Arc<Barrier>,
) -> Result<usize> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost")?;
    let mut client = Client {
        stream: connector.connect(name, stream).await?,
        held: Vec::new(),
        threads: HashSet::new(),
    };
    let own = client
        .get("GET", &format!("/port?client={number}"), &[])
        .await?;
    let own = String::from_utf8(own)?;
    ready.wait().await;
    for number in 0..requests {
        let body = body::of(number);
        let method = if body.is_empty() { "GET" } else { "POST" };
        let answer = client
            .get(method, &format!("/items/{number}?port={own}"), &body)
            .await?;
        ensure!(answer == body, "another body than was said");
        // The other tasks of this thread go on elsewhere.
        if number % 4 == 1 {
            tokio::task::block_in_place(std::thread::yield_now);
        }
        tokio::task::yield_now().await;
    }
    client.stream.shutdown().await?;
    Ok(client.threads.len())
}

struct Client {
    stream: TlsStream<TcpStream>,
    held: Vec<u8>,
    threads: HashSet<ThreadId>,
}

impl Client {
    async fn get(&mut self, method: &str, path: &str, body: &[u8]) -> Result<Vec<u8>> {
        let begun = Instant::now();
        let line = format!("{method} {path} HTTP/1.1\r\nHost: localhost");
        message::write(&mut self.stream, &line, body).await?;
        self.threads.insert(std::thread::current().id());
        let answer = message::read(&mut self.stream, &mut self.held)
            .await?
            .context("no answer")?;
        self.threads.insert(std::thread::current().id());
        let seconds = begun.elapsed().as_secs_f64();
        ensure!(answer.line == "HTTP/1.1 200 OK", "{}", answer.line);
        println!(
            r#"{{"method":"{method}","path":"{path}","status":200,"bytes":{},"seconds":{seconds:.9}}}"#,
            answer.body.len()
        );
        Ok(answer.body)
    }
}
