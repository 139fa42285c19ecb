import assert from 'node:assert/strict';
import { test } from 'node:test';
import { json, jsonList, stream } from '../../../src/http/routing/reply.ts';
import { formatEvent } from '../../../src/http/routing/sse.ts';
import { eventually, key, parseAnswer, route, serve } from '../../support/http-server.ts';

const H = 'Host: localhost\r\n';
const K = `X-API-Key: ${key}\r\n`;
const documentation = { summary: 'For tests', answers: { 200: { description: 'ok' } } };

test('every answer has an id, says what it is and is not kept', async (t) => {
  const { ask } = await serve(t);
  for (const line of ['GET /health', 'GET /nowhere', 'GET /bug', 'GET /short', 'OPTIONS /health', 'DELETE /health']) {
    const { headers } = await ask(line);
    assert.match(headers['x-request-id'] ?? '', /^[\w-]+$/, line);
    assert.equal(headers['x-content-type-options'], 'nosniff', line);
    assert.equal(headers['cache-control'], 'no-store', line);
  }
});

test('an id that is fit is echoed, any other is replaced', async (t) => {
  const { ask } = await serve(t);
  const echoed = async (id: string): Promise<string | undefined> => (await ask('GET /health', [`X-Request-Id: ${id}`])).headers['x-request-id'];
  assert.equal(await echoed('a.B-1:2_3'), 'a.B-1:2_3');
  assert.equal(await echoed('x'.repeat(128)), 'x'.repeat(128));
  for (const id of ['x'.repeat(129), 'a b', 'ä', '"']) assert.notEqual(await echoed(id), id);
});

test('HEAD is GET without the body, on texts and on streams', async (t) => {
  const { ask } = await serve(t);
  const [got, asked] = [await ask('GET /health'), await ask('HEAD /health')];
  assert.equal(asked.status, 200);
  assert.equal(asked.text, '');
  assert.equal(asked.headers['content-length'], got.headers['content-length']);
  const streamed = await ask('HEAD /flood');
  assert.deepEqual([streamed.status, streamed.text, streamed.headers['content-type']], [200, '', 'application/octet-stream']);
  assert.equal((await ask('HEAD /events')).headers['content-type'], 'text/event-stream');
  assert.equal((await ask('HEAD /nowhere')).status, 404);
  assert.equal((await ask('HEAD /echo')).status, 405);
});

test('jsonList() writes a list of any length, and makes no more of it than is taken', async () => {
  const item = 'x'.repeat(1_000_000);
  let made = 0;
  async function* items(count: number): AsyncGenerator<string> {
    for (; made < count; made += 1) yield item;
  }
  // Longer than a string can be (V8, String::kMaxLength).
  const reply = await jsonList(200, items(600), { Link: 'x' });
  assert.ok(reply.type === 'stream');
  assert.deepEqual(reply.headers, { 'Content-Type': 'application/json', Link: 'x' });
  let taken = 0;
  let ahead = 0;
  const write = async (chunk: Uint8Array | string): Promise<void> => {
    ahead = Math.max(ahead, made - Math.floor(taken / item.length));
    taken += chunk.length;
  };
  await reply.write({ signal: new AbortController().signal, write, trailer: assert.fail });
  assert.equal(taken, 600 * (item.length + 3) + 1);
  assert.ok(ahead <= 3, `${ahead} items were ahead`);
});

test('jsonList() writes valid JSON in one piece or many', async () => {
  for (const count of [0, 1, 2, 3, 1000]) {
    const all = Array.from({ length: count }, (_, index) => ({ index, text: 'ä"'.repeat(index) }));
    async function* items(): AsyncGenerator<unknown> { yield* all; }
    const reply = await jsonList(200, items());
    let text = reply.type === 'text' ? reply.text : '';
    if (reply.type === 'stream') {
      await reply.write({ signal: new AbortController().signal, write: async (chunk) => { text += String(chunk); }, trailer: assert.fail });
    }
    assert.deepEqual(JSON.parse(String(text)), all);
    assert.equal(reply.type, count === 1000 ? 'stream' : 'text');
  }
});

test('OPTIONS says what an address has, without the key', async (t) => {
  const { ask } = await serve(t);
  const one = await ask('OPTIONS /things/1', ['X-API-Key: ']);
  assert.deepEqual([one.status, one.headers['allow'], one.text], [204, 'GET, HEAD, DELETE, OPTIONS', '']);
  assert.equal((await ask('OPTIONS *')).status, 204);
  assert.equal((await ask('OPTIONS /nowhere')).status, 404);
  assert.equal(one.headers['access-control-allow-methods'], undefined);
});

