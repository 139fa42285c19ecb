/**
 * Tests our WebSockets against other implementations: the npm package `ws` on either side, and a browser.
 *
 *     apt-get install -y chromium
 *     npm ci --prefix scripts/interop
 *     node --import tsx scripts/interop/websocket.mjs
 *
 * Prints a line for each check; exit code 1 if one fails. All processes that it starts are ended.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WebSocket, WebSocketServer } from 'ws';
import { createLog } from '../../src/base/log.ts';
import { createAuthenticator } from '../../src/http/auth/auth.ts';
import { createHttpServer } from '../../src/http/server/listen.ts';
import { bindWebSocket } from '../../src/http/routing/route.ts';
import { webSocketEndpoint } from '../../src/protocol/endpoint.ts';
import { Tickets } from '../../src/http/auth/tickets.ts';
import { connectWebSocket } from '../../src/websocket/client.ts';
import { check, limitMs } from './check.mjs';

const key = 'the-key-of-the-checks';
const headers = { 'X-API-Key': key };
const echo = webSocketEndpoint('/echo', {
  summary: 'Sends back what it gets', access: 'ticket', protocols: ['sidecar.v1'],
});
const large = Buffer.alloc(1024 * 1024, 'large');
const texts = [
  '', 'a', 'κόσμε 𐀀 \u{10ffff} \0', 'x'.repeat(125), 'x'.repeat(126), 'x'.repeat(65_535), 'x'.repeat(65_536),
];

const log = createLog({ fd: 2, format: 'json', level: 'error' });
const tickets = new Tickets();
let onReport = () => undefined;

/** Two pages: the origin of one may call the server, that of the other may not. */
const pages = await Promise.all([pageServer(), pageServer()]);
const [ours, foreign] = pages.map((server) => `http://127.0.0.1:${server.address().port}`);
const server = createHttpServer({ log, isLoopback: true, allowOrigins: [ours] });
server.answer({
  tickets,
  authenticator: createAuthenticator({ accepts: (presented) => presented === key, log }),
  routes: [bindWebSocket(echo, () => (socket) => {
    socket.onMessage = (data) => { if (!socket.send(data)) socket.pause(); };
    socket.onDrain = () => socket.resume();
  })],
});
const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
const address = `ws://127.0.0.1:${port}/echo`;

await check('ws as client: text and bytes of all sizes come back', async () => {
  const socket = await openWs();
  for (const text of texts) assert.equal(String(await askWs(socket, text)), text);
  assert.ok((await askWs(socket, large)).equals(large));
  socket.close(1000, 'bye');
  const [code] = await once(socket, 'close');
  assert.equal(code, 1000);
});

await check('ws as client: permessage-deflate, which it offers, is declined', async () => {
  const socket = await openWs({ perMessageDeflate: true });
  assert.equal(socket.extensions, '');
  socket.terminate();
});

await check('ws as client: a subprotocol, fragments, a ping', async () => {
  const socket = await openWs({}, ['other', 'sidecar.v1']);
  assert.equal(socket.protocol, 'sidecar.v1');
  const answered = once(socket, 'message');
  socket.send('frag', { fin: false });
  socket.ping('are you there');
  socket.send('ments', { fin: true });
  const [pong] = await once(socket, 'pong');
  assert.equal(String(pong), 'are you there');
  assert.equal(String((await answered)[0]), 'fragments');
  socket.terminate();
});

await check('ws as client: ten thousand messages come back in order', async () => {
  const socket = await openWs();
  let next = 0;
  const done = new Promise((resolve, reject) => {
    socket.on('message', (data) => {
      if (String(data) !== String(next)) reject(new Error(`expected ${next}, received ${data}`));
      next += 1;
      if (next === 10_000) resolve();
    });
  });
  for (let sent = 0; sent < 10_000; sent += 1) socket.send(String(sent));
  await done;
  socket.terminate();
});

await check('ws as client: without the key 3401, over the limit 1009, another path 404', async () => {
  assert.equal((await once(new WebSocket(address), 'close'))[0], 3401);
  const socket = await openWs();
  socket.send(Buffer.alloc(2 * 1024 * 1024));
  assert.equal((await once(socket, 'close'))[0], 1009);
  const [, answer] = await once(
    new WebSocket(`ws://127.0.0.1:${port}/nothing`, { headers }).on('error', () => undefined), 'unexpected-response',
  );
  assert.equal(answer.statusCode, 404);
});

await check('ws as server: text and bytes of all sizes come back, and it closes', async () => {
  const { socket, peer, close } = await againstWs({});
  for (const text of texts) assert.equal(await ask(socket, text), text);
  assert.ok((await ask(socket, large)).equals(large));
  const told = new Promise((resolve) => { socket.onClose = resolve; });
  peer.close(4000, 'enough');
  assert.deepEqual(await told, { code: 4000, reason: 'enough', isClean: true });
  await close();
});

