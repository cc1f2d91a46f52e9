"""A gRPC server, or a client of one, that says in JSON lines what it did.

    grpcio.py serve PORT
    grpcio.py call PORT        groups of calls as JSON lines on standard input, what came of each on
                               standard output, an empty line after each group

Messages are JSON objects, padded with blanks to the size that is wanted; the first of a call says what
the server is to do with it. No generated code: handlers and stubs are generic.
"""

import json
import sys
import threading
import time
from concurrent import futures

import grpc

SERVICE = "fixture.v1.Echo"
WORKERS = 64
CALLS_AT_ONCE = 256
# Of a channel and of a server: whole messages of the largest call, no ports shared with others.
OPTIONS = [
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 64 << 20),
    ("grpc.so_reuseport", 0),
]
PATIENCE_SECONDS = 60


def padded(wish, size):
    return json.dumps(wish).encode().ljust(size)


def obey(wish, context):
    """What the client wants apart from replies."""
    if wish.get("sleep"):
        # Ends early with the call, so that a server can stop.
        ended = threading.Event()
        if context.add_callback(ended.set):
            ended.wait(wish["sleep"])
    if wish.get("metadata"):
        context.send_initial_metadata((("x-fixture", "initial"),))
        context.set_trailing_metadata((("x-fixture-trailer", "one"), ("x-fixture-bin", b"\0\xff")))
    if wish.get("code"):
        for code in grpc.StatusCode:
            if code.value[0] == wish["code"]:
                context.abort(code, wish.get("details", ""))


def first(request, context):
    """The wish in the first message of a call, and what has to be said before the first reply."""
    wish = json.loads(request)
    if wish.get("compress"):
        context.set_compression(grpc.Compression.Gzip)
    return wish


def unary(request, context):
    wish = first(request, context)
    obey(wish, context)
    return padded({}, wish["reply"])


def server_stream(request, context):
    wish = first(request, context)
    for _ in range(wish["replies"]):
        yield padded({}, wish["reply"])
    obey(wish, context)


def client_stream(requests, context):
    wish = None
    for request in requests:
        wish = wish or first(request, context)
    obey(wish, context)
    return padded({}, wish["reply"])


def bidirectional(requests, context):
    wish = None
    for request in requests:
        wish = wish or first(request, context)
        for _ in range(wish["replies"]):
            yield padded({}, wish["reply"])
    obey(wish, context)


def serve(port):
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
        "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
        "Bidirectional": grpc.stream_stream_rpc_method_handler(bidirectional),
    }
    server = grpc.server(futures.ThreadPoolExecutor(WORKERS), options=OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    assert server.add_insecure_port(f"127.0.0.1:{port}") == port
    server.start()
    print("listening", flush=True)
    server.wait_for_termination()


def call(channel, wish):
    """One call, and what the client has seen of it."""
    method = wish["method"]
    requests = [padded(wish, size) for size in wish["requests"]]
    shape = method.rsplit("/", 1)[1]
    options = {
        "timeout": wish.get("deadline") or PATIENCE_SECONDS,
        "compression": grpc.Compression.Gzip if wish.get("compress") else None,
        "metadata": (("x-fixture", "a value"), ("x-fixture-bin", bytes(range(32)))) if wish.get("metadata") else None,
    }
    start = time.monotonic()
    if shape in ("ServerStream", "Bidirectional"):
        make = channel.stream_stream if shape == "Bidirectional" else channel.unary_stream
        ongoing = make("/" + method)(iter(requests) if shape == "Bidirectional" else requests[0], **options)
        replies = ongoing
    else:
        make = channel.stream_unary if shape == "ClientStream" else channel.unary_unary
        ongoing = make("/" + method).future(iter(requests) if shape == "ClientStream" else requests[0], **options)
        replies = iter(lambda: ongoing.result(), None)
    received = []
    try:
        if wish.get("cancel_seconds"):
            threading.Timer(wish["cancel_seconds"], ongoing.cancel).start()
        for reply in replies:
            received.append(len(reply))
            if len(received) == wish.get("cancel_after"):
                ongoing.cancel()
            if shape in ("Unary", "ClientStream"):
                break
    except (grpc.RpcError, grpc.FutureCancelledError, grpc.FutureTimeoutError):
        pass
    code, details = ongoing.code(), ongoing.details()
    return {
        "number": wish["number"],
        "method": method,
        "status": code.name,
        "details": details or "",
        "request_messages": len(requests),
        "request_bytes": sum(map(len, requests)),
        "response_messages": len(received),
        "response_bytes": sum(received),
        "seconds": time.monotonic() - start,
    }


def client(port):
    """A line of input is a group of calls that are made at once; an empty line of output ends it."""
    channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS)
    lines = threading.Lock()

    def one(wish):
        done = call(channel, wish)
        with lines:
            print(json.dumps(done), flush=True)

    with futures.ThreadPoolExecutor(CALLS_AT_ONCE) as pool:
        for line in sys.stdin:
            wishes = json.loads(line)
            list(pool.map(one, wishes))
            print(flush=True)


if sys.argv[1] == "serve":
    serve(int(sys.argv[2]))
else:
    client(int(sys.argv[2]))
