//! Clients in other languages: requests go in as a JSON list, an answer comes out as a JSON line.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::expect::{Exchange, Request};
use crate::process::Running;
use crate::tools;

/// Thousands of requests on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// A request: method, path and query, size of its body.
#[derive(Clone, Debug, Serialize)]
pub struct Ask {
    pub method: &'static str,
    pub path: String,
    pub body: usize,
}

impl Ask {
    #[must_use]
    pub fn get(path: impl Into<String>) -> Self {
        Self {
            method: "GET",
            path: path.into(),
            body: 0,
        }
    }
}

/// What a client says of an answer; what it leaves out is as for a GET.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    method: Option<String>,
    path: String,
    status: u16,
    bytes: Option<u64>,
    seconds: f64,
}

impl Answer {
    /// # Errors
    /// When a line is none.
    pub(crate) fn parse(line: &str) -> Result<Self> {
        serde_json::from_str(line).with_context(|| format!("not an answer: {line:?}"))
    }

    pub(crate) fn exchange(&self, port: u16) -> Exchange {
        let request = Request::new(self.method.as_deref().unwrap_or("GET"), &self.path);
        Exchange {
            response_bytes: self.bytes,
            ..Exchange::new(request, self.status, self.seconds, port)
        }
    }
}

/// A client, and whom it asks.
#[derive(Debug)]
pub(crate) struct Client<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) program: &'a Path,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: &'a [(&'a str, &'a str)],
    /// `service.name` of it.
    pub(crate) service: &'a str,
    pub(crate) port: u16,
    pub(crate) http2: bool,
}

impl Client<'_> {
    /// Runs it to its end.
    ///
    /// # Errors
    /// When it fails, or has not said as many answers as were asked for.
    pub(crate) fn ask(self, requests: &[Ask], answers: usize) -> Result<Vec<Exchange>> {
        let mut input: File = tempfile::tempfile_in(self.folder)?;
        input.write_all(&serde_json::to_vec(requests)?)?;
        input.rewind()?;
        let mut command = Command::new(tools::program("setpriv")?);
        command
            .args(["--pdeathsig", "TERM", "--"])
            .arg(self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().copied());
        let client =
            Running::spawn_reading(self.folder, self.program, command, Stdio::from(input))?;
        let finished = client.finish(LIMIT)?;
        ensure!(
            finished.status.success(),
            "the client ended with {}: {}",
            finished.status,
            finished.errors
        );
        let exchanges: Vec<_> = finished
            .output
            .lines()
            .map(|line| {
                let exchange = Answer::parse(line)?.exchange(self.port);
                Ok(Exchange {
                    http2: self.http2,
                    ..exchange.by(self.service, finished.pid)
                })
            })
            .collect::<Result<_>>()?;
        ensure!(
            exchanges.len() == answers,
            "{} of {answers} answers: {}",
            exchanges.len(),
            finished.errors
        );
        Ok(exchanges)
    }
}
