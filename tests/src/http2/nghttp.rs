//! nghttp2's programs: they show every feature of the protocol.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tempfile::TempDir;

use crate::expect::{Exchange, Request, Server};
use crate::process::{self, Running};
use crate::{Certificate, tools, wait};

const LIMIT: Duration = Duration::from_secs(60);

/// Serves some files: `/index.html`, `/style.css`, `/hello.txt` and `/large.bin`.
#[derive(Debug)]
pub struct Nghttpd {
    process: Running,
    folder: TempDir,
    pub port: u16,
    pub certificate: Certificate,
}

/// Larger than a frame, than a window, and than what is always copied of a connection before it is
/// recognised.
const LARGE_BYTES: usize = 200_000;

impl Nghttpd {
    /// Plain or TLS, with more options.
    ///
    /// # Errors
    /// When it is missing or does not start.
    pub fn start(tls: bool, options: &[&str]) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("wirespan-nghttpd-")
            .tempdir()?;
        let root = folder.path().join("root");
        std::fs::create_dir(&root)?;
        for (name, size) in [
            ("index.html", 700),
            ("style.css", 90),
            ("hello.txt", 6),
            ("large.bin", LARGE_BYTES),
        ] {
            std::fs::write(root.join(name), vec![b'n'; size])?;
        }
        let certificate = Certificate::make(folder.path())?;
        let port = tools::free_port()?;
        let mut arguments = vec!["--address=127.0.0.1".to_owned()];
        arguments.push(format!("--htdocs={}", root.display()));
        arguments.extend(options.iter().map(|&option| option.to_owned()));
        if !tls {
            arguments.push("--no-tls".to_owned());
        }
        arguments.push(port.to_string());
        if tls {
            for file in [&certificate.key, &certificate.certificate] {
                arguments.push(file.to_string_lossy().into_owned());
            }
        }
        let mut process =
            Running::start(folder.path(), &tools::program("nghttpd")?, arguments, &[])?;
        process.wait_ready("nghttpd listens", Duration::from_secs(10), |_| {
            listens(port)
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
            service: "nghttpd".into(),
        }
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    #[must_use]
    pub fn tls_url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.port)
    }
}

/// A proxy that lets clients upgrade from HTTP/1.1 without TLS.
#[derive(Debug)]
pub struct Nghttpx {
    process: Running,
    pub port: u16,
    _folder: TempDir,
}

impl Nghttpx {
    /// # Errors
    /// When it is missing or does not start.
    pub fn before(port: u16) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("wirespan-nghttpx-")
            .tempdir()?;
        let own = tools::free_port()?;
        let arguments = [
            "--conf=/dev/null".to_owned(),
            format!("--frontend=127.0.0.1,{own};no-tls"),
            format!("--backend=127.0.0.1,{port}"),
            "--workers=1".to_owned(),
            // Its two processes are of one name and one user.
            "--single-process".to_owned(),
        ];
        let mut process =
            Running::start(folder.path(), &tools::program("nghttpx")?, arguments, &[])?;
        process.wait_ready("nghttpx listens", Duration::from_secs(10), |_| listens(own))?;
        Ok(Self {
            process,
            port: own,
            _folder: folder,
        })
    }

    #[must_use]
    pub fn server(&self) -> Server {
        Server {
            ports: vec![self.port],
            pids: vec![self.process.pid()],
            service: "nghttpx".into(),
        }
    }

    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

/// Without a connection, which would be one more to watch.
fn listens(port: u16) -> Result<bool> {
    let table = std::fs::read_to_string("/proc/net/tcp")?;
    let local = format!(":{port:04X}");
    Ok(table.lines().any(|line| {
        let mut columns = line.split_whitespace().skip(1);
        columns.next().is_some_and(|own| own.ends_with(&local)) && columns.nth(1) == Some("0A")
    }))
}

/// The parts of an HTTP archive that matter here.
#[derive(Deserialize)]
struct Archive {
    log: Log,
}

#[derive(Deserialize)]
struct Log {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    request: Asked,
    response: Answered,
    /// Milliseconds.
    time: f64,
    comment: Option<String>,
}

#[derive(Deserialize)]
struct Asked {
    /// Empty for what was pushed.
    method: String,
    url: String,
}

#[derive(Deserialize)]
struct Answered {
    status: u16,
    content: Content,
}

#[derive(Deserialize)]
struct Content {
    size: u64,
}

/// One connection of `nghttp`: all `urls` at once, `options` apply to each.
///
/// # Errors
/// When it is missing, or fails.
pub fn nghttp(options: &[&str], urls: &[String]) -> Result<Vec<Exchange>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("archive.har");
    let mut arguments = vec!["--null-out".to_owned(), "--no-verify-peer".to_owned()];
    arguments.push(format!("--har={}", file.display()));
    arguments.extend(options.iter().map(|&option| option.to_owned()));
    arguments.extend(urls.iter().cloned());
    let start = std::time::Instant::now();
    let finished = process::run(folder.path(), &tools::program("nghttp")?, arguments, LIMIT)?;
    let seconds = start.elapsed().as_secs_f64();
    ensure!(
        finished.status.success(),
        "nghttp ended with {}: {} {}",
        finished.status,
        finished.output,
        finished.errors
    );
    let text = wait::until("the archive of nghttp", Duration::from_secs(5), || {
        Ok(std::fs::read(&file).ok())
    })?;
    let archive: Archive = serde_json::from_slice(&text).context("the archive of nghttp")?;
    let exchange = |entry: Entry| {
        let (_, rest) = entry.request.url.split_once("://").context("a URL")?;
        let (host, target) = rest.split_once('/').context("a path")?;
        let (_, port) = host.rsplit_once(':').context("a port")?;
        let pushed = entry.comment.is_some_and(|text| text.contains("Pushed"));
        let method = if pushed { "GET" } else { &entry.request.method };
        let request = Request::new(method, &format!("/{target}"));
        // What was pushed was on its way before nghttp knew it.
        let seconds = if pushed { seconds } else { entry.time / 1e3 };
        let exchange = Exchange::new(request, entry.response.status, seconds, port.parse()?);
        Ok(Exchange {
            response_bytes: Some(entry.response.content.size),
            http2: true,
            pushed,
            ..exchange.by("nghttp", finished.pid)
        })
    };
    archive.log.entries.into_iter().map(exchange).collect()
}