await check('ws as server: it checks our masks, pings and close', async () => {
  const { socket, peer, close } = await againstWs({ perMessageDeflate: true });
  assert.equal(peer.extensions, '');
  const pong = once(peer, 'pong');
  peer.ping('x'.repeat(125));
  assert.equal(String((await pong)[0]), 'x'.repeat(125));
  const closed = once(peer, 'close');
  socket.close(3000, 'κόσμε');
  const [code, reason] = await closed;
  assert.deepEqual([code, String(reason)], [3000, 'κόσμε']);
  await close();
});

await check('ws as server: a subprotocol, and fragments', async () => {
  const { socket, peer, close } = await againstWs({ handleProtocols: () => 'b' }, { protocols: ['a', 'b'] });
  assert.equal(socket.protocol, 'b');
  const told = new Promise((resolve) => { socket.onMessage = resolve; });
  peer.send('frag', { fin: false });
  peer.send('ments', { fin: true });
  assert.equal(await told, 'fragments');
  socket.terminate();
  await close();
});

await check('chromium: a page with a ticket sends and receives, and sees how it ends', async () => {
  const report = await browse(ours, tickets.issue().ticket);
  assert.deepEqual(report, {
    protocol: 'sidecar.v1', text: 'κόσμε 𐀀', bytes: [0, 255, 128], large: 300_000, code: 1000, isClean: true,
  });
});

await check('chromium: a page without a ticket sees 3401', async () => {
  assert.deepEqual(await browse(ours, 'none'), { code: 3401, isClean: true });
});

await check('chromium: a page of another origin is not let in, ticket or not', async () => {
  assert.deepEqual(await browse(foreign, tickets.issue().ticket), { code: 1006, isClean: false });
});

await server.close({ graceMs: 100 });
for (const page of pages) {
  page.closeAllConnections();
  page.close();
}

async function openWs(options = {}, protocols = []) {
  const socket = new WebSocket(address, protocols, { headers, ...options });
  await once(socket, 'open');
  return socket;
}

async function askWs(socket, data) {
  const answered = once(socket, 'message');
  socket.send(data);
  const [answer] = await answered;
  return answer;
}

function ask(socket, data) {
  return new Promise((resolve) => {
    socket.onMessage = resolve;
    socket.send(data);
  });
}

async function againstWs(serverOptions, options = {}) {
  const others = new WebSocketServer({ port: 0, host: '127.0.0.1', ...serverOptions });
  await once(others, 'listening');
  const connected = once(others, 'connection');
  const socket = await connectWebSocket(`ws://127.0.0.1:${others.address().port}`, options);
  const [peer] = await connected;
  peer.on('message', (data, isBinary) => peer.send(data, { binary: isBinary }));
  const close = async () => {
    others.close();
    for (const client of others.clients) client.terminate();
    await once(others, 'close');
  };
  return { socket, peer, close };
}

/** Serves a page that opens a WebSocket and reports what happened. */
async function pageServer() {
  const pageAt = createServer((request, response) => {
    if (request.method !== 'POST') return response.setHeader('Content-Type', 'text/html').end(page());
    let body = '';
    request.on('data', (chunk) => { body += chunk; });
    request.on('end', () => {
      response.end();
      onReport(JSON.parse(body));
    });
  });
  pageAt.listen(0, '127.0.0.1');
  await once(pageAt, 'listening');
  return pageAt;
}

function page() {
  return `<!doctype html><meta charset="utf-8"><script type="module">
    const report = {};
    const { searchParams } = new URL(location);
    const socket = new WebSocket(searchParams.get('address') + '?ticket=' + searchParams.get('ticket'), ['sidecar.v1']);
    socket.binaryType = 'arraybuffer';
    const next = () => new Promise((resolve) => { socket.onmessage = ({ data }) => resolve(data); });
    socket.onclose = ({ code, wasClean }) =>
      fetch('/', { method: 'POST', body: JSON.stringify({ ...report, code, isClean: wasClean }) });
    socket.onopen = async () => {
      socket.send('κόσμε 𐀀');
      const text = await next();
      report.protocol = socket.protocol;
      report.text = text;
      socket.send(new Uint8Array([0, 255, 128]));
      report.bytes = [...new Uint8Array(await next())];
      socket.send(new Uint8Array(300000));
      report.large = (await next()).byteLength;
      socket.close(1000, 'bye');
    };
  </script>`;
}

async function browse(origin, ticket) {
  const profile = mkdtempSync(join(tmpdir(), 'sidecar-chromium-'));
  const told = new Promise((resolve) => { onReport = resolve; });
  const words = [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
    `--user-data-dir=${profile}`,
  ];
  const browser = spawn('chromium', [...words, `${origin}/?${new URLSearchParams({ address, ticket })}`], {
    stdio: 'ignore', detached: true,
  });
  const exited = once(browser, 'exit');
  try {
    const failed = exited.then(() => { throw new Error('chromium ended'); });
    failed.catch(() => undefined);
    let overdue;
    const late = new Promise((_, reject) => {
      overdue = setTimeout(() => reject(new Error('the page reported nothing')), limitMs - 2000);
    });
    return await Promise.race([told, failed, late]).finally(() => clearTimeout(overdue));
  } finally {
    // The browser's helper processes are in its group.
    if (browser.exitCode === null) process.kill(-browser.pid, 'SIGKILL');
    await exited.catch(() => undefined);
    rmSync(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}
