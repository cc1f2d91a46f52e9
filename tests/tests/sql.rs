//! Real databases and their clients, seen live and from a recording: what a client has counted is
//! what its spans say, at both ends, and there is nothing else.

use anyhow::{Result, ensure};
use wirespan_tests::mariadb::Mariadb;
use wirespan_tests::pgbouncer::Pgbouncer;
use wirespan_tests::postgres::{Mode, Postgres, Tls};
use wirespan_tests::sql::{self, Query, Session};
use wirespan_tests::watch::Watch;
use wirespan_tests::{Agent, Span, tools};

/// What psql does with ordinary statements; each is one message.
const STATEMENTS: &[&str] = &[
    "create table psql (id int primary key, name text);",
    "insert into psql select g, 'name ' || g from generate_series(1, 50) g;",
    "select * from psql where id < 11;",
    "select 1;",
    "select from psql where false;",
    "select 1\n  as first, -- a remark\n  'two; with a semicolon' as second;",
    "values (1), (2), (3);",
    "selec;",
    "select 1/0;",
    "update psql set name = null where id > 40;",
    "begin;",
    "declare few cursor for select * from psql order by id;",
    "fetch 7 from few;",
    "fetch 100 from few;",
    "insert into psql values (1, 'twice');",
    "select 1;",
    "rollback;",
    "delete from psql where id <= 5;",
    "prepare named as select name from psql where id = $1;",
    "execute named(7);",
    "show server_version;",
    "do $$ begin raise notice 'unasked'; end $$;",
    "listen news;",
    "notify news, 'from itself';",
    "drop table psql;",
];

#[test]
fn psql_and_psycopg_without_tls() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let server = Postgres::start(false)?;
    let watch = Watch::start(&[server.port])?;
    let mut sessions = vec![
        server.psql(Tls::No, STATEMENTS)?,
        server.psql(Tls::Asked, STATEMENTS)?,
    ];
    let names = "simple,wide,upload,extended,transactions,copies,unasked,pipeline";
    sessions.extend(server.psycopg(Tls::No, names)?);
    sessions.extend(server.asyncpg()?);
    watch.assert_exactly(&sessions)?;
    Ok(())
}

#[test]
fn psql_and_psycopg_over_tls() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let server = Postgres::start(true)?;
    let watch = Watch::start(&[server.port])?;
    let mut sessions = vec![server.psql(Tls::Yes, STATEMENTS)?];
    let names = "simple,wide,upload,extended,transactions,copies,pipeline";
    sessions.extend(server.psycopg(Tls::Yes, names)?);
    watch.assert_exactly(&sessions)?;
    Ok(())
}

/// A wheel of Python with libraries of its own, stripped and under names of their own: the system's are not used.
#[test]
fn psycopg2_over_the_tls_of_its_own_wheel() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let wheels = tools::wheels()?;
    let own = std::fs::read_dir(wheels.join("psycopg2_binary.libs"))?.flatten();
    let mut names = own.map(|file| file.file_name().to_string_lossy().into_owned());
    ensure!(
        names.any(|name| name.starts_with("libssl-")),
        "the wheel has no libssl of its own"
    );
    let server = Postgres::start(true)?;
    // Another program has it already: what is not among the system's libraries is found a moment after it
    // was loaded.
    let _other = server.with_psycopg2(&wheels)?;
    let watch = Watch::start(&[server.port])?;
    watch.assert_exactly(&server.psycopg2(&wheels)?)?;
    Ok(())
}

/// Statements of a script for pgbench, the same in each transaction.
const BENCH: &[&str] = &[
    "update bench set hits = hits + 1 where id = :client_id;",
    "select hits from bench where id = :client_id;",
    "select count(*) from bench where id < :client_id;",
    "insert into log values (:client_id, 'done');",
];

/// What `clients` of pgbench have sent, in `transactions` each.
fn bench(mode: Mode, clients: u32, transactions: u32) -> Vec<Query> {
    let mut queries = Vec::new();
    for client in 0..clients {
        for _ in 0..transactions {
            for statement in BENCH {
                let value = match mode {
                    Mode::Simple => client.to_string(),
                    Mode::Extended | Mode::Prepared => "$1".to_owned(),
                };
                let statement = statement.replace(":client_id", &value);
                let query = Query::new(statement.clone());
                queries.push(if statement.starts_with("select") {
                    query.rows(1)
                } else {
                    query.affected(1)
                });
            }
        }
    }
    queries
}

const BENCH_TABLES: &str = "create table bench (id int primary key, hits int);
create table log (client int, what text);
insert into bench select g, 0 from generate_series(0, 99) g";

#[test]
fn pgbench_in_each_of_its_query_modes() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let server = Postgres::start(false)?;
    server.prepare(BENCH_TABLES)?;
    let watch = Watch::start(&[server.port])?;
    let mut sessions = Vec::new();
    for mode in [Mode::Simple, Mode::Extended, Mode::Prepared] {
        let (clients, transactions) = (4, 10);
        let before = server.backends()?.len();
        let pid = server.pgbench(server.port, mode, &BENCH.join("\n"), clients, transactions)?;
        let backends = server.backends()?.split_off(before);
        let queries = bench(mode, clients, transactions);
        sessions.push(server.session("pgbench", pid, backends, queries));
    }
    watch.assert_exactly(&sessions)?;
    Ok(())
}

