"""Requests over one TLS connection, as a program without any framework would make them.

Arguments: port, certificate. Each line on standard input is a method and a path; each is answered
by a JSON line. Ends with its input.
"""

import http.client
import json
import ssl
import sys
import time


def main():
    port, certificate = sys.argv[1:]
    context = ssl.create_default_context(cafile=certificate)
    connection = http.client.HTTPSConnection("127.0.0.1", int(port), context=context, timeout=20)
    for line in sys.stdin:
        method, path = line.split()
        start = time.monotonic()
        connection.request(method, path, body=b"x" * 1000 if method in ("POST", "PUT") else None)
        response = connection.getresponse()
        size = len(response.read())
        seconds = time.monotonic() - start
        print(json.dumps({"status": response.status, "bytes": size, "seconds": seconds}), flush=True)
    connection.close()


main()
