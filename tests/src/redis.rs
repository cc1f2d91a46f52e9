//! Redis and its own clients: a protocol that no parser here knows.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::process::Running;
use crate::{process, tools};

const LIMIT: Duration = Duration::from_secs(60);

/// A server that keeps nothing.
#[derive(Debug)]
pub struct Redis {
    process: Running,
    folder: TempDir,
    pub port: u16,
}

impl Redis {
    /// # Errors
    /// When Redis is missing or does not start.
    pub fn start() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("wirespan-redis-")
            .tempdir()?;
        let port = tools::free_port()?;
        let number = port.to_string();
        let arguments = ["--port", &number, "--bind", "127.0.0.1", "--save", ""];
        let program = tools::program("redis-server")?;
        let mut process = Running::start(folder.path(), &program, arguments, &[])?;
        process.wait_ready("Redis listens", Duration::from_secs(20), |process| {
            Ok(process.output()?.contains("Ready to accept connections"))
        })?;
        Ok(Self {
            process,
            folder,
            port,
        })
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// redis-cli with one command: what it prints.
    ///
    /// # Errors
    /// When it fails.
    pub fn command(&self, words: &[&str]) -> Result<String> {
        let mut arguments = vec!["-p".to_owned(), self.port.to_string()];
        arguments.extend(words.iter().map(|word| (*word).to_owned()));
        self.client("redis-cli", &arguments)
    }

    /// redis-benchmark: `requests` of each of SET and GET with so many bytes, on `connections`.
    ///
    /// # Errors
    /// When it fails.
    pub fn benchmark(&self, connections: usize, requests: usize, bytes: usize) -> Result<()> {
        let numbers = [
            ("-p", usize::from(self.port)),
            ("-c", connections),
            ("-n", requests),
            ("-d", bytes),
        ];
        let mut arguments: Vec<String> = numbers
            .iter()
            .flat_map(|(option, number)| [(*option).to_owned(), number.to_string()])
            .collect();
        arguments.extend(["-t", "set,get", "-q"].map(str::to_owned));
        self.client("redis-benchmark", &arguments)?;
        Ok(())
    }

    /// A number of `INFO`.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn info(&self, name: &str) -> Result<u64> {
        let all = self.command(&["info"])?;
        let line = all
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .with_context(|| format!("{name} in {all}"))?;
        Ok(line.trim().parse()?)
    }

    fn client(&self, name: &str, arguments: &[String]) -> Result<String> {
        let program = tools::program(name)?;
        let finished = process::run(self.folder.path(), &program, arguments, LIMIT)?;
        ensure!(
            finished.status.success(),
            "{name} ended with {}: {}",
            finished.status,
            finished.errors
        );
        Ok(finished.output)
    }
}
