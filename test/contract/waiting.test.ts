/** Held answers: for the end of a job, or for any change of it. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { Job } from '../../src/client/client.ts';
import { startTestServer } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { ask, show, submit } from '../support/client.ts';

test('waiting for a job', async (t) => {
  const server = await startTestServer(t);
  const nudge = (id: string): Promise<unknown> =>
    until(async () => (await ask(server, `POST /jobs/${id}/nudge`)).json()['nudged'] === true, { what: 'nudged' });

  await t.test('GET /jobs/{id}?wait with waitFor=end is answered at the end, whatever is written before', async () => {
    const id = await submit(server, { command: 'echo one; read x; echo two; read x; echo three' });
    const held = ask(server, `GET /jobs/${id}?wait=60&waitFor=end`);
    let isAnswered = false;
    void held.then(() => { isAnswered = true; });
    await nudge(id);
    await until(async () => (await show(server, id)).stdout === 'one\ntwo\n', { what: 'two lines' });
    assert.equal(isAnswered, false);
    await nudge(id);
    const job = (await held).json<Job>();
    assert.deepEqual([job.status, job.stdout], ['completed', 'one\ntwo\nthree\n']);
  });

  await t.test('waitFor=change, the default, is answered at the next output', async () => {
    for (const query of ['wait=60&waitFor=change', 'wait=60']) {
      const id = await submit(server, { command: 'echo one; read x; echo two; read x' });
      await until(async () => (await show(server, id)).stdout === 'one\n', { what: 'the first line' });
      const { headers: { etag = '' } } = await ask(server, `GET /jobs/${id}`);
      const held = ask(server, `GET /jobs/${id}?${query}`, { headers: { 'If-None-Match': etag } });
      await nudge(id);
      const job = (await held).json<Job>();
      assert.equal(job.status, 'running', query);
      await ask(server, `POST /jobs/${id}/cancel`);
    }
  });

  await t.test('waitFor=end holds also what the client has an old picture of', async () => {
    const id = await submit(server, { command: 'echo one; read x' });
    const held = ask(server, `GET /jobs/${id}?wait=60&waitFor=end`, { headers: { 'If-None-Match': '"of-long-ago"' } });
    await nudge(id);
    assert.equal((await held).json<Job>().status, 'completed');
  });

  await t.test('at the end of the wait the job is answered as it is, or 304 where nothing changed', async () => {
    const id = await submit(server, { command: 'echo one; read x' });
    await until(async () => (await show(server, id)).stdout === 'one\n', { what: 'the first line' });
    const answer = await ask(server, `GET /jobs/${id}?wait=0.05&waitFor=end`);
    assert.deepEqual([answer.json<Job>().status, answer.json<Job>().stdout], ['running', 'one\n']);
    const { headers: { etag = '' } } = await ask(server, `GET /jobs/${id}`);
    assert.equal((await ask(server, `GET /jobs/${id}?wait=0.05&waitFor=end`, { headers: { 'If-None-Match': etag } })).status, 304);
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('waitFor without wait is refused', async () => {
    const id = await submit(server, { command: 'true' });
    for (const line of [`GET /jobs/${id}?waitFor=end`, 'POST /exec?waitFor=change']) {
      const answer = await ask(server, line, line.startsWith('POST') ? { body: { command: 'true' } } : {});
      assert.match(answer.problem.detail, /query\.waitFor: expected wait beside it/, line);
    }
    assert.match((await ask(server, `GET /jobs/${id}?wait=1&waitFor=other`)).problem.detail, /query\.waitFor: expected "end" or "change" or "input" or "turn" or "output"/);
  });

  await t.test('POST /exec?wait on a job that still runs is 202 with the job as it is, its output so far included', async () => {
    const body = { command: 'echo one; read x', labels: { a: 'b' } };
    const answer = await ask(server, 'POST /exec?wait=60&waitFor=change', { body });
    const job = answer.json<Job>();
    assert.equal(answer.status, 202);
    assert.equal(answer.headers.location, `/jobs/${job.jobId}`);
    await until(async () => (await show(server, job.jobId)).stdout === 'one\n', { what: 'the first line' });
    const again = await ask(server, 'POST /exec?wait=0.05', { body, headers: { 'Idempotency-Key': 'as-it-is' } });
    assert.equal(again.status, 202);
    const { jobId } = again.json<Job>();
    await until(async () => (await show(server, jobId)).stdout === 'one\n', { what: 'the first line' });
    const replayed = await ask(server, 'POST /exec?wait=0.05', { body, headers: { 'Idempotency-Key': 'as-it-is' } });
    const seen = replayed.json<Job>();
    assert.deepEqual([replayed.status, seen.jobId, seen.status, seen.stdout, seen.stdoutBytes, seen.labels, 'exitCode' in seen],
      [202, jobId, 'running', 'one\n', 4, { a: 'b' }, false]);
    for (const id of [job.jobId, jobId]) await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('POST /exec without wait, or with wait=0, answers the id alone', async () => {
    for (const line of ['POST /exec', 'POST /exec?wait=0']) {
      const answer = await ask(server, line, { body: { command: 'true' } });
      assert.equal(answer.status, 202);
      assert.deepEqual(Object.keys(answer.json()), ['jobId', 'status']);
    }
  });

  await t.test('POST /jobs/{id}/rerun takes the same wait', async () => {
    const id = await submit(server, { command: 'echo again' });
    const answer = await ask(server, `POST /jobs/${id}/rerun?wait=60`);
    const job = answer.json<Job>();
    assert.deepEqual([answer.status, job.status, job.stdout, job.rerunOf], [200, 'completed', 'again\n', id]);
  });
});
