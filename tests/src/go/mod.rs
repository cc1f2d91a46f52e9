//! Go's HTTPS server and client, compiled here: net/http over crypto/tls.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::expect::{Exchange, Request, Server};
use crate::process::Running;
use crate::{Certificate, tools};

const PROGRAM: &str = include_str!("https.go");

/// Compiling net/http for the first time, on a busy machine.
const BUILD_LIMIT: Duration = Duration::from_secs(300);

/// A request of the client: method, path and query, size of its body.
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

/// The server. Its paths are in `https.go`.
#[derive(Debug)]
pub struct Go {
    process: Running,
    folder: TempDir,
    program: PathBuf,
    pub port: u16,
    pub certificate: Certificate,
}

/// Compiles a program of one file.
///
/// # Errors
/// When Go is missing, or refuses it.
pub fn build(folder: &Path, name: &str, source: &str, options: &[&str]) -> Result<PathBuf> {
    let (input, program) = (folder.join(format!("{name}.go")), folder.join(name));
    std::fs::write(&input, source)?;
    let mut command = Command::new(tools::program("go")?);
    command
        .arg("build")
        .args(options)
        .arg("-o")
        .args([&program, &input])
        .env("GO111MODULE", "off")
        .env("GOFLAGS", "")
        .env("CGO_ENABLED", "0")
        // What the standard library compiles to is kept for the next time.
        .env("GOCACHE", std::env::temp_dir().join("wirespan-go-cache"));
    let finished = Running::spawn(folder, Path::new("go"), command)?.finish(BUILD_LIMIT)?;
    ensure!(
        finished.status.success(),
        "go build ended with {}: {}",
        finished.status,
        finished.errors
    );
    Ok(program)
}

impl Go {
    /// `options` are those of `go build`.
    ///
    /// # Errors
    /// When Go is missing, or the server does not start.
    pub fn start(options: &[&str]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("wirespan-go-").tempdir()?;
        let program = build(folder.path(), "https", PROGRAM, options)?;
        let port = tools::free_port()?;
        let certificate = Certificate::make(folder.path())?;
        let arguments = [
            "serve".into(),
            port.to_string().into(),
            certificate.certificate.clone().into_os_string(),
            certificate.key.clone().into_os_string(),
        ];
        let mut process = Running::start(folder.path(), &program, arguments, &[])?;
        process.wait_ready("Go listens", Duration::from_secs(20), |process| {
            Ok(process.output()?.contains("listening"))
        })?;
        Ok(Self {
            process,
            folder,
            program,
            port,
            certificate,
        })
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    #[must_use]
    pub fn server(&self) -> Server {
        Server {
            ports: vec![self.port],
            pids: vec![self.pid()],
            service: "https".into(),
        }
    }

    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.port)
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Go's client: the first request, then all others at once, on few connections or, of HTTP/2, on
    /// one.
    ///
    /// # Errors
    /// When the client fails.
    pub fn ask(&self, requests: &[Ask], http2: bool) -> Result<Vec<Exchange>> {
        let mut command = Command::new(&self.program);
        command
            .args(["ask", &self.port.to_string()])
            .arg(&self.certificate.certificate)
            .arg(if http2 { "2" } else { "1" })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start the Go client")?;
        let pid = child.id();
        child
            .stdin
            .take()
            .context("its standard input")?
            .write_all(&serde_json::to_vec(requests)?)?;
        let output = child.wait_with_output()?;
        ensure!(
            output.status.success(),
            "the Go client ended with {}",
            output.status
        );
        let exchange = |line: &str| {
            let report: Report = serde_json::from_str(line).context("a line of the Go client")?;
            let request = Request::new(&report.method, &report.path);
            let exchange = Exchange::new(request, report.status, report.seconds, self.port);
            Ok(Exchange {
                response_bytes: Some(report.bytes),
                http2,
                ..exchange.by("https", pid)
            })
        };
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(exchange)
            .collect()
    }
}
