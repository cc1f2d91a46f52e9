"""psycopg 3: does what its first argument names, and prints what it has seen, a line a session.

A session is {"backend": process id of the server's end, "queries": [...]} with the fields of
`Query` in sql.rs.
"""

import json
import sys
import threading
import time

import psycopg

# Tags whose count is of rows that were changed, not returned.
CHANGING = ("INSERT", "UPDATE", "DELETE", "MERGE", "COPY")


class Session:
    def __init__(self, **options):
        self.conn = psycopg.connect(sys.argv[2], **{"autocommit": True, **options})
        self.backend = self.conn.info.backend_pid
        self.queries = []

        # An agent has settled what this connection is before much is sent.
        self.run("select 1")
        time.sleep(0.5)

    def note(self, text, rows=None, affected=None, error=None, **more):
        self.queries.append(dict(text=text, rows=rows, affected=affected, error=error, **more))

    def run(self, text, params=None, sent=None, **options):
        """One query; `sent` is what the driver makes of a text with parameters."""
        try:
            cur = self.conn.execute(text, params, **options)
        except psycopg.Error as error:
            self.note(sent or text, error=error.sqlstate)
            return None
        rows, affected = counts(cur)
        self.note(sent or text, rows, affected)
        return cur

    def done(self):
        self.conn.close()
        print(json.dumps(dict(backend=self.backend, queries=self.queries)))


def counts(cur):
    """Rows returned and changed by all statements of a query."""
    rows = affected = None
    while True:
        count = cur.rowcount
        if cur.description is not None:
            rows = (rows or 0) + count
        if cur.statusmessage and cur.statusmessage.split()[0] in CHANGING:
            affected = (affected or 0) + count
        if not cur.nextset():
            return rows, affected


def simple():
    s = Session()
    s.run("create table if not exists kinds (id int primary key, name text)")
    s.run("insert into kinds select g, 'name ' || g from generate_series(1, 100) g")
    s.run("select * from kinds where id <= 7")
    s.run("select * from kinds where id > 1000")
    s.run("select 1; select 2 union select 3; update kinds set name = 'x' where id < 4")
    s.run("")
    s.run("show server_version")
    s.run("selec nonsense")
    s.run("select 1/0")
    s.run("insert into kinds values (1, 'twice')")
    s.run("do $$ begin raise notice 'unasked, %', 7; raise warning 'and again'; end $$")
    s.run("set timezone to 'Asia/Tokyo'")
    s.run("select 'a quoted ''text'' with ünïcode'")
    s.run("select g, repeat('r', 90) from generate_series(1, 20000) g")
    s.run("delete from kinds where id between 90 and 95 returning id")
    s.run("explain select * from kinds")
    s.run("/* " + "long " * 8000 + "*/ select 1")
    s.done()


def wide():
    s = Session()
    text = "select repeat('wide ', 200000)"
    s.conn.execute(text)
    # From now on the driver reads as much in one call.
    s.note(text, rows=1, bulk=True)
    # The end of that answer can be in the same call.
    s.conn.execute("select 1")
    s.note("select 1", rows=1, bulk=True)
    s.run("select 2")
    s.done()


def upload():
    s = Session()
    for number in range(3):
        s.conn.execute("select length(%s)", ["p" * 600_000])
        s.note("select length($1)", rows=1, bulk=True)
        s.run("select %s", [number], "select $1")
    s.done()


def extended():
    s = Session()
    s.run("select %s::int + 1", [41], sent="select $1::int + 1")
    for number in range(8):
        # Prepared by name from the sixth time on.
        s.run(
            "select name from kinds where id = %s",
            [number],
            sent="select name from kinds where id = $1",
        )
    s.run("insert into kinds values (%s, %s)", [501, "it's"], "insert into kinds values ($1, $2)")
    s.run("update kinds set name = %s", ["y"], "update kinds set name = $1")
    s.run("select 1", prepare=True)
    s.run("select 1", prepare=True)
    s.run("selec %s", [1], "selec $1")
    s.run("select 1 / %s::int", [0], "select 1 / $1::int")
    s.run("select * from missing where id = %s", [1], "select * from missing where id = $1")
    s.run("select generate_series(1, %s)", [5000], "select generate_series(1, $1)")
    s.run("select 1", binary=True)
    s.done()


