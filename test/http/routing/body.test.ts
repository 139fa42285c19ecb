/** Bodies that are handled as they arrive. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { json } from '../../../src/http/routing/reply.ts';
import type { Limits } from '../../../src/http/server/limits.ts';
import { ProblemError } from '../../../src/protocol/problem.ts';
import { type Served, key, route, serve } from '../../support/http-server.ts';
import { until } from '../../support/wait.ts';

const documentation = { summary: 'For tests', answers: { 200: { description: 'What it counted' } } };
const head = `Host: localhost\r\nX-API-Key: ${key}\r\n`;

interface Streaming extends Served {
  readonly pieces: Buffer[];
  readonly failures: unknown[];
}

/** `POST /stream` counts, `POST /refuse` fails at the first piece, `POST /unread` reads nothing. */
async function streaming(t: TestContext, limits: Partial<Limits> = {}): Promise<Streaming> {
  const pieces: Buffer[] = [];
  const failures: unknown[] = [];
  const served = await serve(t, {
    limits: { bodyBytes: 1000, ...limits },
    routes: [
      route('POST', '/stream', { body: 'stream', documentation }, async ({ content }) => {
        let bytes = 0;
        try {
          for await (const piece of content) {
            pieces.push(piece);
            bytes += piece.length;
          }
        } catch (error) {
          failures.push(error);
          throw error;
        }
        return json(200, { bytes });
      }),
      route('POST', '/refuse', { body: 'stream', documentation }, async ({ content }) => {
        for await (const piece of content) throw new ProblemError('storage_full', `Cannot write ${typeof piece}`);
        return json(200, {});
      }),
      route('POST', '/unread', { body: 'stream', documentation }, () => json(200, {})),
      route('GET', '/health', { documentation }, () => json(200, { ok: true })),
    ],
  });
  return { ...served, pieces, failures };
}

test('a body longer than any limit arrives piece by piece, and the connection stays', async (t) => {
  const { open, pieces } = await streaming(t);
  const wire = await open();
  const body = Buffer.alloc(3_000_000, 'x');
  wire.socket.write(`POST /stream HTTP/1.1\r\n${head}Content-Length: ${body.length}\r\n\r\n`);
  wire.socket.write(body);
  await wire.until(/\{"bytes":3000000\}/);
  assert.ok(pieces.length > 1);
  assert.ok(pieces.every(({ length }) => length <= 65_536));
  wire.socket.write(`POST /stream HTTP/1.1\r\n${head}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`);
  await wire.until(/\{"bytes":3\}/);
  wire.socket.write(`POST /stream HTTP/1.1\r\n${head}\r\n`);
  await wire.until(/\{"bytes":0\}/);
});

test('a body that takes longer than a request may is no failure, one that stalls is', async (t) => {
  const { open, ask, failures } = await streaming(t, { headersMs: 50, requestMs: 100, stallMs: 1_000 });
  const slow = await open();
  slow.socket.write(`POST /stream HTTP/1.1\r\n${head}Content-Length: 8\r\n\r\n`);
  const beganAt = performance.now();
  for (let sent = 0; sent < 7; sent += 1) {
    await until(() => performance.now() > beganAt + (sent + 1) * 60, { what: 'some time has passed' });
    slow.socket.write('x');
  }
  assert.equal(slow.received(), '');
  slow.socket.write('x');
  await slow.until(/\{"bytes":8\}/);
  const stalled = await open();
  stalled.socket.write(`POST /stream HTTP/1.1\r\n${head}Content-Length: 8\r\n\r\nx`);
  assert.equal(await stalled.end(), '');
  assert.deepEqual(failures.map((failure) => (failure as Error).name), ['ClientDisconnected']);
  assert.equal((await ask('GET /health')).status, 200);
});

test('a client that leaves in the middle ends the reading', async (t) => {
  const { open, pieces, failures, logged } = await streaming(t);
  const wire = await open();
  wire.socket.write(`POST /stream HTTP/1.1\r\n${head}Content-Length: 8\r\n\r\nabc`);
  await until(() => pieces.length === 1, { what: 'the first piece came' });
  wire.socket.destroy();
  await until(() => failures.length === 1, { what: 'the reading failed' });
  assert.equal((failures[0] as Error).name, 'ClientDisconnected');
  assert.doesNotMatch(logged(), /"level":"error"/);
});

for (const [path, status, found] of [['/refuse', 507, 'storage_full'], ['/unread', 200, '{}']] as const) {
  test(`an answer to POST ${path} comes before the body has; after a long one the connection ends`, async (t) => {
    const { open } = await streaming(t);
    const long = await open();
    long.socket.write(`POST ${path} HTTP/1.1\r\n${head}Content-Length: 5000000\r\n\r\n${'x'.repeat(100)}`);
    await long.until(new RegExp(found));
    long.socket.write('x'.repeat(100_000));
    const received = await long.end();
    assert.match(received, new RegExp(`^HTTP/1.1 ${status} [^]*\r\nConnection: close\r\n`));
    const short = await open();
    short.socket.write(`POST ${path} HTTP/1.1\r\n${head}Content-Length: 500\r\n\r\n${'x'.repeat(100)}`);
    await short.until(new RegExp(found));
    short.socket.write(`${'x'.repeat(400)}GET /health HTTP/1.1\r\n${head}\r\n`);
    await short.until(/\{"ok":true\}/);
  });
}

test('a client that waits for 100 (Continue) gets it when the body is read, and not for a refusal', async (t) => {
  const { open } = await streaming(t);
  const wire = await open();
  wire.socket.write(`POST /stream HTTP/1.1\r\n${head}Content-Length: 3\r\nExpect: 100-continue\r\n\r\n`);
  await wire.until(/^HTTP\/1\.1 100 Continue\r\n\r\n$/);
  wire.socket.write('abc');
  await wire.until(/\{"bytes":3\}/);
  const refused = await open();
  refused.socket.write(`POST /unread HTTP/1.1\r\n${head}Content-Length: 3\r\nExpect: 100-continue\r\n\r\n`);
  assert.match(await refused.end(), /^HTTP\/1\.1 200 OK\r\n/);
});
