// Node's http, or its https over memory BIOs, at both ends: many connections in one thread.
//
//     node crowd.js serve PORT [CERTIFICATE KEY]
//     node crowd.js ask PORT CLIENTS REQUESTS [CERTIFICATE]      a JSON line for each answer

const fs = require('fs');
const http = require('http');
const https = require('https');

const [role, port, ...rest] = process.argv.slice(2);

function serve(certificate, key) {
  const answer = (request, response) => {
    const url = new URL(request.url, 'https://localhost');
    response.end(url.pathname === '/port' ? String(request.socket.remotePort) : JSON.stringify({ url: request.url }));
  };
  const options = { keepAliveTimeout: 60000 };
  const server = certificate
    ? https.createServer({ ...options, cert: fs.readFileSync(certificate), key: fs.readFileSync(key) }, answer)
    : http.createServer(options, answer);
  server.listen(Number(port), '127.0.0.1', 2000, () => console.log('listening'));
}

function get(module, agent, path) {
  return new Promise((resolve, reject) => {
    const start = process.hrtime.bigint();
    module.get({ host: '127.0.0.1', port, path, agent }, (response) => {
      let text = '';
      response.on('data', (part) => { text += part; });
      response.on('end', () => {
        const seconds = Number(process.hrtime.bigint() - start) / 1e9;
        console.log(JSON.stringify({ path, status: response.statusCode, seconds }));
        resolve(text);
      });
    }).on('error', reject);
  });
}

async function ask(clients, requests, certificate) {
  const module = certificate ? https : http;
  const options = { keepAlive: true, maxSockets: 1, ...(certificate && { ca: fs.readFileSync(certificate) }) };
  const agents = Array.from({ length: clients }, () => new module.Agent(options));
  const ports = await Promise.all(agents.map((agent) => get(module, agent, '/port')));
  await Promise.all(agents.map(async (agent, client) => {
    for (let number = 0; number < requests; number += 1) {
      await get(module, agent, `/items/${number}?port=${ports[client]}`);
    }
  }));
  agents.forEach((agent) => agent.destroy());
}

if (role === 'serve') {
  serve(...rest);
} else {
  ask(Number(rest[0]), Number(rest[1]), rest[2]);
}
