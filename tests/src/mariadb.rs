//! MariaDB with data of its own, plain and TLS on one port, and its clients.

use std::collections::BTreeMap;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tempfile::TempDir;

use crate::process::Running;
use crate::sql::{End, Query, Session};
use crate::{Certificate, process, tools};

/// The server refuses to be root.
const USER: &str = "nobody";
const GROUP: &str = "nogroup";
const USER_ID: u32 = 65_534;

/// Data are made and a server started in some seconds; the rest is for busy machines.
const START: Duration = Duration::from_secs(90);

/// Clients end by themselves.
const CLIENT: Duration = Duration::from_secs(60);

/// What clients use unless they say otherwise.
const DATABASE: &str = "shop";

const PYMYSQL: &str = include_str!("mariadb_pymysql.py");
const DBD: &str = include_str!("mariadb_dbd.pl");

/// A server without passwords, on a free port, with the databases `shop` and `other`.
#[derive(Debug)]
pub struct Mariadb {
    process: Running,
    folder: TempDir,
    pub port: u16,
    pub certificate: Certificate,
}

/// A line of the Python and Perl clients.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    queries: Vec<Query>,
}

impl Mariadb {
    /// # Errors
    /// When the server is missing or does not start.
    pub fn start() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("wirespan-mariadb-")
            .tempdir()?;
        let data = folder.path().join("data");
        chown(folder.path(), Some(USER_ID), Some(USER_ID))?;
        let certificate = Certificate::make(folder.path())?;
        chown(&certificate.key, Some(USER_ID), Some(USER_ID))?;
        let made = as_server(folder.path(), &tools::program("mariadb-install-db")?)
            .args(["--no-defaults", "--skip-name-resolve", "--skip-test-db"])
            .args(["--auth-root-authentication-method=normal"])
            .args(["--innodb-flush-method=nosync", "--innodb-log-file-size=4M"])
            .arg(format!("--datadir={}", data.display()))
            .output()
            .context("cannot run mariadb-install-db")?;
        ensure!(
            made.status.success(),
            "mariadb-install-db: {}{}",
            String::from_utf8_lossy(&made.stdout),
            String::from_utf8_lossy(&made.stderr)
        );
        let first = folder.path().join("first.sql");
        std::fs::write(
            &first,
            format!("create database {DATABASE};\ncreate database other;\n"),
        )?;
        let port = tools::free_port()?;
        let server = tools::program("mariadbd")?;
        let mut command = as_server(folder.path(), &server);
        command.args([
            "--no-defaults",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--skip-grant-tables",
            "--skip-log-bin",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-flush-method=nosync",
            "--innodb-buffer-pool-size=16M",
            "--innodb-log-file-size=4M",
            "--max-allowed-packet=64M",
            "--local-infile=1",
        ]);
        for (name, value) in [
            ("datadir", &*data),
            ("socket", &folder.path().join("socket")),
            ("pid-file", &folder.path().join("pid")),
            ("init-file", &first),
            ("ssl-cert", &certificate.certificate),
            ("ssl-key", &certificate.key),
        ] {
            command.arg(format!("--{name}={}", value.display()));
        }
        command.arg(format!("--port={port}"));
        let mut process = Running::spawn(folder.path(), &server, command)?;
        process.wait_ready("MariaDB accepts connections", START, |process| {
            Ok(process.errors()?.contains("ready for connections"))
        })?;
        Ok(Self {
            process,
            folder,
            port,
            certificate,
        })
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// MariaDB's own client with a script, a statement a line, over one connection.
    ///
    /// # Errors
    /// When it is missing or fails.
    pub fn client(&self, options: &[&str], script: &str) -> Result<Session> {
        let file = tempfile::NamedTempFile::new_in(self.folder.path())?;
        std::fs::write(file.path(), script)?;
        let source = format!("source {}", file.path().display());
        let port = format!("--port={}", self.port);
        // It goes on after errors, and says what it has sent and what it has counted.
        let mut arguments = vec!["--no-defaults", "--force", "-vv", "--local-infile=1"];
        arguments.extend(["--host=127.0.0.1", &port, "--user=root"]);
        arguments.extend(options);
        arguments.extend(["--execute", &source, DATABASE]);
        let program = tools::program("mariadb")?;
        let finished = process::run(self.folder.path(), &program, arguments, CLIENT)?;
        let queries = read_client(&finished.output, &finished.errors, script)?;
        Ok(self.session("mariadb", finished.pid, queries))
    }

