//! Newer databases than Debian 12's: `databases ROOT PACKAGES`, a root with MySQL 9 and a directory
//! with Python packages, both as `cargo xtask databases` fetches them. Each way of speaking with a
//! server has agents of its own, and a line of the table.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use comfy_table::{ContentArrangement, Table, presets};
use wirespan_tests::expect::assert_distinct_ids;
use wirespan_tests::mysql::Mysql;
use wirespan_tests::postgres::{Postgres, Release, Tls};
use wirespan_tests::sql::{self, Session};
use wirespan_tests::watch::Watch;

/// What MySQL's own client does, a statement a line.
const SCRIPT: &str = "drop table if exists things;
create table things (id int primary key, name varchar(200));
insert into things values (1, 'one'), (2, 'two'), (3, null);
select * from things;
select * from things where id > 100;
selec;
insert into things values (1, 'twice');
update things set name = 'x' where id < 3;
select 1 from missing;
start transaction;
delete from things;
rollback;
query_attributes number 7 text no_query
select mysql_query_attribute_string('text') from things;
select 1;
prepare named from 'select * from things where id = ?';
set @id = 2;
execute named using @id;
select * from information_schema.collations;
select repeat('compressible ', 60000);
select hex(random_bytes(1000)) from information_schema.collations;
drop table things;
";

/// How MySQL's own client logs in and sends: what it is called, the user, and the options. Of each
/// user, the first login is in full and the next by what the server remembers.
const WAYS: &[(&str, &str, &[&str])] = &[
    ("login in full, RSA", "ann", PLAIN),
    ("login by cache", "ann", PLAIN),
    (
        "zlib",
        "ann",
        &["--ssl-mode=DISABLED", "--compression-algorithms=zlib"],
    ),
    (
        "zstd",
        "ann",
        &["--ssl-mode=DISABLED", "--compression-algorithms=zstd"],
    ),
    ("TLS, login in full", "bob", TLS),
    ("TLS, login by cache", "bob", TLS),
    (
        "TLS, zlib",
        "bob",
        &["--ssl-mode=REQUIRED", "--compression-algorithms=zlib"],
    ),
    (
        "TLS, zstd",
        "bob",
        &["--ssl-mode=REQUIRED", "--compression-algorithms=zstd"],
    ),
];
const PLAIN: &[&str] = &["--ssl-mode=DISABLED", "--get-server-public-key"];
const TLS: &[&str] = &["--ssl-mode=REQUIRED"];

/// What psycopg does.
const NAMES: &str = "simple,wide,upload,extended,transactions,copies,unasked,pipeline";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("databases: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [root, packages] = &arguments[..] else {
        bail!("usage: databases ROOT PACKAGES; `cargo xtask databases` fetches both");
    };
    let (root, packages) = (Path::new(root), Path::new(packages));
    let mut results = Results::default();

    let server = Mysql::start(root)?;
    for (way, user, options) in WAYS {
        results.hold("MySQL 9", "mysql", way, server.port, || {
            Ok(vec![server.client(user, options, SCRIPT)?])
        })?;
    }
    for (way, tls) in [("plain", false), ("TLS", true)] {
        results.hold("MySQL 9", "Connector/Python", way, server.port, || {
            server.connector(packages, tls)
        })?;
    }
    drop(server);

    // The package's server is built without TLS.
    let server = Postgres::start_release(Release::of_wheels(packages), false)?;
    results.hold(
        "PostgreSQL 18",
        "psycopg",
        "protocol 3.2",
        server.port,
        || server.psycopg(Tls::No, NAMES),
    )?;
    results.finish()
}

/// What each way has given.
#[derive(Default)]
struct Results {
    lines: Vec<[String; 7]>,
    differences: Vec<String>,
}

impl Results {
    /// Watches what `speak` does, and holds the spans against what its clients have counted.
    fn hold(
        &mut self,
        server: &str,
        client: &str,
        way: &str,
        port: u16,
        speak: impl FnOnce() -> Result<Vec<Session>>,
    ) -> Result<()> {
        let what = || format!("{server}, {client}, {way}");
        let watch = Watch::start(&[port])?;
        let sessions = match speak() {
            Ok(sessions) => sessions,
            // The other ways are still worth knowing about.
            Err(error) => {
                self.differences.push(format!("{}: {error:#}", what()));
                return Ok(());
            }
        };
        let expected = sql::count(&sessions);
        let seen = watch.stop_after(expected).with_context(what)?;
        let mut equal = true;
        for (how, spans) in [("live", &seen.live), ("replayed", &seen.replayed)] {
            let held =
                sql::assert_exactly(spans, &sessions).and_then(|()| assert_distinct_ids(spans));
            if let Err(error) = held {
                equal = false;
                self.differences
                    .push(format!("{}, {how}: {error:#}", what()));
            }
        }
        let queries: usize = sessions.iter().map(|session| session.queries.len()).sum();
        self.lines.push([
            server.to_owned(),
            client.to_owned(),
            way.to_owned(),
            queries.to_string(),
            seen.live.len().to_string(),
            seen.replayed.len().to_string(),
            if equal { "all equal" } else { "different" }.to_owned(),
        ]);
        Ok(())
    }

    fn finish(self) -> Result<()> {
        let mut table = Table::new();
        table
            .load_style(presets::ASCII_MARKDOWN)
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header([
                "server",
                "client",
                "way",
                "queries",
                "spans live",
                "spans replayed",
                "at both ends",
            ])
            .add_rows(self.lines);
        println!("{table}");
        if !self.differences.is_empty() {
            bail!(
                "not everything is as clients have counted it\n{}",
                self.differences.join("\n")
            );
        }
        Ok(())
    }
}
