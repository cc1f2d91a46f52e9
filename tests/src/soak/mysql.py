"""Connections to a MySQL server, one after the other, each with a statement, until it is told to end.

Argument: the port. Prints how many there were."""

import signal
import sys

import pymysql

running = True


def stop(*_):
    global running
    running = False


signal.signal(signal.SIGTERM, stop)
count = 0
while running:
    connection = pymysql.connect(host="127.0.0.1", port=int(sys.argv[1]), user="root", database="shop")
    with connection.cursor() as cursor:
        cursor.execute("select %s", (count,))
        cursor.fetchall()
    connection.close()
    count += 1
print(count)
