//! Many HTTP clients in one process and their server in another. Those of scripts have one thread each, and
//! their TLS is over memory BIOs: the ciphertext goes between the TLS library and the sockets by way of the
//! program. Those of rustls have several, and a connection goes from one to the other.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use tempfile::TempDir;

use crate::ask::Client;
use crate::expect::{Exchange, Server};
use crate::process::Running;
use crate::{Certificate, tools};

/// What the programs are made with.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Over TLS.
    Aiohttp,
    /// Over TLS.
    Node,
    PlainNode,
    /// libuv with its part of the work in a ring shared with the kernel (io_uring): files, and what
    /// is polled.
    NodeOfUring,
    /// tokio, with rustls and aws-lc-rs: over TLS.
    Rustls,
}

impl Kind {
    /// Name and text, of what is a script.
    const fn script(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Aiohttp => Some(("crowd.py", include_str!("crowd.py"))),
            Self::Node | Self::PlainNode | Self::NodeOfUring => {
                Some(("crowd.js", include_str!("crowd.js")))
            }
            Self::Rustls => None,
        }
    }

    fn program(self) -> Result<PathBuf> {
        match self {
            Self::Aiohttp => tools::python(),
            Self::Node | Self::PlainNode | Self::NodeOfUring => tools::node(),
            Self::Rustls => tools::beside("rustls-fixture"),
        }
    }

    /// Those that come first.
    fn arguments(self, folder: &TempDir) -> Vec<OsString> {
        let script = self.script().map(|(name, _)| folder.path().join(name));
        script.into_iter().map(OsString::from).collect()
    }

    /// `service.name` of both ends.
    #[must_use]
    pub const fn service(self) -> &'static str {
        match self {
            Self::Aiohttp => "python3",
            Self::Node | Self::PlainNode | Self::NodeOfUring => "node",
            Self::Rustls => "rustls-fixture",
        }
    }

    const fn tls(self) -> bool {
        matches!(self, Self::Aiohttp | Self::Node | Self::Rustls)
    }

    const fn environment(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::NodeOfUring => &[("UV_USE_IO_URING", "1")],
            Self::Aiohttp | Self::Node | Self::PlainNode | Self::Rustls => &[],
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
    /// Of one over TLS.
    certificate: Option<Certificate>,
}

impl Crowd {
    /// # Errors
    /// When it is not installed or does not start.
    pub fn start(kind: Kind) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("wirespan-crowd-")
            .tempdir()?;
        if let Some((name, text)) = kind.script() {
            std::fs::write(folder.path().join(name), text)?;
        }
        let port = tools::free_port()?;
        let certificate = kind
            .tls()
            .then(|| Certificate::make(folder.path()))
            .transpose()?;
        let mut arguments = kind.arguments(&folder);
        arguments.extend(["serve".into(), port.to_string().into()]);
        if let Some(made) = &certificate {
            arguments.extend([made.certificate.clone().into(), made.key.clone().into()]);
        }
        let mut process = Running::start(
            folder.path(),
            &kind.program()?,
            arguments,
            kind.environment(),
        )?;
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

    /// Of the server.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
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
        let mut arguments = self.kind.arguments(&self.folder);
        arguments.extend([
            "ask".into(),
            self.port.to_string().into(),
            clients.to_string().into(),
            requests.to_string().into(),
        ]);
        if let Some(made) = &self.certificate {
            arguments.push(made.certificate.clone().into());
        }
        let client = Client {
            folder: self.folder.path(),
            program: &self.kind.program()?,
            arguments,
            environment: self.kind.environment(),
            service: self.kind.service(),
            port: self.port,
            http2: false,
        };
        client.ask(&[], clients * (requests + 1))
    }
}
