"""MySQL's own driver in Python alone: prints what it has seen, a line a session: {"queries": [...]}
with the fields of `Query` in sql.rs. Arguments: the port, and `tls` or `plain`."""

import io
import json
import sys
import time

from mysql.connector import Error
from mysql.connector.connection import MySQLConnection

# Of a statement's text, what a span carries.
TEXT_BYTES = 65_536

# A packet of the greatest length is followed by another; this takes two.
LONG = 17_000_000


class Watched(MySQLConnection):
    """Tells of what the driver sends by itself, all of it settings."""

    def __init__(self, session, **options):
        self.session = session
        super().__init__(**options)

    def _execute_query(self, query):
        super()._execute_query(query)
        self.session.note(query, affected=0)

    def set_autocommit(self, value):
        MySQLConnection.autocommit.fset(self, value)
        self.session.note(f"SET @@session.autocommit = {'ON' if value else 'OFF'}", affected=0)

    autocommit = property(MySQLConnection.autocommit.fget, set_autocommit)


class Session:
    def __init__(self, user="ann", **options):
        self.queries = []
        self.database = "shop"
        tls = dict(ssl_disabled=False) if sys.argv[2] == "tls" else dict(ssl_disabled=True)
        self.conn = Watched(
            self,
            host="127.0.0.1",
            port=int(sys.argv[1]),
            user=user,
            password="secret of " + user,
            **{"database": "shop", "autocommit": True, **tls, **options},
        )
        # An agent has settled what this connection is before much is sent.
        time.sleep(0.5)

    def note(self, text, rows=None, affected=None, error=None, **more):
        if self.database != "shop":
            more["database"] = self.database
        if len(text) > TEXT_BYTES:
            text, more["truncated"] = text[:TEXT_BYTES], True
        self.queries.append(dict(text=text, rows=rows, affected=affected, error=error, **more))

    def run(self, text, params=(), prepared=False, attributes=(), **more):
        rows = affected = error = None
        # Literals of a prepared statement's parameters are sent apart.
        with self.conn.cursor(prepared=prepared) as cur:
            for name, value in attributes:
                cur.add_attribute(name, value)
            try:
                cur.execute(text, params)
                while True:
                    if cur.description is not None:
                        rows = (rows or 0) + len(cur.fetchall())
                    else:
                        affected = (affected or 0) + cur.rowcount
                    if prepared or not cur.nextset():
                        break
            except Error as failure:
                error = str(failure.errno)
            # They would be sent with whatever follows on the connection.
            cur.clear_attributes()
        self.note(text, rows, affected, error, **more)

    def done(self):
        self.conn.close()
        print(json.dumps(dict(queries=self.queries)))


# Of every type that the driver has for them.
ATTRIBUTES = [
    ("number", 7),
    ("text", "select 'no query'"),
    ("fraction", 0.5),
    ("bytes", b"\x00\x01\xff"),
    ("long", "a" * 300),
]


def statements():
    s = Session()
    s.run("drop table if exists py")
    s.run("create table py (id int primary key, name varchar(200))")
    s.run("insert into py values (1, 'one'), (2, 'two'), (3, null)")
    s.run("select * from py", attributes=ATTRIBUTES)
    s.run("select * from py where id > 100", attributes=[("traceparent", "00-" + "ab" * 16)])
    s.run("select 'a quoted ''text'' with ünïcode'")
    s.run("selec", attributes=ATTRIBUTES)
    s.run("insert into py values (1, 'twice')")
    s.run("update py set name = 'x' where id < 3")
    s.run("select 1 from missing")
    s.run("select null, '', repeat(x'ff', 250), repeat(x'fe', 251), repeat(x'00', 70000)")
    s.run("with recursive n as (select 1 as i union all select i + 1 from n where i < 900) select * from n")
    s.run("select 1; select 2 union select 3; update py set name = 'y' where id = 1")
    s.run("start transaction")
    s.run("delete from py")
    s.run("rollback")
    s.done()


def prepared():
    s = Session()
    s.run("create table if not exists blobs (id int primary key, what longblob)")
    s.run("insert into blobs values (?, ?)", (1, "short"), prepared=True)
    # Sent ahead of the execution, in parts.
    s.run("insert into blobs values (?, ?)", (2, io.BytesIO(b"\x03select 1" * 40_000)), prepared=True)
    s.run("select length(what) from blobs where id = ?", (2,), prepared=True)
    s.run("select * from blobs where id > ?", (100,), prepared=True, attributes=ATTRIBUTES[:2])
    s.run("selec ?", (1,), prepared=True)
    s.run("insert into blobs values (?, ?)", (1, "twice"), prepared=True)
    # Again and again, with a reset between.
    text = "select ? + 1"
    with s.conn.cursor(prepared=True) as cur:
        for number in range(5):
            cur.execute(text, (number,))
            s.note(text, rows=len(cur.fetchall()))
    # A cursor of the server, in parts: nobody counts the rows in the end.
    text = "select table_name from information_schema.tables limit 20"
    made = s.conn.cmd_stmt_prepare(text.encode())
    columns = s.conn.cmd_stmt_execute(made["statement_id"], flags=1)[1]
    for rows in (7, 7, 7):
        s.conn.cmd_stmt_fetch(made["statement_id"], rows)
        s.conn.get_rows(binary=True, columns=columns)
    s.note(text)
    s.conn.cmd_stmt_close(made["statement_id"])
    s.run("delete from blobs")
    s.done()


def sessions():
    s = Session()
    s.run("select 1")
    s.conn.cmd_init_db("other")
    s.database = "other"
    s.run("select 2")
    s.database = "shop"
    # The driver sends a password in full over TLS alone; without, the server must remember it.
    user = "cat" if sys.argv[2] == "tls" else "ann"
    s.conn.cmd_change_user(username=user, password="secret of " + user, database="shop")
    s.run("select current_user()")
    s.conn.cmd_reset_connection()
    s.run("select 3")
    s.conn.cmd_ping()
    s.run("set @kept = 1")
    s.done()


def long():
    s = Session()
    # More than an agent copies of one call.
    s.run(f"select length('{'x' * LONG}')", bulk=True)
    s.run("select 4", bulk=True)
    # The server's buffer has the size of that statement now: it writes an answer in one call, and the
    # second packet of this one begins somewhere in what is not copied of it.
    s.run(f"select repeat('w', {LONG})", bulk=True, cut=True)
    s.run("select 5", bulk=True)
    s.run("select 6")
    s.done()
    s = Session()
    # With the buffer it begins with, each packet begins with a call.
    s.run(f"select repeat('w', {LONG})", bulk=True)
    s.run("select 7")
    s.done()


for scenario in (statements, prepared, sessions, long):
    scenario()