test('a listed origin may call, ask beforehand, and read failures too', async (t) => {
  const { ask } = await serve(t, { allowOrigins: ['https://App.example'] });
  const origin = 'Origin: https://app.example';
  const preflight = await ask('OPTIONS /echo', ['X-API-Key: ', origin, 'Access-Control-Request-Method: POST', 'Access-Control-Request-Headers: x-api-key']);
  assert.equal(preflight.status, 204);
  assert.equal(preflight.headers['access-control-allow-origin'], 'https://app.example');
  assert.equal(preflight.headers['access-control-allow-methods'], 'POST, OPTIONS');
  for (const name of ['X-API-Key', 'Authorization', 'Content-Type', 'Idempotency-Key', 'Last-Event-ID', 'If-None-Match', 'Prefer', 'Range']) {
    assert.ok(preflight.headers['access-control-allow-headers']?.includes(name), name);
  }
  for (const [line, status] of [['GET /health', 200], ['GET /nowhere', 404], ['GET /bug', 500]] as const) {
    const answer = await ask(line, [origin]);
    assert.equal(answer.status, status);
    assert.equal(answer.headers['access-control-allow-origin'], 'https://app.example');
    assert.equal(answer.headers['vary'], 'Origin');
    assert.match(answer.headers['access-control-expose-headers'] ?? '', /ETag.*Location.*X-Request-Id/);
  }
  assert.equal((await ask('GET /health', ['Origin: https://app.example.evil'])).status, 403);
  assert.equal((await ask('GET /health')).headers['vary'], 'Origin');
});

test('on a loopback address only our own names are answered; elsewhere any', async (t) => {
  const near = await serve(t, { allowHosts: ['Box.tunnel.example'] });
  const far = await serve(t, { isLoopback: false });
  for (const [host, status] of [['box.tunnel.example', 200], ['box.tunnel.example:443', 200], ['127.0.0.1', 200], ['localhost.evil.example', 403],
    ['127.0.0.1.evil.example', 403], ['[::2]', 403], ['10.0.0.1', 403]] as const) {
    assert.equal((await near.ask('GET /health', [`Host: ${host}`])).status, status, host);
    assert.equal((await far.ask('GET /health', [`Host: ${host}`])).status, 200, host);
  }
});

test('a bug is a bare 500 for the client, and a stack with its cause and the id in the log', async (t) => {
  const { ask, logged } = await serve(t);
  const { status, text, headers } = await ask('GET /bug');
  assert.equal(status, 500);
  assert.doesNotMatch(text, /secret|cause/);
  await eventually(() => logged().includes('request failed'), 'it was logged');
  const line = logged().split('\n').find((entry) => entry.includes('request failed')) ?? '';
  const entry = JSON.parse(line) as { requestId: string; error: { stack: string; causes: { message: string }[] } };
  assert.equal(entry.requestId, headers['x-request-id']);
  assert.match(entry.error.stack, /secret inside/);
  assert.equal(entry.error.causes[0]?.message, 'the cause');
});

test('a shortage of the machine in any handler is a 503 with words', async (t) => {
  // What went wrong: EMFILE while the output of a job was read was a bare 500.
  const { ask, logged } = await serve(t, {
    routes: [route('GET', '/files', { documentation: { summary: 'For tests', answers: { 200: { description: 'Nothing' } } } }, () => {
      throw Object.assign(new Error('EMFILE: too many open files, open \'/secret\''), { code: 'EMFILE' });
    })],
  });
  const { status, headers, problem } = await ask('GET /files');
  assert.deepEqual([status, problem.code, headers['retry-after']], [503, 'unavailable', '5']);
  assert.equal(problem.detail, 'Cannot answer: the machine has run out of file descriptors, processes or memory (EMFILE)');
  assert.doesNotMatch(logged(), /request failed/);
});

test('a problem keeps its status, headers and further members', async (t) => {
  const { ask } = await serve(t);
  const answer = await ask('GET /problem');
  assert.equal(answer.status, 429);
  assert.equal(answer.headers['retry-after'], '7');
  assert.deepEqual(answer.problem, {
    waiting: 3, type: 'urn:machine-sidecar:problem:too_many_jobs', title: 'Too many jobs are waiting', status: 429,
    detail: 'Cannot start: full', code: 'too_many_jobs', error: 'Cannot start: full',
  });
});

test('a header that cannot be sent, and a reply that is none, are bugs, not the end', async (t) => {
  const { ask } = await serve(t, {
    routes: [
      route('GET', '/split', { documentation }, () => json(200, {}, { 'X-A': 'b\r\nX-C: d' })),
      route('GET', '/none', { documentation }, () => undefined as never),
    ],
  });
  assert.equal((await ask('GET /split')).status, 500);
  assert.equal((await ask('GET /none')).status, 500);
});

