"""psycopg2: queries on two connections, and prints what it has seen as psycopg 3's script does.

    postgres_psycopg2.py DESTINATION
"""

import json
import sys
import time

import psycopg2

CHANGING = ("INSERT", "UPDATE", "DELETE")


class Session:
    def __init__(self):
        self.conn = psycopg2.connect(sys.argv[1])
        self.conn.autocommit = True
        assert self.conn.info.ssl_in_use
        self.queries = []
        # An agent has settled what this connection is before much is sent.
        self.run("select 1")
        time.sleep(0.5)

    def note(self, text, rows=None, affected=None, error=None):
        self.queries.append(dict(text=text, rows=rows, affected=affected, error=error))

    def run(self, text, params=None):
        """One query; parameters become part of its text in the client."""
        with self.conn.cursor() as cur:
            sent = cur.mogrify(text, params).decode()
            try:
                cur.execute(text, params)
            except psycopg2.Error as error:
                self.note(sent, error=error.pgcode)
                return
            rows = cur.rowcount if cur.description is not None else None
            changing = cur.statusmessage.split()[0] in CHANGING
            self.note(sent, rows, cur.rowcount if changing else None)

    def done(self):
        print(json.dumps(dict(backend=self.conn.info.backend_pid, queries=self.queries)))
        self.conn.close()


# Two at once, one of which waits for the other in the end.
first, second = Session(), Session()
first.run("create table wheel (id int primary key, name text)")
first.run("insert into wheel select g, 'name ' || g from generate_series(1, 100) g")
for number in range(20):
    session = (first, second)[number % 2]
    session.run("select * from wheel where id <= %s", (number * 5,))
    session.run("update wheel set name = %s where id = %s", ("it's " * number, number))
# More than a record of TLS holds, both ways.
second.run("select length(%s)", ("p" * 50_000,))
second.run("select g, repeat('r', 90) from generate_series(1, 500) g")
second.run("selec")
second.run("select 1/0")
second.run("insert into wheel values (1, 'twice')")
first.run("delete from wheel where id > 90 returning id")
first.done()
second.done()
