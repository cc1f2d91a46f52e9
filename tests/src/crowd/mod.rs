//! Many HTTPS clients in one thread and their server in another process's one thread, all over memory
//! BIOs: the ciphertext goes between the TLS library and the sockets by way of the program.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tempfile::TempDir;

use crate::expect::{Exchange, Request, Server};
use crate::process::Running;
use crate::{Certificate, tools};

/// What the programs are made with.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Aiohttp,
    Node,
}

impl Kind {
    const fn script(self) -> (&'static str, &'static str) {
        match self {
            Self::Aiohttp => ("crowd.py", include_str!("crowd.py")),
            Self::Node => ("crowd.js", include_str!("crowd.js")),
        }
    }

    fn program(self) -> Result<PathBuf> {
        match self {
            Self::Aiohttp => tools::python(),
            Self::Node => tools::program("node"),
        }
    }

    /// `service.name` of both ends.
    #[must_use]
    pub const fn service(self) -> &'static str {
        match self {
            Self::Aiohttp => "python3",
            Self::Node => "node",
        }
    }
}

/// The server.
#[derive(Debug)]
pub struct Crowd {
    kind: Kind,
    process: Running,
    folder: TempDir,
    pub port: u16,
    certificate: Certificate,
}

#[derive(Deserialize)]
struct Line {
    path: String,
    status: u16,
    seconds: f64,
}

impl Crowd {
    /// # Errors
    /// When it is not installed or does not start.
    pub fn start(kind: Kind) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("wirespan-crowd-")
            .tempdir()?;
        let (name, text) = kind.script();
        let script = folder.path().join(name);
        std::fs::write(&script, text)?;
        let port = tools::free_port()?;
        let certificate = Certificate::make(folder.path())?;
        let arguments = [
            script,
            "serve".into(),
            port.to_string().into(),
            certificate.certificate.clone(),
            certificate.key.clone(),
        ];
        let mut process = Running::start(folder.path(), &kind.program()?, arguments, &[])?;
        process.wait_ready("the server listens", Duration::from_secs(30), |process| {
            Ok(process.output()?.contains("listening"))
        })?;
        Ok(Self {
            kind,
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
            service: self.kind.service().into(),
        }
    }

    /// `clients` at once, each with a connection of its own: it asks for its port, and then, `requests`
    /// times, for something that has this port in its query.
    ///
    /// # Errors
    /// When the clients fail.
    pub fn ask(&self, clients: usize, requests: usize) -> Result<Vec<Exchange>> {
        let (name, _) = self.kind.script();
        let child = Command::new(tools::program("setpriv")?)
            .args(["--pdeathsig", "TERM", "--"])
            .arg(self.kind.program()?)
            .arg(self.folder.path().join(name))
            .args(["ask", &self.port.to_string()])
            .arg(&self.certificate.certificate)
            .args([clients.to_string(), requests.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("the clients cannot be started")?;
        let pid = child.id();
        let output = child.wait_with_output()?;
        ensure!(
            output.status.success(),
            "the clients ended with {}",
            output.status
        );
        let exchanges: Vec<_> = String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|line| {
                let line: Line = serde_json::from_str(line).context("a line of the clients")?;
                let request = Request::new("GET", &line.path);
                let exchange = Exchange::new(request, line.status, line.seconds, self.port);
                Ok(exchange.by(self.kind.service(), pid))
            })
            .collect::<Result<_>>()?;
        let expected = clients * (requests + 1);
        ensure!(
            exchanges.len() == expected,
            "{} of {expected} answers",
            exchanges.len()
        );
        Ok(exchanges)
    }
}
