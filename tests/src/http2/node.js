// An HTTP/2 server, or a client of one, that says in JSON lines what it did.
//
//     node node.js serve PORT [CERTIFICATE KEY]
//     node node.js ask PORT [CERTIFICATE]      requests as a JSON list on standard input: the first one,
//                                              after a while all others at once
//
// A request for /bytes/N gets N bytes, /status/N that status; a POST gets back what it sent, and
// trailers.

"use strict";
const fs = require("fs");
const http2 = require("http2");

// In which a connection is recognised, so that all of what follows is copied.
const PAUSE_MILLISECONDS = 500;

const [mode, port, certificate, key] = process.argv.slice(2);

function answer(stream, headers) {
  const [, kind, number] = headers[":path"].split("?")[0].split("/");
  const sent = [];
  stream.on("data", (piece) => sent.push(piece));
  stream.on("error", () => {});
  stream.on("end", () => {
    if (kind === "status") {
      stream.respond({ ":status": Number(number) }, { endStream: true });
    } else if (headers[":method"] === "POST") {
      stream.respond({ ":status": 201 }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "x-length": `${Buffer.concat(sent).length}` }));
      stream.end(Buffer.concat(sent));
    } else {
      stream.respond({ ":status": 200, "content-type": "text/plain" });
      stream.end(Buffer.alloc(kind === "bytes" ? Number(number) : 5, "b"));
    }
  });
}

function serve() {
  const server = certificate
    ? http2.createSecureServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key) })
    : http2.createServer();
  server.on("stream", answer);
  server.listen(Number(port), "127.0.0.1", () => console.log("listening"));
}

function ask() {
  const requests = JSON.parse(fs.readFileSync(0));
  const scheme = certificate ? "https" : "http";
  const options = certificate ? { ca: fs.readFileSync(certificate), servername: "localhost" } : {};
  const session = http2.connect(`${scheme}://127.0.0.1:${port}`, options);
  const request = ({ method, path, body }, closed) => {
    const start = process.hrtime.bigint();
    const stream = session.request({ ":method": method, ":path": path });
    const report = { method, path, bytes: 0 };
    stream.on("response", (headers) => (report.status = headers[":status"]));
    stream.on("data", (piece) => (report.bytes += piece.length));
    stream.on("close", () => {
      report.seconds = Number(process.hrtime.bigint() - start) / 1e9;
      console.log(JSON.stringify(report));
      closed();
    });
    stream.end(body ? Buffer.alloc(body, "a") : undefined);
  };
  const [first, ...others] = requests;
  let open = others.length;
  const close = () => (open -= 1) || session.close();
  request(first, () => setTimeout(() => others.forEach((other) => request(other, close)), PAUSE_MILLISECONDS));
}

(mode === "serve" ? serve : ask)();
