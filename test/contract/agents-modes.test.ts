/** An agent is put into a mode in which it asks, as far as the permissions of its job need that. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { startTestServer } from '../support/server.ts';
import { eventsOf, inPhase, telling } from '../support/agent.ts';
import { ask, finished, run, submit } from '../support/client.ts';

const rules = [{ command: 'npm *', decide: 'approve' }];

test('the mode of an agent', async (t) => {
  const server = await startTestServer(t);
  const chosen = async (more: object, options: object): Promise<unknown> => {
    const job = await run(server, telling('choices', more, options));
    assert.equal(job.status, 'completed', JSON.stringify(job.acpError));
    return JSON.parse(job.stdout ?? '');
  };

  for (const [permissions, expected] of [
    ['deny', { o: 'plan' }], ['read', { o: 'plan' }], ['ask', { o: 'ask' }], ['edits', { o: 'ask' }], [rules, { o: 'ask' }], ['all', {}], ['approve', {}], [undefined, {}],
  ] as const) {
    await t.test(`follows from the permissions: ${JSON.stringify(permissions)}`, async () => {
      const more = permissions === undefined ? {} : { permissions };
      assert.deepEqual(await chosen(more, { modeIds: ['code', 'ask', 'plan'] }), expected);
      const byMode = 'o' in expected ? { mode: expected.o } : {};
      assert.deepEqual(await chosen(more, { modeIds: ['code', 'ask', 'plan'], modes: true }), byMode);
    });
  }

  await t.test('is that of the request, if it names one', async () => {
    assert.deepEqual(await chosen({ permissions: 'deny', agentMode: 'code' }, { modeIds: ['code', 'ask', 'plan'] }), { o: 'code' });
    assert.deepEqual(await chosen({ permissions: 'deny', agentMode: 'yolo' }, { modeIds: ['yolo', 'code'] }), { o: 'yolo' });
    const missing = { permissions: 'deny', agentMode: 'none', strictConfig: false };
    assert.deepEqual(await chosen(missing, { modeIds: ['code', 'ask', 'plan'] }), { o: 'plan' });
  });

  await t.test('is reported, and a switch that allows everything is turned off', async () => {
    const job = await run(server, telling('choices', { permissions: 'ask' }, { modeIds: ['code', 'ask'], allowAll: true }));
    assert.deepEqual(JSON.parse(job.stdout ?? ''), { allow_all: 'off', o: 'ask' });
    assert.deepEqual(eventsOf(job).filter(({ type }) => type === 'changed').map(({ agentMode }) => agentMode), ['ask']);
  });

  await t.test('fails the job if no mode is known to ask, unless the agent is trusted', async () => {
    for (const permissions of ['deny', 'read', 'edits', 'ask', rules]) {
      const job = await run(server, telling('choices', { permissions }, { modeIds: ['code', 'yolo'] }));
      assert.deepEqual([job.status, job.acpError?.code, job.acpError?.details], ['failed', 'policy_not_supported', { modes: ['code', 'yolo'] }]);
      assert.match(job.acpError?.message ?? '', /^Cannot enforce the permissions (\w+|by rules): none of the agent's modes \(code, yolo\) is known .* "trustAgent": true$/);
      assert.deepEqual(await chosen({ permissions, trustAgent: true }, { modeIds: ['code', 'yolo'] }), {});
    }
    for (const permissions of ['all', undefined]) assert.deepEqual(await chosen({ permissions: permissions ?? null }, { modeIds: ['code', 'yolo'] }), {});
  });

  await t.test('changes with the permissions, and back', async () => {
    const id = await submit(server, telling('argv', { keepAlive: 600 }, { modeIds: ['code', 'ask', 'plan'] }));
    let turns = 1;
    await inPhase(server, id, 'waiting', turns);
    for (const [permissions, mode] of [['deny', 'plan'], ['ask', 'ask'], ['edits', 'ask'], ['all', 'code']] as const) {
      const { status, text } = await ask(server, `PATCH /jobs/${id}`, { body: { permissions } });
      assert.equal(status, 200, text);
      await ask(server, `POST /jobs/${id}/prompt`, { body: { prompt: 'choices' } });
      assert.match((await inPhase(server, id, 'waiting', turns += 1)).stdout ?? '', new RegExp(`"o":"${mode}"}$`));
    }
    await ask(server, `POST /jobs/${id}/cancel`);
    const job = await finished(server, id);
    assert.deepEqual(eventsOf(job).filter(({ type, agentMode }) => type === 'changed' && agentMode !== undefined).map(({ agentMode }) => agentMode), ['plan', 'ask', 'code']);
  });

  await t.test('that was named stays when the permissions change', async () => {
    const id = await submit(server, telling('argv', { keepAlive: 600, agentMode: 'code' }, { modeIds: ['code', 'plan'] }));
    await inPhase(server, id, 'waiting', 1);
    assert.equal((await ask(server, `PATCH /jobs/${id}`, { body: { permissions: 'deny' } })).status, 200);
    await ask(server, `POST /jobs/${id}/prompt`, { body: { prompt: 'choices' } });
    assert.match((await inPhase(server, id, 'waiting', 2)).stdout ?? '', /"o":"code"}$/);
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('is not known to ask: a change of permissions is refused, and nothing changes', async () => {
    const id = await submit(server, telling('argv', { keepAlive: 600 }, { modeIds: ['code', 'yolo'] }));
    await inPhase(server, id, 'waiting', 1);
    const { status, problem } = await ask(server, `PATCH /jobs/${id}`, { body: { permissions: 'deny' } });
    assert.deepEqual([status, problem.code], [422, 'config_not_supported']);
    assert.match(JSON.stringify(problem), /none of the agent's modes .* is known to ask for permission/);
    await ask(server, `POST /jobs/${id}/cancel`);
    assert.deepEqual(eventsOf(await finished(server, id)).filter(({ type }) => type === 'changed'), []);
  });

  await t.test('of opencode needs a variable, which the request may have itself', async () => {
    const asked = async (more: object): Promise<unknown> => {
      const { argv } = telling('') as { argv: string[] };
      return (JSON.parse((await run(server, telling('env OPENCODE_PERMISSION', { argv: [...argv, 'opencode'], ...more }))).stdout ?? '') as { [name: string]: unknown })['OPENCODE_PERMISSION'];
    };
    assert.match(String(await asked({ permissions: 'deny' })), /^\{"\*":"ask"/);
    assert.equal(await asked({ permissions: 'deny', env: { OPENCODE_PERMISSION: '{}' } }), '{}');
    assert.equal(await asked({}), null);
  });
});
