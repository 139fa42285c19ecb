import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { json } from '../../../src/http/routing/reply.ts';
import { dial, eventually, key, parseAnswer, serve, testRoutes, route } from '../../support/http-server.ts';

const H = 'Host: localhost\r\n';
const K = `X-API-Key: ${key}\r\n`;
const J = 'Content-Type: application/json\r\n';

test('a connection is kept for the next request, and pipelined requests are answered in order', async (t) => {
  const { talk } = await serve(t);
  const received = await talk(
    `GET /late HTTP/1.1\r\n${H}${K}\r\nGET /things/2 HTTP/1.1\r\n${H}${K}\r\nGET /things/3 HTTP/1.1\r\n${H}${K}Connection: close\r\n\r\n`);
  assert.match(received, /"late":true[\s\S]*"id":"2"[\s\S]*"id":"3"/);
});

test('of many pipelined questions those whose answers are not read wait, and all are answered in order', async (t) => {
  let calls = 0;
  const big = route('GET', '/big/:id', { documentation: { summary: 'For tests', answers: { 200: { description: 'Much' } } } }, ({ params }) => {
    calls += 1;
    return json(200, { id: params['id'], text: 'x'.repeat(500_000) });
  });
  const { open } = await serve(t, { routes: [big] });
  const wire = await open();
  wire.socket.pause();
  const lines = Array.from({ length: 80 }, (_, id) => `GET /big/${id} HTTP/1.1\r\n${H}${K}${id === 79 ? 'Connection: close\r\n' : ''}\r\n`);
  wire.socket.write(lines.join(''));
  await eventually(() => calls >= 16, 'the first are answered');
  await delay(300);
  assert.ok(calls < 60, `${calls} answers wait in memory`);
  wire.socket.resume();
  const ids = [...(await wire.end()).matchAll(/"id":"(\d+)"/g)].map(([, id]) => Number(id));
  assert.deepEqual(ids, Array.from({ length: 80 }, (_, id) => id));
});

test('orders that are pipelined are carried out once each, in order, with their bodies', async (t) => {
  const { talk } = await serve(t);
  const order = (id: number): string => {
    const body = JSON.stringify({ a: `number ${id} ${'x'.repeat(id % 7 === 0 ? 20_000 : 5)}` });
    return `POST /echo HTTP/1.1\r\n${H}${K}${J}${id === 199 ? 'Connection: close\r\n' : ''}Content-Length: ${body.length}\r\n\r\n${body}`;
  };
  const received = await talk(Array.from({ length: 200 }, (_, id) => order(id)).join(''));
  const ids = [...received.matchAll(/number (\d+)/g)].map(([, id]) => Number(id));
  assert.deepEqual(ids, Array.from({ length: 200 }, (_, id) => id));
});

test('a client without the key that sends more requests at once than one has a reason for is left', async (t) => {
  const { open } = await serve(t);
  const wire = await open();
  wire.socket.on('error', () => undefined);
  let answers = 0;
  wire.socket.on('data', (bytes) => { answers += bytes.toString('latin1').match(/HTTP\/1\.1 200/g)?.length ?? 0; });
  wire.socket.write(`GET /health HTTP/1.1\r\n${H}\r\n`.repeat(1000));
  await Promise.race([once(wire.socket, 'close'), eventually(() => answers === 1000, 'all are answered')]);
  assert.ok(answers < 100, `${answers} answers`);
  const again = await open();
  again.socket.write(`GET /health HTTP/1.1\r\n${H}\r\n`.repeat(59) + `GET /health HTTP/1.1\r\n${H}Connection: close\r\n\r\n`);
  assert.equal((await again.end()).match(/HTTP\/1\.1 200/g)?.length, 60);
});

test('behind a request that is right, one that is malformed is answered after it, not instead of it', async (t) => {
  const { talk } = await serve(t);
  const received = await talk(`GET /late HTTP/1.1\r\n${H}${K}\r\nnonsense\r\n\r\n`);
  assert.match(received, /^HTTP\/1\.1 200[\s\S]*"late":true\}HTTP\/1\.1 400 Bad Request/);
});

