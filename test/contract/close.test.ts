/** The end of a server: what it leaves, and what it does not. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { rejectsWith } from '../support/errors.ts';
import { spawnServer, startTestServer, temporaryFolder } from '../support/server.ts';
import { ask, finished, isRunning, show, submit } from '../support/client.ts';
import { until } from '../support/wait.ts';

// It failed with ENOTEMPTY: the FIFOs were still being made while their folder was removed.
test('a server that is closed right after its start leaves no FIFO', async (t) => {
  for (let time = 0; time < 5; time += 1) {
    const server = await startTestServer(t, { stateDir: join(temporaryFolder(t), 'state') });
    await server.close();
    assert.deepEqual(readdirSync(server.stateDir).sort(), ['jobs']);
  }
});

test('SIGTERM ends the server with 0 and without its lock; its jobs go on, and the next server has them', async (t) => {
  const server = await spawnServer(t);
  const id = await submit(server, { command: 'read x; echo "[$x]"; exit 5' });
  const { pid } = await until(async () => {
    const job = await show(server, id);
    return job.pid === null ? undefined : job;
  }, { what: 'it runs' });
  assert.equal(await server.stop(), 0);
  assert.equal(existsSync(join(server.stateDir, 'server.lock')), false);
  assert.equal(isRunning(pid ?? 0), true);
  await server.restart();
  assert.equal((await show(server, id)).status, 'running');
  await ask(server, `POST /jobs/${id}/nudge`, { body: { input: 'on\n' } });
  const job = await finished(server, id);
  assert.deepEqual([job.stdout, job.exitCode, job.reason], ['[on]\n', 5, 'exit']);
});

test('a client that waits has its answer before the server goes', async (t) => {
  const server = await spawnServer(t);
  const id = await submit(server, { command: 'read x' });
  const waiting = ask(server, `GET /jobs/${id}?wait=60`);
  waiting.catch(() => undefined);
  await until(async () => (await ask(server, 'GET /metrics')).text.includes('sidecar_jobs_running 1'), { what: 'it runs' });
  await ask(server, `POST /jobs/${id}/nudge`);
  await server.stop();
  assert.equal((await waiting).status, 200);
});

test('a second server on the same state directory says who has it, and ends with 1', async (t) => {
  const server = await spawnServer(t);
  const { message } = await rejectsWith(spawnServer(t, { stateDir: server.stateDir }), {
    message: new RegExp(`held by the server with pid ${server.pid}\\b`),
  });
  assert.ok(message.includes(server.url), message);
  assert.equal((await ask(server, 'GET /health')).status, 200);
});
