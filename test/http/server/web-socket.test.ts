/** Routes that are WebSockets: the same checks as for any request, an answer for whatever is no handshake, and the end. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { createLog } from '../../../src/base/log.ts';
import { fromText, integer, object, optional } from '../../../src/base/parse.ts';
import { createAuthenticator } from '../../../src/http/auth/auth.ts';
import { createHttpServer } from '../../../src/http/server/listen.ts';
import { openApi } from '../../../src/http/docs/openapi.ts';
import type { Request, Route } from '../../../src/http/routing/route.ts';
import { ProblemError } from '../../../src/protocol/problem.ts';
import { type ConnectOptions, connectWebSocket } from '../../../src/websocket/client.ts';
import type { WebSocketClose, WebSocketConnection } from '../../../src/websocket/connection.ts';
import { certificate } from '../../support/certificate.ts';
import { closeFrame, frame, readFrames } from '../../support/web-socket.ts';
import { type Served, eventually, key, parseAnswer, serve, testRoutes, webSocket } from '../../support/http-server.ts';

const documentation = { summary: 'For tests' };
const sample = 'dGhlIHNhbXBsZSBub25jZQ==';
const accept = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';

interface Seen {
  readonly opened: WebSocketConnection[];
  readonly closed: WebSocketClose[];
  readonly requests: Request<{ readonly id: string }>[];
}

function routes(seen: Seen): Route[] {
  return [
    ...testRoutes({ calls: 0 }),
    webSocket('/echo/:id', {
      query: object({ n: optional(fromText(integer({ min: 0, max: 9 }))) }), protocols: ['sidecar.v2', 'sidecar.v1'], documentation,
    }, (request) => (socket) => {
      seen.requests.push(request);
      seen.opened.push(socket);
      socket.onClose = (closed) => { seen.closed.push(closed); };
      socket.onMessage = (data) => { socket.send(typeof data === 'string' ? `${request.params.id} ${data}` : data); };
    }),
    webSocket('/full', { documentation }, () => { throw new ProblemError('too_many_jobs', 'Cannot open: full', { headers: { 'Retry-After': '7' } }); }),
    webSocket('/patient', { documentation }, async () => {
      await turn();
      return (socket) => { socket.send('at last'); };
    }),
    webSocket('/broken', { documentation }, () => { throw new Error('secret inside'); }),
    webSocket('/throws', { documentation }, () => () => { throw new Error('secret inside'); }),
    webSocket('/small', { limits: { messageBytes: 10 }, documentation }, () => () => undefined),
  ];
}

async function served(t: TestContext, options: Parameters<typeof serve>[1] = {}): Promise<Served & Seen & { readonly open: Served['open']; readonly connect: (path: string, options?: ConnectOptions) => Promise<WebSocketConnection> }> {
  const seen: Seen = { opened: [], closed: [], requests: [] };
  const server = await serve(t, { routes: routes(seen), ...options });
  return {
    ...server, ...seen,
    async connect(path, more = {}) {
      const socket = await connectWebSocket(`ws://127.0.0.1:${server.port}${path}`, { headers: { 'X-API-Key': key }, ...more });
      t.after(() => socket.terminate());
      return socket;
    },
  };
}

/** A handshake, less or more some lines: `undefined` leaves one out, a list repeats it. */
function handshake(path: string, changes: { readonly [name: string]: string | readonly string[] | undefined } = {}, line = `GET ${path} HTTP/1.1`): string {
  const headers: { readonly [name: string]: string | readonly string[] | undefined } = {
    'Host': 'localhost', 'X-API-Key': key, 'Upgrade': 'websocket', 'Connection': 'Upgrade', 'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': sample, ...changes,
  };
  const lines = Object.entries(headers).flatMap(([name, value]) => [value ?? []].flat().map((one) => `${name}: ${one}\r\n`));
  return `${line}\r\n${lines.join('')}\r\n`;
}

function closing(socket: WebSocketConnection): Promise<WebSocketClose> {
  return new Promise((resolve) => { socket.onClose = resolve; });
}

