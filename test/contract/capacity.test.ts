/** How many jobs run, how many wait, and what the next one is told. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { Job } from '../../src/client/client.ts';
import { startTestServer } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { ask, finished, show, submit } from '../support/client.ts';

test('with --max-running 2 and --max-queued 2', async (t) => {
  const server = await startTestServer(t, { flags: { 'max-running': '2', 'max-queued': '2' } });
  const body = { command: 'read x; date +%s%N' };
  const ids = [await submit(server, body), await submit(server, body), await submit(server, body), await submit(server, body)];

  await t.test('two run and two wait', async () => {
    assert.deepEqual(await Promise.all(ids.map(async (id) => (await show(server, id)).status)), ['running', 'running', 'pending', 'pending']);
    const health = (await ask(server, 'GET /health')).json();
    assert.deepEqual([health['jobs'], health['running'], health['queued']], [4, 2, 2]);
  });

  await t.test('the fifth is 429 too_many_jobs with Retry-After, and nothing is kept of it', async () => {
    const answer = await ask(server, 'POST /exec', { body, headers: { 'Idempotency-Key': 'fifth' } });
    assert.deepEqual([answer.status, answer.problem.code], [429, 'too_many_jobs']);
    assert.match(String(answer.headers['retry-after']), /^\d+$/);
    assert.match(answer.problem.detail, /2 are running and 2 are waiting/);
    assert.equal((await ask(server, `POST /jobs/${ids[0] ?? ''}/rerun`)).status, 429);
    assert.equal((await ask(server, 'GET /jobs')).json<Job[]>().length, 4);
  });

  await t.test('all else is answered meanwhile', async () => {
    assert.equal((await ask(server, 'GET /health')).status, 200);
    assert.equal((await ask(server, `GET /jobs/${ids[3] ?? ''}`)).status, 200);
  });

  await t.test('the end of one begins the next, in order, and there is room again', async () => {
    await ask(server, `POST /jobs/${ids[1] ?? ''}/nudge`);
    await finished(server, ids[1] ?? '');
    await until(async () => (await show(server, ids[2] ?? '')).status === 'running', { what: 'the third runs' });
    assert.equal((await show(server, ids[3] ?? '')).status, 'pending');
    ids.push(accepted(await ask(server, 'POST /exec', { body, headers: { 'Idempotency-Key': 'fifth' } })));
    for (const id of [0, 2, 3, 4].map((index) => ids[index] ?? '')) {
      await until(async () => (await ask(server, `POST /jobs/${id}/nudge`)).json()['nudged'], { what: 'nudged' });
      assert.equal((await finished(server, id)).exitCode, 0);
    }
    const starts = await Promise.all(ids.slice(2).map(async (id) => (await show(server, id)).startedAt ?? 0));
    assert.deepEqual(starts, [...starts].sort((a, b) => a - b));
  });
});

test('with --max-queued 0 nothing waits', async (t) => {
  const server = await startTestServer(t, { flags: { 'max-running': '1', 'max-queued': '0' } });
  const id = await submit(server, { command: 'read x' });
  assert.equal((await ask(server, 'POST /exec', { body: { command: 'true' } })).status, 429);
  await ask(server, `POST /jobs/${id}/nudge`);
  await finished(server, id);
  assert.equal((await ask(server, 'POST /exec?wait=60', { body: { command: 'true' } })).status, 200);
});

test('more jobs at once than may run: all run', async (t) => {
  const server = await startTestServer(t, { flags: { 'max-running': '4' } });
  const ids = await Promise.all(Array.from({ length: 40 }, (_, index) => submit(server, { command: `echo ${index}; exit ${index}` })));
  const jobs = await Promise.all(ids.map((id) => finished(server, id)));
  assert.deepEqual(jobs.map(({ exitCode, stdout }) => [exitCode, stdout]), jobs.map((_, index) => [index, `${index}\n`]));
});

test('finished jobs are kept by --keep-jobs, oldest first to go, running ones never', async (t) => {
  const server = await startTestServer(t, { flags: { 'keep-jobs': '2' } });
  const running = await submit(server, { command: 'read x' });
  const ids: string[] = [];
  for (let index = 0; index < 4; index += 1) ids.push((await ask(server, 'POST /exec?wait=60', { body: { command: 'true' } })).json<Job>().jobId);
  await until(async () => (await ask(server, 'GET /jobs')).json<Job[]>().length === 3, { what: 'the oldest are deleted' });
  assert.deepEqual((await ask(server, 'GET /jobs')).json<Job[]>().map(({ jobId }) => jobId), [ids[3], ids[2], running]);
});

function accepted(answer: { readonly json: <T>() => T }): string {
  return answer.json<{ jobId: string }>().jobId;
}
