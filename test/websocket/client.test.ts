/** The client's handshake, against servers of all kinds. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, type Socket, createServer } from 'node:net';
import { test, type TestContext } from 'node:test';
import { ProblemError } from '../../src/protocol/problem.ts';
import { type ConnectOptions, connectWebSocket } from '../../src/websocket/client.ts';
import type { WebSocketClose } from '../../src/websocket/connection.ts';
import { until } from '../support/wait.ts';
import { closeFrame, frame, readFrames } from '../support/web-socket.ts';

interface Stub {
  readonly url: string;
  /** What it was sent, one for each connection. */
  readonly received: Buffer[];
  readonly sockets: Socket[];
}

/** A server that answers a request with whatever `answer` makes of its accept value. */
async function stub(t: TestContext, answer: (accept: string, socket: Socket) => string | Buffer | undefined): Promise<Stub> {
  const received: Buffer[] = [];
  const sockets: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const index = sockets.push(socket) - 1;
    let isAnswered = false;
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      const bytes = Buffer.concat([received[index] ?? Buffer.alloc(0), chunk]);
      received[index] = bytes;
      const key = /sec-websocket-key: (\S+)\r\n[^]*\r\n\r\n/i.exec(bytes.toString('latin1'))?.[1];
      if (key === undefined || isAnswered) return;
      isAnswered = true;
      const said = answer(createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64'), socket);
      if (said !== undefined) socket.write(said);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  });
  return { url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}/x?y=1`, received, sockets };
}

const right = (accept: string, more = ''): string =>
  `HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n${more}\r\n`;

test('the handshake and the frames of a client are as RFC 6455 has them', async (t) => {
  const { url, received } = await stub(t, (accept) => Buffer.concat([
    Buffer.from(right(accept, 'Sec-WebSocket-Protocol: b\r\n')), frame({ opcode: 1, payload: 'early', isMasked: false }),
  ]));
  const socket = await connectWebSocket(url, { protocols: ['a', 'b'], headers: { 'X-API-Key': 'k' } });
  const messages: unknown[] = [];
  socket.onMessage = (data) => { messages.push(data); };
  assert.equal(socket.protocol, 'b');
  await until(() => messages.length === 1, { what: 'what came with the answer was read' });
  for (const size of [0, 1, 63, 64, 65, 125, 126, 4096, 65_536, 300_001]) socket.send(Buffer.alloc(size, 'abcdefg'));
  socket.send('text: κόσμε');
  const head = (): string => received[0]?.toString('latin1').split('\r\n\r\n')[0] ?? '';
  const frames = (): ReturnType<typeof readFrames> => readFrames(received[0]?.subarray(head().length + 4) ?? Buffer.alloc(0));
  await until(() => frames().length === 11, { what: 'all arrived' });
  assert.match(head(), /^GET \/x\?y=1 HTTP\/1\.1\r\n/);
  for (const line of [/^X-API-Key: k$/m, /^Upgrade: websocket$/m, /^Connection: Upgrade$/m, /^Sec-WebSocket-Version: 13$/m, /^Sec-WebSocket-Protocol: a, b$/m]) {
    assert.match(head().replaceAll('\r', ''), line);
  }
  assert.doesNotMatch(head(), /extensions/i);
  assert.ok(frames().every(({ isMasked }) => isMasked));
  assert.deepEqual(frames().map(({ payload }) => payload.length), [0, 1, 63, 64, 65, 125, 126, 4096, 65_536, 300_001, 16]);
  for (const { payload, opcode } of frames()) assert.ok(payload.equals(opcode === 1 ? Buffer.from('text: κόσμε') : Buffer.alloc(payload.length, 'abcdefg')));
  assert.deepEqual(messages, ['early']);
  socket.terminate();
});

test('each connection has a key of its own, and each frame a mask of its own', async (t) => {
  const { url, received } = await stub(t, (accept) => right(accept));
  // One after the other, as they are not accepted in the order in which they were asked for.
  const sockets = [];
  for (let count = 0; count < 5; count += 1) sockets.push(await connectWebSocket(url));
  const keys = received.map((bytes) => /Sec-WebSocket-Key: (\S+)/.exec(bytes.toString('latin1'))?.[1]);
  assert.equal(new Set(keys).size, 5);
  for (let sent = 0; sent < 2000; sent += 1) sockets[0]?.send('');
  const start = (received[0]?.indexOf('\r\n\r\n') ?? 0) + 4;
  await until(() => received[0]?.length === start + 2000 * 6, { what: 'all arrived' });
  const masks = new Set(Array.from({ length: 2000 }, (_, index) => received[0]?.toString('hex', start + index * 6 + 2, start + index * 6 + 6)));
  assert.ok(masks.size > 1990);
  for (const socket of sockets) socket.terminate();
});

const problem = JSON.stringify({ type: 'x', title: 'x', status: 429, detail: 'Cannot open: full', code: 'too_many_jobs', error: 'x', waiting: 3 });

for (const [name, answer, code, status] of [
  ['a wrong Sec-WebSocket-Accept', () => right('AAAAAAAAAAAAAAAAAAAAAAAAAAA='), 'bad_answer', 101],
  ['no Sec-WebSocket-Accept', () => right('x').replace(/Sec-WebSocket-Accept.*\r\n/, ''), 'bad_answer', 101],
  ['another Upgrade', (accept: string) => right(accept).replace('WebSocket\r\n', 'h2c\r\n'), 'bad_answer', 101],
  ['an extension that was not offered', (accept: string) => right(accept, 'Sec-WebSocket-Extensions: permessage-deflate\r\n'), 'bad_answer', 101],
  ['a subprotocol that was not offered', (accept: string) => right(accept, 'Sec-WebSocket-Protocol: c\r\n'), 'bad_answer', 101],
  ['no Upgrade', (accept: string) => right(accept).replace('Upgrade: WebSocket\r\n', ''), 'bad_answer', 101],
  ['a problem', () => `HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Type: application/problem+json\r\nContent-Length: ${problem.length}\r\n\r\n${problem}`, 'too_many_jobs', 429],
  ['a problem without its body', () => 'HTTP/1.1 503 x\r\nContent-Type: application/problem+json\r\nContent-Length: 0\r\n\r\n', 'bad_answer', 503],
  ['a page', () => 'HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi', 'bad_answer', 200],
  ['a redirect', () => 'HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n', 'bad_answer', 302],
  ['what is not HTTP', () => 'SSH-2.0-OpenSSH\r\n', 'unreachable', 0],
] as const) {
  test(`${name} in answer to the handshake rejects with ${code}, ${status}`, async (t) => {
    const { url, sockets } = await stub(t, answer);
    await assert.rejects(connectWebSocket(url, { protocols: ['a'] }), (error) => {
      assert.ok(error instanceof ProblemError);
      assert.deepEqual([error.code, error.status], [code, status]);
      if (code === 'too_many_jobs') assert.deepEqual([error.message, error.headers, error.extensions], ['Cannot open: full', { 'Retry-After': '7' }, { waiting: 3 }]);
      return true;
    });
    await until(() => sockets[0]?.readableEnded === true || sockets[0]?.destroyed === true, { what: 'the connection was ended' });
  });
}

test('a server that is not there, ends without a word or never answers rejects as unreachable', async (t) => {
  const gone = await stub(t, (_, socket) => { socket.destroy(); return undefined; });
  await assert.rejects(connectWebSocket(gone.url), { code: 'unreachable' });
  const silent = await stub(t, () => undefined);
  await assert.rejects(connectWebSocket(silent.url, { openTimeoutMs: 50 }), { code: 'unreachable' });
  const endless = await stub(t, () => 'HTTP/1.1 500 x\r\nContent-Type: application/problem+json\r\n\r\n{');
  await assert.rejects(connectWebSocket(endless.url, { openTimeoutMs: 200 }), { code: 'unreachable' });
  const vanished = createServer().listen(0, '127.0.0.1');
  await once(vanished, 'listening');
  const { port } = vanished.address() as AddressInfo;
  vanished.close();
  await once(vanished, 'close');
  await assert.rejects(connectWebSocket(`ws://127.0.0.1:${port}`), { code: 'unreachable' });
});

