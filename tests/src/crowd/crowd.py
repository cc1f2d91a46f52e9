"""aiohttp at both ends: many connections in one thread, over memory BIOs.

    crowd.py serve PORT CERTIFICATE KEY
    crowd.py ask PORT CLIENTS REQUESTS CERTIFICATE      a JSON line for each answer
"""

import asyncio
import json
import resource
import ssl
import sys
import time

import aiohttp
from aiohttp import web


async def port(request):
    return web.Response(text=str(request.transport.get_extra_info("peername")[1]))


async def item(request):
    return web.json_response({"item": request.match_info["number"], "query": request.query_string})


async def serve(number, certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    app = web.Application()
    app.add_routes([web.get("/port", port), web.get("/items/{number}", item)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", number, ssl_context=context, backlog=2000).start()
    print("listening", flush=True)
    await asyncio.Event().wait()


async def get(session, base, path):
    start = time.monotonic()
    async with session.get(base + path) as response:
        text = await response.text()
        seconds = time.monotonic() - start
        print(json.dumps({"path": path, "status": response.status, "seconds": seconds}))
        return text


async def client(base, context, requests, ready):
    timeout = aiohttp.ClientTimeout(total=None)
    connector = aiohttp.TCPConnector(limit=1, ssl=context)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        own = await get(session, base, "/port")
        # All are connected before any goes on.
        await ready.wait()
        for number in range(requests):
            await get(session, base, f"/items/{number}?port={own}")
            await asyncio.sleep(0)


async def ask(number, certificate, clients, requests):
    context = ssl.create_default_context(cafile=certificate)
    base = f"https://127.0.0.1:{number}"
    ready = asyncio.Barrier(clients)
    await asyncio.gather(*[client(base, context, requests, ready) for _ in range(clients)])


resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
role, number, *rest = sys.argv[1:]
if role == "serve":
    asyncio.run(serve(int(number), *rest))
else:
    clients, requests, certificate = rest
    asyncio.run(ask(int(number), certificate, int(clients), int(requests)))