test('a body that breaks off in bad chunks is answered once, and what follows is not taken for a request', async (t) => {
  const { talk, seen } = await serve(t);
  const received = await talk(`POST /echo HTTP/1.1\r\n${H}${K}${J}Transfer-Encoding: chunked\r\n\r\n2\r\n{}XX\r\n`
    + `POST /echo HTTP/1.1\r\n${H}${K}${J}Content-Length: 2\r\n\r\n{}`);
  assert.equal(received.match(/HTTP\/1\.1/g)?.length, 1);
  assert.equal(parseAnswer(received).status, 400);
  assert.equal(seen.calls, 0);
});

test('a request hidden in the body of one that is refused is never run', async (t) => {
  const { talk, seen } = await serve(t);
  const hidden = `POST /none HTTP/1.1\r\n${H}${K}\r\n`;
  for (const [name, value] of [['no key', `POST /echo HTTP/1.1\r\n${H}`], ['no route', `POST /nowhere HTTP/1.1\r\n${H}${K}`]]) {
    const received = await talk(`${value}Content-Length: ${hidden.length}\r\n\r\n${hidden}GET /health HTTP/1.1\r\n${H}Connection: close\r\n\r\n`);
    assert.equal(received.match(/HTTP\/1\.1 /g)?.length, 2, name);
    assert.match(received, /"authenticated":false/);
  }
  assert.equal(seen.calls, 0);
});

test('a body declared too long is refused before it is sent, and the client that sends it all the same sees the answer', async (t) => {
  const { open } = await serve(t, { limits: { bodyBytes: 1000, lingerMs: 2000 } });
  const wire = await open();
  wire.socket.write(`POST /echo HTTP/1.1\r\n${H}${K}${J}Content-Length: 8000000\r\n\r\n`);
  wire.socket.write(Buffer.alloc(8_000_000));
  const answer = parseAnswer(await wire.end());
  assert.equal(answer.status, 413);
  assert.equal(answer.problem.code, 'payload_too_large');
});

test('a chunked body is counted, and refused at the limit', async (t) => {
  const { open, seen } = await serve(t, { limits: { bodyBytes: 1000 } });
  const wire = await open();
  wire.socket.write(`POST /raw HTTP/1.1\r\n${H}${K}Transfer-Encoding: chunked\r\n\r\n`);
  for (let sent = 0; sent < 20; sent += 1) wire.socket.write(`64\r\n${'x'.repeat(100)}\r\n`);
  assert.equal(parseAnswer(await wire.end()).status, 413);
  assert.equal(seen.calls, 0);
});

test('a body of exactly the limit is taken', async (t) => {
  const { ask } = await serve(t, { limits: { bodyBytes: 100_000 } });
  assert.equal((await ask('POST /raw', [], Buffer.alloc(100_000))).text, '{"bytes":100000}');
  assert.equal((await ask('POST /raw', [], Buffer.alloc(100_001))).status, 413);
});

test('who sends nothing, or headers or a body too slowly, is told 408; others do not notice', async (t) => {
  const { open, ask } = await serve(t, { limits: { headersMs: 150, requestMs: 300 } });
  const silent = await open();
  const slowHead = await open();
  const slowBody = await open();
  slowHead.socket.write(`GET /health HTTP/1.1\r\nHost: loc`);
  slowBody.socket.write(`POST /echo HTTP/1.1\r\n${H}${K}${J}Content-Length: 10\r\n\r\n{`);
  const drip = setInterval(() => slowHead.socket.write('a'), 20);
  t.after(() => clearInterval(drip));
  assert.equal((await ask('GET /health')).status, 200);
  for (const wire of [silent, slowHead, slowBody]) {
    const answer = parseAnswer(await wire.end());
    assert.equal(answer.status, 408);
    assert.equal(answer.problem.code, 'request_timeout');
    assert.equal(answer.headers['connection'], 'close');
  }
});

