//! What is kept of a statement, by tables.

use wirespan_sql::{Dialect, read};

fn check(dialect: Dialect, table: &[(&str, &str)]) {
    for (text, expected) in table {
        let statement = read(text, dialect, true);
        assert_eq!(statement.text, *expected, "{text}");
        let again = read(&statement.text, dialect, true);
        assert_eq!(again.text, statement.text, "{text}: again");
    }
}

fn check_both(table: &[(&str, &str)]) {
    check(Dialect::MySql, table);
    check(Dialect::Postgres, table);
}

#[test]
fn literals_are_replaced_and_all_else_is_kept() {
    check_both(&[
        ("", ""),
        (" \n", ""),
        ("SELECT 1", "SELECT ?"),
        ("select  *\n\tfrom t ; ", "select  *\n\tfrom t ;"),
        (
            "SELECT a, 'b', -1.5e-3 FROM t1 WHERE c = 'd''e' AND f IN (1, 2,3) LIMIT 10",
            "SELECT a, ?, -? FROM t1 WHERE c = ? AND f IN (?, ?,?) LIMIT ?",
        ),
        (
            "INSERT INTO t (a) VALUES ('x'), (NULL), (TRUE), (false), (DEFAULT)",
            "INSERT INTO t (a) VALUES (?), (NULL), (?), (?), (DEFAULT)",
        ),
        (
            "SELECT DATE '2020-01-01', now(), CURRENT_DATE, x'4D', X'4d', b'01', B'1', N'ä', n'b'",
            "SELECT DATE ?, now(), CURRENT_DATE, ?, ?, ?, ?, ?, ?",
        ),
        (
            "SELECT 0x1F, 0b01, 1_000, .5, 5., 1e9, 1E+9, 12abc, t.c, t1.c2, a.true",
            "SELECT ?, ?, ?, ?, ?, ?, ?, ?, t.c, t1.c2, a.true",
        ),
        ("SELECT 1;SELECT 'a';", "SELECT ?;SELECT ?;"),
        (
            "SELECT 'ünï' AS größe FROM \u{7528}\u{6237}",
            "SELECT ? AS größe FROM \u{7528}\u{6237}",
        ),
        (
            "SELECT a FROM t WHERE b = ? AND c = 'x'",
            "SELECT a FROM t WHERE b = ? AND c = ?",
        ),
        ("SELECT 1 + 2*3-a", "SELECT ? + ?*?-a"),
        ("SELECT ''", "SELECT ?"),
        ("SELECT ''''", "SELECT ?"),
        ("SELECT 'a' 'b'", "SELECT ? ?"),
        ("SELECT {d '2020-01-01'}", "SELECT {d ?}"),
    ]);
}

#[test]
fn comments_are_removed() {
    check_both(&[
        ("/* 'a' */ SELECT 1", "SELECT ?"),
        ("SELECT/**/a/* b */FROM t", "SELECT a FROM t"),
        ("SELECT a -- secret 'x\n FROM t", "SELECT a \n FROM t"),
        ("SELECT a --", "SELECT a"),
        ("SELECT /*+ MAX_EXECUTION_TIME(1000) */ a", "SELECT  a"),
        ("SELECT a /* it's */, 'b'", "SELECT a , ?"),
        ("/* c */", ""),
        ("SELECT '/*', a, '*/', '-- ', b", "SELECT ?, a, ?, ?, b"),
        ("SELECT 1 /* never closed 'x'", "SELECT ? ?"),
    ]);
    check(
        Dialect::MySql,
        &[
            ("SELECT a # secret 'x\n FROM t", "SELECT a \n FROM t"),
            ("SELECT 5--5", "SELECT ?- -?"),
            ("SELECT 5--\t5", "SELECT ?"),
            ("SELECT a/* /* */ FROM t", "SELECT a FROM t"),
            ("SELECT /*/ 'a' */ b", "SELECT  b"),
        ],
    );
    check(
        Dialect::Postgres,
        &[
            ("SELECT 5--5\n, a", "SELECT ?\n, a"),
            ("SELECT a -- b\r, 'c'", "SELECT a \r, ?"),
            ("SELECT a /* b /* c */ 'd' */ FROM t", "SELECT a  FROM t"),
            ("SELECT a #>> '{b}' # 5", "SELECT a #>> ? # ?"),
            ("SELECT a /*! 'b' */", "SELECT a"),
        ],
    );
}

