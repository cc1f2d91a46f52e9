//! A server and a client in Python (C core) and in Rust (tonic). They speak the same language of
//! wishes, so that each can talk to the other.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::Call;
use super::call::Party;
use crate::process::Running;
use crate::tools;

const GRPCIO: &str = include_str!("grpcio.py");

/// Importing grpcio on a busy machine.
const READY: Duration = Duration::from_secs(30);

/// Which implementation of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// Python's, which is the C core.
    Grpcio,
    /// Rust's.
    Tonic,
}

impl Library {
    pub const ALL: [Self; 2] = [Self::Grpcio, Self::Tonic];

    /// `service.name` of its processes.
    #[must_use]
    pub fn service(self) -> &'static str {
        match self {
            Self::Grpcio => "python3",
            Self::Tonic => "tonic-fixture",
        }
    }

    fn program(self) -> Result<PathBuf> {
        match self {
            Self::Grpcio => tools::python(),
            Self::Tonic => tools::beside(self.service()),
        }
    }

    fn arguments(self, mode: &str, port: u16, folder: &TempDir) -> Result<Vec<String>> {
        let mut arguments = Vec::new();
        if self == Self::Grpcio {
            let script = folder.path().join("grpcio.py");
            std::fs::write(&script, GRPCIO)?;
            arguments.push(script.to_string_lossy().into_owned());
        }
        arguments.extend([mode.to_owned(), port.to_string()]);
        Ok(arguments)
    }
}

/// What a client is to do, and what it asks of the server. Nothing where a field is 0 or empty.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Wish {
    /// Tells the calls of a group apart; [`Client::together`] sets it.
    pub number: usize,
    /// `package.Service/Method`; the last part is one of `Unary`, `ServerStream`, `ClientStream` and
    /// `Bidirectional`.
    pub method: String,
    /// Sizes of the client's messages. None is smaller than the wish that it carries.
    pub requests: Vec<usize>,
    /// Messages from the server: to the only request, or to each.
    pub replies: usize,
    /// Size of each.
    pub reply: usize,
    /// The server waits for so many seconds before it ends.
    pub sleep: f64,
    /// The client's, in seconds.
    pub deadline: f64,
    /// gzip, both ways.
    pub compress: bool,
    pub metadata: bool,
    /// With which the server ends the call.
    pub code: i32,
    pub details: String,
    /// The client cancels when it has so many replies.
    pub cancel_after: usize,
    /// The client cancels after so many seconds.
    pub cancel_seconds: f64,
}

impl Wish {
    /// A call of one of the fixture's methods.
    #[must_use]
    pub fn new(method: &str, requests: &[usize], replies: usize, reply: usize) -> Self {
        Self {
            method: format!("fixture.v1.Echo/{method}"),
            requests: requests.to_vec(),
            replies,
            reply,
            ..Self::default()
        }
    }

    /// Whether the call ends before the server has said so.
    #[must_use]
    pub fn given_up(&self) -> bool {
        self.deadline > 0.0 || self.cancel_after > 0 || self.cancel_seconds > 0.0
    }
}

/// What a client has counted of a call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    pub number: usize,
    pub method: String,
    pub status: String,
    pub details: String,
    pub request_messages: u64,
    pub request_bytes: u64,
    pub response_messages: u64,
    pub response_bytes: u64,
    pub seconds: f64,
}

/// A server on a free port.
#[derive(Debug)]
pub struct Server {
    process: Running,
    library: Library,
    pub port: u16,
    _folder: TempDir,
}

impl Server {
    /// # Errors
    /// When it is missing or does not start.
    pub fn start(library: Library) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("wirespan-rpc-").tempdir()?;
        let port = tools::free_port()?;
        let arguments = library.arguments("serve", port, &folder)?;
        let mut process = Running::start(folder.path(), &library.program()?, arguments, &[])?;
        process.wait_ready("the gRPC server listens", READY, |process| {
            Ok(process.output()?.contains("listening"))
        })?;
        Ok(Self {
            process,
            library,
            port,
            _folder: folder,
        })
    }

    #[must_use]
    pub fn party(&self) -> Party {
        Party {
            pid: self.process.pid(),
            service: self.library.service(),
        }
    }
}

/// A client with one connection, open until this is dropped.
#[derive(Debug)]
pub struct Client {
    child: Child,
    wishes: ChildStdin,
    reports: BufReader<ChildStdout>,
    library: Library,
    server: Party,
    _folder: TempDir,
}

impl Client {
    /// # Errors
    /// When it is missing.
    pub fn start(library: Library, server: &Server) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut child = Command::new(tools::program("setpriv")?)
            .args(["--pdeathsig", "TERM", "--"])
            .arg(library.program()?)
            .args(library.arguments("call", server.port, &folder)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a gRPC client")?;
        let wishes = child.stdin.take().context("its standard input")?;
        let reports = BufReader::new(child.stdout.take().context("its standard output")?);
        Ok(Self {
            child,
            wishes,
            reports,
            library,
            server: server.party(),
            _folder: folder,
        })
    }

    /// Makes calls at once. The client itself bounds the time that this takes.
    ///
    /// # Errors
    /// When the client fails. That a call does is no failure.
    pub fn together(&mut self, wishes: &[Wish]) -> Result<Vec<Call>> {
        let mut numbered = wishes.to_vec();
        for (number, wish) in numbered.iter_mut().enumerate() {
            wish.number = number;
        }
        writeln!(self.wishes, "{}", serde_json::to_string(&numbered)?)
            .context("the gRPC client has ended")?;
        let mut reports = Vec::new();
        loop {
            let mut line = String::new();
            self.reports.read_line(&mut line)?;
            if line == "\n" {
                break;
            }
            let report: Report = serde_json::from_str(&line).context("a line of the client")?;
            reports.push(report);
        }
        reports.sort_unstable_by_key(|report| report.number);
        ensure!(
            reports
                .iter()
                .map(|report| report.number)
                .eq(0..wishes.len()),
            "{} calls were reported as {reports:?}",
            wishes.len()
        );
        let call = |(report, wish): (Report, &Wish)| Call {
            given_up: wish.given_up(),
            compressed: wish.compress,
            client: Party {
                pid: self.child.id(),
                service: self.library.service(),
            },
            server: self.server,
            joined: None,
            report,
        };
        Ok(reports.into_iter().zip(wishes).map(call).collect())
    }

    /// Makes calls one after the other.
    ///
    /// # Errors
    /// As [`Self::together`].
    pub fn each(&mut self, wishes: &[Wish]) -> Result<Vec<Call>> {
        let mut calls = Vec::new();
        for wish in wishes {
            calls.extend(self.together(std::slice::from_ref(wish))?);
        }
        Ok(calls)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
