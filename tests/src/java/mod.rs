//! Java's HTTP and HTTPS servers and its client, in one process. Its TLS is compiled while it runs, so
//! nobody can observe it.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::ask::Answer;
use crate::expect::{Exchange, Server};
use crate::{Certificate, process, tools};

const SCRIPT: &str = include_str!("Programs.java");

/// Of a file of keys that nobody else can read.
const PASSWORD: &str = "password";

/// The servers and the client. Their paths are in `Programs.java`.
#[derive(Debug)]
pub struct Java {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    pub port: u16,
    pub tls_port: u16,
    pub certificate: Certificate,
    _folder: TempDir,
}

impl Java {
    /// # Errors
    /// When Java is missing or does not start. `certificate` is that of both servers, and what the client
    /// trusts.
    pub fn start(certificate: &Certificate) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("wirespan-java-")
            .tempdir()?;
        let script = folder.path().join("Programs.java");
        std::fs::write(&script, SCRIPT)?;
        let keys = keys(&folder, certificate)?;
        let (port, tls_port) = (tools::free_port()?, tools::free_port()?);
        let mut child = Command::new(tools::program("setpriv")?)
            .args(["--pdeathsig", "TERM", "--"])
            .arg(tools::program("java")?)
            // It lives for seconds.
            .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
            .arg(&script)
            .args([port.to_string(), tls_port.to_string()])
            .arg(&keys)
            .arg(PASSWORD)
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start Java")?;
        let requests = child.stdin.take().context("its standard input")?;
        let answers = BufReader::new(child.stdout.take().context("its standard output")?);
        let mut java = Self {
            child,
            requests,
            answers,
            port,
            tls_port,
            certificate: certificate.clone(),
            _folder: folder,
        };
        ensure!(java.line()? == "listening", "Java does not listen");
        Ok(java)
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    #[must_use]
    pub fn server(&self) -> Server {
        Server {
            ports: vec![self.port, self.tls_port],
            pids: vec![self.pid()],
            service: "java".into(),
        }
    }

    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    #[must_use]
    pub fn tls_url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.tls_port)
    }

    /// Java's client asks whoever listens at `port`. The client itself bounds the time that this takes.
    ///
    /// # Errors
    /// When the request fails.
    pub fn ask(&mut self, method: &str, url: &str, body: usize, port: u16) -> Result<Exchange> {
        writeln!(self.requests, "{method} {url} {body}").context("Java has ended")?;
        let exchange = Answer::parse(&self.line()?)?.exchange(port);
        Ok(exchange.by("java", self.pid()))
    }

    /// How many requests both servers have answered, by their own count.
    ///
    /// # Errors
    /// When Java has ended.
    pub fn served(&mut self) -> Result<usize> {
        writeln!(self.requests, "served").context("Java has ended")?;
        let line = self.line()?;
        line.parse().with_context(|| format!("a number: {line:?}"))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Java {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The certificate and its key in the form that Java reads.
fn keys(folder: &TempDir, certificate: &Certificate) -> Result<PathBuf> {
    let path = folder.path().join("keys.p12");
    let finished = process::run(
        folder.path(),
        &tools::program("openssl")?,
        [
            "pkcs12".as_ref(),
            "-export".as_ref(),
            "-in".as_ref(),
            certificate.certificate.as_os_str(),
            "-inkey".as_ref(),
            certificate.key.as_os_str(),
            "-passout".as_ref(),
            format!("pass:{PASSWORD}").as_ref(),
            "-out".as_ref(),
            path.as_os_str(),
        ],
        Duration::from_secs(20),
    )?;
    ensure!(
        finished.status.success(),
        "openssl packed no keys: {}",
        finished.errors
    );
    Ok(path)
}
