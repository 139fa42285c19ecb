/** What can be done to a job: nudge, stdin, cancel, signal, rerun, delete. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import type { Job } from '../../src/client/client.ts';
import { startTestServer, temporaryFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { ask, finished, isRunning, type Reached, run, show, submit } from '../support/client.ts';

/** Submits a job and waits until it has written something. */
async function begun(server: Reached, body: { readonly command: string; readonly [field: string]: unknown }): Promise<string> {
  const id = await submit(server, body);
  await until(async () => (await show(server, id)).stdoutBytes > 0, { what: 'the job has begun' });
  return id;
}

test('the end of stdin that comes as a job ends costs no exit code', async (t) => {
  // What went wrong: the launcher was asked to close stdin by a signal, and bash lost the child whose end it was just told.
  const server = await startTestServer(t);
  let left = 200;
  const oneAfterTheOther = async (): Promise<void> => {
    while ((left -= 1) >= 0) {
      const id = await submit(server, { command: 'kill -KILL $$' });
      const closing = await ask(server, `POST /jobs/${id}/stdin?eof=1`);
      assert.ok([200, 409].includes(closing.status), closing.text);
      const { reason, exitCode } = await finished(server, id);
      assert.deepEqual([reason, exitCode], ['signal', 137]);
    }
  };
  await Promise.all(Array.from({ length: 4 }, oneAfterTheOther));
});

test('POST /jobs/{id}/nudge', async (t) => {
  const server = await startTestServer(t);

  for (const [name, body, expected] of [
    ['without a body writes a newline', undefined, '[]\n'],
    ['with {} writes a newline', {}, '[]\n'],
    ['with an empty input, which counts as absent, writes a newline', { input: '' }, '[]\n'],
    ['with input writes that', { input: 'yes é\n' }, '[yes é]\n'],
  ] as const) {
    await t.test(name, async () => {
      const id = await begun(server, { command: 'echo; read x; echo "[$x]"' });
      const answer = await ask(server, `POST /jobs/${id}/nudge`, body === undefined ? {} : { body });
      assert.deepEqual([answer.status, answer.json()], [200, { nudged: true, processAlive: true }]);
      assert.equal((await finished(server, id)).stdout, `\n${expected}`);
    });
  }

  await t.test('writes every character, NUL too', async () => {
    const id = await begun(server, { command: 'echo; head -c 4 | od -An -tx1' });
    await ask(server, `POST /jobs/${id}/nudge`, { body: { input: '\0é\n' } });
    assert.equal((await finished(server, id)).stdout, '\n 00 c3 a9 0a\n');
  });

  await t.test('writes at once after the answer of POST /exec', async () => {
    const id = await submit(server, { command: 'read x; echo "[$x]"' });
    assert.equal((await ask(server, `POST /jobs/${id}/nudge`, { body: { input: 'early\n' } })).json()['nudged'], true);
    assert.equal((await finished(server, id)).stdout, '[early]\n');
  });

  await t.test('with an input that fits only in part says how much was written, so that nobody writes it twice', async () => {
    const id = await begun(server, { command: 'echo; sleep 600' });
    const fill = await ask(server, `POST /jobs/${id}/nudge`, { body: { input: 'x'.repeat(4096) } });
    assert.equal(fill.json()['nudged'], true);
    const answer = await ask(server, `POST /jobs/${id}/nudge`, { body: { input: 'x'.repeat(100_000) } });
    const { nudged, writtenBytes, reason } = answer.json();
    assert.equal(nudged, false);
    assert.ok(Number(writtenBytes) > 0 && Number(writtenBytes) < 100_000, String(writtenBytes));
    assert.match(String(reason), /no more fits/);
    await ask(server, `POST /jobs/${id}/cancel`, { body: { graceSeconds: 0 } });
  });

  await t.test('of a job that has finished says why not', async () => {
    const { jobId } = await run(server, { command: 'true' });
    const answer = await ask(server, `POST /jobs/${jobId}/nudge`);
    assert.equal(answer.status, 200);
    const { reason, ...rest } = answer.json();
    assert.deepEqual(rest, { nudged: false, processAlive: false });
    assert.match(String(reason), /finished/);
  });

  for (const stdin of ['given', null]) {
    await t.test(`of a job whose stdin is ${stdin === null ? 'empty' : 'given'} says why not`, async () => {
      const id = await submit(server, { command: 'sleep 600', stdin });
      const { reason, ...rest } = (await ask(server, `POST /jobs/${id}/nudge`)).json();
      assert.deepEqual(rest, { nudged: false, processAlive: true });
      assert.equal(typeof reason, 'string');
    });
  }

  await t.test('of a job that waits for its turn says why not', async (t) => {
    const narrow = await startTestServer(t, { flags: { 'max-running': '1' } });
    await submit(narrow, { command: 'read x' });
    const id = await submit(narrow, { command: 'read x' });
    const { reason, ...rest } = (await ask(narrow, `POST /jobs/${id}/nudge`)).json();
    assert.deepEqual(rest, { nudged: false, processAlive: false });
    assert.match(String(reason), /waits/);
  });

  await t.test('of a job that reads nothing is an answer once no more fits, not a wait', async () => {
    const id = await begun(server, { command: 'echo; sleep 600' });
    const answer = await until(async () => {
      const nudged = await ask(server, `POST /jobs/${id}/nudge`, { body: { input: 'x'.repeat(4096) } });
      return nudged.json()['nudged'] === false ? nudged : undefined;
    }, { what: 'its stdin is full' });
    const { reason, ...rest } = answer.json();
    assert.deepEqual([answer.status, rest['processAlive']], [200, true]);
    assert.match(String(reason), /not read/);
  });

  await t.test('of an unknown job is 404', async () => {
    assert.equal((await ask(server, 'POST /jobs/0000000000000000/nudge')).problem.code, 'job_not_found');
  });
});

