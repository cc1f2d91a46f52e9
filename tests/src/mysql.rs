//! MySQL 9 in a root of its own, which `cargo xtask databases` has fetched, and its clients.

use std::fs::File;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tempfile::TempDir;

use crate::mariadb::read_client;
use crate::process::Running;
use crate::sql::{End, Query, Session};
use crate::tools;

/// Nobody's outside; the root has no other users than this.
const USER_ID: u32 = 65_534;

/// Data are made and a server started in some seconds; the rest is for busy machines.
const START: Duration = Duration::from_secs(120);

/// Clients end by themselves.
const CLIENT: Duration = Duration::from_secs(90);

/// What clients use unless they say otherwise.
const DATABASE: &str = "shop";

const CONNECTOR: &str = include_str!("mysql_connector.py");

/// Users whose passwords the server has not seen since its start are asked for them in full.
const FIRST: &str = "create database shop;
create database other;
create user ann@'%' identified with caching_sha2_password by 'secret of ann';
create user bob@'%' identified with caching_sha2_password by 'secret of bob';
create user cat@'%' identified with caching_sha2_password by 'secret of cat';
grant all on *.* to ann@'%', bob@'%', cat@'%';
";

/// A server on a free port, with the users and databases of `FIRST`.
#[derive(Debug)]
pub struct Mysql {
    process: Running,
    root: PathBuf,
    folder: TempDir,
    pub port: u16,
}

/// A line of the Python client.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    queries: Vec<Query>,
}

impl Mysql {
    /// Starts the server of `root`, with its data in a folder there.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(root: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("wirespan-mysql-")
            .tempdir_in(root.join("run"))?;
        chown(folder.path(), Some(USER_ID), Some(USER_ID))?;
        // What others than the server read is written by root.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open)?;
        std::fs::write(folder.path().join("first.sql"), FIRST)?;
        let inside = inside(root, folder.path())?;
        let data = format!("--datadir={}/data", inside.display());
        let temporary = format!("--tmpdir={}", inside.display());
        let made = in_root(root, "/usr/sbin/mysqld")
            .args(["--no-defaults", "--initialize-insecure", &data, &temporary])
            .output()
            .context("cannot run mysqld")?;
        ensure!(
            made.status.success(),
            "mysqld --initialize-insecure: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        let port = tools::free_port()?;
        let server = root.join("usr/sbin/mysqld");
        let mut command = in_root(root, "/usr/sbin/mysqld");
        command.args([
            "--no-defaults",
            &data,
            &temporary,
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--mysqlx=OFF",
            "--skip-log-bin",
            "--innodb-flush-log-at-trx-commit=0",
            "--max-allowed-packet=64M",
            "--secure-file-priv=",
        ]);
        command.arg(format!("--port={port}"));
        for name in ["socket", "pid-file"] {
            command.arg(format!("--{name}={}/{name}", inside.display()));
        }
        command.arg(format!("--init-file={}/first.sql", inside.display()));
        let mut process = Running::spawn(folder.path(), &server, command)?;
        process.wait_ready("MySQL accepts connections", START, |process| {
            let said = process.errors()?;
            Ok(said.contains("ready for connections") && said.contains(&format!("port: {port} ")))
        })?;
        Ok(Self {
            process,
            root: root.to_owned(),
            folder,
            port,
        })
    }

    /// MySQL's own client with a script, a statement a line, over one connection.
    ///
    /// # Errors
    /// When it fails.
    pub fn client(&self, user: &str, options: &[&str], script: &str) -> Result<Session> {
        let file = self.folder.path().join("script.sql");
        std::fs::write(&file, script)?;
        let mut command = in_root(&self.root, "/usr/bin/mysql");
        // It goes on after errors, and says what it has sent and what it has counted.
        command
            .args(["--no-defaults", "--force", "-vv", "--commands"])
            .args(["--host=127.0.0.1"])
            .arg(format!("--port={}", self.port))
            .arg(format!("--user={user}"))
            .arg(format!("--password=secret of {user}"))
            .args(options)
            .arg(DATABASE);
        let program = self.root.join("usr/bin/mysql");
        let finished = Running::spawn_reading(
            self.folder.path(),
            &program,
            command,
            File::open(&file)?.into(),
        )?
        .finish(CLIENT)?;
        let mut queries = read_client(&finished.output, &finished.errors, script)?;
        ensure!(
            !queries.is_empty(),
            "mysql has sent nothing: {}",
            finished.errors
        );
        // What it asks for itself: who the server is, and whether `$$` begins a string.
        queries.push(Query::new("select @@version_comment limit 1").rows(1));
        queries.push(Query::new("select $$").fails("1064"));
        Ok(self.session("mysql", finished.pid, queries))
    }

    /// MySQL's driver in Python, found in `packages`: what the script does, a session for each of its
    /// connections.
    ///
    /// # Errors
    /// When the script fails.
    pub fn connector(&self, packages: &Path, tls: bool) -> Result<Vec<Session>> {
        let script = self.folder.path().join("connector.py");
        std::fs::write(&script, CONNECTOR)?;
        let python = tools::python()?;
        let mut command = Command::new(&python);
        command
            .env("PYTHONPATH", packages)
            .arg(&script)
            .arg(self.port.to_string())
            .arg(if tls { "tls" } else { "plain" });
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
                Ok(self.session("python3", finished.pid, line.queries))
            })
            .collect()
    }

    fn session(&self, client: &str, pid: u32, queries: Vec<Query>) -> Session {
        Session {
            system: "mysql",
            database: Some(DATABASE.to_owned()),
            client: End::new(client, [pid]),
            server: End::new("mysqld", [self.process.pid()]),
            queries,
        }
    }
}

/// Where a path of this system is for a program in `root`.
fn inside(root: &Path, path: &Path) -> Result<PathBuf> {
    Ok(Path::new("/").join(path.strip_prefix(root)?))
}

/// `program` of the root as nobody, with the one privilege of entering it; it gets SIGTERM when the
/// thread that starts it ends.
fn in_root(root: &Path, program: &str) -> Command {
    let id = USER_ID.to_string();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", &id, "--regid", &id, "--clear-groups"])
        .args(["--inh-caps", "+sys_chroot", "--ambient-caps", "+sys_chroot"])
        .args(["--pdeathsig", "TERM", "--", "chroot"])
        .arg(root)
        .arg(program);
    command
}
