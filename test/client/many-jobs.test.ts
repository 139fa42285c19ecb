/** Many jobs through one client: waited for together, watched, aborted. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { type ExecRequest, type FeedEvent, type Job, JobWaitAbortedError, ProblemError, Sidecar } from '../../src/client/client.ts';
import { rejectsWith } from '../support/errors.ts';
import { spawnServer, startTestServer } from '../support/server.ts';
import { until } from '../support/wait.ts';

test('many jobs', async (t) => {
  const { client, url, key } = await startTestServer(t);

  await t.test('waitAll() hands out all of them in the order in which they finish, the finished ones first', async () => {
    const done = (await client.exec({ command: 'exit 3' })).jobId;
    await client.jobs.wait(done);
    const waiting = [];
    for (let index = 0; index < 3; index += 1) waiting.push((await client.exec({ command: 'read x' })).jobId);
    const told: string[] = [];
    const all = client.jobs.waitAll([done, ...waiting, done], { onFinished: ({ jobId }) => told.push(jobId) });
    for (const id of waiting.toReversed()) {
      await until(async () => (await client.jobs.nudge(id)).nudged, { what: 'nudged' });
      await client.jobs.wait(id);
    }
    const jobs = await all;
    assert.deepEqual(jobs.map(({ jobId }) => jobId), [done, ...waiting.toReversed()]);
    assert.deepEqual(told, jobs.map(({ jobId }) => jobId));
    assert.deepEqual(jobs.map(({ exitCode }) => exitCode), [3, 0, 0, 0]);
    assert.deepEqual(await client.jobs.waitAll([]), []);
    await assert.rejects(client.jobs.waitAll([done, '0000000000000000']), { code: 'job_not_found' });
  });

  await t.test('waitAll() takes more jobs than one stream can name', async () => {
    const { jobId } = await client.run({ command: 'true' });
    const ids = [jobId];
    for (let index = 0; index < 250; index += 1) ids.push((await client.exec({ mode: 'argv', argv: ['true'] })).jobId);
    assert.equal((await client.jobs.waitAll(ids)).length, ids.length);
  });

  await t.test('one AbortSignal for 50 jobs warns of no leak, and each failure names its job', async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => { warnings.push(warning); };
    process.on('warning', onWarning);
    const controller = new AbortController();
    const reason = new DOMException('enough', 'AbortError');
    const accepted = new Set<string>();
    const runs = Array.from({ length: 50 }, () =>
      client.run({ command: 'read x' }, { signal: controller.signal, onAccepted: ({ jobId }) => accepted.add(jobId) }));
    const settled = Promise.allSettled(runs);
    await until(() => accepted.size === 50, { what: 'all are accepted' });
    controller.abort(reason);
    const named = new Set<string>();
    for (const result of await settled) {
      assert.equal(result.status, 'rejected');
      assert.ok(result.reason instanceof JobWaitAbortedError, String(result.reason));
      assert.deepEqual([result.reason.name, result.reason.cause], ['AbortError', reason]);
      named.add(result.reason.jobId);
    }
    process.off('warning', onWarning);
    assert.deepEqual([...named].sort(), [...accepted].sort());
    assert.deepEqual(warnings.map(String), []);
    for (const id of named) await client.jobs.cancel(id, { graceSeconds: 0 });
  });

  await t.test('wait() and follow() name their job, too, and a wait without an Error as its reason is an AbortError', async () => {
    const { jobId } = await client.exec({ command: 'read x' });
    const following = async (signal: AbortSignal): Promise<void> => {
      for await (const event of client.jobs.follow(jobId, { signal })) assert.notEqual(event.type, 'end');
    };
    for (const wait of [(signal: AbortSignal) => client.jobs.wait(jobId, { signal }), following]) {
      const controller = new AbortController();
      const waiting = wait(controller.signal);
      controller.abort('stop');
      await assert.rejects(waiting, { name: 'AbortError', jobId, cause: 'stop', message: `stop; job ${jobId} runs on` });
    }
    await client.jobs.cancel(jobId);
  });

  await t.test('ids are text, checked before anything is sent', async () => {
    const stored: string = JSON.parse(JSON.stringify((await client.run({ command: 'echo kept' })).jobId)) as string;
    assert.equal((await client.jobs.get(stored)).stdout, 'kept\n');
    const asked: string[] = [];
    const silent = new Sidecar({ url, key, fetch: (address) => { asked.push(String(address)); return Promise.reject(new Error('not to be asked')); } });
    const { jobs, agents } = silent;
    const calls: readonly ((id: string) => Promise<unknown>)[] = [
      (id) => jobs.get(id), (id) => jobs.wait(id), (id) => jobs.waitAll([id]), (id) => jobs.output(id, 'stdout'), (id) => jobs.follow(id).next(),
      (id) => jobs.nudge(id), (id) => jobs.stdin(id, new Uint8Array(1)), (id) => jobs.cancel(id), (id) => jobs.signal(id, 'SIGINT'),
      (id) => jobs.rerun(id), (id) => jobs.delete(id), (id) => agents.prompt(id, 'x'), (id) => agents.cancelTurn(id),
      (id) => agents.permit(id, 'p', 'o'), (id) => agents.answer(id, 'e', { action: 'cancel' }),
    ];
    for (const id of ['', '..', 'last', 'events', `${stored}x`, '../health']) {
      for (const call of calls) await rejectsWith(call(id), { type: ProblemError, code: 'job_not_found' }, id);
    }
    assert.deepEqual(asked, []);
  });

  await t.test('a request whose fields do not fit its mode does not compile', () => {
    // @ts-expect-error mode argv has no command
    const argv: ExecRequest = { mode: 'argv', argv: ['true'], command: 'true' };
    // @ts-expect-error mode argv needs an argv
    const nothing: ExecRequest = { mode: 'argv', command: 'true' };
    // @ts-expect-error a shell takes no prompt
    const prompt: ExecRequest = { command: 'true', prompt: 'x' };
    // @ts-expect-error a persistent shell needs a key
    const shell: ExecRequest = { mode: 'persistent_shell', command: 'true' };
    const whole: ExecRequest[] = [{ command: 'true' }, { mode: 'argv', argv: ['true'] }, { mode: 'acp' }, { mode: 'persistent_shell', sessionKey: 'k', command: 'true' }];
    assert.equal([argv, nothing, prompt, shell, ...whole].length, 8);
  });
});

test('watch() tells of each job once, also over a restart of the server', async (t) => {
  const server = await spawnServer(t);
  const url = 'http://127.0.0.1:1';
  // The next server listens elsewhere.
  const moving = (address: string | URL | Request, init?: RequestInit): Promise<Response> => fetch(String(address).replace(url, server.url), init);
  const { jobId: early } = await server.client.exec({ command: 'read x', labels: { batch: 'w' } });
  const told: string[] = [];
  const describe = (event: FeedEvent): string => (event.type === 'status' ? `${event.job.jobId} ${event.job.status}` : event.type);
  const watching = (async (): Promise<Job[]> => {
    const jobs: Job[] = [];
    for await (const event of new Sidecar({ url, key: server.key, fetch: moving }).jobs.watch({ labels: { batch: 'w' } })) {
      told.push(describe(event));
      if (event.type === 'status') jobs.push(event.job);
      if (told.filter((line) => line.endsWith('completed')).length === 2) return jobs;
    }
    return jobs;
  })();
  await until(() => told.includes('ready'), { what: 'the first look' });
  await server.restart();
  await until(async () => (await server.client.jobs.nudge(early)).nudged, { what: 'nudged' });
  await server.client.run({ command: 'true', labels: { batch: 'w' } });
  await watching;
  assert.equal(told.filter((line) => line === 'ready').length, 1, told.join());
  assert.equal(told.filter((line) => line === `${early} running`).length, 1, told.join());
  assert.equal(told.filter((line) => line === `${early} completed`).length, 1, told.join());
});
