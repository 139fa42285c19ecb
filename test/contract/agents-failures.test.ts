/** A client that knows only what every job has sees that an agent failed, and why. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import type { Job } from '../../src/protocol/jobs/job.ts';
import { startTestServer } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { fake, fakeAgent, inPhase } from '../support/agent.ts';
import { type Reached, ask, eventsIn, finished, run, show, submit } from '../support/client.ts';

test('the stderr and the stopReason of an agent that failed', async (t) => {
  const server = await startTestServer(t);

  for (const [what, request, own] of [
    ['died', fake('say x\ndie'), ''],
    ['died with words of its own', fake('note one~two\ndie'), 'one\ntwo\n'],
    ['is not there', { mode: 'acp', argv: ['/does/not/exist'], prompt: 'x' }, ''],
    ['wants a login', fake('say x', { env: { FAKE_AUTH: '1' } }), ''],
    ['does not have the model', fake('say x', { model: 'none' }), ''],
  ] as const) {
    await t.test(`are set: it ${what}`, async () => {
      const job = await run(server, request);
      assert.deepEqual([job.status, job.stopReason, job.stderr], ['failed', 'error', `${own}${job.acpError?.message}\n`]);
      await isWhole(server, job.jobId);
    });
  }

  await t.test('are set: its runner was killed', async () => {
    const id = await submit(server, fake('note mine\nhang'));
    const { pid } = await inPhase(server, id, 'turn', 1);
    await until(async () => (await show(server, id)).stderr === 'mine', { what: 'it has begun' });
    process.kill(pid ?? 0, 'SIGKILL');
    const job = await finished(server, id);
    assert.equal(job.acpError?.code, 'runner_ended');
    assert.deepEqual([job.stopReason, job.stderr], ['error', `mine\n${job.acpError.message}\n`]);
    await isWhole(server, id);
  });

  await t.test('are not set for an agent that did not fail, or was ended on purpose', async () => {
    for (const reason of ['end_turn', 'refusal', 'cancelled']) {
      const job = await run(server, fake(`stop ${reason}`));
      assert.deepEqual([job.stopReason, job.stderr], [reason, '']);
    }
    const id = await submit(server, fake('hang'));
    await inPhase(server, id, 'turn', 1);
    await ask(server, `POST /jobs/${id}/cancel`);
    const job = await show(server, id);
    assert.deepEqual([job.stopReason, job.stderr, job.acpError], ['cancelled', '', null]);
  });
});

test('a runner that was killed on purpose in the first turn leaves a cancelled turn, not none', async (t) => {
  const server = await startTestServer(t);
  const id = await submit(server, fake('hang'));
  const { pid, stopReason } = await inPhase(server, id, 'turn', 1);
  assert.equal(stopReason, null);
  process.kill(pid ?? 0, 'SIGSTOP');
  await ask(server, `POST /jobs/${id}/cancel`, { body: { graceSeconds: 0.1 } });
  const job = await finished(server, id);
  assert.deepEqual([job.reason, job.stopReason, job.agentPhase, job.acpError], ['cancelled', 'cancelled', 'ended', null]);
});

test('a login in a terminal is shown with its command and variables', async (t) => {
  const server = await startTestServer(t);
  const request = fake('say x', { env: { FAKE_LOGIN: '/does/not/exist', SECRET: 'x' } });
  const { acpError } = await run(server, request);
  assert.equal(acpError?.code, 'auth_required');
  assert.match(acpError.message, /it has tty \(By name\), in a terminal, by .*fake-agent\.mjs --login$/);
  assert.deepEqual(acpError.details['authMethods'], [{
    id: 'tty', name: 'By name', type: 'terminal', argv: [process.execPath, fakeAgent, '--login'],
    env: { GREETING: 'Hello', FAKE_LOGIN: '/does/not/exist' },
  }]);
});

/** What is counted, sent live and kept is the same. */
async function isWhole(server: Reached, id: string): Promise<void> {
  const { stderr = '', stderrBytes } = await show(server, id);
  const { bytes } = await ask(server, `GET /jobs/${id}/stderr`);
  assert.deepEqual([bytes.toString(), bytes.length], [stderr, stderrBytes]);
  const followed = eventsIn((await ask(server, `GET /jobs/${id}/events`)).text).filter(({ event, data }) => event === 'output' && data['stream'] === 'stderr');
  assert.equal(followed.map(({ data }) => data['text']).join(''), stderr);
}

test('a job whose state is larger than any that a runner writes has a warning, and is listed and cancelled as usual', async (t) => {
  const server = await startTestServer(t);
  const id = await submit(server, fake('hang'));
  await inPhase(server, id, 'turn', 1);
  // What went wrong: the server stood still for a minute at each look.
  writeFileSync(join(server.stateDir, 'jobs', id, 'agent.json'), `{"results":[${'{},'.repeat(2 ** 21)}{}]}`);
  const warnings = ['agent.json cannot be read: it is larger than any that a runner writes'];
  assert.deepEqual((await show(server, id)).warnings, warnings);
  const [listed] = (await ask(server, 'GET /jobs')).json<readonly Job[]>();
  assert.deepEqual([listed?.status, listed?.warnings, listed?.turnCount], ['running', warnings, 0]);
  assert.equal((await ask(server, `POST /jobs/${id}/cancel`, { body: { graceSeconds: 1 } })).status, 200);
  // The runner has replaced it.
  const job = await show(server, id);
  assert.deepEqual([job.reason, job.turnCount, job.warnings], ['cancelled', 1, undefined]);
});
