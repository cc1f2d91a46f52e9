// Node's https at both ends: many connections in one thread, over memory BIOs.
//
//     node crowd.js serve PORT CERTIFICATE KEY
//     node crowd.js ask PORT CERTIFICATE CLIENTS REQUESTS      a JSON line for each answer

const fs = require('fs');
const https = require('https');

const [role, port, certificate, ...rest] = process.argv.slice(2);

function serve(key) {
  const options = { cert: fs.readFileSync(certificate), key: fs.readFileSync(key), keepAliveTimeout: 60000 };
  https.createServer(options, (request, response) => {
    const url = new URL(request.url, 'https://localhost');
    response.end(url.pathname === '/port' ? String(request.socket.remotePort) : JSON.stringify({ url: request.url }));
  }).listen(Number(port), '127.0.0.1', 2000, () => console.log('listening'));
}

function get(agent, path) {
  return new Promise((resolve, reject) => {
    const start = process.hrtime.bigint();
    https.get({ host: '127.0.0.1', port, path, agent }, (response) => {
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

async function ask(clients, requests) {
  const ca = fs.readFileSync(certificate);
  const agents = Array.from({ length: clients }, () => new https.Agent({ keepAlive: true, maxSockets: 1, ca }));
  const ports = await Promise.all(agents.map((agent) => get(agent, '/port')));
  await Promise.all(agents.map(async (agent, client) => {
    for (let number = 0; number < requests; number += 1) {
      await get(agent, `/items/${number}?port=${ports[client]}`);
    }
  }));
  agents.forEach((agent) => agent.destroy());
}

if (role === 'serve') {
  serve(rest[0]);
} else {
  ask(Number(rest[0]), Number(rest[1]));
}
