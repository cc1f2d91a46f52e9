"""PyMySQL: prints what it has seen, a line a session: {"queries": [...]} with the fields of `Query`
in sql.rs. Arguments: the port, and the authority of a TLS connection or nothing."""

import json
import struct
import sys
import tempfile

import pymysql
from pymysql.constants import CLIENT, COMMAND, SERVER_STATUS

# Of a statement's text, what a span carries.
TEXT_BYTES = 65_536

# A packet of the greatest length is followed by another; this takes two.
LONG = 17_000_000


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
        if len(text) > TEXT_BYTES:
            text, more["truncated"] = text[:TEXT_BYTES], True
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


class Prepared:
    """A statement of the server, as libraries prepare them; PyMySQL has none of its own."""

    def __init__(self, session, text):
        self.session, self.conn, self.text = session, session.conn, text
        self.conn._execute_command(COMMAND.COM_STMT_PREPARE, text)
        self.id, columns, self.parameters = struct.unpack("<xIHH", self.read()[:9])
        for count in (self.parameters, columns):
            if count:
                self.definitions(count)

    def read(self):
        return self.conn._read_packet().get_all_data()

    def definitions(self, count):
        """Read with the EOF behind them; its status."""
        for _ in range(count):
            self.read()
        return struct.unpack("<xHH", self.read())[1]

    def long_data(self, parameter, data):
        # Nobody answers it.
        head = struct.pack("<IH", self.id, parameter)
        self.conn._execute_command(COMMAND.COM_STMT_SEND_LONG_DATA, head + data)

    def execute(self, values=(), cursor=False):
        """`None` for what was sent ahead. What comes is noted: rows, unless with a cursor."""
        body = struct.pack("<IBI", self.id, int(cursor), 1)
        if self.parameters:
            body += bytes((self.parameters + 7) // 8) + b"\x01"
            body += b"".join(b"\xfc\0" if value is None else b"\x08\0" for value in values)
            body += b"".join(struct.pack("<q", value) for value in values if value is not None)
        self.conn._execute_command(COMMAND.COM_STMT_EXECUTE, body)
        first = self.conn._read_packet()
        if first.is_ok_packet():
            affected = first.get_all_data()[1]
            return self.session.note(self.text, affected=affected)
        status = self.definitions(first.get_all_data()[0])
        if status & SERVER_STATUS.SERVER_STATUS_CURSOR_EXISTS:
            return self.session.note(self.text)
        self.session.note(self.text, rows=self.rows())

    def rows(self):
        rows = 0
        while not self.conn._read_packet().is_eof_packet():
            rows += 1
        return rows

    def fetch(self, rows):
        """The next of a cursor."""
        self.conn._execute_command(COMMAND.COM_STMT_FETCH, struct.pack("<II", self.id, rows))
        return self.rows()

    def reset(self):
        self.conn._execute_command(COMMAND.COM_STMT_RESET, struct.pack("<I", self.id))
        self.read()

    def close(self):
        # Nobody answers it.
        self.conn._execute_command(COMMAND.COM_STMT_CLOSE, struct.pack("<I", self.id))


def prepared():
    s = Session()
    s.run("create table if not exists blobs (id int primary key, what longblob)")
    insert = Prepared(s, "insert into blobs values (?, ?)")
    for number in range(3):
        # In parts, some of which look like commands.
        for part in (b"\x03select 1", b"\x01\0\0\0\x01", b"x" * 40_000):
            insert.long_data(1, part)
        insert.execute((number, None))
        insert.reset()
    length = Prepared(s, "select length(what) from blobs where id = ?")
    length.execute((2,))
    length.execute((100,))
    insert.close()
    many = Prepared(s, "select seq, repeat('r', 90) from seq_1_to_20")
    many.execute(cursor=True)
    assert [many.fetch(7), many.fetch(7), many.fetch(7)] == [7, 7, 6]
    many.execute()
    many.close()
    length.execute((1,))
    s.run("drop table blobs")
    s.done()


def change_user(conn, database):
    body = b"root\0" + b"\0" + database.encode() + b"\0" + struct.pack("<H", 45)
    conn._execute_command(COMMAND.COM_CHANGE_USER, body + b"mysql_native_password\0")
    while not (packet := conn._read_packet()).is_ok_packet():
        assert packet.is_auth_switch_request()
        conn.write_packet(b"")


def sessions():
    s = Session()
    s.run("select 1")
    change_user(s.conn, "other")
    s.run("select 2", database="other")
    change_user(s.conn, "shop")
    s.run("select 3")
    # COM_RESET_CONNECTION
    s.conn._execute_command(0x1F, b"")
    s.conn._read_packet()
    s.run("select 4")
    s.conn.ping(reconnect=False)
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


for scenario in (statements, transactions, several, prepared, sessions, long):
    scenario()
