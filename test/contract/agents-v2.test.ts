/** An agent that speaks version 2 of the protocol, by the calls that all agents have. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Job } from '../../src/protocol/jobs/job.ts';
import { startTestServer } from '../support/server.ts';
import { eventsOf, inPhase, reaches } from '../support/agent.ts';
import { type Answer, ask, finished, type Reached, run, submit } from '../support/client.ts';

const argv = [process.execPath, fileURLToPath(new URL('../fixtures/fake-agent-v2.mjs', import.meta.url))];
const v2 = (prompt: string | undefined, more: object = {}): object =>
  ({ mode: 'acp', argv, acpVersion: 2, ...(prompt === undefined ? {} : { prompt }), ...more });

test('an agent of version 2', async (t) => {
  const server = await startTestServer(t);

  await t.test('a turn ends when its work does, not with the answer to the prompt', async () => {
    const job = await run(server, v2('say a\nsay b\nedit /x/y.txt\nplan Look\nsay c'));
    assert.deepEqual([job.status, job.stopReason, job.stdout, job.acpSessionId], ['completed', 'end_turn', 'abc', 's1']);
    assert.deepEqual(job.agentInfo, { name: 'fake-v2', version: '1' });
    const [agent] = eventsOf(job);
    assert.equal(agent?.['protocolVersion'], 2);
    assert.deepEqual(job.toolCalls, [{
      toolCallId: 't1', title: 'Edit it', kind: 'edit', status: 'failed', locations: [],
      diffs: [{ path: '/x/y.txt', oldText: 'same\nold\n', newText: 'same\nnew\n', isCut: false }],
    }]);
    assert.deepEqual(job.plan, [{ content: 'Look', priority: 'high', status: 'pending' }]);
  });

  await t.test('the end may be reported before the prompt is answered', async () => {
    const job = await run(server, v2('quick\nsay a'));
    assert.deepEqual([job.status, job.stopReason, job.stdout], ['completed', 'end_turn', 'a']);
  });

  await t.test('turn after turn, each with its text', async () => {
    const id = await submit(server, v2('say a', { keepAlive: 600 }));
    for (const [index, text] of ['b', 'c', 'd'].entries()) {
      await inPhase(server, id, 'waiting', index + 1);
      await prompt(server, id, `${index === 1 ? 'quick\n' : ''}say ${text}`);
    }
    assert.equal((await inPhase(server, id, 'waiting', 4)).stdout, 'abcd');
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('a whole message adds what its chunks lacked', async () => {
    const job = await run(server, v2('say one\nmessage m1 one, two\nmessage m1 one, two\nmessage m9 . New.\nmessage m1 Other'));
    assert.equal(job.stdout, 'one, two. New.\nOther');
  });

  await t.test('cancel, stop reasons and errors', async () => {
    const id = await submit(server, v2('say a\nhang', { keepAlive: 600 }));
    await reaches(server, id, 'it has said something', ({ stdout }) => stdout === 'a');
    assert.deepEqual((await ask(server, `POST /jobs/${id}/prompt/cancel`)).json(), { cancelled: true });
    assert.equal((await inPhase(server, id, 'waiting', 1)).stopReason, 'cancelled');
    await ask(server, `POST /jobs/${id}/cancel`);
    assert.equal((await run(server, v2('stop refusal'))).stopReason, 'refusal');
    const failed = await run(server, v2('say a\nfail No tokens left'));
    assert.deepEqual([failed.status, failed.acpError?.code, failed.stdout], ['failed', 'agent_error', 'a']);
    assert.match(failed.acpError?.message ?? '', /No tokens left/);
    assert.match((await run(server, v2('refuse'))).acpError?.message ?? '', /Not now/);
  });

  await t.test('permissions are judged by their subject; the client offers no files and commands', async () => {
    const permissions = [
      { command: 'ls *', decide: 'approve' }, { kind: 'execute', decide: 'deny' }, { path: 'a', decide: 'approve' },
      { decide: 'deny' },
    ];
    const workdir = process.cwd();
    const steps = ['run ls -l', 'run rm x', `permit ${workdir}/a`, `permit ${workdir}/b`, 'serve fs/read_text_file', 'serve terminal/create'];
    const job = await run(server, v2(steps.join('\n'), { permissions, workdir }));
    assert.equal(job.stdout, 'yes;no;yes;no;-32601;-32601;');
    const id = await submit(server, v2('run ls -l', { permissions: 'ask' }));
    const asks = (one: Job): boolean => one.pendingPermissions?.length === 1;
    const { pendingPermissions: [pending] = [] } = await reaches(server, id, 'it asks', asks);
    assert.deepEqual([pending?.kind, pending?.commands], ['execute', ['ls -l']]);
    await ask(server, `POST /jobs/${id}/permissions/${pending?.permissionId ?? ''}`, { body: { optionId: 'yes' } });
    assert.equal((await finished(server, id)).stdout, 'yes;');
  });

  await t.test('model and mode are chosen and changed; the session continues after its end', async () => {
    const id = await submit(server, v2('choices', { keepAlive: 600, model: 'B' }));
    await inPhase(server, id, 'waiting', 1);
    const changed = await ask(server, `PATCH /jobs/${id}`, { body: { agentMode: 'code' } });
    assert.deepEqual(changed.json(), { jobId: id, agentMode: 'code' });
    await prompt(server, id, 'choices');
    assert.equal((await inPhase(server, id, 'waiting', 2)).stdout, '{"model":"b"}{"model":"b","mode":"code"}');
    await ask(server, `POST /jobs/${id}/cancel`);
    const { jobId } = (await prompt(server, id, 'session')).json<{ jobId: string }>();
    const job = await inPhase(server, jobId, 'waiting', 1);
    assert.deepEqual(JSON.parse(job.stdout ?? ''), { sessionId: 's1', cwd: job.workdir, mcpServers: [] });
    await ask(server, `POST /jobs/${jobId}/cancel`);
  });

  await t.test('programs and logins', async () => {
    const mcpServers = [{ name: 'm', command: '/bin/true' }];
    const job = await run(server, v2('session', { mcpServers, authMethod: 'key' }));
    const { mcpServers: told } = JSON.parse(job.stdout ?? '') as { mcpServers: object };
    assert.deepEqual(told, [{ type: 'stdio', name: 'm', command: '/bin/true', args: [], env: [] }]);
    const http = await run(server, v2('x', { mcpServers: [{ type: 'http', name: 'h', url: 'http://127.0.0.1/' }] }));
    assert.equal(http.acpError?.code, 'mcp_not_supported');
    const list = await run(server, v2(undefined, { sessionAction: 'list' }));
    assert.equal(list.sessions?.[0]?.title, 'First one');
  });

  await t.test('logs in in a terminal if the server has some, and logs out', async () => {
    const { acpError } = await run(server, v2('x', { authMethod: 'tty' }));
    assert.deepEqual([acpError?.code, acpError?.details['authMethods']], ['auth_failed', [
      { id: 'key', name: 'By a key' },
      { id: 'tty', name: 'By name', type: 'terminal', argv: [...argv, '--login'], env: { FROM: 'the method' } },
    ]]);
    const job = await run(server, v2(undefined, { sessionAction: 'logout' }));
    assert.deepEqual([job.status, job.stderr], ['completed', 'logged out\n']);
  });

  await t.test('questions by URL and notices', async () => {
    const asking = { elicitation: true };
    const steps = ['client', 'notice Old', 'url https://example.org/a', 'url file:///etc/passwd'];
    const id = await submit(server, v2(steps.join('\n'), asking));
    const asks = (one: Job): boolean => one.pendingElicitations?.length === 1;
    const { pendingElicitations: [pending] = [] } = await reaches(server, id, 'it asks', asks);
    assert.equal(pending?.url, 'https://example.org/a');
    await ask(server, `POST /jobs/${id}/elicitations/${pending.elicitationId}`, { body: { action: 'accept' } });
    const job = await finished(server, id);
    const capabilities = JSON.stringify({ elicitation: { form: {}, url: {} }, auth: { terminal: {} } });
    assert.equal(job.stdout, `${capabilities}accept;-32602;`);
    const updates = eventsOf(job).map((event) => event['update'] as { readonly title?: string } | undefined);
    assert.ok(updates.some((update) => update?.title === 'Old'), 'a notice is an event, and no part of the text');
    assert.equal((await run(server, v2('done https://example.org/b', asking))).stdout, 'accept;');
    const silent = await run(server, v2('client\nurl https://example.org/a'));
    assert.equal(silent.stdout, `${JSON.stringify({ auth: { terminal: {} } })}-32601;`);
  });

  await t.test('uses version 1 if that is requested', async () => {
    const [agent] = eventsOf(await run(server, v2(undefined, { acpVersion: 1 })));
    assert.deepEqual([agent?.['info'], agent?.['protocolVersion']], [{ name: 'fake-v2', version: '1' }, undefined]);
    const { status, problem } = await ask(server, 'POST /exec', { body: v2('x', { acpVersion: 3 }) });
    assert.deepEqual([status, problem.code], [400, 'invalid_request']);
  });
});

function prompt(server: Reached, id: string, text: string): Promise<Answer> {
  return ask(server, `POST /jobs/${id}/prompt`, { body: { prompt: text } });
}
