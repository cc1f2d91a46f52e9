//! Go's HTTPS server and client, compiled here: net/http over crypto/tls.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::ask::{Ask, Client};
use crate::expect::{Exchange, Server};
use crate::process::Running;
use crate::{Certificate, tools};

const PROGRAM: &str = include_str!("https.go");
const LATE: &str = include_str!("late.go");

/// Compiling net/http for the first time, on a busy machine.
const BUILD_LIMIT: Duration = Duration::from_secs(300);

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
        Self::serve(PROGRAM, options, &[])
    }

    /// A server that answers each connection once: it sends and closes, and `Write` returns so much later.
    ///
    /// # Errors
    /// As [`Go::start`].
    pub fn start_late(late: Duration) -> Result<Self> {
        Self::serve(LATE, &[], &[late.as_millis().to_string()])
    }

    fn serve(source: &str, options: &[&str], more: &[String]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("wirespan-go-").tempdir()?;
        let program = build(folder.path(), "https", source, options)?;
        let port = tools::free_port()?;
        let certificate = Certificate::make(folder.path())?;
        let mut arguments = vec![
            "serve".into(),
            port.to_string().into(),
            certificate.certificate.clone().into_os_string(),
            certificate.key.clone().into_os_string(),
        ];
        arguments.extend(more.iter().map(Into::into));
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
        let client = Client {
            folder: self.folder.path(),
            program: &self.program,
            arguments: vec![
                "ask".into(),
                self.port.to_string().into(),
                self.certificate.certificate.clone().into(),
                if http2 { "2" } else { "1" }.into(),
            ],
            environment: &[],
            service: "https",
            port: self.port,
            http2,
        };
        client.ask(requests, requests.len())
    }
}
