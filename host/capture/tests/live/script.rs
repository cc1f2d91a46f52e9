//! A Python program whose TLS is observed.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use tempfile::TempDir;

use crate::support::Bench;

/// A program that gets a port, a certificate and its key as arguments, says `ready`, and goes on with
/// each line that it is told. It is stopped whatever becomes of the test.
pub(crate) struct Script {
    child: Child,
    output: BufReader<ChildStdout>,
    pub(crate) port: u16,
    _certificate: Certificate,
}

/// A self-signed certificate.
pub(crate) struct Certificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    _directory: TempDir,
}

impl Certificate {
    pub(crate) fn make() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = (
            directory.path().join("c.pem"),
            directory.path().join("k.pem"),
        );
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec"])
            .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success());
        Self {
            certificate,
            key,
            _directory: directory,
        }
    }
}

impl Script {
    pub(crate) fn start(source: &str) -> Self {
        let certificate = Certificate::make();
        let listener = Bench::listen();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let mut child = Command::new("/usr/bin/python3")
            .args(["-c", source, &port.to_string()])
            .arg(&certificate.certificate)
            .arg(&certificate.key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 can be started");
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut script = Self {
            child,
            output,
            port,
            _certificate: certificate,
        };
        script.hear("ready");
        script
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Waits for a line.
    pub(crate) fn hear(&mut self, line: &str) {
        let mut heard = String::new();
        self.output.read_line(&mut heard).unwrap();
        assert_eq!(heard.trim_end(), line);
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
