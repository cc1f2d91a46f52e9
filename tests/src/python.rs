//! Python programs: an HTTP service, plain or TLS, and a client over TLS.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tempfile::TempDir;

use crate::expect::{Exchange, Request};
use crate::process::Running;
use crate::{Certificate, process, tools};

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
    method: String,
    path: String,
    status: u16,
    bytes: u64,
    seconds: f64,
}

/// One TLS connection by Python's `http.client`; one exchange for each step of method and path.
///
/// # Errors
/// When a request fails.
pub fn tls_client(
    port: u16,
    certificate: &Certificate,
    steps: &[(&str, &str)],
) -> Result<Vec<Exchange>> {
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("client.py");
    std::fs::write(&script, CLIENT)?;
    let mut arguments = vec![
        script.into_os_string(),
        port.to_string().into(),
        certificate.certificate.clone().into(),
    ];
    arguments.extend(
        steps
            .iter()
            .flat_map(|(method, path)| [(*method).into(), (*path).into()]),
    );
    let finished = process::run(
        folder.path(),
        &tools::python()?,
        arguments,
        Duration::from_secs(60),
    )?;
    ensure!(
        finished.status.success(),
        "the Python client failed: {}",
        finished.errors
    );
    let exchange = |line: &str| {
        let line: Line = serde_json::from_str(line).context("a line of the Python client")?;
        let request = Request::new(&line.method, &line.path);
        Ok(Exchange {
            response_bytes: Some(line.bytes),
            ..Exchange::new(request, line.status, line.seconds, port, finished.pid)
        })
    };
    finished.output.lines().map(exchange).collect()
}
