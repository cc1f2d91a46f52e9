//! Operations and targets, by tables.

use wirespan_sql::{Dialect, SUMMARY_CHARACTERS, read};

fn check(dialect: Dialect, table: &[(&str, &str)]) {
    for (text, expected) in table {
        let statement = read(text, dialect, true);
        assert_eq!(statement.summary, *expected, "{text}");
        // It says the same of the text that leaves the node.
        let again = read(&statement.text, dialect, true);
        assert_eq!(again.summary, *expected, "{text}: again");
    }
}

fn check_both(table: &[(&str, &str)]) {
    check(Dialect::MySql, table);
    check(Dialect::Postgres, table);
}

#[test]
fn the_examples_of_the_conventions() {
    check_both(&[
        (
            "SELECT *\nFROM   wuser_table\nWHERE  username = ?",
            "SELECT wuser_table",
        ),
        (
            "INSERT INTO shipping_details (order_id, address) SELECT order_id, address FROM orders WHERE order_id = ?",
            "INSERT shipping_details SELECT orders",
        ),
        (
            "SELECT * FROM songs, artists WHERE songs.artist_id == artists.id",
            "SELECT songs artists",
        ),
        (
            "SELECT order_date FROM (SELECT * FROM orders o JOIN customers c ON o.customer_id = c.customer_id)",
            "SELECT SELECT orders customers",
        ),
        ("{call some_stored_procedure}", "call some_stored_procedure"),
    ]);
    check(
        Dialect::Postgres,
        &[(
            "SELECT * FROM \"song list\", 'artists'",
            "SELECT \"song list\"",
        )],
    );
}

#[test]
fn queries() {
    check_both(&[
        ("select 1", "select"),
        ("", ""),
        ("SELECT a FROM s.t", "SELECT s.t"),
        ("SELECT a FROM s . t AS x", "SELECT s.t"),
        (
            "SELECT a FROM t1 x, t2 AS y, (SELECT 1) z, t3 WHERE a IN (1, b), c",
            "SELECT t1 t2 SELECT t3",
        ),
        (
            "SELECT a FROM t1 LEFT OUTER JOIN t2 USING (a, b) JOIN t3 ON f(a, b), t4 ORDER BY c, d",
            "SELECT t1 t2 t3 t4",
        ),
        ("SELECT a FROM (t1 CROSS JOIN t2), t3", "SELECT t1 t2 t3"),
        (
            "SELECT a FROM ((SELECT b FROM t1) UNION (SELECT c FROM t2)) x",
            "SELECT SELECT t1 SELECT t2",
        ),
        (
            "SELECT a FROM t1 UNION ALL SELECT b FROM t2",
            "SELECT t1 SELECT t2",
        ),
        (
            "(SELECT a FROM t1) UNION (SELECT b FROM t2) ORDER BY a",
            "SELECT t1 SELECT t2",
        ),
        (
            "SELECT EXTRACT(YEAR FROM a), TRIM(BOTH 'x' FROM b) FROM t",
            "SELECT t",
        ),
        ("SELECT a IS DISTINCT FROM b FROM t", "SELECT t"),
        (
            "SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.a = t.a) AND b",
            "SELECT t SELECT u",
        ),
        (
            "SELECT (SELECT max(a) FROM u), b FROM t FOR UPDATE",
            "SELECT SELECT u t",
        ),
        (
            "WITH x AS (SELECT a FROM t) SELECT a FROM x",
            "SELECT t SELECT",
        ),
        (
            "WITH RECURSIVE x (n) AS (SELECT 1 UNION SELECT n + 1 FROM x), y AS (SELECT 2) SELECT n FROM x, y",
            "SELECT SELECT SELECT SELECT",
        ),
        ("SELECT a.from, b.select FROM t", "SELECT t"),
        ("SELECT a FROM f(1, b) x, t", "SELECT f t"),
        ("VALUES (1), (2)", "VALUES"),
        ("TABLE t", "TABLE t"),
        ("SELECT a FROM user, role", "SELECT user role"),
        ("foo bar", ""),
        ("foo SELECT a FROM b", ""),
    ]);
    check(
        Dialect::MySql,
        &[
            (
                "SELECT a FROM `s`.`t` STRAIGHT_JOIN `u`",
                "SELECT `s`.`t` `u`",
            ),
            ("SELECT a INTO @x FROM t", "SELECT t"),
            ("SELECT a INTO OUTFILE 'f' FROM t", "SELECT t"),
            ("SELECT a FROM t USE INDEX (i, j), u", "SELECT t u"),
            (
                "SELECT INSERT('a', 1, 2, 'b'), (REPLACE(a, b, c)) FROM t",
                "SELECT t",
            ),
            ("SELECT a FROM s.2t, u", "SELECT u"),
            ("SELECT /*!40001 SQL_NO_CACHE */ * FROM `t`", "SELECT `t`"),
        ],
    );
    check(
        Dialect::Postgres,
        &[
            ("SELECT a INTO TEMP x FROM t", "SELECT x t"),
            (
                "SELECT a FROM ONLY t, LATERAL f(t.a) AS x(b, c), generate_series(1, 5)",
                "SELECT t f generate_series",
            ),
            (
                "WITH x AS (DELETE FROM q RETURNING *) INSERT INTO log SELECT * FROM x",
                "DELETE q INSERT log SELECT",
            ),
            ("SELECT a FROM t WHERE b ? 'c' AND d @> '{}'", "SELECT t"),
        ],
    );
}

