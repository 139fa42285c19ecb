/** PATCH /jobs/{id}: another mode, model, effort or policy for an agent that lives. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { spawnServer, startTestServer, temporaryFolder } from '../support/server.ts';
import { eventsOf, fake, inPhase, reaches, telling } from '../support/agent.ts';
import { type Answer, ask, finished, type Reached, run, show, submit } from '../support/client.ts';

const yes = '{"outcome":{"outcome":"selected","optionId":"yes"}}';
const no = '{"outcome":{"outcome":"selected","optionId":"no"}}';

test('PATCH /jobs/{id}', async (t) => {
  const server = await startTestServer(t);

  await t.test('changes model, effort and mode in the middle of a turn, by id or name, with an event', async () => {
    const id = await submit(server, telling('hang', { keepAlive: 600 }));
    await inPhase(server, id, 'turn', 1);
    const answer = await change(server, id, { model: 'B', effort: 'high', agentMode: 'code' });
    assert.deepEqual([answer.status, answer.json()], [200, { jobId: id, model: 'b', effort: 'high', agentMode: 'code' }]);
    assert.equal((await show(server, id)).agentPhase, 'turn');
    await ask(server, `POST /jobs/${id}/prompt/cancel`);
    await ask(server, `POST /jobs/${id}/prompt`, { body: { prompt: 'choices' } });
    const job = await inPhase(server, id, 'waiting', 2);
    assert.match(job.stdout ?? '', /\{"m":"b","e":"high","o":"code"\}$/);
    const [event] = changesOf(job);
    assert.deepEqual(event, { type: 'changed', model: 'b', effort: 'high', agentMode: 'code' });
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('changes a mode that is not a configuration option', async () => {
    const id = await submit(server, telling('hang', { keepAlive: 600 }, { modes: true }));
    await inPhase(server, id, 'turn', 1);
    assert.deepEqual((await change(server, id, { agentMode: 'Code' })).json(), { jobId: id, agentMode: 'code' });
    await ask(server, `POST /jobs/${id}/prompt/cancel`);
    await ask(server, `POST /jobs/${id}/prompt`, { body: { prompt: 'choices' } });
    assert.match((await inPhase(server, id, 'waiting', 2)).stdout ?? '', /\{"mode":"code"\}$/);
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('a value that the agent does not have: 422 with the available ones, and nothing is changed', async () => {
    const id = await submit(server, telling('choices', { keepAlive: 600, permissions: 'ask' }));
    await inPhase(server, id, 'waiting', 1);
    for (const [body, detail] of [
      [{ agentMode: 'plan', model: 'b', permissions: 'deny' }, /there is no mode plan: it has ask, code/],
      [{ model: 'c' }, /there is no model c: it has a, b/], [{ effort: 'most' }, /there is no thought_level most: it has low, high/],
    ] as const) {
      const { status, problem } = await change(server, id, body);
      assert.deepEqual([status, problem.code], [422, 'config_not_supported']);
      assert.match(problem.detail, detail);
    }
    const { problem } = await change(server, id, { model: 'b', effort: 'most' });
    assert.match(problem.detail, /there is no thought_level most: it has low, high; changed before that: model$/, 'the efforts may depend on the model');
    await ask(server, `POST /jobs/${id}/prompt`, { body: { prompt: 'choices' } });
    const job = await inPhase(server, id, 'waiting', 2);
    assert.equal(job.stdout, '{}{"m":"b"}');
    assert.deepEqual(changesOf(job), [{ type: 'changed', model: 'b' }]);
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('an agent that refuses the change: 502 agent_error', async () => {
    const id = await submit(server, telling('choices', { keepAlive: 600 }, { fails: 'session/set_config_option' }));
    await inPhase(server, id, 'waiting', 1);
    const { status, problem } = await change(server, id, { model: 'b' });
    assert.deepEqual([status, problem.code], [502, 'agent_error']);
    assert.match(problem.detail, /The agent failed at session\/set_config_option: Not now/);
    assert.equal((await show(server, id)).agentPhase, 'waiting');
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('waits for the session to begin', async () => {
    const id = await submit(server, telling(undefined, { keepAlive: 600 }));
    assert.deepEqual((await change(server, id, { model: 'b' })).json(), { jobId: id, model: 'b' });
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('permissions apply to later decisions; pending requests stay', async () => {
    const id = await submit(server, fake('ask edit a\nask edit b', { permissions: 'ask', keepAlive: 600 }));
    const { pendingPermissions: [pending] = [] } = await reaches(server, id, 'it asks', (job) => job.pendingPermissions?.length === 1);
    assert.deepEqual((await change(server, id, { permissions: 'deny' })).json(), { jobId: id, permissions: 'deny' });
    assert.equal((await show(server, id)).pendingPermissions?.[0]?.permissionId, pending?.permissionId);
    await ask(server, `POST /jobs/${id}/permissions/${pending?.permissionId ?? ''}`, { body: { optionId: 'yes' } });
    assert.equal((await inPhase(server, id, 'waiting', 1)).stdout, yes + no);
    const rules = [{ path: 'c', decide: 'approve' }, { decide: 'deny' }] as const;
    assert.deepEqual((await change(server, id, { permissions: rules })).json()['permissions'], rules);
    await ask(server, `POST /jobs/${id}/prompt`, { body: { prompt: 'ask edit c\nask edit d' } });
    const job = await inPhase(server, id, 'waiting', 2);
    assert.equal(job.stdout, yes + no + yes + no);
    assert.deepEqual(changesOf(job), [{ type: 'changed', permissions: 'deny' }, { type: 'changed', permissions: rules }]);
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('a permission granted for always under another policy is requested again', async () => {
    const id = await submit(server, fake('ask edit a\nwrite a 1', { permissions: 'ask', keepAlive: 600, workdir: temporaryFolder(t) }));
    const { pendingPermissions: [first] = [] } = await reaches(server, id, 'it asks', (job) => job.pendingPermissions?.length === 1);
    await ask(server, `POST /jobs/${id}/permissions/${first?.permissionId ?? ''}`, { body: { optionId: 'always' } });
    assert.match((await inPhase(server, id, 'waiting', 1)).stdout ?? '', /"always"\}\}\{\}$/);
    await change(server, id, { permissions: 'ask' });
    await ask(server, `POST /jobs/${id}/prompt`, { body: { prompt: 'write a 2' } });
    await reaches(server, id, 'it asks again', (job) => job.pendingPermissions?.length === 1);
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('with an Idempotency-Key it is one change, also after the end', async () => {
    const id = await submit(server, telling('choices', { keepAlive: 600 }));
    await inPhase(server, id, 'waiting', 1);
    const keyed = (model: string): Promise<Answer> => ask(server, `PATCH /jobs/${id}`, { body: { model }, headers: { 'Idempotency-Key': 'k' } });
    const answers = await Promise.all([keyed('b'), keyed('b'), keyed('b')]);
    assert.deepEqual(new Set(answers.map(({ text }) => text)).size, 1);
    assert.equal((await keyed('a')).problem.code, 'idempotency_mismatch');
    assert.equal(changesOf(await show(server, id)).length, 1);
    await ask(server, `POST /jobs/${id}/cancel`);
    assert.equal((await keyed('b')).text, answers[0]?.text);
  });

  await t.test('refuses an empty change, and unknown fields', async () => {
    const id = await submit(server, telling('choices', { keepAlive: 600 }));
    for (const [body, detail] of [
      [{}, /body: expected at least one of agentMode, model, effort and permissions/], [{ model: '' }, /body: expected at least one/],
      [{ permissions: 'maybe' }, /body\.permissions/], [{ model: 1 }, /body\.model/], [{ timeout: 1 }, /body\.timeout: unknown field/],
    ] as const) {
      const { status, problem } = await change(server, id, body);
      assert.deepEqual([status, problem.code], [400, 'invalid_request']);
      assert.match(problem.detail, detail);
    }
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('of an agent that has ended: 409; of an unknown job: 404', async () => {
    const other = await submit(server, { command: 'read x' });
    const refused = (await change(server, other, { model: 'b' })).problem;
    assert.deepEqual([refused.status, refused.code], [409, 'not_an_agent']);
    await ask(server, `POST /jobs/${other}/nudge`);
    const { jobId } = await run(server, telling('choices'));
    const ended = (await change(server, jobId, { permissions: 'deny' })).problem;
    assert.deepEqual([ended.status, ended.code], [409, 'job_not_running']);
    assert.equal((await change(server, '0000000000000000', { model: 'b' })).problem.code, 'job_not_found');
  });

  await t.test('an agent that ends in the middle of it: 409 job_not_running', async () => {
    const id = await submit(server, telling('hang', { keepAlive: 600 }));
    const job = await inPhase(server, id, 'turn', 1);
    process.kill(Number(eventsOf(job)[0]?.['pid']), 'SIGSTOP');
    const changing = change(server, id, { model: 'b' });
    process.kill(Number(eventsOf(job)[0]?.['pid']), 'SIGKILL');
    const { problem } = await changing;
    assert.deepEqual([problem.status, problem.code], [409, 'job_not_running']);
    await finished(server, id);
  });
});

test('another policy outlives the server', async (t) => {
  const server = await spawnServer(t);
  const id = await submit(server, fake('ask edit a', { permissions: 'approve', keepAlive: 600 }));
  assert.equal((await inPhase(server, id, 'waiting', 1)).stdout, yes);
  assert.equal((await change(server, id, { permissions: 'deny' })).status, 200);
  await server.kill9();
  await server.restart();
  await ask(server, `POST /jobs/${id}/prompt`, { body: { prompt: 'ask edit a' } });
  assert.equal((await inPhase(server, id, 'waiting', 2)).stdout, yes + no);
  await ask(server, `POST /jobs/${id}/cancel`);
});

function change(server: Reached, id: string, body: object): Promise<Answer> {
  return ask(server, `PATCH /jobs/${id}`, { body });
}

function changesOf(job: Awaited<ReturnType<typeof show>>): readonly object[] {
  return eventsOf(job).filter(({ type }) => type === 'changed').map(({ seq: _seq, at: _at, ...event }) => event);
}