#[test]
fn server_connections_that_pgbouncer_reuses_for_many_clients() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let server = Postgres::start(false)?;
    server.prepare(BENCH_TABLES)?;
    let pooler = Pgbouncer::start(&server, 2)?;
    let watch = Watch::start(&[server.port, pooler.port])?;
    let before = server.backends()?.len();
    let mut sessions = Vec::new();
    for mode in [Mode::Simple, Mode::Extended] {
        let (clients, transactions) = (8, 5);
        let pid = server.pgbench(pooler.port, mode, &BENCH.join("\n"), clients, transactions)?;
        let queries = bench(mode, clients, transactions);
        let to_pooler = server.session("pgbench", pid, [], queries);
        sessions.push(Session {
            server: pooler.end(),
            ..to_pooler
        });
    }
    let backends = server.backends()?.split_off(before);
    assert!(backends.len() <= 2, "more connections than the pool has");
    // What the pooler says for itself: its clients' names.
    let own = backends.iter().map(|backend| Session {
        client: pooler.end(),
        ..server.session(
            "",
            0,
            [*backend],
            vec![Query::new("SET application_name='pgbench';")],
        )
    });
    let own: Vec<Session> = own.collect();
    let to_server = sessions.clone().into_iter().map(|session| Session {
        client: pooler.end(),
        server: server.session("", 0, backends.clone(), Vec::new()).server,
        ..session
    });
    let to_server: Vec<Session> = to_server.collect();
    sessions.extend(to_server);
    sessions.extend(own);
    watch.assert_exactly(&sessions)?;
    Ok(())
}

/// What MariaDB's own client does, a statement a line.
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
delimiter //
select 1; select 2 union select 3; update things set name = 'y' where id = 1//
create procedure p() begin select 1; select 2 union select 3; update things set name='z'; end//
select 1; selec 2; select 3//
delimiter ;
call p();
prepare named from 'select * from things where id = ?';
set @id = 2;
execute named using @id;
select * from information_schema.collations;
drop procedure p;
";

#[test]
fn mariadb_with_its_own_client_pymysql_and_prepared_statements() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let server = Mariadb::start()?;
    let watch = Watch::start(&[server.port])?;
    let mut sessions = vec![server.client(&["--skip-ssl"], SCRIPT)?];
    sessions.extend(server.pymysql(false)?);
    sessions.extend(server.dbd(false)?);
    watch.assert_exactly(&sessions)?;
    Ok(())
}

#[test]
fn mariadb_over_tls() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let server = Mariadb::start()?;
    let watch = Watch::start(&[server.port])?;
    let mut sessions = vec![server.client(&["--ssl"], SCRIPT)?];
    sessions.extend(server.pymysql(true)?);
    watch.assert_exactly(&sessions)?;
    Ok(())
}

#[test]
fn mariadb_with_compression() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let server = Mariadb::start()?;
    let watch = Watch::start(&[server.port])?;
    let mut sessions = vec![
        server.client(&["--skip-ssl", "--compress"], SCRIPT)?,
        server.client(&["--ssl", "--compress"], SCRIPT)?,
    ];
    sessions.extend(server.dbd(true)?);
    watch.assert_exactly(&sessions)?;
    Ok(())
}

/// Literals of every kind, all with the same secret in them.
const SECRETS: &[&str] = &[
    "select 'hunter2';",
    "select 'it''s hunter2', E'\\'hunter2', U&'hunter2', $$hunter2$$, $tag$ hunter2 $tag$;",
    "select 1 as one, 'hunter2 and more' as \"two\" -- hunter2\n;",
    "/* hunter2 */ select length('hunter2') where 'hunter2' like 'hunter2%';",
    "insert into vault values ('hunter2'), ('hunter2');",
    "create role somebody password 'hunter2';",
    "alter role somebody password 'hunter2';",
    "set application_name to 'hunter2';",
    "do $$ begin raise notice 'hunter2'; end $$;",
    "select * from missing where password = 'hunter2';",
    "selec 'hunter2';",
    "select 'hunter2' from;",
    "copy vault from program 'echo hunter2';",
];

/// The same for MariaDB.
const MARIADB_SECRETS: &str = "select 'hunter2';
select \"hunter2\", 'it\\'s hunter2', N'hunter2', _utf8mb4'hunter2', x'68756e74657232';
insert into vault values ('hunter2'), (\"hunter2\");
select * from missing where password = 'hunter2'; -- hunter2
create user somebody identified by 'hunter2';
selec 'hunter2';
set @secret = 'hunter2';
prepare named from 'select \"hunter2\"';
execute named;
";

#[test]
fn no_literal_leaves_unless_it_is_asked_for() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let (postgres, mariadb) = (Postgres::start(false)?, Mariadb::start()?);
    postgres.prepare("create table vault (password text)")?;
    let agent = Agent::watching(&[postgres.port, mariadb.port])?;
    let sessions = [
        postgres.psql(Tls::No, SECRETS)?,
        mariadb.client(&["--skip-ssl"], MARIADB_SECRETS)?,
    ];
    let stopped = agent.stop_after(sql::count(&sessions))?;
    let text = |span: &&Span| {
        span.text("db.query.text")
            .is_some_and(|text| !text.is_empty())
    };
    assert_eq!(stopped.spans.len(), sql::count(&sessions), "spans");
    assert!(stopped.spans.iter().any(|span| text(&span)), "no text");
    for line in stopped.finished.output.lines() {
        assert!(!line.contains("hunter2"), "a literal has left: {line}");
        assert!(
            !line.contains("68756e74657232"),
            "a literal has left: {line}"
        );
    }
    Ok(())
}