def transactions():
    s = Session()
    s.conn.autocommit = False
    s.note("BEGIN")
    s.run("select 1")
    s.conn.commit()
    s.note("COMMIT")
    s.note("BEGIN")
    s.run("select 1/0")
    s.run("select 2")
    s.conn.rollback()
    s.note("ROLLBACK")
    with s.conn.transaction():
        s.note("BEGIN")
        s.run("create temporary table later (id int unique deferrable initially deferred)")
        s.run("insert into later values (1)")
    s.note("COMMIT")
    s.note("BEGIN")
    s.run("insert into later values (1)")
    try:
        s.conn.commit()
    except psycopg.Error as error:
        s.note("COMMIT", error=error.sqlstate)
    # A cursor of the server, in parts.
    with s.conn.cursor("parts") as cur:
        s.note("BEGIN")
        cur.itersize = 100
        cur.execute("select generate_series(1, %s)", [250])
        s.note('DECLARE "parts" CURSOR FOR select generate_series(1, $1)')
        for _ in cur:
            pass
        for rows in (100, 100, 50):
            s.note('FETCH FORWARD 100 FROM "parts"', rows)
    s.note('CLOSE "parts"')
    s.conn.rollback()
    s.note("ROLLBACK")
    s.done()


def copies():
    s = Session()
    s.run("create table if not exists copied (id int, name text)")
    with s.conn.cursor() as cur:
        with cur.copy("copy copied from stdin") as copy:
            for number in range(5000):
                copy.write_row((number, "Q\0\0\0\x0dselect 1".replace("\0", "0") + str(number)))
        s.note("copy copied from stdin", affected=cur.rowcount)
        seen = 0
        with cur.copy("copy copied to stdout") as copy:
            for _ in copy.rows():
                seen += 1
        s.note("copy copied to stdout", affected=seen)
        for text, row in (("copy copied from stdin", ("no number", "x")),):
            try:
                with cur.copy(text) as copy:
                    copy.write_row(row)
            except psycopg.Error as error:
                s.note(text, error=error.sqlstate)
        try:
            with cur.copy("copy copied from stdin") as copy:
                copy.write_row((1, "then given up"))
                raise RuntimeError("given up")
        except (psycopg.errors.QueryCanceled, RuntimeError):
            # Newer drivers hand on what the copy was given up for.
            s.note("copy copied from stdin", error="57014")
        seen = 0
        with cur.copy("copy (select * from copied where id < %s) to stdout", [10]) as copy:
            for _ in copy.rows():
                seen += 1
        s.note("copy (select * from copied where id < 10) to stdout", affected=seen)
    s.run("select count(*) from copied")
    s.done()


def unasked():
    s = Session()
    other = Session()
    heard = []
    s.conn.add_notify_handler(heard.append)
    s.run("listen news")
    for number in range(3):
        other.run(f"notify news, 'number {number}'")
    s.run("select 1")
    assert len(heard) == 3, heard
    # Cancelled from a connection of its own.
    timer = threading.Timer(0.2, s.conn.cancel)
    timer.start()
    try:
        s.conn.execute("select pg_sleep(20)")
    except psycopg.errors.QueryCanceled as error:
        s.note("select pg_sleep(20)", rows=0, error=error.sqlstate)
    timer.join()
    # Ended by the server, which says so unasked.
    other.run(f"select pg_terminate_backend({s.backend})")
    s.done()
    other.done()


def pipeline():
    s = Session()
    with s.conn.pipeline() as pipe:
        cursors = [
            (number, s.conn.execute("select generate_series(1, %s)", [number]))
            for number in range(40)
        ]
        pipe.sync()
        cursors += [
            (number, s.conn.execute("select generate_series(1, %s)", [number]))
            for number in range(3)
        ]
    for number, cur in cursors:
        s.note("select generate_series(1, $1)", cur.rowcount)
    # The second of three fails, the third is skipped; a new group goes on.
    texts = ["select 10", "select 1/0", "select 11"]
    try:
        with s.conn.pipeline() as pipe:
            for text in texts:
                s.conn.execute(text)
    except psycopg.Error as error:
        s.note("select 10", 1)
        s.note("select 1/0", error=error.sqlstate)
        s.note("select 11", skipped=True)
    with s.conn.pipeline() as pipe:
        s.conn.execute("select 12")
        pipe.sync()
        s.conn.execute("select 13")
    s.note("select 12", 1)
    s.note("select 13", 1)
    # A batch: one text, many parameters.
    with s.conn.cursor() as cur:
        cur.execute("create temporary table batch (id int, name text)")
        s.note("create temporary table batch (id int, name text)")
        cur.executemany("insert into batch values (%s, %s)", [(n, "n" * n) for n in range(200)])
        for _ in range(200):
            s.note("insert into batch values ($1, $2)", affected=1)
    s.done()


if __name__ == "__main__":
    for name in sys.argv[1].split(","):
        globals()[name]()
