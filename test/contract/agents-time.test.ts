/** How long an agent may work: for each turn, for the whole job, and what does not count. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { Job } from '../../src/client/client.ts';
import { startTestServer } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { eventsOf, fake, inPhase, noProcessLeft, reaches, telling } from '../support/agent.ts';
import { ask, finished, run, show, submit } from '../support/client.ts';

/** For each turn: seconds that a machine under load needs for a turn in which nothing is waited for. */
const timeout = 3;

const skip = process.platform === 'win32' ? 'needs process groups' : false;

test('the time of an agent', { skip, concurrency: true }, async (t) => {
  const server = await startTestServer(t);

  // All at once, as each of them waits for limits to pass.
  await Promise.all([
    t.test('a pending permission or question may take longer than the timeout, work may not', async () => {
      const asks = { permissions: 'ask', elicitation: true };
      const id = await submit(server, fake('ask edit a\nelicit Why?\nsay done\nhang', { timeout, ...asks }));
      const asking = await reaches(server, id, 'it asks', ({ pendingPermissions }) => pendingPermissions?.length === 1);
      await isPast((asking.pendingPermissions?.[0]?.askedAt ?? 0) + timeout + 1);
      const permission = `permissions/${asking.pendingPermissions?.[0]?.permissionId}`;
      assert.equal((await ask(server, `POST /jobs/${id}/${permission}`, { body: { optionId: 'yes' } })).status, 200);
      const questioning = await reaches(server, id, 'it asks more', ({ pendingElicitations: all }) => all?.length === 1);
      await isPast((questioning.pendingElicitations?.[0]?.askedAt ?? 0) + timeout + 1);
      const elicitation = `elicitations/${questioning.pendingElicitations?.[0]?.elicitationId}`;
      assert.equal((await ask(server, `POST /jobs/${id}/${elicitation}`, { body: { action: 'decline' } })).status, 200);
      const job = await finished(server, id);
      assert.match(job.stdout ?? '', /done$/);
      expectTimeout(job);
      await noProcessLeft(id);
    }),
    t.test('each turn has its own limit: keepAlive may be longer', async () => {
      const id = await submit(server, fake('say a', { timeout, keepAlive: 600 }));
      const { turns } = await inPhase(server, id, 'waiting', 1);
      await isPast((turns?.[0]?.finishedAt ?? 0) + timeout + 1);
      await ask(server, `POST /jobs/${id}/prompt`, { body: { prompt: 'say b' } });
      const { turns: both } = await inPhase(server, id, 'waiting', 2);
      await isPast((both?.[1]?.finishedAt ?? 0) + timeout + 1);
      assert.equal((await show(server, id)).agentPhase, 'waiting');
      await ask(server, `POST /jobs/${id}/prompt`, { body: { prompt: 'say c\nhang' } });
      const job = await finished(server, id);
      expectTimeout(job);
      const expected = [['a', 'end_turn'], ['b', 'end_turn'], ['c', 'cancelled']];
      assert.deepEqual(job.turns?.map(({ text, stopReason }) => [text, stopReason]), expected);
      await noProcessLeft(id);
    }),
    t.test('an agent that ignores every signal is still ended', async () => {
      const job = await run(server, telling('hang', { timeout, killGrace: 600 }, { deaf: true }));
      assert.deepEqual([job.status, job.reason, job.exitCode], ['timeout', 'timeout', 124]);
      await noProcessLeft(job.jobId);
    }),
    t.test('lifetime bounds the whole job: at a turn, waiting for a prompt, asking', async () => {
      const ids = await Promise.all([
        submit(server, fake('say a\nhang', { lifetime: 8 })),
        submit(server, fake('say a', { lifetime: 8, keepAlive: 600, timeout: null })),
        submit(server, fake('say a\nask edit a', { lifetime: 8, permissions: 'ask' })),
      ]);
      for (const id of ids) {
        const job = await finished(server, id);
        assert.deepEqual([job.status, job.reason, job.timedOut, job.exitCode], ['timeout', 'timeout', true, 143]);
        assert.deepEqual([job.lifetime, job.agentPhase, job.acpError], [8, 'ended', null]);
        assert.match(job.stdout ?? '', /^a/);
        await noProcessLeft(id);
      }
    }),
    t.test('neither applies if it is null, and each is checked', async () => {
      const job = await run(server, fake('say a', { timeout: null, lifetime: null }));
      assert.deepEqual([job.status, job.timeout, job.lifetime], ['completed', null, null]);
      for (const lifetime of [0, -1, '5', 31_536_001]) {
        const { problem } = await ask(server, 'POST /exec', { body: fake('say a', { lifetime }) });
        assert.match(problem.detail, /body\.lifetime: expected a number of seconds/);
      }
      const { problem } = await ask(server, 'POST /exec', { body: { command: 'true', lifetime: 5 } });
      assert.match(problem.detail, /body\.lifetime: expected nothing/);
    }),
  ]);
});

function expectTimeout(job: Job): void {
  const { status, reason, timedOut, exitCode, stopReason, acpError, agentPhase } = job;
  assert.deepEqual([status, reason, timedOut, exitCode], ['timeout', 'timeout', true, 124]);
  assert.deepEqual([stopReason, acpError, agentPhase], ['cancelled', null, 'ended']);
  assert.ok(eventsOf(job).some(({ type, what }) => type === 'fault' && /took longer than 3 s/.test(String(what))));
}

/** @param time Unix seconds. */
async function isPast(time: number): Promise<void> {
  await until(() => Date.now() / 1000 > time, { what: 'so much time has passed' });
}