    /// PyMySQL: what the script does, a session for each of its connections.
    ///
    /// # Errors
    /// When PyMySQL is missing or the script fails.
    pub fn pymysql(&self, tls: bool) -> Result<Vec<Session>> {
        let authority = self.certificate.certificate.to_string_lossy();
        let authority = if tls { &*authority } else { "" };
        self.script("python3", &tools::python()?, PYMYSQL, authority)
    }

    /// Perl's driver, which prepares statements on the server, with compression or without.
    ///
    /// # Errors
    /// When it is missing or the script fails.
    pub fn dbd(&self, compressed: bool) -> Result<Vec<Session>> {
        let compressed = if compressed { "1" } else { "0" };
        self.script("perl", Path::new("/usr/bin/perl"), DBD, compressed)
    }

    fn script(
        &self,
        service: &str,
        program: &Path,
        script: &str,
        argument: &str,
    ) -> Result<Vec<Session>> {
        let file = tempfile::NamedTempFile::new_in(self.folder.path())?;
        std::fs::write(file.path(), script)?;
        let path = file.path().to_string_lossy();
        let port = self.port.to_string();
        let arguments = [&*path, &port, argument];
        let finished = process::run(self.folder.path(), program, arguments, CLIENT)?;
        ensure!(
            finished.status.success(),
            "the client in {service}: {}",
            finished.errors
        );
        finished
            .output
            .lines()
            .map(|line| {
                let line: Line = serde_json::from_str(line).context("a line of the client")?;
                Ok(self.session(service, finished.pid, line.queries))
            })
            .collect()
    }

    fn session(&self, client: &str, pid: u32, queries: Vec<Query>) -> Session {
        Session {
            system: "mariadb",
            database: Some(DATABASE.to_owned()),
            client: End::new(client, [pid]),
            server: End::new("mariadbd", [self.process.pid()]),
            queries,
        }
    }
}

/// What MariaDB's or MySQL's client has said of each statement it has sent.
pub(crate) fn read_client(output: &str, errors: &str, script: &str) -> Result<Vec<Query>> {
    const RULE: &str = "--------------";
    let mut failed: BTreeMap<usize, &str> = BTreeMap::new();
    for line in errors.lines() {
        let Some(rest) = line.strip_prefix("ERROR ") else {
            continue;
        };
        let number = rest.split(' ').next().unwrap_or_default();
        let place = rest.split("at line ").nth(1);
        let place = place.and_then(|rest| rest.split([' ', ':']).next()?.parse().ok());
        failed.insert(place.context("the line of an error")?, number);
    }
    let mut queries: Vec<Query> = Vec::new();
    let mut lines = output.lines();
    while let Some(line) = lines.next() {
        if line == RULE {
            let mut text = Vec::new();
            text.extend(lines.by_ref().take_while(|line| *line != RULE));
            queries.push(Query::new(text.join("\n")));
            continue;
        }
        let Some(query) = queries.last_mut() else {
            continue;
        };
        let words: Vec<&str> = line
            .split([' ', ','])
            .filter(|word| !word.is_empty())
            .collect();
        match words[..] {
            ["Empty", "set", ..] => query.rows = Some(query.rows.unwrap_or(0)),
            ["Query", "OK", count, "row" | "rows", "affected", ..] => {
                query.affected = Some(query.affected.unwrap_or(0) + count.parse::<u64>()?);
            }
            [count, "row" | "rows", "in", "set", ..] => {
                query.rows = Some(query.rows.unwrap_or(0) + count.parse::<u64>()?);
            }
            _ => {}
        }
    }
    for (number, line) in script.lines().enumerate() {
        let Some(code) = failed.remove(&(number + 1)) else {
            continue;
        };
        let query = queries.iter_mut().find(|query| {
            query.error.is_none()
                && query
                    .text
                    .as_deref()
                    .is_some_and(|text| !text.is_empty() && line.starts_with(text))
        });
        query
            .with_context(|| format!("{line} is not among what the client has sent"))?
            .error = Some(code.to_owned());
    }
    ensure!(failed.is_empty(), "the client failed: {errors}");
    Ok(queries)
}

/// `program` as the server's user; it gets SIGTERM when the thread that starts it ends.
fn as_server(folder: &Path, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command
        .current_dir(folder)
        .args(["--reuid", USER, "--regid", GROUP, "--clear-groups"])
        .args(["--pdeathsig", "TERM", "--"])
        .arg(program);
    command
}