/// They are no collections, and what they stand for was named before.
#[test]
fn names_of_with_are_no_targets() {
    check_both(&[
        (
            "WITH x AS (SELECT a FROM t), y (b) AS (SELECT a FROM X) SELECT a FROM x JOIN u ON c, Y z, v",
            "SELECT t SELECT SELECT u v",
        ),
        // Within its own query it is a table, if it is not recursive.
        (
            "WITH x AS (SELECT a FROM x) SELECT a FROM x",
            "SELECT x SELECT",
        ),
        // With a schema, and as what is changed, too.
        (
            "WITH x AS (SELECT a FROM t) SELECT a FROM s.x, x.u, x",
            "SELECT t SELECT s.x x.u",
        ),
        (
            "WITH x AS (SELECT a FROM t) UPDATE x SET b = (SELECT max(a) FROM x)",
            "SELECT t UPDATE x SELECT",
        ),
        (
            "WITH x AS (SELECT a FROM t) DELETE FROM x WHERE a IN (SELECT a FROM x)",
            "SELECT t DELETE x SELECT",
        ),
        (
            "WITH x AS (SELECT a FROM t) SELECT a FROM x; SELECT a FROM x",
            "SELECT t SELECT SELECT x",
        ),
        (
            "SELECT a FROM (WITH data AS (SELECT b FROM t) SELECT b FROM data) y",
            "SELECT SELECT t SELECT",
        ),
        (
            "INSERT INTO t WITH x AS (SELECT a FROM u) SELECT a FROM x",
            "INSERT t SELECT u SELECT",
        ),
        (
            "CREATE VIEW v AS WITH x AS (SELECT a FROM u) SELECT a FROM x",
            "CREATE VIEW v SELECT u SELECT",
        ),
        (
            "EXPLAIN WITH x AS (SELECT a FROM u) SELECT a FROM x",
            "EXPLAIN SELECT u SELECT",
        ),
        ("WITH x AS (SELECT 1) SELECT a FROM x.2", "SELECT SELECT"),
        ("WITH", ""),
        ("WITH RECURSIVE", ""),
        ("WITH x, y AS (VALUES (1)) SELECT a FROM y", "SELECT"),
    ]);
    check(
        Dialect::MySql,
        &[(
            "WITH `x` AS (SELECT a FROM t) SELECT a FROM x, `x`, `y`",
            "SELECT t SELECT `y`",
        )],
    );
    check(
        Dialect::Postgres,
        &[
            (
                "WITH \"x\" AS NOT MATERIALIZED (SELECT a FROM t) DELETE FROM u USING x, w",
                "SELECT t DELETE u w",
            ),
            (
                "WITH x AS (SELECT a FROM t) MERGE INTO u USING x ON true WHEN MATCHED THEN DELETE",
                "SELECT t MERGE u",
            ),
        ],
    );
    let names: Vec<_> = (0..20).map(|n| format!("x{n} AS (SELECT 1)")).collect();
    let text = format!("WITH {} SELECT a FROM x0, x15, x16", names.join(", "));
    let summary = read(&text, Dialect::Postgres, true).summary;
    assert!(summary.ends_with("SELECT x16"), "{summary}");
}

