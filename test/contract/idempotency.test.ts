/** Idempotency-Key: the same request again does nothing and has the first answer again. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import type { Job } from '../../src/client/client.ts';
import { spawnServer, startTestServer, temporaryFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { type Answer, ask, finished, type Reached, run, show, submit } from '../support/client.ts';

const accepted = (answer: Answer): string => answer.json<{ jobId: string }>().jobId;

test('Idempotency-Key on POST /exec', async (t) => {
  const server = await startTestServer(t);
  const post = (key: string, body: object, to: Reached = server): Promise<Answer> => ask(to, 'POST /exec', { body, headers: { 'Idempotency-Key': key } });

  await t.test('the same key and body: the first answer again, and one run', async () => {
    const file = join(temporaryFolder(t), 'runs');
    const body = { command: `echo run >>'${file}'` };
    const first = await post('k1', body);
    await finished(server, accepted(first));
    const again = await post('k1', body);
    assert.deepEqual([again.status, again.text, again.headers.location], [202, first.text, first.headers.location]);
    assert.equal((await ask(server, 'GET /jobs')).json<Job[]>().length, 1);
    assert.equal(readFileSync(file, 'utf8'), 'run\n');
  });

  await t.test('the same request many times at once: one job', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => post('k2', { command: 'true' })));
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([202]));
    assert.equal(new Set(answers.map(accepted)).size, 1);
  });

  await t.test('the same key with another body is 422, and nothing happens', async () => {
    const count = (await ask(server, 'GET /jobs')).json<Job[]>().length;
    await post('k3', { command: 'true' });
    const { status, problem } = await post('k3', { command: 'false' });
    assert.deepEqual([status, problem.code], [422, 'idempotency_mismatch']);
    assert.match(problem.detail, /"k3"/);
    assert.equal((await ask(server, 'GET /jobs')).json<Job[]>().length, count + 1);
  });

  await t.test('with wait, the job that runs already is waited for', async () => {
    const first = await post('k4', { command: 'read x; echo "$x"' });
    const waiting = ask(server, 'POST /exec?wait=60', { body: { command: 'read x; echo "$x"' }, headers: { 'Idempotency-Key': 'k4' } });
    await ask(server, `POST /jobs/${accepted(first)}/nudge`);
    assert.deepEqual([(await waiting).status, accepted(await waiting)], [200, accepted(first)]);
  });

  await t.test('a request that was refused leaves its key free', async () => {
    assert.equal((await post('k5', { command: '' })).status, 400);
    assert.equal((await post('k5', { command: 'true', workdir: '/no/such/folder' })).status, 400);
    assert.equal((await post('k5', { command: 'true' })).status, 202);
  });

  await t.test('the key is free again once its job is deleted', async () => {
    const first = accepted(await post('k6', { command: 'true' }));
    await finished(server, first);
    await ask(server, `DELETE /jobs/${first}`);
    const second = await post('k6', { command: 'true #' });
    assert.equal(second.status, 202);
    assert.notEqual(accepted(second), first);
  });

  await t.test('a key of 1 to 255 characters, else 400', async () => {
    assert.equal((await post('x', { command: 'true' })).status, 202);
    assert.equal((await post('x'.repeat(255), { command: 'true' })).status, 202);
    assert.equal((await post('__proto__', { command: 'true' })).status, 202);
    for (const key of ['', 'x'.repeat(256)]) {
      const { status, problem } = await post(key, { command: 'true' });
      assert.deepEqual([status, problem.code], [400, 'invalid_request']);
      assert.match(problem.detail, /Idempotency-Key/);
    }
  });

  await t.test('rerun has keys too, and a key of another request does not fit', async () => {
    const { jobId } = await run(server, { command: 'true' });
    const rerun = (key: string): Promise<Answer> => ask(server, `POST /jobs/${jobId}/rerun`, { headers: { 'Idempotency-Key': key } });
    const first = await rerun('k7');
    assert.deepEqual((await rerun('k7')).text, first.text);
    assert.equal((await rerun('k1')).problem.code, 'idempotency_mismatch');
    assert.equal((await post('k7', {})).status, 400);
    assert.equal((await post('k7', { command: 'true' })).problem.code, 'idempotency_mismatch');
  });
});

test('Idempotency-Key on the calls on a job', async (t) => {
  const server = await startTestServer(t);
  const keyed = (line: string, key: string, body: object | string): Promise<Answer> => ask(server, line, { body, headers: { 'Idempotency-Key': key } });

  await t.test('nudge and stdin write once', async () => {
    const id = await submit(server, { command: 'cat' });
    for (let time = 0; time < 3; time += 1) {
      assert.deepEqual((await keyed(`POST /jobs/${id}/nudge`, 'n', { input: 'nudge\n' })).json(), { nudged: true, processAlive: true });
      assert.deepEqual((await keyed(`POST /jobs/${id}/stdin`, 's', 'stdin\n')).json(), { writtenBytes: 6, eof: false });
    }
    assert.equal((await keyed(`POST /jobs/${id}/nudge`, 'n', { input: 'other' })).status, 422);
    assert.equal((await keyed(`POST /jobs/${id}/stdin`, 's', 'other')).status, 422);
    assert.equal((await keyed(`POST /jobs/${id}/stdin?eof=1`, 's', 'stdin\n')).status, 422);
    await ask(server, `POST /jobs/${id}/stdin?eof=1`);
    assert.equal((await finished(server, id)).stdout, 'nudge\nstdin\n');
    assert.deepEqual((await keyed(`POST /jobs/${id}/nudge`, 'n', { input: 'nudge\n' })).json()['nudged'], true);
  });

  await t.test('signal sends once', async () => {
    const id = await submit(server, { command: 'trap "echo got" USR1; echo; while ! read -r x; do :; done' });
    await until(async () => (await show(server, id)).stdout === '\n', { what: 'it is ready' });
    for (let time = 0; time < 3; time += 1) {
      assert.equal((await keyed(`POST /jobs/${id}/signal`, 'k', { signal: 'SIGUSR1' })).status, 200);
      await until(async () => (await show(server, id)).stdout?.includes('got'), { what: 'it came' });
    }
    await ask(server, `POST /jobs/${id}/nudge`);
    assert.equal((await finished(server, id)).stdout, '\ngot\n');
  });

  await t.test('cancel has its first answer again', async () => {
    const id = await submit(server, { command: 'sleep 600' });
    const first = await keyed(`POST /jobs/${id}/cancel`, 'k', {});
    assert.equal((await keyed(`POST /jobs/${id}/cancel`, 'k', {})).text, first.text);
    assert.equal((await keyed(`POST /jobs/${id}/cancel`, 'k', { graceSeconds: 0 })).status, 422);
  });

  await t.test('what was refused may be asked again', async () => {
    const { jobId } = await run(server, { command: 'true' });
    for (let time = 0; time < 2; time += 1) assert.equal((await keyed(`POST /jobs/${jobId}/signal`, 'k', { signal: 'SIGINT' })).status, 409);
    assert.equal((await keyed(`POST /jobs/${jobId}/signal`, '', { signal: 'SIGINT' })).status, 400);
  });
});

test('Idempotency-Key outlives the server, however it ends', async (t) => {
  const server = await spawnServer(t);
  const body = { command: 'read x; echo "$x"' };
  const post = (): Promise<Answer> => ask(server, 'POST /exec', { body, headers: { 'Idempotency-Key': 'k' } });
  const nudge = (id: string): Promise<Answer> =>
    ask(server, `POST /jobs/${id}/nudge`, { body: { input: 'once\n' }, headers: { 'Idempotency-Key': 'n' } });
  const id = accepted(await post());
  await server.kill9();
  await server.restart();
  assert.equal(accepted(await post()), id);
  assert.equal((await nudge(id)).json()['nudged'], true);
  assert.equal((await finished(server, id)).stdout, 'once\n');
  await server.restart();
  assert.equal(accepted(await post()), id);
  assert.equal((await nudge(id)).json()['nudged'], true);
  const { problem } = await ask(server, 'POST /exec', { body: { command: 'true' }, headers: { 'Idempotency-Key': 'k' } });
  assert.equal(problem.code, 'idempotency_mismatch');
  assert.equal((await ask(server, 'GET /jobs')).json<Job[]>().length, 1);
});

test('every POST takes an Idempotency-Key, and says so', async (t) => {
  const server = await startTestServer(t);
  type Operation = { readonly parameters: readonly { readonly name: string }[]; readonly responses: { readonly [status: string]: unknown } };
  const { paths } = (await ask(server, 'GET /openapi.json')).json<{ paths: { [path: string]: { post?: Operation } } }>();
  const posts = Object.entries(paths).flatMap(([path, { post }]) => (post ? [{ path, post }] : []));
  assert.ok(posts.length > 10);
  // A question that is too long for an address: it changes nothing.
  for (const { path, post } of posts.filter(({ path }) => path !== '/files/find')) {
    assert.ok(post.parameters.some(({ name }) => name === 'Idempotency-Key'), path);
    assert.ok(post.responses['422'], path);
  }
});

test('Idempotency-Key on terminals: one is opened, and each input typed once, whatever becomes of the server', async (t) => {
  const server = await spawnServer(t);
  const folder = temporaryFolder(t);
  const keyed = (line: string, key: string, body: object): Promise<Answer> => ask(server, line, { body, headers: { 'Idempotency-Key': key } });
  const open = (body: object = { command: `cat > '${join(folder, 'typed')}'` }): Promise<Answer> => keyed('POST /terminals', 't', body);
  const answers = await Promise.all(Array.from({ length: 5 }, () => open()));
  assert.deepEqual([...new Set(answers.map(({ status, text, headers }) => `${status} ${headers.location} ${text}`))].length, 1);
  const { terminalId } = answers[0]?.json<{ terminalId: string }>() ?? {};
  assert.equal((await open({ command: 'true' })).problem.code, 'idempotency_mismatch');
  assert.equal((await keyed('POST /terminals', '', { command: 'true' })).status, 400);
  const type = (): Promise<Answer> => keyed(`POST /terminals/${terminalId}/input`, 'i', { data: 'once\n' });
  assert.deepEqual((await type()).json(), { writtenBytes: 5 });
  await server.kill9();
  await server.restart();
  assert.equal((await open()).text, answers[0]?.text);
  assert.deepEqual((await type()).json(), { writtenBytes: 5 });
  assert.equal((await keyed(`POST /terminals/${terminalId}/input`, 'i', { data: 'other' })).status, 422);
  assert.equal((await ask(server, 'GET /terminals')).json<{ terminals: unknown[] }>().terminals.length, 1);
  await ask(server, `POST /terminals/${terminalId}/input`, { body: { data: '\u0004' } });
  await until(() => readFileSync(join(folder, 'typed'), 'utf8') === 'once\n', { what: 'it was typed, once' });
  // As with jobs: the key is free again once its terminal is gone.
  await ask(server, `DELETE /terminals/${terminalId}`);
  assert.equal((await open({ command: 'true' })).status, 201);
});
