import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { type TestContext, describe, it } from 'node:test';
import { JobWaitAbortedError, ProblemError, Sidecar, type SidecarOptions } from '../../src/client/client.ts';
import { rejectsWith, throwsWith } from '../support/errors.ts';
import { until } from '../support/wait.ts';
import { FakeServer, answer, hangUp, key, refuse } from '../support/fake-server.ts';

const quick = { firstDelayMs: 1, maxDelayMs: 5 };

async function setUp(t: TestContext, options: Partial<SidecarOptions> = {}): Promise<{ server: FakeServer; sidecar: Sidecar }> {
  const server = new FakeServer();
  await server.start();
  t.after(() => server.close());
  return { server, sidecar: new Sidecar({ url: server.url, key, retry: quick, ...options }) };
}

describe('Sidecar', () => {
  it('run() submits, waits and hands out the finished job with its output', async (t) => {
    const { sidecar } = await setUp(t);
    const job = await sidecar.run({ command: 'echo hi; echo oh >&2; exit 3' });
    assert.deepEqual([job.status, job.exitCode, job.stdout, job.stderr], ['failed', 3, 'hi\n', 'oh\n']);
  });

  it('run() hands out output as it comes, byte for byte', async (t) => {
    const { sidecar } = await setUp(t);
    const pieces: Buffer[] = [];
    const job = await sidecar.run({ command: "printf 'a\\377\\n'; sleep 0.05; printf '\\000b'" }, {
      onOutput: (stream, bytes) => void (stream === 'stdout' && pieces.push(Buffer.from(bytes))),
    });
    assert.equal(job.exitCode, 0);
    assert.deepEqual(Buffer.concat(pieces), Buffer.from([0x61, 0xff, 0x0a, 0, 0x62]));
  });

  it('run() runs a job once when the answer to it was lost', async (t) => {
    const { server, sidecar } = await setUp(t);
    const submitted = once(process, 'test:submitted');
    // Lets the request through, loses the answer.
    server.faults.push((request, response) => {
      if (!request.url?.startsWith('/exec')) return false;
      response.writeHead = () => {
        request.socket.destroy();
        process.emit('test:submitted' as never);
        return response;
      };
      return false;
    });
    const running = sidecar.run({ command: 'true' });
    await submitted;
    server.faults.length = 0;
    assert.equal((await running).status, 'completed');
    assert.equal(server.jobs.size, 1);
  });

  it('run() rejects with an error that names the job and has the reason of its signal, and the job runs on', async (t) => {
    const { server, sidecar } = await setUp(t);
    const controller = new AbortController();
    const reason = new Error('enough');
    const running = sidecar.run({ command: 'sleep 5' }, { signal: controller.signal, onAccepted: () => controller.abort(reason) });
    const [entry] = await until(() => server.jobs.size > 0 && [...server.jobs.values()], { what: 'a job' });
    const error = await rejectsWith(running, {
      type: JobWaitAbortedError, message: new RegExp(`^enough; job ${entry?.job.jobId} runs on$`),
    });
    assert.deepEqual([error.jobId, error.cause, error.name], [entry?.job.jobId, reason, 'Error']);
    assert.equal(entry?.job.status, 'running');
  });

  it('exec() without a key of its own is not repeated when the connection breaks', async (t) => {
    const { server, sidecar } = await setUp(t);
    server.faults.push(hangUp);
    await rejectsWith(sidecar.exec({ command: 'true' }), { type: ProblemError, code: 'unreachable', message: /Cannot reach http:\/\/127\.0\.0\.1:\d+: the connection broke/ });
    assert.equal(server.seen.length, 1);
    server.faults.push(hangUp, hangUp);
    await sidecar.exec({ command: 'true' }, { idempotencyKey: 'k' });
    assert.equal(server.seen.length, 4);
  });

  it('tries as often as it is told, then says who did not answer', async (t) => {
    const { server, sidecar } = await setUp(t, { retry: { ...quick, attempts: 3 } });
    server.faults.push(hangUp, hangUp, hangUp, hangUp);
    await rejectsWith(sidecar.health(), { type: ProblemError, code: 'unreachable' });
    assert.equal(server.seen.length, 3);
    await server.stop();
    await rejectsWith(sidecar.health(), { type: ProblemError, code: 'unreachable', message: /nothing listens there/ });
  });

  it('waits as long as Retry-After says, if that is not too long', async (t) => {
    const { server, sidecar } = await setUp(t, { retry: { ...quick, maxRetryAfterMs: 2000 } });
    server.faults.push(refuse(new ProblemError('unavailable', 'Not now', { headers: { 'Retry-After': '1' } })));
    const startedAtMs = performance.now();
    await sidecar.jobs.list();
    assert.ok(performance.now() - startedAtMs >= 1000);
    server.faults.push(refuse(new ProblemError('too_many_jobs', 'Later', { headers: { 'Retry-After': '3' } })));
    await rejectsWith(sidecar.jobs.list(), { type: ProblemError, code: 'too_many_jobs' });
    server.faults.push(refuse(new ProblemError('unavailable', 'Not now')));
    await rejectsWith(sidecar.jobs.list(), { type: ProblemError, code: 'unavailable' });
  });

  it('throws the problem of the server, extensions included', async (t) => {
    const { server, sidecar } = await setUp(t);
    server.faults.push(refuse(new ProblemError('stdin_full', 'Cannot write: full', { extensions: { writtenBytes: 7 } })));
    const error = await rejectsWith(sidecar.exec({ command: 'true' }), { type: ProblemError, code: 'stdin_full', message: 'Cannot write: full' });
    assert.deepEqual([error.status, error.extensions], [409, { writtenBytes: 7 }]);
  });

  it('keeps the status of a code that it does not know, and takes the nearest one', async (t) => {
    const { server, sidecar } = await setUp(t);
    const type = { 'Content-Type': 'application/problem+json' };
    server.faults.push(answer(418, type, '{"code":"teapot","detail":"short and stout"}'));
    const error = await rejectsWith(sidecar.health(), { type: ProblemError, code: 'invalid_request', message: 'short and stout' });
    assert.equal(error.status, 418);
    server.faults.push(answer(404, type, '{"code":"gone_fishing","title":"Gone"}'));
    await rejectsWith(sidecar.health(), { type: ProblemError, code: 'not_found', message: 'Gone' });
  });

  it('calls what does not speak the protocol a bad answer', async (t) => {
    const { server, sidecar } = await setUp(t);
    const cases = [
      answer(200, { 'Content-Type': 'text/html' }, '<p>It works!'),
      answer(200, { 'Content-Type': 'application/json' }, '{"status":"fine"}'),
      answer(502, { 'Content-Type': 'text/html' }, '<p>Bad gateway'),
      answer(302, { Location: 'http://127.0.0.1:1/' }, ''),
      answer(500, { 'Content-Type': 'application/problem+json' }, '{"code":'),
    ];
    for (const fault of cases) {
      server.faults.push(fault);
      await rejectsWith(sidecar.health(), { type: ProblemError, code: 'bad_answer' });
    }
    const noise = createServer((socket) => socket.end('220 mail.example ESMTP\r\n')).listen(0, '127.0.0.1');
    t.after(() => noise.close());
    await once(noise, 'listening');
    const { port } = noise.address() as { port: number };
    await rejectsWith(new Sidecar({ url: `http://127.0.0.1:${port}` }).health(), { type: ProblemError, code: 'bad_answer', message: /does not speak HTTP/ });
  });

  it('gives up on a server that does not answer', async (t) => {
    const { server, sidecar } = await setUp(t, { requestTimeoutMs: 50, retry: { ...quick, attempts: 2 } });
    server.faults.push(() => true, () => true);
    await rejectsWith(sidecar.health(), { type: ProblemError, code: 'unreachable', message: /No answer within/ });
  });

  it('health() tells without the key only that somebody is there', async (t) => {
    const { server, sidecar } = await setUp(t);
    assert.equal((await sidecar.health()).authenticated, true);
    assert.deepEqual(await new Sidecar({ url: `${server.url}/` }).health(), { status: 'ok', authenticated: false });
    await rejectsWith(new Sidecar({ url: server.url, key: 'wrong' }).jobs.list(), { type: ProblemError, code: 'unauthorized' });
  });

  it('refuses addresses and keys that cannot be used, without showing the key', () => {
    for (const url of ['', 'localhost:8585', 'ftp://x', 'http://user:secret@x']) {
      const error = throwsWith(() => new Sidecar({ url }), { type: ProblemError, code: 'invalid_request' });
      assert.doesNotMatch(String(error), /secret/);
    }
    const error = throwsWith(() => new Sidecar({ url: 'http://x', key: 'top\nsecret' }), { type: ProblemError, code: 'invalid_request' });
    assert.doesNotMatch(String(error), /secret/);
  });

  it('imports nothing of Node, so that it works in browsers', async () => {
    const seen = new Set<string>();
    const visit = async (url: URL): Promise<void> => {
      if (seen.has(url.href)) return;
      seen.add(url.href);
      const source = await readFile(url, 'utf8');
      assert.doesNotMatch(source, /'node:|\bprocess\.|\bBuffer\b/, url.pathname);
      for (const [, path = ''] of source.matchAll(/from '(\..*?)'/g)) await visit(new URL(path, url));
    };
    await visit(new URL('../../src/client/client.ts', import.meta.url));
    assert.ok(seen.size > 8);
  });
});