#[test]
fn changes() {
    check_both(&[
        ("INSERT INTO t VALUES (1, 'x'), (2, 'y')", "INSERT t"),
        ("insert into s.t(a, b) values (?, ?)", "insert s.t"),
        (
            "UPDATE t SET a = 1, b = (SELECT c FROM u) WHERE d = 2",
            "UPDATE t SELECT u",
        ),
        ("DELETE FROM t WHERE a = 1", "DELETE t"),
        ("TRUNCATE TABLE a, b", "TRUNCATE a b"),
        (
            "INSERT INTO t SELECT a FROM u ON DUPLICATE KEY UPDATE a = 1, b = 2",
            "INSERT t SELECT u",
        ),
        (
            "MERGE INTO t AS x USING s AS y ON x.a = y.a WHEN MATCHED THEN UPDATE SET b = 1 WHEN NOT MATCHED THEN INSERT VALUES (1)",
            "MERGE t s",
        ),
        (
            "BEGIN; INSERT INTO a VALUES (1); UPDATE b SET c = 1; COMMIT",
            "BEGIN INSERT a UPDATE b COMMIT",
        ),
    ]);
    check(
        Dialect::MySql,
        &[
            ("INSERT IGNORE t SET a = 1", "INSERT t"),
            ("REPLACE INTO t VALUES (1)", "REPLACE t"),
            (
                "INSERT t (a) VALUES (1) ON DUPLICATE KEY UPDATE a = VALUES(a), b = 2",
                "INSERT t",
            ),
            (
                "UPDATE LOW_PRIORITY a JOIN b ON a.x = b.x, c SET a.y = 1, b.z = 2",
                "UPDATE a b c",
            ),
            ("DELETE a, b FROM a JOIN b USING (x) WHERE c", "DELETE a b"),
            (
                "LOAD DATA LOCAL INFILE 'f' INTO TABLE t (a, b)",
                "LOAD DATA t",
            ),
        ],
    );
    check(
        Dialect::Postgres,
        &[
            (
                "INSERT INTO t (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET b = 1, c = 2 RETURNING d, e",
                "INSERT t",
            ),
            ("UPDATE ONLY a SET b = 1 FROM c, d WHERE e", "UPDATE a c d"),
            ("DELETE FROM a USING b, c WHERE d", "DELETE a b c"),
            ("COPY t (a, b) FROM STDIN WITH (FORMAT csv)", "COPY t"),
            ("COPY (SELECT a FROM t) TO STDOUT", "COPY SELECT t"),
        ],
    );
}