test('a handshake is answered as RFC 6455 has it, and what comes right behind it is not lost', async (t) => {
  const { open, opened, requests, measured } = await served(t);
  const wire = await open();
  wire.socket.write(Buffer.concat([Buffer.from(handshake('/echo/7?n=3', { 'X-Request-Id': 'my-id' })), frame({ opcode: 1, payload: 'early' })]));
  const received = await wire.until(/7 early/);
  const { status, headers, text } = parseAnswer(received);
  assert.deepEqual([status, headers['upgrade'], headers['connection'], headers['sec-websocket-accept'], headers['x-request-id']],
    [101, 'websocket', 'Upgrade', accept, 'my-id']);
  assert.deepEqual([headers['sec-websocket-protocol'], headers['sec-websocket-extensions']], [undefined, undefined]);
  assert.deepEqual(readFrames(Buffer.from(text, 'latin1')).map(({ payload }) => payload.toString()), ['7 early']);
  assert.deepEqual([requests[0]?.params.id, requests[0]?.query, requests[0]?.isAuthenticated], ['7', { n: 3 }, true]);
  assert.equal(opened.length, 1);
  wire.socket.write(closeFrame(1000));
  await wire.end();
  assert.deepEqual(measured.map(({ method, path, status: code }) => [method, path, code]), [['GET', '/echo/:id', 101]]);
});

