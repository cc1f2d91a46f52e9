"""A small HTTP/1.1 service on one port, plain or TLS: what an ordinary Python program looks like."""

import json
import os
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    # An answer is two writes: without this the second waits 40 ms for an acknowledgement.
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def read_body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            total = 0
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                total += len(self.rfile.read(size))
                self.rfile.readline()
                if size == 0:
                    return total
        return len(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def answer(self, status, body, kind="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer_chunked(self, count):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(count):
            part = f"part {number}\n".encode() * (number + 1)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.write(b"0\r\nTrailer-Field: done\r\n\r\n")

    def do_GET(self):
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        parts = url.path.strip("/").split("/")
        if parts[0] == "items" and len(parts) == 2:
            self.answer(200, json.dumps({"item": parts[1]}).encode())
        elif parts[0] == "slow":
            time.sleep(int(query.get("ms", ["20"])[0]) / 1000)
            self.answer(200, b"{}")
        elif parts[0] == "until":
            # Says that the request is here, and answers when that file is.
            gate = query["file"][0]
            open(gate + ".asked", "w").close()
            while not os.path.exists(gate):
                time.sleep(0.01)
            self.answer(200, b"{}")
        elif parts[0] == "chunked":
            self.answer_chunked(int(query.get("n", ["5"])[0]))
        elif parts[0] == "bytes":
            self.answer(200, b"\r\nGET /phantom HTTP/1.1\r\n\r\n".ljust(16, b"x") * (int(parts[1]) // 28 + 1), "application/octet-stream")
        elif parts[0] == "fail":
            self.answer(500, b'{"error":"failed"}')
        elif parts[0] == "busy":
            self.answer(503, b'{"error":"busy"}')
        else:
            self.answer(404, b'{"error":"not found"}')

    do_HEAD = do_GET

    def do_POST(self):
        self.answer(201, json.dumps({"received": self.read_body()}).encode())

    def do_PUT(self):
        self.answer(200, json.dumps({"received": self.read_body()}).encode())

    def do_DELETE(self):
        self.send_response(204)
        self.end_headers()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


def main():
    port, *tls = sys.argv[1:]
    server = Server(("127.0.0.1", int(port)), Handler)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print("listening", flush=True)
    server.serve_forever()


main()