#[test]
fn other_commands() {
    check_both(&[
        (
            "CREATE TABLE IF NOT EXISTS s.t (id int, from_ int)",
            "CREATE TABLE s.t",
        ),
        (
            "CREATE TEMPORARY TABLE t AS SELECT a FROM u",
            "CREATE TABLE t SELECT u",
        ),
        (
            "CREATE OR REPLACE VIEW v (a, b) AS SELECT c FROM t",
            "CREATE VIEW v SELECT t",
        ),
        ("CREATE UNIQUE INDEX i ON t (a, b)", "CREATE INDEX i t"),
        ("DROP TABLE IF EXISTS a, b CASCADE", "DROP TABLE a b"),
        ("ALTER TABLE t ADD COLUMN a int, DROP b", "ALTER TABLE t"),
        ("CREATE USER bob PASSWORD 'x'", "CREATE USER"),
        ("DROP ROLE bob", "DROP ROLE"),
        (
            "CREATE FUNCTION f(a int) RETURNS int RETURN a; SELECT 1 FROM x",
            "CREATE FUNCTION f",
        ),
        ("DROP FUNCTION f", "DROP FUNCTION f"),
        ("CREATE DATABASE d", "CREATE DATABASE d"),
        ("CALL s.p(1, 'x')", "CALL s.p"),
        ("SET a = 1", "SET"),
        ("SHOW TABLES", "SHOW"),
        ("START TRANSACTION READ ONLY", "START TRANSACTION"),
        ("SAVEPOINT sp_12345", "SAVEPOINT"),
        ("ROLLBACK TO SAVEPOINT x", "ROLLBACK"),
        ("GRANT SELECT, UPDATE ON t TO bob", "GRANT"),
        ("EXPLAIN DELETE FROM t", "EXPLAIN DELETE t"),
        ("EXPLAIN ANALYZE SELECT a FROM t", "EXPLAIN SELECT t"),
        ("EXECUTE stmt_17", "EXECUTE"),
        ("ANALYZE t", "ANALYZE t"),
        ("DESCRIBE t", "DESCRIBE t"),
    ]);
    check(
        Dialect::MySql,
        &[
            ("USE shop", "USE shop"),
            ("LOCK TABLES a READ, b AS c WRITE", "LOCK a b"),
            ("RENAME TABLE a TO b, c TO d", "RENAME TABLE a c"),
            (
                "CREATE DEFINER=`root`@`localhost` PROCEDURE p() BEGIN SELECT 1; DELETE FROM t; END",
                "CREATE PROCEDURE p",
            ),
            (
                "CREATE ALGORITHM=MERGE DEFINER=a@b SQL SECURITY DEFINER VIEW v AS SELECT a FROM t",
                "CREATE VIEW v SELECT t",
            ),
            (
                "CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1",
                "CREATE TRIGGER x",
            ),
            (
                "SET STATEMENT max_statement_time = 1 FOR SELECT a FROM t",
                "SET SELECT t",
            ),
            ("/*!40101 SET NAMES utf8 */", "SET"),
            ("OPTIMIZE NO_WRITE_TO_BINLOG TABLE t", "OPTIMIZE t"),
        ],
    );
    check(
        Dialect::Postgres,
        &[
            ("DECLARE c CURSOR FOR SELECT a FROM t", "DECLARE SELECT t"),
            (
                "PREPARE p (int) AS INSERT INTO t VALUES ($1)",
                "PREPARE INSERT t",
            ),
            ("CREATE INDEX CONCURRENTLY ON t (a)", "CREATE INDEX t"),
            (
                "CREATE TEMP TABLE t (a int) ON COMMIT DROP",
                "CREATE TABLE t",
            ),
            ("VACUUM (FULL, ANALYZE) t", "VACUUM t"),
            (
                "REFRESH MATERIALIZED VIEW CONCURRENTLY v",
                "REFRESH MATERIALIZED VIEW v",
            ),
            ("LISTEN rules;", "LISTEN"),
            ("DO $$ BEGIN END $$", "DO"),
            (
                "EXPLAIN (ANALYZE, BUFFERS) UPDATE t SET a = 1",
                "EXPLAIN UPDATE t",
            ),
        ],
    );
}

#[test]
fn a_call_alone_names_its_procedure() {
    for (text, expected) in [
        ("CALL p()", Some("p")),
        ("call s.p(1)", Some("s.p")),
        ("CALL p(); CALL q()", None),
        ("SELECT p()", None),
        ("CREATE PROCEDURE p() SELECT 1", None),
    ] {
        let statement = read(text, Dialect::MySql, true);
        assert_eq!(statement.procedure.as_deref(), expected, "{text}");
    }
}

#[test]
fn a_summary_ends_before_what_makes_it_too_long() {
    let name = "ü".repeat(60);
    let text = format!("SELECT a FROM {}", [name.as_str(); 10].join(", "));
    let summary = read(&text, Dialect::Postgres, true).summary;
    assert_eq!(summary, format!("SELECT {0} {0} {0} {0}", name));
    let text = format!("SELECT a FROM s.{}, b", "x".repeat(300));
    assert_eq!(read(&text, Dialect::MySql, true).summary, "SELECT");
    let text = format!("SELECT a FROM {}", "x".repeat(SUMMARY_CHARACTERS - 7));
    assert_eq!(
        read(&text, Dialect::MySql, true).summary.len(),
        SUMMARY_CHARACTERS
    );
}

#[test]
fn deep_parentheses_cost_targets_and_nothing_else() {
    let text = format!(
        "SELECT a FROM {}t{} JOIN u",
        "(".repeat(10_000),
        ")".repeat(10_000)
    );
    assert_eq!(read(&text, Dialect::MySql, true).summary, "SELECT u");
    let text = format!("SELECT {} FROM t", "f(".repeat(100_000));
    assert_eq!(read(&text, Dialect::Postgres, true).summary, "SELECT");
    assert_eq!(read(&")".repeat(1000), Dialect::Postgres, true).summary, "");
}
