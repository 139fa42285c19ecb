/** POST /jobs/{id}/prompt to an agent that has ended: a new job continues its session. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { spawnServer, startTestServer, temporaryFolder } from '../support/server.ts';
import { fake, inPhase, reaches, telling } from '../support/agent.ts';
import { type Answer, ask, finished, type Reached, run, show, submit } from '../support/client.ts';

const able = { abilities: { sessionCapabilities: { resume: {} } } };

interface Taken {
  readonly jobId: string;
  readonly turn: number;
  readonly continues?: string;
  readonly keepAlive?: number;
}

test('a prompt to an agent that has ended', async (t) => {
  const server = await startTestServer(t);

  await t.test('starts it again, by the same request, with its session', async () => {
    const workdir = temporaryFolder(t);
    const more = { workdir, env: { WHO: 'me' }, name: 'n', labels: { a: 'b' }, timeout: 50, model: 'b' };
    const first = await run(server, telling('choices', more, able));
    const answer = await prompt(server, first.jobId, 'session');
    const { jobId, ...rest } = answer.json<Taken>();
    assert.deepEqual([answer.status, rest], [202, { turn: 1, continues: first.jobId, keepAlive: 0 }]);
    const second = await finished(server, jobId);
    const { session, cwd } = JSON.parse(second.stdout ?? '') as { session: { sessionId: string }; cwd: string };
    assert.deepEqual([session.sessionId, cwd], ['s1', workdir]);
    assert.deepEqual([second.status, second.acpSessionId, second.continues, second.rerunOf], ['completed', 's1', first.jobId, undefined]);
    assert.deepEqual([second.name, second.labels, second.timeout, second.prompt], ['n', { a: 'b' }, 50, 'session']);
    const old = await show(server, first.jobId);
    assert.deepEqual([old.continuedBy, old.stdout, old.prompt], [jobId, first.stdout, 'choices']);
    const third = (await prompt(server, first.jobId, 'env WHO')).json<Taken>();
    assert.equal(third.continues, jobId, 'the conversation goes on where it ended last');
    assert.equal((await finished(server, third.jobId)).stdout, '{"WHO":"me"}');
  });

  await t.test('has what was changed meanwhile', async () => {
    const id = await submit(server, telling('choices', { keepAlive: 600, permissions: 'ask' }, able));
    await inPhase(server, id, 'waiting', 1);
    assert.equal((await ask(server, `PATCH /jobs/${id}`, { body: { model: 'b', permissions: 'deny' } })).status, 200);
    await ask(server, `POST /jobs/${id}/cancel`);
    const { jobId } = (await prompt(server, id, 'choices')).json<Taken>();
    assert.equal((await inPhase(server, jobId, 'waiting', 1)).stdout, '{"m":"b"}');
    await ask(server, `POST /jobs/${jobId}/cancel`);
  });

  await t.test('while the job that goes on lives, goes to that one', async () => {
    const id = await submit(server, telling('choices', { keepAlive: 600 }, able));
    await inPhase(server, id, 'waiting', 1);
    await ask(server, `POST /jobs/${id}/cancel`);
    const answers = await Promise.all(['choices', 'work', 'session', 'choices'].map((text) => prompt(server, id, text)));
    const all = answers.map((answer) => answer.json<Taken>());
    const [{ jobId } = { jobId: '' }] = all;
    assert.deepEqual(new Set(all.map((one) => one.jobId)), new Set([jobId]), 'of many at once one starts it');
    assert.deepEqual(new Set(all.map((one) => one.continues)), new Set([id]));
    assert.deepEqual(all.map(({ turn }) => turn).sort(), [1, 2, 3, 4]);
    await inPhase(server, jobId, 'waiting', 4);
    await ask(server, `POST /jobs/${jobId}/cancel`);
  });

  await t.test('that can neither resume nor load a session: the new job fails in words', async () => {
    const { jobId: id } = await run(server, fake('say x'));
    const { jobId } = (await prompt(server, id, 'say y')).json<Taken>();
    const job = await finished(server, jobId);
    assert.deepEqual([job.status, job.stopReason, job.acpError?.code, job.continues], ['failed', 'error', 'resume_not_supported', id]);
  });

  await t.test('that had no session yet, or runs no agent: 409', async () => {
    const { jobId } = await run(server, { mode: 'acp', argv: ['false'], prompt: 'x' });
    const { status, problem } = await prompt(server, jobId, 'y');
    assert.deepEqual([status, problem.code], [409, 'job_not_running']);
    assert.match(problem.detail, /it has ended, and had no session to go on with/);
    assert.equal((await prompt(server, (await run(server, { command: 'true' })).jobId, 'y')).problem.code, 'not_an_agent');
  });

  await t.test('with an Idempotency-Key is one job', async () => {
    const { jobId: id } = await run(server, telling('choices', {}, able));
    const answers = await Promise.all(Array.from({ length: 4 }, () => prompt(server, id, 'choices', 'k')));
    const { jobId } = answers[0]?.json<Taken>() ?? { jobId: '' };
    await finished(server, jobId);
    assert.deepEqual(new Set([...answers, await prompt(server, id, 'choices', 'k')].map(({ text }) => text)).size, 1);
    assert.equal((await prompt(server, id, 'work', 'k')).problem.code, 'idempotency_mismatch');
    assert.equal((await show(server, id)).continuedBy, jobId);
  });

  await t.test('that is about to end, as no prompt came in time, is not lost', async () => {
    const id = await submit(server, telling('choices', { keepAlive: 0.1 }, { abilities: { sessionCapabilities: { resume: {}, close: {} } }, silent: 'session/close' }));
    await reaches(server, id, 'it ends', ({ stderr }) => /session\/close/.test(stderr ?? ''));
    const { jobId, continues } = (await prompt(server, id, 'choices')).json<Taken>();
    assert.deepEqual([continues, (await finished(server, jobId)).stdout], [id, '{}']);
  });

  await t.test('its job may be deleted: then the one before is gone on with', async () => {
    const { jobId: id } = await run(server, telling('choices', {}, able));
    const { jobId } = (await prompt(server, id, 'choices')).json<Taken>();
    await finished(server, jobId);
    assert.equal((await ask(server, `DELETE /jobs/${jobId}`)).status, 204);
    assert.equal((await show(server, id)).continuedBy, undefined);
    assert.equal((await prompt(server, id, 'choices')).json<Taken>().continues, id);
  });
});

test('a conversation over several jobs outlives the server', async (t) => {
  const server = await spawnServer(t);
  const { jobId: id } = await run(server, telling('choices', {}, able));
  const first = await prompt(server, id, 'choices', 'k');
  const { jobId } = first.json<Taken>();
  await finished(server, jobId);
  await server.kill9();
  await server.restart();
  assert.deepEqual([(await show(server, jobId)).continues, (await show(server, id)).continuedBy], [id, jobId]);
  assert.equal((await prompt(server, id, 'choices', 'k')).text, first.text);
  assert.equal((await prompt(server, id, 'choices')).json<Taken>().continues, jobId);
});

function prompt(server: Reached, id: string, text: string, key?: string): Promise<Answer> {
  return ask(server, `POST /jobs/${id}/prompt`, { body: { prompt: text }, ...(key === undefined ? {} : { headers: { 'Idempotency-Key': key } }) });
}
