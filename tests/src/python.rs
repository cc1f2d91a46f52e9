//! Python programs: an HTTP service, plain or TLS, and a client over TLS.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use tempfile::TempDir;

use crate::expect::{Exchange, Request, Server};
use crate::process::Running;
use crate::{Certificate, tools};

const SERVICE: &str = include_str!("service.py");
const CLIENT: &str = include_str!("client.py");

/// `http.server` with threads and keep-alive. Its paths are in `service.py`.
#[derive(Debug)]
pub struct Python {
    process: Running,
    folder: TempDir,
    pub port: u16,
    /// Of a TLS service.
    pub certificate: Option<Certificate>,
}

impl Python {
    /// # Errors
    /// When Python is missing or does not start.
    pub fn plain() -> Result<Self> {
        Self::start(false, &[])
    }

    /// # Errors
    /// When Python is missing or does not start.
    pub fn tls() -> Result<Self> {
        Self::start(true, &[])
    }

    /// # Errors
    /// When Python is missing or does not start.
    pub fn start(tls: bool, environment: &[(&str, &str)]) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("wirespan-python-")
            .tempdir()?;
        let script = folder.path().join("service.py");
        std::fs::write(&script, SERVICE)?;
        let port = tools::free_port()?;
        let mut arguments = vec![script.into_os_string(), port.to_string().into()];
        let certificate = tls.then(|| Certificate::make(folder.path())).transpose()?;
        if let Some(made) = &certificate {
            arguments.extend([
                made.certificate.clone().into_os_string(),
                made.key.clone().into_os_string(),
            ]);
        }
        let mut process = Running::start(folder.path(), &tools::python()?, arguments, environment)?;
        process.wait_ready(
            "the Python service listens",
            Duration::from_secs(15),
            |process| Ok(process.output()?.contains("listening")),
        )?;
        Ok(Self {
            process,
            folder,
            port,
            certificate,
        })
    }

    #[must_use]
    pub fn server(&self) -> Server {
        Server {
            ports: vec![self.port],
            pids: vec![self.pid()],
            service: "python3".into(),
        }
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    #[must_use]
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.certificate.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://127.0.0.1:{}{path}", self.port)
    }

    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

#[derive(Deserialize)]
struct Line {
    status: u16,
    bytes: u64,
    seconds: f64,
}

/// Python's `http.client` on one TLS connection, open until this is dropped.
#[derive(Debug)]
pub struct TlsClient {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    port: u16,
    _folder: TempDir,
}

impl TlsClient {
    /// Connects with its first request.
    ///
    /// # Errors
    /// When Python is missing.
    pub fn start(port: u16, certificate: &Certificate) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let script = folder.path().join("client.py");
        std::fs::write(&script, CLIENT)?;
        let mut child = Command::new(tools::program("setpriv")?)
            .args(["--pdeathsig", "TERM", "--"])
            .arg(tools::python()?)
            .arg(&script)
            .arg(port.to_string())
            .arg(&certificate.certificate)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start Python")?;
        let requests = child.stdin.take().context("its standard input")?;
        let answers = BufReader::new(child.stdout.take().context("its standard output")?);
        Ok(Self {
            child,
            requests,
            answers,
            port,
            _folder: folder,
        })
    }

    /// The client itself bounds the time that this takes.
    ///
    /// # Errors
    /// When the request fails.
    pub fn request(&mut self, method: &str, target: &str) -> Result<Exchange> {
        writeln!(self.requests, "{method} {target}").context("the Python client has ended")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let line: Line = serde_json::from_str(&line).context("a line of the Python client")?;
        let request = Request::new(method, target);
        let exchange = Exchange::new(request, line.status, line.seconds, self.port);
        Ok(Exchange {
            response_bytes: Some(line.bytes),
            ..exchange.by("python3", self.child.id())
        })
    }
}

impl Drop for TlsClient {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
