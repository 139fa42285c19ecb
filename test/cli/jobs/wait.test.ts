/** `sidecar wait`, against a real server. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { startTestServer } from '../../support/server.ts';
import { until } from '../../support/wait.ts';
import { programOf, starterOf } from '../../support/cli.ts';

test('sidecar wait', async (t) => {
  const server = await startTestServer(t);
  const { client } = server;
  const run = programOf(t, server);
  const start = starterOf(t, server);
  const submit = async (command: string, batch = 'none'): Promise<string> => (await client.exec({ command, labels: { batch } })).jobId;
  const nudge = (id: string): Promise<unknown> => until(async () => (await client.jobs.nudge(id)).nudged, { what: 'nudged' });

  await t.test('ends as the one job does, and prints its id and exit code', async () => {
    const id = await submit('read x; exit 7');
    const { ended } = start(['wait', id]);
    await nudge(id);
    const { stdout, stderr, exitCode } = await ended;
    assert.deepEqual([stdout, stderr, exitCode], [`${id} 7\n`, '', 7]);
    assert.deepEqual((await run(['wait', 'last'])).exitCode, 7, 'of one that has finished already');
  });

  await t.test('of several prints each as it finishes, and exits with 1 when one failed', async () => {
    const ids = [await submit('read x'), await submit('read x; exit 3')];
    const program = start(['wait', ...ids]);
    await nudge(ids[1] ?? '');
    await program.printed(new RegExp(`^${ids[1]} 3\n`));
    await nudge(ids[0] ?? '');
    const { stdout, exitCode } = await program.ended;
    assert.deepEqual([stdout, exitCode], [`${ids[1]} 3\n${ids[0]} 0\n`, 1]);
  });

  await t.test('--label waits for all unfinished jobs with it, and returns at once if there is none', async () => {
    await client.run({ command: 'false', labels: { batch: 'l' } });
    const ids = [await submit('read x', 'l'), await submit('read x', 'l')];
    await until(async () => (await client.jobs.list({ status: 'running', labels: { batch: 'l' } })).length === 2, { what: 'both run' });
    const program = start(['wait', '--label', 'batch=l', '--json']);
    for (const id of ids) await nudge(id);
    const { stdout, exitCode } = await program.ended;
    const jobs = JSON.parse(stdout) as { jobId: string; exitCode: number }[];
    assert.equal(exitCode, 0);
    for (const { jobId } of jobs) assert.ok(ids.includes(jobId));
    const nothing = await run(['wait', '--label', 'batch=l']);
    assert.deepEqual([nothing.stdout, nothing.stderr, nothing.exitCode], ['', 'sidecar: no unfinished job fits\n', 0]);
  });

  await t.test('--any returns with the first', async () => {
    const ids = [await submit('read x'), await submit('read x')];
    const { ended } = start(['wait', '--any', ...ids]);
    await nudge(ids[1] ?? '');
    const { stdout, exitCode } = await ended;
    assert.deepEqual([stdout, exitCode], [`${ids[1]} 0\n`, 0]);
    await client.jobs.cancel(ids[0] ?? '');
  });

  await t.test('--timeout gives up with 124, and the jobs run on', async () => {
    const id = await submit('read x');
    const { stdout, stderr, exitCode } = await run(['wait', '--timeout', '0.05', id]);
    assert.deepEqual([stdout, exitCode], ['', 124]);
    assert.match(stderr, /the time is over: 1 of 1 jobs have not finished/);
    assert.equal((await client.jobs.get(id)).status, 'running');
    await client.jobs.cancel(id);
  });

  await t.test('says how a job ended where its exit code does not', async () => {
    const { jobId } = await client.exec({ command: 'read x' });
    await until(async () => (await client.jobs.get(jobId)).status === 'running', { what: 'it runs' });
    await client.jobs.cancel(jobId);
    assert.match((await run(['wait', jobId])).stderr, new RegExp(`job ${jobId} was cancelled`));
  });

  await t.test('fails without a job or a filter', async () => {
    for (const args of [['wait'], ['wait', '--label', 'a=b', 'last']]) assert.equal((await run(args)).exitCode, 2, args.join(' '));
    assert.equal((await run(['wait', '0000000000000000'])).exitCode, 1);
  });
});
