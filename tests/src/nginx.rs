//! nginx with a configuration of its own, plain and TLS.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::expect::{Request, Server};
use crate::process::Running;
use crate::{Certificate, Span, process, tools};

/// Size of `/large.bin`: a body that no capture limit lets through whole.
pub const LARGE_BYTES: usize = 10 << 20;

/// What the fixture can be asked for:
///
/// | path | answer |
/// |---|---|
/// | `/hello.txt`, `/small/N.txt` (N below 64) | 200, a few bytes |
/// | `/large.bin` | 200, 10 MiB |
/// | `/text.txt` | 200; chunked when the client accepts gzip |
/// | `/broken` | 500 |
/// | `/moved` | 301 |
/// | PUT `/put/…` | 201, or 204 when it was there |
/// | anything else | 404 |
#[derive(Debug)]
pub struct Nginx {
    process: Running,
    folder: TempDir,
    pub port: u16,
    pub tls_port: u16,
    pub certificate: Certificate,
    workers: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub workers: u32,
    /// Bodies of files by `sendfile`, whose bytes no probe can copy, instead of `write`.
    pub sendfile: bool,
    /// 0: connections are closed after each answer.
    pub keepalive_requests: u32,
    /// Also HTTP/2 over TLS, and only that without.
    pub http2: bool,
    /// nginx writes down each request that it has answered.
    pub access_log: bool,
    /// Plain and TLS; free ones where none are given.
    pub ports: Option<(u16, u16)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            workers: 1,
            sendfile: true,
            keepalive_requests: 1_000_000,
            http2: false,
            access_log: false,
            ports: None,
        }
    }
}

/// A line of nginx's log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Answered {
    pub request: Request,
    pub status: i64,
    /// Of the body, as transferred.
    pub bytes: i64,
    /// Of the worker.
    pub pid: u64,
}

impl Answered {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        Some(Self {
            request: Request::new(words.next()?, words.next()?),
            status: words.next()?.parse().ok()?,
            bytes: words.next()?.parse().ok()?,
            pid: words.next()?.parse().ok()?,
        })
    }

    /// The same of a span.
    #[must_use]
    pub fn of(span: &Span) -> Option<Self> {
        Some(Self {
            request: Request {
                method: span.method()?.to_owned(),
                path: span.path()?.to_owned(),
                query: span.text("url.query").map(str::to_owned),
            },
            status: span.http_status()?,
            bytes: span.integer("http.response.body.size").unwrap_or(0),
            pid: span.pid()?,
        })
    }
}

impl Nginx {
    /// # Errors
    /// When nginx is missing or does not start.
    pub fn start(options: Options) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("wirespan-nginx-")
            .tempdir()?;
        let certificate = Certificate::make(folder.path())?;
        write_files(folder.path())?;
        let (port, tls_port) = match options.ports {
            Some(ports) => ports,
            None => (tools::free_port()?, tools::free_port()?),
        };
        let path = folder.path().join("nginx.conf");
        std::fs::write(&path, configuration(folder.path(), port, tls_port, options))?;
        let arguments = [
            "-e".into(),
            folder.path().join("error.log"),
            "-c".into(),
            path,
        ];
        let mut process = Running::start(folder.path(), &tools::program("nginx")?, arguments, &[])?;
        let workers = options.workers as usize;
        process.wait_ready(
            "nginx has its workers",
            Duration::from_secs(10),
            |process| {
                Ok(folder.path().join("nginx.pid").exists()
                    && process::children(process.pid())?.len() >= workers)
            },
        )?;
        let workers = process::children(process.pid())?;
        Ok(Self {
            process,
            folder,
            port,
            tls_port,
            certificate,
            workers,
        })
    }

    #[must_use]
    pub fn server(&self) -> Server {
        Server {
            ports: vec![self.port, self.tls_port],
            pids: self.workers.clone(),
            service: "nginx".into(),
        }
    }

    /// The Unix socket on which it listens too.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("nginx.sock")
    }

    /// What nginx itself has counted, in the order of its log. Only with
    /// [`access_log`](Options::access_log).
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn answered(&self) -> Result<Vec<Answered>> {
        let log = self.folder.path().join("access.log");
        let log =
            std::fs::read_to_string(&log).with_context(|| format!("reading {}", log.display()))?;
        log.lines()
            .map(|line| Answered::parse(line).with_context(|| format!("a line of the log: {line}")))
            .collect()
    }

    /// Processes that answer requests.
    #[must_use]
    pub fn workers(&self) -> &[u32] {
        &self.workers
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
        format!("https://127.0.0.1:{}{path}", self.tls_port)
    }

    /// Whether the server itself still runs.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn alive(&self) -> Result<bool> {
        Ok(process::children(self.process.pid())? == self.workers)
    }
}

