"""PyMySQL: prints what it has seen, a line a session: {"queries": [...]} with the fields of `Query`
in sql.rs. Arguments: the port, and the authority of a TLS connection or nothing."""

import json
import sys
import tempfile

import pymysql
from pymysql.constants import CLIENT


class Session:
    def __init__(self, **options):
        if sys.argv[2]:
            options["ssl"] = {"ca": sys.argv[2]}
        self.conn = pymysql.connect(
            host="127.0.0.1",
            port=int(sys.argv[1]),
            user="root",
            **{"database": "shop", "autocommit": True, **options},
        )
        self.queries = []

    def note(self, text, rows=None, affected=None, error=None, **more):
        self.queries.append(dict(text=text, rows=rows, affected=affected, error=error, **more))

    def run(self, text, params=None, rows=None, **more):
        affected = error = None
        with self.conn.cursor() as cur:
            sent = cur.mogrify(text, params)
            try:
                cur.execute(text, params)
                while True:
                    if cur.description is not None:
                        rows = (rows or 0) + cur.rowcount
                    else:
                        affected = (affected or 0) + cur.rowcount
                    if not cur.nextset():
                        break
            except pymysql.MySQLError as failure:
                error = str(failure.args[0])
        self.note(sent, rows, affected, error, **more)

    def done(self):
        self.conn.close()
        print(json.dumps(dict(queries=self.queries)))


def statements():
    s = Session(local_infile=True)
    s.run("drop table if exists py")
    s.run("create table py (id int primary key, name varchar(200))")
    s.run("insert into py values (1, 'one'), (2, 'two'), (3, null)")
    s.run("insert into py values (%s, %s)", (4, "it's \\ \" \0 \x1a four"))
    s.run("select * from py")
    s.run("select * from py where id > %s", (100,))
    s.run("select 'a quoted ''text'' with ünïcode'")
    s.run("selec")
    s.run("insert into py values (1, 'twice')")
    s.run("update py set name = 'x' where id < 3")
    s.run("update py set name = 'x' where id < 3")
    s.run("select 1 from missing")
    # Its result has begun when it fails.
    s.run("set statement max_statement_time = 0.5 for select sleep(20)", rows=0)
    s.conn.ping(reconnect=False)
    # Every length of a string in a row, and bytes that begin other packets.
    s.run("select null, '', repeat(x'ff', 250), repeat(x'fe', 251), repeat(x'00', 70000)")
    s.run("select seq, repeat('r', 90) from seq_1_to_20000")
    s.run("select repeat('w', 1000000)", bulk=True)
    s.run("select 1", bulk=True)
    s.run("/* " + "long " * 8000 + "*/ select 1")
    s.run("show tables")
    s.run("explain select * from py")
    s.run("do 1")
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        for number in range(1000, 6000):
            file.write(f"{number},\x03select 'not a query {number}'\n")
        file.flush()
        s.run(f"load data local infile '{file.name}' into table py fields terminated by ','")
    s.run("select count(*) from py")
    # The driver fails by itself, and the server is sent nothing.
    text = "load data local infile '/nowhere/at/all.csv' into table py"
    try:
        s.conn.query(text)
    except pymysql.MySQLError:
        s.note(text, affected=0)
    # Another database, told in two ways.
    s.conn.select_db("other")
    s.run("create table if not exists elsewhere (id int)", database="other")
    s.conn.select_db("shop")
    s.run("select 2")
    s.run("delete from py")
    s.done()


def transactions():
    s = Session(autocommit=False)
    s.note("SET AUTOCOMMIT = 0", affected=0)
    s.conn.begin()
    s.note("BEGIN", affected=0)
    s.run("insert into py values (1, 'one')")
    s.conn.rollback()
    s.note("ROLLBACK", affected=0)
    s.run("insert into py values (1, 'one')")
    s.conn.commit()
    s.note("COMMIT", affected=0)
    s.done()


def several():
    s = Session(client_flag=CLIENT.MULTI_STATEMENTS)
    s.run("select 1; select 2 union select 3; update py set name = 'y' where id = 1")
    s.run("select 1; selec 2; select 3")
    s.run("drop procedure if exists several")
    s.run("create procedure several(n int) begin select n; select 1 union select 2; end")
    s.run("call several(%s)", (7,))
    s.run("call missing()")
    s.run("drop procedure several")
    s.done()


for scenario in (statements, transactions, several):
    scenario()
