/** GET /jobs/{id}: what a job looks like, how much of its output comes with it, and waiting for it to change. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { Job } from '../../src/client/client.ts';
import { startTestServer } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { ask, finished, open, run, show, submit } from '../support/client.ts';

const always = [
  'jobId', 'status', 'reason', 'mode', 'command', 'shell', 'workdir', 'name', 'labels', 'timeout', 'submittedAt', 'startedAt', 'finishedAt',
  'lastOutputAt', 'durationMs', 'signal', 'timedOut', 'processAlive', 'pid', 'lingering', 'stdout', 'stderr', 'stdoutBytes', 'stderrBytes',
  'stdoutTruncated', 'stderrTruncated',
];

test('GET /jobs/{id}', async (t) => {
  const server = await startTestServer(t);

  await t.test('shows a finished job with exactly its fields', async () => {
    const before = Date.now() / 1000;
    const job = await run(server, { command: 'echo hi; sleep 0.02' });
    const after = Date.now() / 1000;
    assert.deepEqual(Object.keys(job).sort(), [...always, 'exitCode'].sort());
    const { jobId, pid, submittedAt, startedAt, finishedAt, lastOutputAt, durationMs, workdir, ...rest } = job;
    assert.deepEqual(rest, {
      status: 'completed', reason: 'exit', mode: 'shell', shell: 'bash', command: 'echo hi; sleep 0.02', name: null, labels: {}, timeout: 300,
      exitCode: 0, signal: null, timedOut: false, processAlive: false, lingering: [],
      stdout: 'hi\n', stderr: '', stdoutBytes: 3, stderrBytes: 0, stdoutTruncated: false, stderrTruncated: false,
    });
    assert.equal(typeof jobId, 'string');
    assert.equal(workdir, process.cwd());
    assert.ok(Number.isInteger(pid) && (pid ?? 0) > 0);
    // The clock of a file system is a timer tick behind that of the system.
    const slack = 0.02;
    assert.ok(before - slack <= submittedAt && submittedAt <= (startedAt ?? 0), 'submitted, then started');
    assert.ok((startedAt ?? 0) - slack <= (lastOutputAt ?? 0) && (lastOutputAt ?? 0) <= (finishedAt ?? 0), 'output, then finished');
    assert.ok((finishedAt ?? 0) <= after + slack);
    assert.equal(durationMs, Math.round(((finishedAt ?? 0) - (startedAt ?? 0)) * 1000));
    assert.ok(Number.isInteger(durationMs));
  });

  await t.test('shows a running job: no exitCode yet, its output so far', async () => {
    const id = await submit(server, { command: 'echo begun; echo problem >&2; read line' });
    const job = await until(async () => {
      const seen = await show(server, id);
      return seen.stdout !== '' && seen.stderr !== '' && seen.pid !== null ? seen : undefined;
    }, { what: 'output' });
    assert.deepEqual(Object.keys(job).sort(), [...always].sort());
    assert.deepEqual([job.status, job.reason, job.finishedAt, job.durationMs, job.signal, job.processAlive], ['running', null, null, null, null, true]);
    assert.deepEqual([job.stdout, job.stderr, job.stdoutBytes, job.stderrBytes], ['begun\n', 'problem\n', 6, 8]);
    assert.equal(typeof job.startedAt, 'number');
    process.kill(job.pid ?? 0, 0);
    await ask(server, `POST /jobs/${id}/nudge`);
    assert.equal((await finished(server, id)).exitCode, 0);
  });

  await t.test('of an unknown job is 404 job_not_found, whatever its id looks like', async () => {
    for (const id of ['0000000000000000', 'x', 'a'.repeat(500), '%20', '__proto__', 'constructor', '..%2f..%2fapi-key', '%00', 'é']) {
      const { status, problem } = await ask(server, `GET /jobs/${encodeURI(id).replaceAll('%25', '%')}`);
      assert.deepEqual([status, problem.code], [404, 'job_not_found'], id);
      assert.match(problem.detail, /^Cannot find job "/);
    }
  });

  await t.test('tailLines gives the last lines of each stream', async () => {
    const { jobId } = await run(server, { command: 'seq 100; seq 5 >&2; printf unended' });
    const cases: [number, string, string][] = [[0, '', ''], [1, 'unended', '5\n'], [3, '99\n100\nunended', '3\n4\n5\n']];
    for (const [lines, stdout, stderr] of cases) {
      const job = await show(server, jobId, `?tailLines=${lines}`);
      assert.deepEqual([job.stdout, job.stderr, job.stdoutTruncated, job.stderrTruncated], [stdout, stderr, true, true], String(lines));
      assert.deepEqual([job.stdoutBytes, job.stderrBytes], [299, 10]);
    }
    const whole = await show(server, jobId, '?tailLines=1000');
    assert.deepEqual([whole.stdout?.length, whole.stdoutTruncated, whole.stderrTruncated], [299, false, false]);
  });

  await t.test('maxBytes gives the end of each stream and never half a character', async () => {
    // "é" has 2 bytes, "漢" 3, "😀" 4.
    const { jobId } = await run(server, { command: 'printf "aé漢😀"; printf abc >&2' });
    const ends = ['', '', '', '', '😀', '😀', '😀', '漢😀', '漢😀', 'é漢😀', 'aé漢😀', 'aé漢😀'];
    for (const [maxBytes, text] of ends.entries()) {
      const job = await show(server, jobId, `?maxBytes=${maxBytes}`);
      assert.equal(job.stdout, text, String(maxBytes));
      assert.equal(job.stdoutTruncated, maxBytes < 10);
      assert.equal(job.stderr, 'abc'.slice(Math.max(0, 3 - maxBytes)));
    }
  });

  await t.test('both together: the last lines within the last bytes', async () => {
    const { jobId } = await run(server, { command: 'seq 100' });
    assert.equal((await show(server, jobId, '?tailLines=3&maxBytes=100')).stdout, '98\n99\n100\n');
    assert.equal((await show(server, jobId, '?tailLines=3&maxBytes=6')).stdout, '9\n100\n');
  });

  await t.test('gives 1 MiB a stream where nothing else is said', async () => {
    const job = await run(server, { command: 'head -c 3000000 /dev/zero | tr "\\0" x; echo end' });
    assert.deepEqual([job.stdoutBytes, job.stdout?.length, job.stdoutTruncated], [3_000_004, 2 ** 20, true]);
    assert.ok(job.stdout?.endsWith('xend\n'));
    assert.equal((await show(server, job.jobId, '?maxBytes=4000000')).stdout?.length, 3_000_004);
  });

  await t.test('shows of a running job no character whose end has not come yet', async () => {
    const id = await submit(server, { command: 'printf "a\\303"; read x; printf "\\251"; read x' });
    await until(async () => (await show(server, id)).stdoutBytes === 2, { what: 'half a character' });
    assert.equal((await show(server, id)).stdout, 'a');
    await server.client.jobs.nudge(id as Job['jobId']);
    await until(async () => (await show(server, id)).stdoutBytes === 3, { what: 'the other half' });
    assert.equal((await show(server, id)).stdout, 'aé');
  });

  await t.test('has an ETag, and answers 304 to the one that is still right', async () => {
    const { jobId } = await run(server, { command: 'echo hi' });
    const { headers: { etag = '' } } = await ask(server, `GET /jobs/${jobId}`);
    assert.match(etag, /^(W\/)?"[^"]+"$/);
    for (const known of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
      const answer = await ask(server, `GET /jobs/${jobId}`, { headers: { 'If-None-Match': known } });
      assert.deepEqual([answer.status, answer.text, answer.headers.etag], [304, '', etag], known);
    }
    for (const known of ['"other"', etag.slice(1, -1), '']) {
      assert.equal((await ask(server, `GET /jobs/${jobId}`, { headers: { 'If-None-Match': known } })).status, 200, known);
    }
    assert.equal((await ask(server, `GET /jobs/${jobId}?tailLines=1`, { headers: { 'If-None-Match': etag } })).status, 200);
  });

  await t.test('has another ETag once there is output, and once it has finished', async () => {
    const id = await submit(server, { command: 'read x; echo one; read x' });
    await until(async () => (await show(server, id)).pid !== null, { what: 'it runs' });
    const tagOf = async (): Promise<string> => (await ask(server, `GET /jobs/${id}`)).headers.etag ?? '';
    const first = await tagOf();
    await ask(server, `POST /jobs/${id}/nudge`);
    await until(async () => (await show(server, id)).stdoutBytes === 4, { what: 'output' });
    const second = await tagOf();
    await ask(server, `POST /jobs/${id}/nudge`);
    await finished(server, id);
    assert.equal(new Set([first, second, await tagOf()]).size, 3);
  });

  await t.test('with wait holds the answer until there is output', async () => {
    const id = await submit(server, { command: 'read x; echo one; read x' });
    await until(async () => (await show(server, id)).pid !== null, { what: 'it runs' });
    const { headers: { etag = '' } } = await ask(server, `GET /jobs/${id}`);
    const waiting = ask(server, `GET /jobs/${id}?wait=60`, { headers: { 'If-None-Match': etag } });
    await ask(server, `POST /jobs/${id}/nudge`);
    const answer = await waiting;
    assert.deepEqual([answer.status, answer.json<Job>().status], [200, 'running']);
    await until(async () => (await show(server, id)).stdout === 'one\n', { what: 'output' });
  });

  await t.test('with wait holds the answer until the job has finished', async () => {
    const id = await submit(server, { command: 'read x; exit 5' });
    await until(async () => (await show(server, id)).pid !== null, { what: 'it runs' });
    const waiting = ask(server, `GET /jobs/${id}?wait=60`);
    await ask(server, `POST /jobs/${id}/nudge`);
    assert.equal((await waiting).json<Job>().exitCode, 5);
  });

  await t.test('with wait answers 304 when nothing changed until it is over', async () => {
    const id = await submit(server, { command: 'read x' });
    await until(async () => (await show(server, id)).pid !== null, { what: 'it runs' });
    const { headers: { etag = '' } } = await ask(server, `GET /jobs/${id}`);
    const answer = await ask(server, `GET /jobs/${id}?wait=0.05`, { headers: { 'If-None-Match': etag } });
    assert.deepEqual([answer.status, answer.text], [304, '']);
    assert.equal((await ask(server, `GET /jobs/${id}?wait=0.05`)).json<Job>().status, 'running');
  });

  await t.test('with wait answers at once where the ETag is of yesterday, or the job has finished', async () => {
    const id = await submit(server, { command: 'read x' });
    assert.equal((await ask(server, `GET /jobs/${id}?wait=60`, { headers: { 'If-None-Match': '"old"' } })).status, 200);
    const { jobId } = await run(server, { command: 'true' });
    const { headers: { etag = '' } } = await ask(server, `GET /jobs/${jobId}?wait=60`);
    assert.equal((await ask(server, `GET /jobs/${jobId}?wait=60`, { headers: { 'If-None-Match': etag } })).status, 304);
  });

  await t.test('many may wait for one job; one that leaves takes nothing from the others', async () => {
    const id = await submit(server, { command: 'read x; exit 6' });
    await until(async () => (await show(server, id)).pid !== null, { what: 'it runs' });
    const waiting = Array.from({ length: 20 }, () => ask(server, `GET /jobs/${id}?wait=60`));
    const leaving = await open(t, server, `GET /jobs/${id}/events`);
    leaving.leave();
    await ask(server, `POST /jobs/${id}/nudge`);
    assert.deepEqual(new Set((await Promise.all(waiting)).map((answer) => answer.json<Job>().exitCode)), new Set([6]));
  });

  await t.test('of a job that waits for its turn: status pending, no start', async (t) => {
    const narrow = await startTestServer(t, { flags: { 'max-running': '1' } });
    await submit(narrow, { command: 'read x' });
    const job = await show(narrow, await submit(narrow, { command: 'true' }));
    assert.deepEqual(
      [job.status, job.reason, job.startedAt, job.finishedAt, job.durationMs, job.pid, job.processAlive, job.stdout, job.lastOutputAt],
      ['pending', null, null, null, null, null, false, '', null],
    );
    assert.equal('exitCode' in job, false);
  });

  await t.test('of a job that was cancelled before its turn: -1, reason cancelled, never started', async (t) => {
    const narrow = await startTestServer(t, { flags: { 'max-running': '1' } });
    await submit(narrow, { command: 'read x' });
    const id = await submit(narrow, { command: 'true' });
    const job = (await ask(narrow, `POST /jobs/${id}/cancel`)).json<Job>();
    assert.deepEqual([job.status, job.reason, job.exitCode, job.startedAt, job.durationMs], ['failed', 'cancelled', -1, null, null]);
    assert.equal(typeof job.finishedAt, 'number');
  });
});
