//! PgBouncer: few connections to the server for many clients, handed on after each transaction.

use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::postgres::{Postgres, as_server, open_to_server};
use crate::process::Running;
use crate::sql::End;
use crate::tools;

/// A pooler in front of a server, on a free port.
#[derive(Debug)]
pub struct Pgbouncer {
    process: Running,
    _folder: TempDir,
    pub port: u16,
}

impl Pgbouncer {
    /// With at most `connections` to the server.
    ///
    /// # Errors
    /// When it is missing or does not start.
    pub fn start(server: &Postgres, connections: u32) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("wirespan-pgbouncer-")
            .tempdir()?;
        open_to_server(folder.path())?;
        let port = tools::free_port()?;
        let file = folder.path().join("pgbouncer.ini");
        let configuration = format!(
            "[databases]
postgres = host=127.0.0.1 port={} dbname=postgres user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 200
ignore_startup_parameters = extra_float_digits
server_tls_sslmode = disable
",
            server.port
        );
        std::fs::write(&file, configuration)?;
        let program = tools::program("pgbouncer")?;
        let mut command = as_server(folder.path(), &program);
        command.arg(&file);
        let mut process = Running::spawn(folder.path(), &program, command)?;
        process.wait_ready("PgBouncer listens", Duration::from_secs(15), |process| {
            Ok(process.errors()?.contains("process up"))
        })?;
        Ok(Self {
            process,
            _folder: folder,
            port,
        })
    }

    /// It as a server of its clients, or as a client of the server.
    #[must_use]
    pub fn end(&self) -> End {
        End::new("pgbouncer", [self.process.pid()])
    }

    /// Ends it, and with it its connections to the server.
    ///
    /// # Errors
    /// When it fails.
    pub fn stop(self) -> Result<()> {
        let finished = self.process.stop(Signal::INT)?;
        ensure!(
            finished.status.success(),
            "PgBouncer ended with {}: {}",
            finished.status,
            finished.errors
        );
        Ok(())
    }
}