test('an idle connection is closed without a word', async (t) => {
  const { talk } = await serve(t, { limits: { idleMs: 50 } });
  const received = await talk(`GET /health HTTP/1.1\r\n${H}\r\n`);
  assert.equal(received.match(/HTTP\/1\.1/g)?.length, 1);
});

test('who closes its half behind the request still gets the answer', async (t) => {
  const { open } = await serve(t);
  const wire = await open();
  wire.socket.end(`GET /late HTTP/1.1\r\n${H}${K}\r\n`);
  assert.match(await wire.end(), /"late":true/);
});

test('who closes its half in the middle of a request is told that it is not whole', async (t) => {
  const { open } = await serve(t);
  for (const part of ['GET /hea', `GET /health HTTP/1.1\r\nHost`, `POST /echo HTTP/1.1\r\n${H}${K}${J}Content-Length: 10\r\n\r\n{`]) {
    const wire = await open();
    wire.socket.end(part);
    assert.equal(parseAnswer(await wire.end()).status, 400, part);
  }
});

test('a client that leaves aborts the signal of its request', async (t) => {
  const { open, seen, measured } = await serve(t);
  const wire = await open();
  wire.socket.write(`GET /wait HTTP/1.1\r\n${H}${K}\r\n`);
  await eventually(() => seen.signal !== undefined, 'the handler was called');
  wire.socket.destroy();
  await eventually(() => seen.signal?.aborted === true, 'the signal aborted');
  await eventually(() => measured.some(({ status, path }) => status === 499 && path === '/wait'), 'the leaving was measured');
});

test('Expect: 100-continue is met once the request is known to be wanted, and not before', async (t) => {
  const { open } = await serve(t);
  const wanted = await open();
  wanted.socket.write(`POST /echo HTTP/1.1\r\n${H}${K}${J}Expect: 100-continue\r\nContent-Length: 9\r\nConnection: close\r\n\r\n`);
  await wanted.until(/100 Continue\r\n\r\n/);
  wanted.socket.write('{"a":"b"}');
  assert.match(await wanted.end(), /100 Continue\r\n\r\nHTTP\/1\.1 200[\s\S]*"a":"b"/);
  const unwanted = await open();
  unwanted.socket.write(`POST /echo HTTP/1.1\r\n${H}${J}Expect: 100-continue\r\nContent-Length: 9\r\n\r\n`);
  assert.match(await unwanted.end(), /^HTTP\/1\.1 401 [\s\S]*Connection: close/);
});

test('one connection too many is refused politely, and taken once there is room', async (t) => {
  const { open, ask } = await serve(t, { limits: { connections: 2 } });
  const first = await open();
  for (const wire of [first, await open()]) {
    // With the key, so that neither gives way.
    wire.socket.write(`GET /query HTTP/1.1\r\n${H}${K}\r\n`);
    await wire.until(/HTTP\/1\.1 200/);
  }
  const answer = await ask('GET /health');
  assert.equal(answer.status, 503);
  assert.equal(answer.problem.code, 'unavailable');
  assert.equal(answer.headers['retry-after'], '1');
  first.socket.destroy();
  let status = 503;
  for (let asked = 0; status !== 200 && asked < 100; asked += 1) status = await delay(20).then(() => ask('GET /health')).then((later) => later.status);
  assert.equal(status, 200);
});