test('POST /jobs/{id}/stdin', async (t) => {
  const server = await startTestServer(t);

  await t.test('writes the body as it is, whatever its type; eof=1 closes stdin after it', async () => {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
    const id = await submit(server, { command: 'cat' });
    for (const type of ['application/octet-stream', 'text/plain', 'application/json', undefined]) {
      const answer = await ask(server, `POST /jobs/${id}/stdin`, { body: bytes, headers: { 'Content-Type': type } });
      assert.deepEqual([answer.status, answer.json()], [200, { writtenBytes: 256, eof: false }]);
    }
    assert.deepEqual((await ask(server, `POST /jobs/${id}/stdin?eof=1`, { body: bytes })).json(), { writtenBytes: 256, eof: true });
    assert.equal((await finished(server, id)).status, 'completed');
    assert.deepEqual((await ask(server, `GET /jobs/${id}/stdout`)).bytes, Buffer.concat([bytes, bytes, bytes, bytes, bytes]));
  });

  await t.test('writes more than fits, as the job reads', async () => {
    const id = await submit(server, { command: 'wc -c' });
    assert.equal((await ask(server, `POST /jobs/${id}/stdin?eof=1`, { body: Buffer.alloc(2 ** 20, 'x') })).json()['writtenBytes'], 2 ** 20);
    assert.equal((await finished(server, id)).stdout?.trim(), '1048576');
  });

  await t.test('keeps the order of requests that come at once', async () => {
    const id = await submit(server, { command: 'cat' });
    const bodies = ['a', 'b', 'c', 'd'].map((letter) => letter.repeat(100_000));
    for (const body of bodies.slice(0, -1)) await ask(server, `POST /jobs/${id}/stdin`, { body });
    await ask(server, `POST /jobs/${id}/stdin?eof=true`, { body: bodies.at(-1) ?? '' });
    await finished(server, id);
    assert.equal((await ask(server, `GET /jobs/${id}/stdout`)).text, bodies.join(''));
  });

  await t.test('once closed is 409 stdin_closed, with writtenBytes', async () => {
    const id = await submit(server, { command: 'cat; sleep 600' });
    assert.equal((await ask(server, `POST /jobs/${id}/stdin?eof=1`)).status, 200);
    const refused = await until(async () => {
      const answer = await ask(server, `POST /jobs/${id}/stdin`, { body: 'x' });
      return answer.status === 409 ? answer : undefined;
    }, { what: 'it is closed' });
    assert.deepEqual([refused.problem.code, refused.problem['writtenBytes']], ['stdin_closed', 0]);
  });

  await t.test('of a job with its stdin given, finished or unknown is refused', async () => {
    const id = await submit(server, { command: 'sleep 600', stdin: 'x' });
    assert.equal((await ask(server, `POST /jobs/${id}/stdin`, { body: 'x' })).problem.code, 'stdin_closed');
    const { jobId } = await run(server, { command: 'true' });
    const { status, problem } = await ask(server, `POST /jobs/${jobId}/stdin`, { body: 'x' });
    assert.deepEqual([status, problem.code], [409, 'job_not_running']);
    assert.equal((await ask(server, 'POST /jobs/0000000000000000/stdin', { body: 'x' })).status, 404);
  });
});

