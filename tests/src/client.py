"""Requests over one TLS connection, as a program without any framework would make them.

Arguments: port, certificate, then pairs of method and path. Prints one JSON line a request.
"""

import http.client
import json
import ssl
import sys
import time


def main():
    port, certificate, *steps = sys.argv[1:]
    context = ssl.create_default_context(cafile=certificate)
    connection = http.client.HTTPSConnection("127.0.0.1", int(port), context=context, timeout=30)
    for method, path in zip(steps[::2], steps[1::2]):
        start = time.monotonic()
        body = b"x" * 1000 if method in ("POST", "PUT") else None
        connection.request(method, path, body=body)
        response = connection.getresponse()
        size = len(response.read())
        print(json.dumps({"method": method, "path": path, "status": response.status, "bytes": size, "seconds": time.monotonic() - start}), flush=True)
    connection.close()


main()
