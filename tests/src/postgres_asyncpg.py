"""asyncpg: named statements, portals run in parts, and copies, over one connection. Prints a line
as postgres_psycopg.py does."""

import asyncio
import json
import sys

import asyncpg


async def main():
    conn = await asyncpg.connect(
        host="127.0.0.1", port=int(sys.argv[1]), user="postgres", database="postgres", ssl=False
    )
    queries = []

    def note(text, rows=None, affected=None, error=None):
        queries.append(dict(text=text, rows=rows, affected=affected, error=error))

    async def fetch(text, *parameters):
        try:
            rows = await conn.fetch(text, *parameters)
        except asyncpg.PostgresError as error:
            note(text, error=error.sqlstate)
        else:
            note(text, rows=len(rows))

    async def change(text):
        count = int((await conn.execute(text)).split()[-1])
        note(text, affected=count)

    # An agent has settled what this connection is before much is sent.
    await fetch("select 1")
    await asyncio.sleep(0.5)
    await conn.execute("create temporary table parts (id int, name text)")
    note("create temporary table parts (id int, name text)")
    await change("insert into parts select g, 'n' from generate_series(1, 95) g")
    for number in (3, 4, 5):
        await fetch("select * from parts where id < $1", number)
    await fetch("select 1 / $1::int", 0)
    await fetch("selec")
    # A portal in parts: its last part says how many rows that part had.
    text = "select id from parts where id > $1"
    statement = await conn.prepare(text)
    async with conn.transaction():
        note("BEGIN;")
        cursor = await statement.cursor(5)
        for size in (40, 40, 40):
            note(text, rows=len(await cursor.fetch(size)))
    note("COMMIT;")
    # Two portals of one statement at once.
    async with conn.transaction():
        note("BEGIN;")
        one, two = await statement.cursor(0), await statement.cursor(90)
        for cursor, size in ((one, 10), (two, 3), (one, 10), (two, 10)):
            note(text, rows=len(await cursor.fetch(size)))
    note("COMMIT;")
    text = "insert into parts values ($1, $2)"
    await conn.executemany(text, [(number, "many") for number in range(100)])
    for _ in range(100):
        note(text, affected=1)
    tag = await conn.copy_records_to_table("parts", records=[(n, "c") for n in range(3000)])
    note('COPY "parts" FROM STDIN (FORMAT binary)', affected=int(tag.split()[-1]))
    seen = 0

    async def take(data):
        nonlocal seen
        seen += data.count(b"\n")

    await conn.copy_from_query("select * from parts", output=take)
    note("COPY (select * from parts) TO STDOUT ", affected=seen)
    backend = conn.get_server_pid()
    await conn.close()
    print(json.dumps(dict(backend=backend, queries=queries)))


asyncio.run(main())
