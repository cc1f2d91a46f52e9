"""Sends bytes to itself over TCP at a fixed rate, 64 KiB at a time.

Arguments: a file to wait for, MiB a second, seconds. Then it waits to be ended."""

import os
import socket
import sys
import threading
import time

GO, RATE, SECONDS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
# Written to: pages that nobody has touched are not there to be copied.
PIECE = b"\1" * (64 << 10)
TOTAL = RATE * SECONDS << 20


def wait():
    while not os.path.exists(GO):
        time.sleep(0.01)


def receive(listener):
    connection, _ = listener.accept()
    # A call that had begun before the probes were there is not seen.
    wait()
    buffer = bytearray(1 << 20)
    while connection.recv_into(buffer):
        pass


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=receive, args=(listener,), daemon=True).start()
connection = socket.create_connection(listener.getsockname())
wait()
begun, sent = time.monotonic(), 0
while sent < TOTAL:
    late = sent / (RATE << 20) - (time.monotonic() - begun)
    if late > 0:
        time.sleep(late)
    connection.sendall(PIECE)
    sent += len(PIECE)
while True:
    time.sleep(60)