test('POST /jobs/{id}/cancel', async (t) => {
  const server = await startTestServer(t);

  await t.test('ends the job and all that it started, and answers with it once it is ended', async () => {
    const id = await submit(server, { command: 'sleep 600 & echo $!; setsid sleep 600 & echo $!; echo; wait' });
    await until(async () => (await show(server, id)).stdout?.endsWith('\n\n'), { what: 'it has begun' });
    const answer = await ask(server, `POST /jobs/${id}/cancel`);
    const job = answer.json<Job>();
    assert.deepEqual([answer.status, job.status, job.reason, job.exitCode, job.signal, job.processAlive], [200, 'failed', 'cancelled', 143, 'SIGTERM', false]);
    assert.deepEqual((job.stdout ?? '').trim().split('\n').map((pid) => isRunning(Number(pid))), [false, false]);
  });

  await t.test('sends the signal that it is given', async () => {
    const id = await begun(server, { command: 'trap "echo interrupted; exit 7" INT; echo; while :; do sleep 0.01; done' });
    const job = (await ask(server, `POST /jobs/${id}/cancel`, { body: { signal: 'SIGINT', graceSeconds: 60 } })).json<Job>();
    assert.deepEqual([job.reason, job.exitCode, job.stdout], ['cancelled', 7, '\ninterrupted\n']);
  });

  await t.test('kills at once with graceSeconds 0', async () => {
    const id = await begun(server, { command: 'trap "" TERM INT HUP; echo; while :; do sleep 0.01; done' });
    const job = (await ask(server, `POST /jobs/${id}/cancel`, { body: { graceSeconds: 0 } })).json<Job>();
    assert.deepEqual([job.reason, job.exitCode, job.signal], ['cancelled', 137, 'SIGKILL']);
  });

  await t.test('a second, more impatient one ends it sooner', async () => {
    const id = await begun(server, { command: 'trap "" TERM; echo; while :; do sleep 0.01; done' });
    const patient = ask(server, `POST /jobs/${id}/cancel`, { body: { graceSeconds: 3600 } });
    await until(async () => (await show(server, id)).status === 'running', { what: 'it is there' });
    await ask(server, `POST /jobs/${id}/cancel`, { body: { graceSeconds: 0 } });
    assert.equal((await patient).json<Job>().reason, 'cancelled');
  });

  await t.test('of a job that has finished answers with it as it was', async () => {
    const job = await run(server, { command: 'echo hi; exit 3' });
    const answer = await ask(server, `POST /jobs/${job.jobId}/cancel`, { body: {} });
    assert.deepEqual([answer.status, answer.json<Job>()], [200, job]);
  });

  await t.test('goes on when the client leaves', async () => {
    const id = await begun(server, { command: 'trap "echo got it; read x; exit 9" TERM; echo; while :; do sleep 0.01; done' });
    const leaving = new AbortController();
    const request = fetch(`${server.url}/jobs/${id}/cancel`, {
      method: 'POST', headers: { 'X-API-Key': server.key, 'Content-Type': 'application/json' }, body: '{"graceSeconds":3600}', signal: leaving.signal,
    }).catch(() => undefined);
    await until(async () => (await show(server, id)).stdout?.includes('got it'), { what: 'the signal came' });
    leaving.abort();
    await request;
    await ask(server, `POST /jobs/${id}/nudge`);
    const job = await finished(server, id);
    assert.deepEqual([job.reason, job.exitCode], ['cancelled', 9]);
  });

  await t.test('of an unknown job is 404', async () => {
    assert.equal((await ask(server, 'POST /jobs/0000000000000000/cancel')).problem.code, 'job_not_found');
  });
});

