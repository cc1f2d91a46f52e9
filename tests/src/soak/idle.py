"""Holds connections that have had one HTTP exchange each and are idle.

Arguments: a folder, and how many. In the folder it writes `server` (port and process id), then waits for
`go`, has some exchanges that are over at once, writes `warm`, waits for `hold`, and writes `held`."""

import asyncio
import os
import resource
import socket
import sys
import time

FOLDER, COUNT = sys.argv[1], int(sys.argv[2])
REQUEST = b"GET /idle HTTP/1.1\r\nHost: localhost\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
WARM = 200


def write(name, text=""):
    path = os.path.join(FOLDER, name)
    with open(path + ".new", "w") as file:
        file.write(text)
    os.rename(path + ".new", path)


def wait(name):
    while not os.path.exists(os.path.join(FOLDER, name)):
        time.sleep(0.02)


def exchange(port):
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(REQUEST)
    left = len(ANSWER)
    while left:
        left -= len(connection.recv(left))
    return connection


async def serve(listener):
    async def answer(reader, writer):
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(ANSWER)
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(answer, sock=listener)
    await server.serve_forever()


files = COUNT + 256
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, files), max(hard, files)))
listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
port = listener.getsockname()[1]
child = os.fork()
if child == 0:
    # Ends with its parent.
    import ctypes

    ctypes.CDLL(None).prctl(1, 15)
    asyncio.run(serve(listener))
listener.close()
write("server", f"{port} {child}")
wait("go")
for _ in range(WARM):
    exchange(port).close()
write("warm")
wait("hold")
held = [exchange(port) for _ in range(COUNT)]
write("held", str(len(held)))
while True:
    time.sleep(60)