test('beyond the last connection what is vital is answered, and one that sends nothing is told so', async (t) => {
  const documentation = { summary: 'For tests', answers: { 200: { description: 'Whatever it is' } } };
  const { open, ask } = await serve(t, {
    limits: { connections: 2 },
    routes: testRoutes({ calls: 0 }, [route('POST', '/vital', { isVital: true, documentation }, () => json(200, 'done'))]),
  });
  for (const wire of [await open(), await open()]) {
    wire.socket.write(`GET /query HTTP/1.1\r\n${H}${K}\r\n`);
    await wire.until(/HTTP\/1\.1 200/);
  }
  const answer = await ask('POST /vital');
  assert.deepEqual([answer.status, answer.text, answer.headers['connection']], [200, '"done"', 'close']);
  assert.equal((await ask('GET /query')).status, 503);
  assert.match(await (await open()).end(), /^HTTP\/1\.1 503 /);
});

test('where most connections are taken an answer ends its own', async (t) => {
  const { open } = await serve(t, { limits: { connections: 16 } });
  for (let count = 0; count < 11; count += 1) {
    const kept = await open();
    kept.socket.write(`GET /query HTTP/1.1\r\n${H}${K}\r\n`);
    assert.doesNotMatch(await kept.until(/HTTP\/1\.1 200[^]*\}\}/), /Connection: close/);
  }
  const last = await open();
  last.socket.write(`GET /query HTTP/1.1\r\n${H}${K}\r\n`);
  assert.match(await last.end(), /^HTTP\/1\.1 200 [\s\S]*Connection: close/);
});

test('a reader that takes nothing stops its own stream, not the memory, and is let go in the end', async (t) => {
  const { port, seen, ask } = await serve(t, { limits: { stallMs: 300 } });
  const wire = await dial(port);
  wire.socket.pause();
  wire.socket.write(`GET /flood HTTP/1.1\r\n${H}${K}\r\n`);
  await eventually(() => seen.calls > 0, 'the stream began');
  assert.equal((await ask('GET /health')).status, 200);
  await eventually(() => seen.signal?.aborted === true, 'the stalled client was let go');
  assert.ok(seen.calls < 2048, `${seen.calls} of 4096 chunks were written`);
  wire.socket.destroy();
});

test('close() ends idle connections at once, lets answers finish and says Connection: close', async (t) => {
  const { open, talk, close, port } = await serve(t);
  const idle = await open();
  const used = await open();
  used.socket.write(`GET /health HTTP/1.1\r\n${H}\r\n`);
  await used.until(/authenticated/);
  const busy = talk(`GET /late HTTP/1.1\r\n${H}${K}\r\n`);
  await delay(50);
  const started = performance.now();
  const closed = close(5000);
  await Promise.all([idle.end(), used.end()]);
  assert.ok(performance.now() - started < 2000);
  assert.match(await busy, /^HTTP\/1\.1 200[\s\S]*Connection: close[\s\S]*"late":true/);
  await closed;
  assert.ok(performance.now() - started < 4000);
  const refused = await dial(port).then(() => false, () => true).catch(() => true);
  assert.equal(refused, true);
});

test('close() ends waits and streams when the grace is over', async (t) => {
  const { open, close, seen } = await serve(t);
  const waiting = await open();
  waiting.socket.write(`GET /wait HTTP/1.1\r\n${H}${K}\r\n`);
  await eventually(() => seen.signal !== undefined, 'the wait began');
  const following = await open();
  following.socket.write(`GET /events HTTP/1.1\r\n${H}${K}\r\n`);
  await following.until(/event: first/);
  const started = performance.now();
  await close(100);
  assert.ok(performance.now() - started >= 99);
  const answer = parseAnswer(await waiting.end());
  assert.equal(answer.status, 503);
  assert.equal(answer.problem.code, 'shutting_down');
  assert.match(await following.end(), /\r\n0\r\n\r\n$/);
});

test('close() waits for nobody who ignores the end', async (t) => {
  const { open, close } = await serve(t);
  const wire = await open();
  wire.socket.write(`GET /flood HTTP/1.1\r\n${H}${K}\r\n`);
  await wire.until(/200 OK/);
  wire.socket.pause();
  await close(0);
  await Promise.all([wire.socket.destroyed || once(wire.socket.resume(), 'close'), close(0)]);
});
