//! curl: one invocation with any number of requests, over one connection where the server keeps it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::expect::{Exchange, Request};
use crate::{Certificate, process, tools};

const LIMIT: Duration = Duration::from_secs(60);

/// What to send as a body.
#[derive(Clone, Debug)]
enum Body {
    None,
    /// With Content-Length.
    Sized(PathBuf),
    Chunked(PathBuf),
}

#[derive(Clone, Debug)]
struct Step {
    method: String,
    url: String,
    body: Body,
    headers: Vec<String>,
    at_least_seconds: f64,
}

#[derive(Debug, Default)]
pub struct Curl {
    steps: Vec<Step>,
    options: Vec<OsString>,
    version: Option<&'static str>,
}

#[derive(Deserialize)]
struct Report {
    http_code: u16,
    http_version: String,
    method: String,
    remote_port: u16,
    size_download: u64,
    time_total: f64,
    urlnum: usize,
}

/// What an invocation of curl has done.
#[derive(Debug)]
pub struct Done {
    pub exchanges: Vec<Exchange>,
    pub pid: u32,
}

impl Curl {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn trust(mut self, certificate: &Certificate) -> Self {
        self.options.extend([
            "--cacert".into(),
            certificate.certificate.clone().into_os_string(),
        ]);
        self
    }

    /// An option like `--http2`; HTTP/1.1 otherwise.
    #[must_use]
    pub fn version(mut self, option: &'static str) -> Self {
        self.version = Some(option);
        self
    }

    #[must_use]
    pub fn option(mut self, option: &str) -> Self {
        self.options.push(option.into());
        self
    }

    /// As fast as the agent promises to follow byte by byte where programs and agent share two CPUs with
    /// others: 100 MiB a second.
    #[must_use]
    pub fn unhurried(self) -> Self {
        self.option("--limit-rate").option("100M")
    }

    #[must_use]
    pub fn get(self, url: impl Into<String>) -> Self {
        self.request("GET", url)
    }

    #[must_use]
    pub fn request(mut self, method: &str, url: impl Into<String>) -> Self {
        self.steps.push(Step {
            method: method.into(),
            url: url.into(),
            body: Body::None,
            headers: Vec::new(),
            at_least_seconds: 0.0,
        });
        self
    }

    /// For the last request.
    #[must_use]
    pub fn header(mut self, header: &str) -> Self {
        if let Some(step) = self.steps.last_mut() {
            step.headers.push(header.to_owned());
        }
        self
    }

    /// For the last request: the body is the content of a file.
    #[must_use]
    pub fn body(mut self, file: &Path) -> Self {
        if let Some(step) = self.steps.last_mut() {
            step.body = Body::Sized(file.to_owned());
        }
        self
    }

    /// As [`Self::body`], sent in chunks.
    #[must_use]
    pub fn chunked(mut self, file: &Path) -> Self {
        if let Some(step) = self.steps.last_mut() {
            step.body = Body::Chunked(file.to_owned());
        }
        self
    }

    /// For the last request: the server takes at least this long.
    #[must_use]
    pub fn taking(mut self, seconds: f64) -> Self {
        if let Some(step) = self.steps.last_mut() {
            step.at_least_seconds = seconds;
        }
        self
    }

    /// # Errors
    /// When curl is missing or a transfer fails. A status is not a failure.
    pub fn run(self) -> Result<Done> {
        let folder = tempfile::tempdir()?;
        let mut arguments: Vec<OsString> = Vec::new();
        for (index, step) in self.steps.iter().enumerate() {
            if index > 0 {
                arguments.push("--next".into());
            }
            arguments.push(self.version.unwrap_or("--http1.1").into());
            step.arguments(&mut arguments);
            arguments.extend(self.options.iter().cloned());
        }
        let finished = process::run(folder.path(), &tools::program("curl")?, arguments, LIMIT)?;
        ensure!(
            finished.status.success(),
            "curl failed with {}: {}",
            finished.status,
            finished.errors
        );
        let reports: Vec<Report> = finished
            .output
            .lines()
            .map(|line| serde_json::from_str(line).context("a report of curl"))
            .collect::<Result<_>>()?;
        ensure!(
            reports.len() == self.steps.len(),
            "curl reported {} of {} transfers",
            reports.len(),
            self.steps.len()
        );
        let exchanges = self
            .steps
            .iter()
            .zip(&reports)
            .map(|(step, report)| step.exchange(report, finished.pid))
            .collect::<Result<_>>()?;
        Ok(Done {
            exchanges,
            pid: finished.pid,
        })
    }
}

impl Step {
    fn arguments(&self, arguments: &mut Vec<OsString>) {
        arguments.extend(
            [
                "--silent",
                "--show-error",
                "--max-time",
                "30",
                "--write-out",
                "%{json}\n",
            ]
            .map(Into::into),
        );
        arguments.extend(["--output".into(), "/dev/null".into()]);
        match (&*self.method, &self.body) {
            ("GET", Body::None) => {}
            ("HEAD", _) => arguments.push("--head".into()),
            _ => arguments.extend(["--request".into(), self.method.clone().into()]),
        }
        let file = match &self.body {
            Body::None => None,
            Body::Sized(file) => Some(file),
            Body::Chunked(file) => {
                arguments.extend(["--header".into(), "Transfer-Encoding: chunked".into()]);
                Some(file)
            }
        };
        if let Some(file) = file {
            arguments.extend(["--upload-file".into(), file.clone().into_os_string()]);
            // Not to wait a second for a server that does not know `Expect`.
            arguments.extend(["--header".into(), "Expect:".into()]);
        }
        for header in &self.headers {
            arguments.extend(["--header".into(), header.into()]);
        }
        arguments.push(self.url.clone().into());
    }

    fn exchange(&self, report: &Report, pid: u32) -> Result<Exchange> {
        ensure!(
            report.method == self.method,
            "curl made a {} of {}",
            report.method,
            self.method
        );
        ensure!(
            report.http_code != 0,
            "transfer {} had no answer",
            report.urlnum
        );
        let target = self
            .url
            .splitn(4, '/')
            .nth(3)
            .map(|rest| format!("/{rest}"))
            .context("a path in the URL")?;
        let request = Request::new(&self.method, &target);
        let exchange = Exchange::new(
            request,
            report.http_code,
            report.time_total,
            report.remote_port,
        );
        Ok(Exchange {
            at_least_seconds: self.at_least_seconds,
            response_bytes: Some(report.size_download),
            http2: report.http_version == "2",
            ..exchange.by("curl", pid)
        })
    }
}
