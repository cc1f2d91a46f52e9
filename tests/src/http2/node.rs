//! Node's HTTP/2 server and client. Its TLS goes through memory BIOs, of a library that may be
//! linked statically.

use std::time::Duration;

use anyhow::Result;
use tempfile::TempDir;

use crate::ask::{Ask, Client};
use crate::expect::{Exchange, Server};
use crate::process::Running;
use crate::{Certificate, tools};

const SCRIPT: &str = include_str!("node.js");

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
        let mut process = Running::start(folder.path(), &tools::node()?, arguments, &[])?;
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
        let mut arguments = vec![
            self.folder.path().join("node.js").into(),
            "ask".into(),
            self.port.to_string().into(),
        ];
        if let Some(made) = &self.certificate {
            arguments.push(made.certificate.clone().into());
        }
        let client = Client {
            folder: self.folder.path(),
            program: &tools::program("node")?,
            arguments,
            environment: &[],
            service: "node",
            port: self.port,
            http2: true,
        };
        client.ask(requests, requests.len())
    }
}
