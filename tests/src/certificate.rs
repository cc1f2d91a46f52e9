//! A certificate for loopback, made anew for each fixture.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::{process, tools};

#[derive(Clone, Debug)]
pub struct Certificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Certificate {
    /// Signs itself: clients are given it as their authority.
    ///
    /// # Errors
    /// When `openssl` is missing or fails.
    pub fn make(folder: &Path) -> Result<Self> {
        let made = Self {
            certificate: folder.join("certificate.pem"),
            key: folder.join("key.pem"),
        };
        let mut arguments: Vec<&str> = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
             -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout"
            .split_whitespace()
            .collect();
        let (key, certificate) = (
            made.key.to_string_lossy(),
            made.certificate.to_string_lossy(),
        );
        arguments.extend([&*key, "-out", &*certificate]);
        let finished = process::run(
            folder,
            &tools::program("openssl")?,
            arguments,
            Duration::from_secs(20),
        )?;
        ensure!(
            finished.status.success(),
            "openssl made no certificate: {}",
            finished.errors
        );
        Ok(made)
    }
}
