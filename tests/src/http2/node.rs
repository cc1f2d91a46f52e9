//! Node's HTTP/2 server and client. Its TLS goes through memory BIOs, of a library that may be
//! linked statically.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::expect::{Exchange, Request, Server};
use crate::process::Running;
use crate::{Certificate, tools};

const SCRIPT: &str = include_str!("node.js");

/// A request of Node's client: method, path and query, size of its body.
#[derive(Clone, Debug, Serialize)]
pub struct Ask {
    pub method: &'static str,
    pub path: String,
    pub body: usize,
}

#[derive(Deserialize)]
struct Report {
    method: String,
    path: String,
    status: u16,
    bytes: u64,
    seconds: f64,
}

/// The server. Its paths are in `node.js`.
#[derive(Debug)]
pub struct Node {
    process: Running,
    folder: TempDir,
    pub port: u16,
    /// Of a TLS server.
    pub certificate: Option<Certificate>,
}

impl Node {
    /// # Errors
    /// When Node is missing or does not start.
    pub fn start(tls: bool) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("wirespan-node-")
            .tempdir()?;
        let script = folder.path().join("node.js");
        std::fs::write(&script, SCRIPT)?;
        let port = tools::free_port()?;
        let mut arguments = vec![script, "serve".into(), port.to_string().into()];
        let certificate = tls.then(|| Certificate::make(folder.path())).transpose()?;
        if let Some(made) = &certificate {
            arguments.extend([made.certificate.clone(), made.key.clone()]);
        }
        let mut process = Running::start(folder.path(), &tools::program("node")?, arguments, &[])?;
        process.wait_ready("Node listens", Duration::from_secs(20), |process| {
            Ok(process.output()?.contains("listening"))
        })?;
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
            pids: vec![self.process.pid()],
            service: "node".into(),
        }
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

    /// Node's client makes requests on one connection: the first, then all others at once.
    ///
    /// # Errors
    /// When the client fails.
    pub fn ask(&self, requests: &[Ask]) -> Result<Vec<Exchange>> {
        let mut command = Command::new(tools::program("node")?);
        command
            .arg(self.folder.path().join("node.js"))
            .args(["ask", &self.port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some(made) = &self.certificate {
            command.arg(&made.certificate);
        }
        let mut child = command.spawn().context("cannot start Node")?;
        let pid = child.id();
        // Closed with this statement: the client reads to the end.
        child
            .stdin
            .take()
            .context("its standard input")?
            .write_all(&serde_json::to_vec(requests)?)?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "Node ended with {}", output.status);
        let exchange = |line: &str| {
            let report: Report = serde_json::from_str(line).context("a line of Node")?;
            let request = Request::new(&report.method, &report.path);
            let exchange = Exchange::new(request, report.status, report.seconds, self.port);
            Ok(Exchange {
                response_bytes: Some(report.bytes),
                http2: true,
                ..exchange.by("node", pid)
            })
        };
        let exchanges: Vec<_> = String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(exchange)
            .collect::<Result<_>>()?;
        ensure!(
            exchanges.len() == requests.len(),
            "{} of {} answers",
            exchanges.len(),
            requests.len()
        );
        Ok(exchanges)
    }
}