#[test]
fn mysql_has_its_own_literals() {
    check(
        Dialect::MySql,
        &[
            (r#"SELECT "a", "b""c", 'd"e'"#, "SELECT ?, ?, ?"),
            (
                r#"INSERT INTO `a``b` VALUES ("dog", 'x')"#,
                "INSERT INTO `a``b` VALUES (?, ?)",
            ),
            (r"SELECT 'it\'s', 'b' FROM t", "SELECT ?, ? FROM t"),
            (r"SELECT 'C:\\', 'b' FROM t", "SELECT ?, ? FROM t"),
            (r#"SELECT '{\"a\": 1}' FROM t"#, "SELECT ? FROM t"),
            (r#"SELECT "say \"hi\"", b FROM t"#, "SELECT ?, b FROM t"),
            (
                r"SELECT if(a = 'Mother\'s Day', 'Mother\'s Day (US)', a)",
                "SELECT if(a = ?, ?, a)",
            ),
            (
                "SELECT _utf8mb4'a', _binary 'b', _latin1\"c\"",
                "SELECT ?, _binary ?, ?",
            ),
            (
                "SELECT @a, @'b', @`c`, @@session.d",
                "SELECT @a, @?, @`c`, @@session.d",
            ),
            ("SELECT 1a, 2fa FROM 3t", "SELECT ?, ? FROM ?"),
            (r"SELECT \N, a", r"SELECT \N, a"),
            (
                r"LOAD DATA INFILE 'f' INTO TABLE t FIELDS TERMINATED BY ',' ENCLOSED BY '\''",
                "LOAD DATA INFILE ? INTO TABLE t FIELDS TERMINATED BY ? ENCLOSED BY ?",
            ),
            ("SELECT a->'$.b', c->>\"$.d\"", "SELECT a->?, c->>?"),
            ("SELECT $a FROM $b", "SELECT $a FROM $b"),
            (
                "CREATE FUNCTION f() RETURNS INT LANGUAGE JAVASCRIPT AS $$ return 'x' $$",
                "CREATE FUNCTION f() RETURNS INT LANGUAGE JAVASCRIPT AS ?",
            ),
        ],
    );
}

#[test]
fn version_comments_are_code() {
    check(
        Dialect::MySql,
        &[
            ("/*!40101 SET NAMES utf8 */", "/*! SET NAMES utf8 */"),
            ("/*!401010 SET NAMES utf8 */;", "/*! SET NAMES utf8 */;"),
            (
                "SELECT /*!40001 SQL_NO_CACHE */ a FROM t WHERE b = 'c'",
                "SELECT /*! SQL_NO_CACHE */ a FROM t WHERE b = ?",
            ),
            ("SELECT /*M!100100 'x', */ a", "SELECT /*M! ?, */ a"),
            ("SELECT /*! 5 */", "SELECT /*! ? */"),
            ("SELECT /*!5 */", "SELECT /*!? */"),
            ("SELECT /*!4010117 */", "SELECT /*!? */"),
            // Where it ends depends on the server's version.
            ("SELECT /*!99999 it's */, 'x'", "SELECT /*! it? */"),
            ("SELECT /*! '*/', a", "SELECT /*! ? */"),
            ("SELECT /*! a /* b */ */, 'x'", "SELECT ?"),
            ("SELECT /*! a # b */, 'x'", "SELECT /*! a ? */"),
            ("SELECT /*! a", "SELECT ?"),
        ],
    );
}

#[test]
fn postgres_has_its_own_literals() {
    check(
        Dialect::Postgres,
        &[
            (
                r#"SELECT "a""b", U&"d\0061t" FROM "t" WHERE x = 'y'"#,
                r#"SELECT "a""b", U&"d\0061t" FROM "t" WHERE x = ?"#,
            ),
            (r"SELECT E'it\'s', e'a''b\\', c", "SELECT ?, ?, c"),
            ("SELECT E'a'\n  'b\\'c' , d", "SELECT ? , d"),
            ("SELECT E'a' -- x\n 'b\\'c' , d", "SELECT ? , d"),
            (
                r"SELECT U&'\0061' UESCAPE '!', u&'a'",
                "SELECT ? UESCAPE ?, ?",
            ),
            ("DO $$ BEGIN PERFORM 'x'; END $$", "DO ?"),
            ("SELECT $a$ it's $$ $b$ $a$, c", "SELECT ?, c"),
            ("SELECT $ä1$x$ä1$, c", "SELECT ?, c"),
            (
                "SELECT $1, $2::int, a FROM t WHERE b = $3",
                "SELECT $1, $2::int, a FROM t WHERE b = $3",
            ),
            ("SELECT $123456", "SELECT ?"),
            (
                "SELECT 'a'::text, b::numeric(10, 2)",
                "SELECT ?::text, b::numeric(?, ?)",
            ),
            (
                "SELECT a ? 'b', c ?| d, e ?& f, g @? '$.h'",
                "SELECT a ? ?, c ?| d, e ?& f, g @? ?",
            ),
            (
                "SELECT 0xFF, 0o17, 1_000.5, a[1:2]",
                "SELECT ?, ?, ?, a[?:?]",
            ),
            ("SELECT 1$$a 'b$$, c", "SELECT ??, c"),
            ("SELECT a$b$c, d FROM t$1", "SELECT a$b$c, d FROM t$1"),
            (r"SELECT a ~ '^\d+$', b", "SELECT a ~ ?, b"),
            (
                r"SELECT a LIKE 'b' ESCAPE '\', c",
                "SELECT a LIKE ? ESCAPE ?, c",
            ),
            (
                "SELECT INTERVAL '1 day', TIMESTAMPTZ 'now'",
                "SELECT INTERVAL ?, TIMESTAMPTZ ?",
            ),
            ("SELECT B'01''x', c", "SELECT ??, c"),
        ],
    );
}

/// Where a string ends depends on a setting, and each reading is one that a server accepts.
#[test]
fn from_where_readings_part_everything_is_replaced() {
    check(
        Dialect::MySql,
        &[
            // NO_BACKSLASH_ESCAPES: 'a\' and ', secret, '
            (r"SELECT 'a\', secret, 'b', 'c\', d", "SELECT ?"),
            (r"SELECT 'x', 'a\' OR b = ' OR 1'", "SELECT ?, ?"),
            // ANSI_QUOTES
            (r#"SELECT a, "b\" , "c" , "d""#, "SELECT a, ?"),
            // A statement is complete before the one that cannot be.
            (r"SELECT '\', 'secret', 'x'; SELECT 'y", "SELECT ?"),
            // GBK: the backslash is the second half of a character.
            ("SELECT '\u{fffd}\\', 'secret', '\u{fffd}\\'", "SELECT ?"),
            ("SELECT `\u{fffd}`, 'secret', `\u{fffd}`, 1", "SELECT ?"),
        ],
    );
    check(
        Dialect::Postgres,
        &[
            // standard_conforming_strings = off
            (r"SELECT 'a\', '-- ', b", "SELECT ?"),
            // That one is no statement with the other setting.
            (r"SELECT 'a\', 'b', 'c\', d", "SELECT ?, ?, ?, d"),
            ("SELECT E'\u{fffd}\\', 'secret', E'\u{fffd}\\'", "SELECT ?"),
        ],
    );
    // Cut off, the other reading may go on in a way that a server accepts.
    for (text, dialect) in [
        (r"SELECT 'it\'s', 'b' FROM t", Dialect::MySql),
        (r"SELECT 'C:\', 'b' FROM t", Dialect::Postgres),
    ] {
        assert_ne!(read(text, dialect, true).text, "SELECT ?");
        let cut = read(text, dialect, false);
        assert_eq!((&*cut.text, cut.certain), ("SELECT ?", false));
    }
}

#[test]
fn what_no_statement_has_is_replaced_to_the_end() {
    check_both(&[
        ("SELECT 'never closed", "SELECT ?"),
        ("SELECT a, \u{0} 'b' c", "SELECT a, ?"),
        ("\u{1}\u{2}John Smith", "?"),
        ("SELECT a \u{7f} b", "SELECT a ?"),
        ("SELECT \u{fffd}\u{fffd} b", "SELECT ?"),
        ("SELECT a\u{fffd} b", "SELECT ?"),
        (r"SELECT a \ 'b'", "SELECT a ?"),
        ("SELECT 'a\u{fffd}b', c", "SELECT ?, c"),
        ("SELECT '\u{0}', c", "SELECT ?, c"),
        ("SELECT \"never closed 'x'", "SELECT ?"),
    ]);
    check(Dialect::MySql, &[("SELECT `never closed 'x'", "SELECT ?")]);
    check(
        Dialect::Postgres,
        &[
            ("SELECT $a$ never closed", "SELECT ?"),
            ("SELECT $a", "SELECT ?"),
            ("SELECT $ 'x'", "SELECT ?"),
            ("SELECT E'a' \n '", "SELECT ?"),
        ],
    );
}

#[test]
fn passwords_need_no_quotes_to_be_replaced() {
    check_both(&[
        (
            "CREATE USER bob IDENTIFIED BY 'hunter2'",
            "CREATE USER bob IDENTIFIED BY ?",
        ),
        (
            "CREATE USER bob IDENTIFIED BY hunter2-x",
            "CREATE USER bob IDENTIFIED BY ?",
        ),
        (
            "ALTER ROLE bob PASSWORD hunter2",
            "ALTER ROLE bob PASSWORD ?",
        ),
        (
            "ALTER ROLE bob WITH LOGIN PASSWORD 'hunter2' VALID UNTIL 'x'",
            "ALTER ROLE bob WITH LOGIN PASSWORD ? VALID UNTIL ?",
        ),
        (
            "ALTER USER bob PASSWORD NULL",
            "ALTER USER bob PASSWORD NULL",
        ),
        (
            "ALTER USER bob PASSWORD EXPIRE",
            "ALTER USER bob PASSWORD EXPIRE",
        ),
        (
            "CREATE TABLE t (password varchar(20), name text)",
            "CREATE TABLE t (password varchar(?), name text)",
        ),
        ("SELECT password FROM users", "SELECT password FROM users"),
        (
            "UPDATE users SET password = hash WHERE id = 1",
            "UPDATE users SET password = hash WHERE id = ?",
        ),
        ("SET app.key = hunter2", "SET app.key = ?"),
        ("SET a = hunter2.x-y", "SET a = ?.?-?"),
        ("SET a = DEFAULT", "SET a = DEFAULT"),
        ("SET a = f(b)", "SET a = f(b)"),
        ("SELECT a = b", "SELECT a = b"),
        (
            "GRANT ALL ON a.* TO bob IDENTIFIED BY hunter2",
            "GRANT ALL ON a.* TO bob IDENTIFIED BY ?",
        ),
    ]);
    check(
        Dialect::MySql,
        &[
            (
                "SET PASSWORD FOR 'bob'@'%' = 'x'",
                "SET PASSWORD FOR ?@? = ?",
            ),
            ("SET PASSWORD FOR bob = hunter2", "SET PASSWORD FOR bob = ?"),
            ("SET PASSWORD = hunter2", "SET PASSWORD = ?"),
            ("SET PASSWORD hunter2", "SET PASSWORD ?"),
            ("SET PASSWORD = PASSWORD('x')", "SET PASSWORD = PASSWORD(?)"),
            (
                "CREATE OR REPLACE USER bob@localhost IDENTIFIED VIA ed25519 USING PASSWORD('x')",
                "CREATE OR REPLACE USER bob@localhost IDENTIFIED VIA ed25519 USING PASSWORD(?)",
            ),
            (
                "ALTER USER bob IDENTIFIED WITH caching_sha2_password AS 0x2441",
                "ALTER USER bob IDENTIFIED WITH caching_sha2_password AS ?",
            ),
            (
                "ALTER USER bob IDENTIFIED BY RANDOM PASSWORD",
                "ALTER USER bob IDENTIFIED BY RANDOM PASSWORD",
            ),
            (
                "SET a = b, @c = @d, NAMES utf8",
                "SET a = ?, @c = @d, NAMES utf8",
            ),
            (
                "SET @@session.autocommit = OFF",
                "SET @@session.autocommit = ?",
            ),
            (
                "SET @a = (SELECT b FROM c WHERE d = e)",
                "SET @a = (SELECT b FROM c WHERE d = e)",
            ),
            (
                "SET STATEMENT a = b FOR SELECT c FROM d WHERE e = f",
                "SET STATEMENT a = ? FOR SELECT c FROM d WHERE e = f",
            ),
            (
                "CHANGE MASTER TO MASTER_PASSWORD='x'",
                "CHANGE MASTER TO MASTER_PASSWORD=?",
            ),
        ],
    );
    check(
        Dialect::Postgres,
        &[
            ("SET search_path TO a, \"b\"", "SET search_path TO ?, ?"),
            (
                "ALTER ROLE bob SET app.key TO hunter2",
                "ALTER ROLE bob SET app.key TO ?",
            ),
            ("ALTER SYSTEM SET a = b", "ALTER SYSTEM SET a = ?"),
            (
                "SET a TO DEFAULT; SELECT b = c",
                "SET a TO DEFAULT; SELECT b = c",
            ),
            (
                "ALTER TABLE t ALTER a SET DEFAULT 1, ADD b int",
                "ALTER TABLE t ALTER a SET DEFAULT ?, ADD b int",
            ),
            (
                "CREATE USER bob ENCRYPTED PASSWORD \"hunter2\"",
                "CREATE USER bob ENCRYPTED PASSWORD ?",
            ),
        ],
    );
}

#[test]
fn the_context_of_sqlcommenter_is_found_at_both_ends() {
    let value = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for dialect in [Dialect::MySql, Dialect::Postgres] {
        for text in [
            format!("SELECT 'a' /*traceparent='{value}'*/"),
            format!("SELECT 'a' /*db_driver='x',traceparent='{value}',z='secret'*/;"),
            format!("/*traceparent='{value}'*/ SELECT 'a'"),
            format!("/* hint */ /*traceparent='{value}'*/ SELECT 'a' -- secret"),
        ] {
            let statement = read(&text, dialect, true);
            assert_eq!(statement.traceparent.as_deref(), Some(value), "{text}");
            assert_eq!(
                statement.text.trim_end_matches([' ', ';']),
                "SELECT ?",
                "{text}"
            );
        }
        for text in [
            format!("SELECT '/*traceparent=''{value}''*/'"),
            format!("SELECT /*traceparent='{value}'*/ 'a'"),
            format!("SELECT 'a' -- traceparent='{value}'"),
        ] {
            assert_eq!(read(&text, dialect, true).traceparent, None, "{text}");
        }
    }
}