test('POST /jobs/{id}/signal', async (t) => {
  const server = await startTestServer(t);

  await t.test('only sends the signal', async () => {
    const id = await begun(server, { command: 'trap "echo usr1" USR1; echo; while ! read -r x; do :; done; echo "[$x]"' });
    const answer = await ask(server, `POST /jobs/${id}/signal`, { body: { signal: 'SIGUSR1' } });
    assert.deepEqual([answer.status, answer.json()], [200, { signal: 'SIGUSR1' }]);
    await until(async () => (await show(server, id)).stdout?.includes('usr1'), { what: 'it was received' });
    await ask(server, `POST /jobs/${id}/nudge`, { body: { input: 'on\n' } });
    const job = await finished(server, id);
    assert.deepEqual([job.status, job.reason, job.stdout], ['completed', 'exit', '\nusr1\n[on]\n']);
  });

  await t.test('a job that dies of it ended by a signal, not by us', async () => {
    // Of its own, dash loses a SIGINT that comes while it forks.
    const id = await begun(server, { command: 'echo; exec sleep 600' });
    await ask(server, `POST /jobs/${id}/signal`, { body: { signal: 'SIGINT' } });
    const job = await finished(server, id);
    assert.deepEqual([job.status, job.reason, job.exitCode, job.signal], ['failed', 'signal', 130, 'SIGINT']);
  });

  await t.test('reaches the whole process group', async () => {
    const id = await begun(server, { command: 'sleep 600 & echo $!; wait' });
    const child = Number((await show(server, id)).stdout);
    await ask(server, `POST /jobs/${id}/signal`, { body: { signal: 'SIGKILL' } });
    await finished(server, id);
    await until(() => !isRunning(child), { what: 'the child is gone' });
  });

  await t.test('of a job that has finished is 409, of an unknown one 404', async () => {
    const { jobId } = await run(server, { command: 'true' });
    const { status, problem } = await ask(server, `POST /jobs/${jobId}/signal`, { body: { signal: 'SIGINT' } });
    assert.deepEqual([status, problem.code], [409, 'job_not_running']);
    assert.equal((await ask(server, 'POST /jobs/0000000000000000/signal', { body: { signal: 'SIGINT' } })).status, 404);
  });
});

test('POST /jobs/{id}/rerun', async (t) => {
  const server = await startTestServer(t);

  await t.test('runs the same request again as a new job', async () => {
    const folder = temporaryFolder(t);
    const request = {
      command: 'echo "$A"; pwd; cat', env: { A: 'x y' }, workdir: folder, stdin: 'in', timeout: 77, name: 'n', labels: { a: 'b' },
    };
    const first = await run(server, request);
    const answer = await ask(server, `POST /jobs/${first.jobId}/rerun`);
    assert.equal(answer.status, 202);
    const accepted = answer.json<{ jobId: string; status: string; rerunOf: string }>();
    assert.deepEqual(accepted, { jobId: accepted.jobId, status: 'pending', rerunOf: first.jobId });
    assert.equal(answer.headers.location, `/jobs/${accepted.jobId}`);
    const again = await finished(server, accepted.jobId);
    const same = (job: Job): unknown => [job.command, job.workdir, job.name, job.labels, job.timeout, job.stdout, job.exitCode];
    assert.deepEqual(same(again), same(first));
    assert.equal(again.rerunOf, first.jobId);
  });

  await t.test('of a mode argv job, and of one that still runs', async () => {
    const id = await submit(server, { mode: 'argv', argv: ['head', '-n', '1'] });
    const { jobId } = (await ask(server, `POST /jobs/${id}/rerun`)).json<{ jobId: string }>();
    for (const one of [id, jobId]) {
      await ask(server, `POST /jobs/${one}/nudge`, { body: { input: 'x\n' } });
      assert.equal((await finished(server, one)).stdout, 'x\n');
    }
  });

  await t.test('of an unknown job is 404', async () => {
    assert.equal((await ask(server, 'POST /jobs/0000000000000000/rerun')).problem.code, 'job_not_found');
  });

  await t.test('refuses fields, as it has none', async () => {
    const { jobId } = await run(server, { command: 'true' });
    const { problem } = await ask(server, `POST /jobs/${jobId}/rerun`, { body: { timeout: 5 } });
    assert.deepEqual([problem.status, problem.code], [400, 'invalid_request']);
    assert.match(problem.detail, /body\.timeout: unknown field/);
  });
});

test('DELETE /jobs/{id}', async (t) => {
  const server = await startTestServer(t);

  await t.test('deletes a finished job and its files', async () => {
    const { jobId } = await run(server, { command: 'echo hi' });
    const answer = await ask(server, `DELETE /jobs/${jobId}`);
    assert.deepEqual([answer.status, answer.text], [204, '']);
    assert.equal((await ask(server, `GET /jobs/${jobId}`)).status, 404);
    assert.equal((await ask(server, `DELETE /jobs/${jobId}`)).status, 404);
    assert.equal(existsSync(join(server.stateDir, 'jobs', jobId)), false);
    assert.deepEqual((await ask(server, 'GET /jobs')).json(), []);
  });

  await t.test('of a running job is 409 and changes nothing', async () => {
    const id = await submit(server, { command: 'read x; echo on' });
    const { status, problem } = await ask(server, `DELETE /jobs/${id}`);
    assert.deepEqual([status, problem.code], [409, 'job_running']);
    assert.match(problem.detail, new RegExp(id));
    await ask(server, `POST /jobs/${id}/nudge`);
    assert.equal((await finished(server, id)).stdout, 'on\n');
    assert.equal((await ask(server, `DELETE /jobs/${id}`)).status, 204);
  });
});