test('a signal ends the attempt, not the open connection', async (t) => {
  const silent = await stub(t, () => undefined);
  const reason = new Error('enough');
  await assert.rejects(connectWebSocket(silent.url, { signal: AbortSignal.abort(reason) }), reason);
  const late = new AbortController();
  const attempt = connectWebSocket(silent.url, { signal: late.signal });
  await until(() => silent.received.length === 1, { what: 'the handshake arrived' });
  late.abort(reason);
  await assert.rejects(attempt, reason);
  await until(() => silent.sockets[0]?.readableEnded === true || silent.sockets[0]?.destroyed === true, { what: 'the connection was ended' });
  const { url } = await stub(t, (accept) => right(accept));
  const controller = new AbortController();
  const socket = await connectWebSocket(url, { signal: controller.signal });
  controller.abort();
  assert.equal(socket.isOpen, true);
  socket.terminate();
});

test('what cannot be asked for is refused before anything is sent', async () => {
  const options: ConnectOptions[] = [{ protocols: ['a b'] }, { protocols: ['a', 'a'] }, { protocols: [''] }];
  for (const one of options) await assert.rejects(connectWebSocket('ws://127.0.0.1:1', one), RangeError);
  await assert.rejects(connectWebSocket('ftp://127.0.0.1/'), RangeError);
  await assert.rejects(connectWebSocket('nonsense'), TypeError);
});

test('after the closing handshake a client lets the server end the connection, but not for ever', async (t) => {
  const { url, sockets } = await stub(t, (accept) => right(accept));
  const socket = await connectWebSocket(url, { closeTimeoutMs: 100 });
  const told = new Promise<WebSocketClose>((resolve) => { socket.onClose = resolve; });
  let isEnded = false;
  sockets[0]?.on('end', () => { isEnded = true; });
  sockets[0]?.on('close', () => { isEnded = true; });
  sockets[0]?.write(closeFrame(1000, 'bye', false));
  assert.deepEqual(await told, { code: 1000, reason: 'bye', isClean: true });
  assert.equal(isEnded, false);
  await until(() => isEnded, { what: 'the client ended it' });
});