test('a stream that fails midway is cut off, so that it does not look whole', async (t) => {
  const { talk, logged } = await serve(t);
  const torn = await talk(`GET /torn HTTP/1.1\r\n${H}${K}\r\n`);
  assert.match(torn, /begun/);
  assert.doesNotMatch(torn, /\r\n0\r\n\r\n$/);
  const short = await talk(`GET /short HTTP/1.1\r\n${H}${K}\r\n`);
  assert.match(short, /Content-Length: 10\r\n[\s\S]*12345$/);
  await eventually(() => logged().includes('torn apart'), 'it was logged');
});

test('a stream is not begun before those of earlier requests of the connection have ended', async (t) => {
  const begun: (() => void)[] = [];
  const { open } = await serve(t, {
    routes: [route('GET', '/slow', { documentation }, () => stream(200, {}, async (sink) => {
      await new Promise<void>((resolve) => begun.push(resolve));
      await sink.write('done');
    }))],
  });
  const wire = await open();
  const requests = 5;
  wire.socket.write(`GET /slow HTTP/1.1\r\n${H}${K}\r\n`.repeat(requests));
  for (let count = 1; count <= requests; count += 1) {
    await eventually(() => begun.length === count, `stream ${count} has begun`);
    begun[count - 1]?.();
    await wire.until(new RegExp(`(done[^]*){${count}}`));
  }
  wire.socket.write(`GET /slow HTTP/1.1\r\n${H}${K}\r\n`.repeat(requests));
  await eventually(() => begun.length === requests + 1, 'the next one has begun');
  // Those that never came to their turn end with the connection.
  wire.socket.destroy();
});

test('a stream shows its headers before its first bytes', async (t) => {
  let finish = (): void => undefined;
  const { open } = await serve(t, {
    routes: [route('GET', '/quiet', { documentation }, () => stream(200, {}, () => new Promise((resolve) => { finish = resolve; })))],
  });
  const wire = await open();
  wire.socket.write(`GET /quiet HTTP/1.1\r\n${H}${K}Connection: close\r\n\r\n`);
  assert.match(await wire.until(/\r\n\r\n/), /^HTTP\/1\.1 200/);
  finish();
  assert.match(await wire.end(), /\r\n0\r\n\r\n$/);
});

test('events have an id, a name and one line of JSON, and a comment comes when nothing else does', async (t) => {
  const { open } = await serve(t, { limits: { heartbeatMs: 20 } });
  const wire = await open();
  wire.socket.write(`GET /events HTTP/1.1\r\n${H}${K}\r\n`);
  const received = await wire.until(/:\n\n\r\n[\s\S]*:\n\n/);
  assert.match(received, /Content-Type: text\/event-stream/);
  assert.match(received, /id: 1-0\nevent: first\ndata: \{"text":"a\\nb"\}\n\n/);
});

test('formatEvent() refuses a name or an id of more than one line', () => {
  assert.equal(formatEvent({ event: 'end', data: undefined }), 'event: end\ndata: null\n\n');
  for (const event of ['a\nb', 'a\rb', 'a\0b']) assert.throws(() => formatEvent({ event, data: 1 }), TypeError);
  assert.throws(() => formatEvent({ event: 'a', id: '1\n2', data: 1 }), TypeError);
});

test('every answer is measured under the path of its route', async (t) => {
  const { ask, measured } = await serve(t);
  await ask('GET /things/7');
  await ask('HEAD /health');
  await ask('TRACE /health');
  await ask('GET /nowhere/at/all');
  await eventually(() => measured.length === 4, 'all were measured');
  assert.deepEqual(measured.map(({ method, path, status }) => [method, path, status]), [
    ['GET', '/things/:id', 200], ['HEAD', '/health', 200], ['OTHER', '/health', 405], ['GET', 'unmatched', 404],
  ]);
  assert.ok(measured.every(({ durationMs }) => durationMs >= 0 && durationMs < 1000));
});

test('the log tells a request without its query', async (t) => {
  const { ask, logged } = await serve(t);
  await ask('GET /query?a=secret');
  await eventually(() => logged().includes('"request"'), 'it was logged');
  assert.doesNotMatch(logged(), new RegExp(`secret|${key}`));
});

test('half of an answer is never taken for one: an answer in one piece has its length', async (t) => {
  const { talk } = await serve(t);
  const answer = parseAnswer(await talk(`GET /things/%C3%A4 HTTP/1.1\r\n${H}${K}Connection: close\r\n\r\n`));
  assert.equal(answer.headers['content-length'], String(answer.text.length));
});