fn write_files(folder: &Path) -> Result<()> {
    // Workers run as another user.
    let open = |path: &PathBuf, mode| {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
            .context("opening a folder to nginx's workers")
    };
    open(&folder.to_owned(), 0o755)?;
    let root = folder.join("root");
    std::fs::create_dir_all(root.join("small"))?;
    std::fs::write(root.join("hello.txt"), "hello\n")?;
    std::fs::write(
        root.join("text.txt"),
        "a line of text that compresses well\n".repeat(400),
    )?;
    std::fs::write(root.join("large.bin"), large_body())?;
    for number in 0..64 {
        std::fs::write(
            root.join(format!("small/{number}.txt")),
            format!("file {number}\n"),
        )?;
    }
    for name in ["root/put", "temporary"] {
        std::fs::create_dir_all(folder.join(name))?;
        open(&folder.join(name), 0o777)?;
    }
    Ok(())
}

/// Not constant, and with a request in its middle that nobody made: a parser that loses its
/// place in a body would report it.
#[must_use]
pub fn large_body() -> Vec<u8> {
    let mut body: Vec<u8> = (0..LARGE_BYTES)
        .map(|index| u8::try_from(index % 251).unwrap_or(0))
        .collect();
    let phantom = b"\r\n\r\nGET /phantom HTTP/1.1\r\nHost: nobody\r\n\r\n";
    for place in (0..LARGE_BYTES - phantom.len()).step_by(1 << 16) {
        if let Some(stretch) = body.get_mut(place..place + phantom.len()) {
            stretch.copy_from_slice(phantom);
        }
    }
    body
}

fn configuration(folder: &Path, port: u16, tls_port: u16, options: Options) -> String {
    let Options {
        workers,
        sendfile,
        keepalive_requests,
        http2,
        access_log,
        ..
    } = options;
    let http2 = if http2 { " http2" } else { "" };
    let sendfile = if sendfile { "on" } else { "off" };
    let folder = folder.display();
    let log = if access_log {
        format!("{folder}/access.log answered")
    } else {
        "off".to_owned()
    };
    format!(
        "daemon off;
worker_processes {workers};
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 512; }}
http {{
    log_format answered '$request_method $request_uri $status $body_bytes_sent $pid';
    access_log {log};
    types {{ text/plain txt; application/octet-stream bin; }}
    sendfile {sendfile};
    gzip on;
    gzip_types text/plain;
    keepalive_timeout 60s;
    keepalive_requests {keepalive_requests};
    client_max_body_size 64m;
    client_body_temp_path {folder}/temporary/body;
    proxy_temp_path {folder}/temporary/proxy;
    fastcgi_temp_path {folder}/temporary/fastcgi;
    uwsgi_temp_path {folder}/temporary/uwsgi;
    scgi_temp_path {folder}/temporary/scgi;
    server {{
        listen 127.0.0.1:{port}{http2};
        listen 127.0.0.1:{tls_port} ssl{http2};
        listen unix:{folder}/nginx.sock;
        ssl_certificate {folder}/certificate.pem;
        ssl_certificate_key {folder}/key.pem;
        root {folder}/root;
        location = /broken {{ return 500 'broken\\n'; }}
        location = /moved {{ return 301 /hello.txt; }}
        location /put/ {{ dav_methods PUT; create_full_put_path on; }}
    }}
}}
"
    )
}
