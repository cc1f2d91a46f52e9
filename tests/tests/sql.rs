//! Real databases and their clients, seen live and from a recording: what a client has counted is
//! what its spans say, at both ends, and there is nothing else.

use anyhow::Result;
use wirespan_tests::pgbouncer::Pgbouncer;
use wirespan_tests::postgres::{Mode, Postgres, Tls};
use wirespan_tests::sql::{Query, Session};
use wirespan_tests::tools;
use wirespan_tests::watch::Watch;

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
    let names = "simple,wide,extended,transactions,copies,pipeline";
    sessions.extend(server.psycopg(Tls::Yes, names)?);
    watch.assert_exactly(&sessions)?;
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