test('a handshake may be torn, come with other options beside it, and behind other requests', async (t) => {
  const { open, talk } = await served(t);
  const torn = await open();
  for (const byte of handshake('/echo/1')) {
    torn.socket.write(byte);
    await turn();
  }
  torn.socket.write(frame({ opcode: 1, payload: 'torn' }));
  await torn.until(/1 torn/);

  const used = await open();
  used.socket.write('GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await used.until(/authenticated/);
  used.socket.write(handshake('/echo/2', { 'Upgrade': 'h2c, WebSocket', 'Connection': 'keep-alive, UPGRADE' }));
  used.socket.write(frame({ opcode: 1, payload: 'reused' }));
  assert.match(await used.until(/2 reused/), /HTTP\/1\.1 200[\s\S]*HTTP\/1\.1 101/);

  const pipelined = `GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n${handshake('/echo/3')}`;
  const received = await talk(Buffer.concat([Buffer.from(pipelined), frame({ opcode: 1, payload: 'pipelined' })]), /3 pipelined/);
  assert.match(received, /HTTP\/1\.1 200[\s\S]*HTTP\/1\.1 101[\s\S]*3 pipelined/);
});

test('behind an answer that is not complete there is no upgrade: it is answered in its turn, and is the last', async (t) => {
  const { talk, measured } = await served(t);
  const received = await talk(`GET /late HTTP/1.1\r\nHost: localhost\r\nX-API-Key: ${key}\r\n\r\n${handshake('/echo/3')}GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  assert.match(received, /^HTTP\/1\.1 200[\s\S]*"late"[\s\S]*HTTP\/1\.1 426[\s\S]*Connection: close/);
  assert.equal(received.match(/HTTP\/1\.1 /g)?.length, 2);
  assert.equal(measured.length, 2);
});

test('the subprotocol is the best of ours that was offered; none is no failure', async (t) => {
  const { talk, connect } = await served(t);
  for (const [offered, chosen] of [
    ['sidecar.v1', 'sidecar.v1'], ['sidecar.v1, sidecar.v2', 'sidecar.v2'], [['sidecar.v1', 'other'], 'sidecar.v1'], ['other', undefined], ['SIDECAR.V1', undefined],
  ] as const) {
    const { status, headers } = parseAnswer(await talk(handshake('/echo/1', { 'Sec-WebSocket-Protocol': offered }), /\r\n\r\n/));
    assert.deepEqual([status, headers['sec-websocket-protocol']], [101, chosen]);
  }
  assert.equal((await connect('/echo/1', { protocols: ['other', 'sidecar.v1'] })).protocol, 'sidecar.v1');
  assert.equal((await connect('/echo/1')).protocol, '');
  const { status } = parseAnswer(await talk(handshake('/echo/1', { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits' }), /\r\n\r\n/));
  assert.equal(status, 101);
});

for (const [name, sent, status, code] of [
  ['no upgrade', handshake('/echo/1', { Upgrade: undefined, Connection: undefined }), 426, 'upgrade_required'],
  ['an upgrade to something else', handshake('/echo/1', { Upgrade: 'h2c' }), 426, 'upgrade_required'],
  ['an upgrade that Connection does not name', handshake('/echo/1', { Connection: 'keep-alive' }), 426, 'upgrade_required'],
  ['HTTP/1.0', handshake('/echo/1', {}, 'GET /echo/1 HTTP/1.0'), 426, 'upgrade_required'],
  ['no version', handshake('/echo/1', { 'Sec-WebSocket-Version': undefined }), 426, 'upgrade_required'],
  ['version 8', handshake('/echo/1', { 'Sec-WebSocket-Version': '8' }), 426, 'upgrade_required'],
  ['version 13 twice', handshake('/echo/1', { 'Sec-WebSocket-Version': ['13', '13'] }), 426, 'upgrade_required'],
  ['no Sec-WebSocket-Key', handshake('/echo/1', { 'Sec-WebSocket-Key': undefined }), 400, 'invalid_request'],
  ['an empty Sec-WebSocket-Key', handshake('/echo/1', { 'Sec-WebSocket-Key': '' }), 400, 'invalid_request'],
  ['a Sec-WebSocket-Key of 15 bytes', handshake('/echo/1', { 'Sec-WebSocket-Key': Buffer.alloc(15).toString('base64') }), 400, 'invalid_request'],
  ['a Sec-WebSocket-Key of 17 bytes', handshake('/echo/1', { 'Sec-WebSocket-Key': Buffer.alloc(17).toString('base64') }), 400, 'invalid_request'],
  ['a Sec-WebSocket-Key that is not base64', handshake('/echo/1', { 'Sec-WebSocket-Key': '!'.repeat(22) + '==' }), 400, 'invalid_request'],
  ['two Sec-WebSocket-Keys', handshake('/echo/1', { 'Sec-WebSocket-Key': [sample, sample] }), 400, 'invalid_request'],
  ['a subprotocol twice', handshake('/echo/1', { 'Sec-WebSocket-Protocol': ['sidecar.v1', 'sidecar.v1'] }), 400, 'invalid_request'],
  ['a subprotocol that is no token', handshake('/echo/1', { 'Sec-WebSocket-Protocol': 'a b' }), 400, 'invalid_request'],
  ['an empty subprotocol', handshake('/echo/1', { 'Sec-WebSocket-Protocol': '' }), 400, 'invalid_request'],
  ['two hosts', handshake('/echo/1', { Host: ['localhost', 'localhost'] }), 400, 'invalid_request'],
  ['no host', handshake('/echo/1', { Host: undefined }), 400, 'invalid_request'],
  ['a host that is not ours', handshake('/echo/1', { Host: 'evil.example' }), 403, 'host_not_allowed'],
  ['a page of another site, with the key', handshake('/echo/1', { Origin: 'https://evil.example' }), 403, 'origin_not_allowed'],
  ['a page without an origin', handshake('/echo/1', { Origin: 'null' }), 403, 'origin_not_allowed'],
  ['a path that is not there', handshake('/nothing'), 404, 'not_found'],
  ['a path that is no WebSocket and needs another method', handshake('/none'), 405, 'method_not_allowed'],
  ['POST', handshake('/echo/1', { 'Content-Length': '0' }, 'POST /echo/1 HTTP/1.1'), 405, 'method_not_allowed'],
  ['a parameter that is not known', handshake('/echo/1?x=1'), 400, 'invalid_request'],
  ['a parameter that is not right', handshake('/echo/1?n=10'), 400, 'invalid_request'],
  ['a target that is none', handshake('nonsense'), 400, 'invalid_request'],
  ['a percent that is none', handshake('/echo/%ff'), 400, 'invalid_request'],
  ['too large headers', handshake('/echo/1', { 'X-More': 'x'.repeat(20_000) }), 431, 'headers_too_large'],
  ['a route that refuses', handshake('/full'), 429, 'too_many_jobs'],
  ['a route with a bug', handshake('/broken'), 500, 'internal'],
] as const) {
  test(`${name} is answered ${status} over HTTP`, async (t) => {
    const { talk, opened, measured, logged } = await served(t);
    const received = await talk(`${sent}`, /\}$/);
    const { problem, headers } = parseAnswer(received);
    assert.deepEqual([problem.status, problem.code], [status, code]);
    if (status === 426) assert.deepEqual([headers['upgrade'], headers['sec-websocket-version']], ['websocket', '13']);
    if (code === 'too_many_jobs') assert.equal(headers['retry-after'], '7');
    assert.equal(received.match(/HTTP\/1\.1 /g)?.length, 1);
    assert.doesNotMatch(received, /secret inside/);
    assert.deepEqual([opened.length, measured.length], [0, 1]);
    assert.doesNotMatch(logged(), new RegExp(key));
  });
}

test('a refused handshake ends its connection, and what came behind it is not taken for a request', async (t) => {
  const { talk, measured } = await served(t);
  const received = await talk(`${handshake('/nothing')}GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  assert.match(received, /^HTTP\/1\.1 404 [\s\S]*Connection: close/);
  assert.equal(received.match(/HTTP\/1\.1 /g)?.length, 1);
  assert.equal(measured.length, 1);
});

test('a handshake for what is no WebSocket is answered as if it were none, however long the answer', async (t) => {
  const { open } = await served(t);
  const wire = await open();
  let bytes = 0;
  wire.socket.removeAllListeners('data').on('data', (chunk) => { bytes += chunk.length; });
  wire.socket.write(handshake('/flood'));
  await eventually(() => bytes > 16 * 1024 * 1024, 'the answer went on');
  wire.socket.destroy();
});

test('who offers h2c, as curl does, is answered as if it had not, bodies and all', async (t) => {
  const { ask, talk } = await served(t);
  const h2c = ['Upgrade: h2c', 'Connection: Upgrade, HTTP2-Settings', 'HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA'];
  assert.equal((await ask('GET /health', h2c)).text, '{"authenticated":true}');
  assert.match((await ask('POST /echo', h2c, '{"a":"b"}')).text, /"a":"b"/);
  const received = await talk(`GET /health HTTP/1.1\r\nHost: localhost\r\n${h2c.join('\r\n')}\r\n\r\n`);
  assert.match(received, /^HTTP\/1\.1 200[\s\S]*Connection: close/);
});

test('an upgrade with a body is no handshake, and what comes behind it is not taken for a request', async (t) => {
  const { talk, open, measured } = await served(t);
  const hidden = 'GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n';
  const received = await talk(`${handshake('/echo/1', { 'Content-Length': '5' })}hello${hidden}`);
  assert.match(received, /^HTTP\/1\.1 426[\s\S]*Connection: close/);
  const late = await open();
  late.socket.write(`${handshake('/late', { 'Upgrade': 'h2c', 'Content-Length': '5' })}helloGET /things/`);
  await turn();
  late.socket.write(hidden);
  assert.match(await late.end(), /^HTTP\/1\.1 200[\s\S]*Connection: close[\s\S]*"late":true\}$/);
  assert.equal(received.match(/HTTP\/1\.1 /g)?.length, 1);
  assert.equal(measured.length, 2);
});

test('HEAD and OPTIONS know the path, with or without an upgrade', async (t) => {
  const { ask } = await served(t);
  assert.equal((await ask('HEAD /echo/1')).status, 426);
  const { status, headers } = await ask('OPTIONS /echo/1');
  assert.deepEqual([status, headers['allow']], [204, 'GET, HEAD, OPTIONS']);
});

test('without the key, or with a wrong one, the WebSocket opens and closes at once with 3401, which pages can see', async (t) => {
  const { connect, opened, measured, logged, talk } = await served(t);
  for (const headers of [{}, { 'X-API-Key': 'wrong' }, { Authorization: 'Bearer wrong' }]) {
    const socket = await connect('/echo/1', { headers });
    assert.deepEqual(await closing(socket), { code: 3401, reason: 'the key is missing or wrong', isClean: true });
  }
  assert.equal(opened.length, 0);
  assert.deepEqual(measured.map(({ path, status }) => [path, status]), Array.from({ length: 3 }, () => ['/echo/:id', 401]));
  await eventually(() => logged().match(/wrong key/g)?.length === 2, 'the attempts were logged');
  // Only where there is a WebSocket to close.
  assert.equal(parseAnswer(await talk(handshake('/echo/1', { 'X-API-Key': undefined, 'Sec-WebSocket-Key': 'x' }))).status, 401);
  assert.equal(parseAnswer(await talk(handshake('/things/1', { 'X-API-Key': undefined }))).status, 401);
  assert.equal(parseAnswer(await talk(handshake('/nothing', { 'X-API-Key': undefined }))).status, 404);
});

test('a client that guesses keys by the dozen is told 1013, with the right key too, and Origin and Host are still refused at the handshake', async (t) => {
  const { connect, opened, measured, talk } = await served(t);
  const ends = await Promise.all(Array.from({ length: 20 }, async (_, index) =>
    closing(await connect('/echo/1', { headers: { 'X-API-Key': `wrong-${index}` } }))));
  assert.deepEqual([3401, 1013].map((code) => ends.filter((end) => end.code === code).length), [6, 14]);
  for (const { reason } of ends.filter(({ code }) => code === 1013)) assert.match(reason, /^too many wrong keys; try again in \d+ s$/);
  assert.equal((await closing(await connect('/echo/1'))).code, 1013);
  assert.equal(opened.length, 0);
  assert.equal(measured.filter(({ status }) => status === 429).length, 15);
  // Over HTTP, where the status can be seen.
  assert.equal(parseAnswer(await talk(handshake('/echo/1', { 'Sec-WebSocket-Key': 'x' }))).status, 429);
  assert.equal(parseAnswer(await talk(handshake('/echo/1', { 'X-API-Key': 'wrong', Origin: 'https://evil.example' }))).status, 403);
  assert.equal(parseAnswer(await talk(handshake('/echo/1', { 'X-API-Key': 'wrong', Host: 'evil.example' }))).status, 403);
});

test('a page whose origin is listed is let in', async (t) => {
  const { talk } = await served(t, { allowOrigins: ['https://app.example'] });
  assert.equal(parseAnswer(await talk(handshake('/echo/1', { Origin: 'https://app.example' }), /\r\n\r\n/)).status, 101);
  assert.equal(parseAnswer(await talk(handshake('/echo/1', { Origin: 'https://app.example.evil' }))).status, 403);
});

test('a route may take its time to open, and may fail once it is open', async (t) => {
  const { connect, logged, measured } = await served(t);
  const late = await connect('/patient');
  assert.equal(await new Promise((resolve) => { late.onMessage = resolve; }), 'at last');
  assert.deepEqual(await closing(await connect('/throws')), { code: 1011, reason: 'the server failed', isClean: true });
  await eventually(() => /WebSocket failed[\s\S]*secret inside/.test(logged()), 'the failure was logged');
  const small = await connect('/small');
  small.send('x'.repeat(11));
  assert.equal((await closing(small)).code, 1009);
  assert.equal(measured.length, 3);
});

test('who leaves while the route opens has its signal aborted, and nothing is opened', async (t) => {
  let signal: AbortSignal | undefined;
  let go = (): void => undefined;
  const opened: WebSocketConnection[] = [];
  const { open, measured } = await serve(t, { routes: [webSocket('/slow', { documentation }, async (request) => {
    signal = request.signal;
    await new Promise<void>((resolve) => { go = resolve; });
    return (socket) => { opened.push(socket); };
  })] });
  for (const leave of ['destroy', 'end'] as const) {
    signal = undefined;
    const wire = await open();
    wire.socket.write(handshake('/slow'));
    await eventually(() => signal !== undefined, 'the route was asked');
    wire.socket[leave]();
    await eventually(() => signal?.aborted === true, `the signal aborted after ${leave}()`);
    go();
    await wire.end();
  }
  await eventually(() => measured.length === 2, 'both were measured');
  assert.deepEqual(measured.map(({ status }) => status), [499, 499]);
  assert.deepEqual(opened, []);
});

test('an open WebSocket counts as a connection and outlives every limit that is for requests', async (t) => {
  const { connect, ask, open, opened } = await served(t, { limits: { connections: 3, idleMs: 50, headersMs: 50, requestMs: 60, stallMs: 80 } });
  const sockets = [await connect('/echo/1'), await connect('/echo/2'), await connect('/echo/3')];
  assert.equal((await ask('GET /health')).status, 503);
  sockets.pop()?.close();
  await eventually(() => opened[2]?.isOpen === false, 'one has ended');
  // As long as five others that say nothing were borne with, one after the other.
  for (let others = 0; others < 5; others += 1) await (await open()).end();
  for (const [index, socket] of sockets.entries()) {
    const answered = new Promise((resolve) => { socket.onMessage = resolve; });
    socket.send('still here');
    assert.equal(await answered, `${index + 1} still here`);
  }
});

test('close() closes WebSockets with 1001 at once, whoever answers, and waits for those that do not no longer than its grace', async (t) => {
  const { connect, open, close, closed } = await served(t);
  const polite = await connect('/echo/1');
  const told = closing(polite);
  const silent = await open();
  silent.socket.write(handshake('/echo/2'));
  await silent.until(/\r\n\r\n/);
  const started = performance.now();
  const ended = close(300);
  assert.deepEqual(await told, { code: 1001, reason: 'the server is shutting down', isClean: true });
  await ended;
  assert.ok(performance.now() - started < 4000);
  await silent.end();
  await eventually(() => closed.length === 2, 'both ends were told');
  assert.deepEqual(closed.map(({ code }) => code).sort(), [1001, 1006]);
});

test('close() does not wait for WebSockets that have closed', async (t) => {
  const { connect, close } = await served(t);
  const sockets = await Promise.all(Array.from({ length: 50 }, () => connect('/echo/1')));
  const ends = sockets.map(closing);
  const started = performance.now();
  await close(20_000);
  assert.ok(performance.now() - started < 5_000);
  assert.ok((await Promise.all(ends)).every(({ code, isClean }) => code === 1001 && isClean));
});

test('stopAccepting() closes WebSockets with 1012, those that are still opening too: they are opened again elsewhere', async (t) => {
  const log = createLog({ fd: 2, format: 'json', level: 'error' });
  const server = createHttpServer({ log, isLoopback: true });
  t.after(() => server.close({ graceMs: 0 }));
  let go = (): void => undefined;
  server.answer({
    routes: [
      webSocket('/quick', { documentation }, () => () => undefined),
      webSocket('/slow', { documentation }, async () => {
        await new Promise<void>((resolve) => { go = resolve; });
        return () => undefined;
      }),
    ],
    authenticator: createAuthenticator({ accepts: (presented) => presented === key, log }),
  });
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
  const connect = (path: string): Promise<WebSocketConnection> => connectWebSocket(`ws://127.0.0.1:${port}${path}`, { headers: { 'X-API-Key': key } });
  const quick = closing(await connect('/quick'));
  const slow = connect('/slow').then(closing);
  const before = go;
  await eventually(() => go !== before, 'the slow route was asked');
  let isSettled = false;
  const stopped = server.stopAccepting({ limitMs: 30_000 }).then(() => { isSettled = true; });
  const restart = { code: 1012, reason: 'service restart', isClean: true };
  assert.deepEqual(await quick, restart);
  assert.equal(isSettled, false);
  go();
  assert.deepEqual(await slow, restart);
  await stopped;
  await assert.rejects(connect('/quick'), { code: 'unreachable' });
});

test('over TLS it is the same', async (t) => {
  const { port, logged } = await served(t, { tls: certificate });
  const options = { headers: { 'X-API-Key': key }, ca: certificate.cert };
  const socket = await connectWebSocket(`wss://localhost:${port}/echo/1`, options);
  const big = Buffer.alloc(1_000_000, 'x');
  const answered = new Promise((resolve) => { socket.onMessage = resolve; });
  socket.send(big);
  assert.ok(big.equals(await answered as Buffer));
  socket.close();
  assert.equal((await closing(socket)).isClean, true);
  await assert.rejects(connectWebSocket(`wss://localhost:${port}/nothing`, options), { code: 'not_found', status: 404 });
  await assert.rejects(connectWebSocket(`wss://localhost:${port}/echo/1`, { headers: options.headers }), { code: 'unreachable' });
  assert.doesNotMatch(logged(), /"level":"error"/);
});

test('five hundred at once', async (t) => {
  const { connect, opened, close } = await served(t);
  const sockets = await Promise.all(Array.from({ length: 500 }, (_, index) => connect(`/echo/${index}`)));
  const answers = await Promise.all(sockets.map((socket) => new Promise((resolve) => {
    socket.onMessage = resolve;
    socket.send('hello');
  })));
  assert.deepEqual(answers, sockets.map((_, index) => `${index} hello`));
  assert.equal(opened.length, 500);
  await close(5000);
});

test('the documents have a WebSocket as a GET with 101 and 426', () => {
  const document = openApi({ title: 'x', version: '1', routes: routes({ opened: [], closed: [], requests: [] }) }) as unknown as {
    paths: { [path: string]: { get: { responses: { [status: string]: { description: string } }; security?: unknown; parameters: { name: string }[] } } };
  };
  const { responses, security, parameters } = document.paths['/echo/{id}']?.get ?? { responses: {}, parameters: [] };
  assert.match(responses['101']?.description ?? '', /WebSocket, with the subprotocol sidecar\.v2 or sidecar\.v1/);
  assert.match(responses['426']?.description ?? '', /upgrade_required/);
  assert.match(responses['401']?.description ?? '', /unauthorized/);
  assert.equal(security, undefined);
  assert.deepEqual(parameters.map(({ name }) => name), ['id', 'n']);
});

