/** The requests of an agent: what decides, and how clients answer. */
import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import type { Job } from '../../src/protocol/jobs/job.ts';
import { startTestServer, temporaryFolder } from '../support/server.ts';
import { eventsOf, fake, inPhase, noProcessLeft, reaches, telling } from '../support/agent.ts';
import { type Answer, ask, eventsIn, finished, open, type Reached, run, show, submit } from '../support/client.ts';

const told = (optionId: string): string => JSON.stringify({ outcome: { outcome: 'selected', optionId } });
const cancelled = JSON.stringify({ outcome: { outcome: 'cancelled' } });

test('permissions', async (t) => {
  const server = await startTestServer(t);
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, 'docs'));
  mkdirSync(join(folder, 'other'));
  symlinkSync('/etc', join(folder, 'docs', 'link'));

  /** Asks for each, a line each. @returns what was decided. */
  async function decided(permissions: unknown, asks: readonly string[], more: object = {}): Promise<string[]> {
    const body = fake(asks.map((line) => `ask ${line}`).join('\n'), { workdir: folder, ...(permissions === undefined ? {} : { permissions }), ...more });
    const job = await run(server, body);
    assert.equal(job.status, 'completed', JSON.stringify(job));
    assert.deepEqual(job.pendingPermissions, []);
    const answers = eventsOf(job).filter(({ type, decision }) => type === 'permission' && decision !== 'pending').map(({ decision }) => String(decision));
    assert.equal(job.stdout, answers.map((answer) => (answer === 'cancelled' ? cancelled : told(answer))).join(''));
    return answers;
  }

  for (const [permissions, command] of [['edits', 'no'], [undefined, 'yes'], ['approve', 'yes'], ['all', 'yes']] as const) {
    await t.test(`${permissions ?? 'by default'}: approved inside of the workdir, denied outside; a command: ${command}`, async () => {
      const asks = ['edit docs/a', `edit ${folder}/b`, 'edit ../c', 'edit /etc/passwd', 'read docs/link/passwd', 'read ~/x', 'execute ls', 'other x'];
      assert.deepEqual(await decided(permissions, asks), ['yes', 'yes', 'no', 'no', 'no', 'no', command, 'yes']);
    });
  }

  await t.test('edits: also inside of the additional directories', async () => {
    const asks = ['edit docs/a', `edit ${folder}/other/b`, `edit ${folder}/b`];
    assert.deepEqual(await decided('edits', asks, { workdir: join(folder, 'docs'), additionalDirectories: ['../other'] }), ['yes', 'yes', 'no']);
  });

  await t.test('deny: nothing', async () => {
    assert.deepEqual(await decided('deny', ['read docs/a', 'execute ls']), ['no', 'no']);
  });

  await t.test('rules: the first that matches decides; without a match the request is denied', async () => {
    const rules = [
      { path: 'docs/secret*', decide: 'deny' }, { kind: 'edit', path: 'docs/**', decide: 'approve' }, { command: 'np?', decide: 'approve' },
      { kind: 'read', decide: 'approve' }, { kind: 'fetch', tool: 'Do *', decide: 'approve' },
    ];
    const asks = ['edit docs/secrets', 'edit docs/a', 'edit b', 'execute npm', 'execute npm;rm', 'read b', 'read /etc/passwd', 'fetch x', 'delete docs/a'];
    assert.deepEqual(await decided(rules, asks), ['no', 'yes', 'no', 'yes', 'no', 'yes', 'no', 'yes', 'no']);
    assert.deepEqual(await decided([], ['read docs/a']), ['no']);
  });

  await t.test('each decision is reported, with its reason', async () => {
    const job = await run(server, fake('ask edit /etc/x', { workdir: folder }));
    const [event] = eventsOf(job).filter(({ type }) => type === 'permission');
    assert.deepEqual([event?.['decision'], event?.['reason']], ['no', 'the policy would approve it, but /etc/x is outside of the directories of the job']);
    assert.deepEqual((event?.['question'] as { paths: string[] }).paths, ['/etc/x']);
  });

  await t.test('without an answer in time askDefault applies, and approves no more than edits would', async () => {
    const inTime = { permissions: 'ask', askTimeout: 0.05 };
    assert.deepEqual(await decided('ask', ['edit docs/a'], inTime), ['no']);
    assert.deepEqual(await decided('ask', ['edit docs/a'], { ...inTime, askDefault: 'deny' }), ['no']);
    assert.deepEqual(await decided('ask', ['edit docs/a', 'edit /etc/x', 'execute ls'], { ...inTime, askDefault: 'approve' }), ['yes', 'no', 'no']);
    const job = await run(server, fake('ask edit a', { workdir: folder, ...inTime }));
    const events = eventsOf(job).filter(({ type }) => type === 'permission');
    assert.deepEqual(events.map(({ decision, reason }) => [decision, reason]), [['pending', 'the policy is ask'], ['no', 'timed out after 0.05 s']]);
  });
});

test('the policy ask', async (t) => {
  const server = await startTestServer(t);

  await t.test('the job shows the request, a follower gets an event, and the answer goes to the agent', async () => {
    const id = await submit(server, fake('ask edit docs/a\nsay , done', { permissions: 'ask' }));
    const live = await open(t, server, `GET /jobs/${id}/events`);
    await live.until(/"type":"permission"/);
    const job = await pending(server, id);
    const [permission] = job.pendingPermissions ?? [];
    const { permissionId, askedAt, expiresAt, ...rest } = permission ?? { permissionId: '', askedAt: 0, expiresAt: 0 };
    assert.deepEqual(rest, {
      toolCallId: 't1', kind: 'edit', tools: ['Do it'], paths: ['docs/a'], commands: [],
      options: [{ optionId: 'always', kind: 'allow_always', name: 'always' }, { optionId: 'yes', kind: 'allow_once', name: 'yes' }, { optionId: 'no', kind: 'reject_once', name: 'no' }],
    });
    assert.ok(expiresAt - askedAt === 300 && askedAt >= job.submittedAt);
    const [asked] = permissionsIn(live.text());
    assert.deepEqual([asked?.['permissionId'], asked?.['decision']], [permissionId, 'pending']);
    assert.equal((await ask(server, 'GET /jobs')).json<Job[]>().find(({ jobId }) => jobId === id)?.pendingPermissions?.length, 1, 'lists show it, too');
    const answer = await reply(server, id, permissionId, 'always');
    assert.deepEqual([answer.status, answer.json()], [200, { permissionId, optionId: 'always' }]);
    assert.equal((await finished(server, id)).stdout, `${told('always')}, done`);
    assert.deepEqual(permissionsIn(await live.end()).map(({ decision, reason }) => [decision, reason]),
      [['pending', 'the policy is ask'], ['always', 'a client has answered']]);
  });

  await t.test('an answer that matches no option is refused, and the request stays pending', async () => {
    const id = await submit(server, fake('ask edit a', { permissions: 'ask' }));
    const [{ permissionId } = { permissionId: '' }] = (await pending(server, id)).pendingPermissions ?? [];
    for (const [path, body, status, code] of [
      ['no-such-id', { optionId: 'yes' }, 404, 'permission_not_found'], ['%20', { optionId: 'yes' }, 404, 'permission_not_found'],
      [permissionId, { optionId: 'maybe' }, 400, 'invalid_request'], [permissionId, {}, 400, 'invalid_request'],
      [permissionId, { optionId: '' }, 400, 'invalid_request'], [permissionId, { optionId: null }, 400, 'invalid_request'],
      [permissionId, { optionId: 'yes', more: 1 }, 400, 'invalid_request'],
    ] as const) {
      const { status: got, problem } = await ask(server, `POST /jobs/${id}/permissions/${path}`, { body });
      assert.deepEqual([got, problem.code], [status, code], `${path} ${JSON.stringify(body)}`);
    }
    assert.equal((await pending(server, id)).pendingPermissions?.[0]?.permissionId, permissionId);
    assert.equal((await reply(server, id, permissionId, 'no')).status, 200);
    assert.equal((await finished(server, id)).stdout, told('no'));
    const { status, problem } = await reply(server, id, permissionId, 'no');
    assert.deepEqual([status, problem.code], [409, 'job_not_running']);
  });

  await t.test('an answer counts once; its Idempotency-Key has the same answer again, also after the end', async () => {
    const id = await submit(server, fake('ask edit a', { permissions: 'ask', keepAlive: 600 }));
    const [{ permissionId } = { permissionId: '' }] = (await pending(server, id)).pendingPermissions ?? [];
    const line = `POST /jobs/${id}/permissions/${permissionId}`;
    const keyed = (optionId: string): Promise<Answer> => ask(server, line, { body: { optionId }, headers: { 'Idempotency-Key': 'k' } });
    const first = await keyed('yes');
    await inPhase(server, id, 'waiting', 1);
    assert.deepEqual([(await keyed('yes')).status, (await keyed('yes')).text], [200, first.text]);
    assert.equal((await keyed('no')).problem.code, 'idempotency_mismatch');
    assert.equal((await reply(server, id, permissionId, 'yes')).problem.code, 'permission_not_found');
    await ask(server, `POST /jobs/${id}/cancel`);
    assert.equal((await keyed('yes')).text, first.text);
    assert.equal((await show(server, id)).stdout, told('yes'));
  });

  await t.test('many answers at once: one counts', async () => {
    const id = await submit(server, fake('ask edit a', { permissions: 'ask', keepAlive: 600 }));
    const [{ permissionId } = { permissionId: '' }] = (await pending(server, id)).pendingPermissions ?? [];
    const answers = await Promise.all(['yes', 'no', 'always', 'yes', 'no'].map((optionId) => reply(server, id, permissionId, optionId)));
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 404, 404, 404, 404]);
    await inPhase(server, id, 'waiting', 1);
    const given = answers.find(({ status }) => status === 200)?.json()['optionId'];
    assert.equal((await show(server, id)).stdout, told(String(given)));
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('a cancelled turn has no pending requests', async () => {
    const id = await submit(server, fake('ask edit a', { permissions: 'ask', keepAlive: 600 }));
    const [{ permissionId } = { permissionId: '' }] = (await pending(server, id)).pendingPermissions ?? [];
    assert.deepEqual((await ask(server, `POST /jobs/${id}/prompt/cancel`)).json(), { cancelled: true });
    const job = await inPhase(server, id, 'waiting', 1);
    assert.deepEqual([job.pendingPermissions, job.stdout], [[], cancelled]);
    assert.equal((await reply(server, id, permissionId, 'yes')).problem.code, 'permission_not_found');
    await ask(server, `POST /jobs/${id}/cancel`);
    await noProcessLeft(id);
  });

  await t.test('a cancelled job has no pending requests', async () => {
    const id = await submit(server, fake('ask edit a', { permissions: 'ask' }));
    await pending(server, id);
    const job = (await ask(server, `POST /jobs/${id}/cancel`)).json<Job>();
    assert.deepEqual([job.reason, job.pendingPermissions], ['cancelled', []]);
    await noProcessLeft(id);
  });

  await t.test('of a job without an agent, or of none: 409 not_an_agent, 404', async () => {
    const id = await submit(server, { command: 'read x' });
    assert.deepEqual([(await reply(server, id, 'x', 'y')).status, (await reply(server, id, 'x', 'y')).problem.code], [409, 'not_an_agent']);
    assert.equal((await reply(server, '0000000000000000', 'x', 'y')).problem.code, 'job_not_found');
    await ask(server, `POST /jobs/${id}/nudge`);
  });
});

test('elicitation: an agent that asks more than permissions', async (t) => {
  const server = await startTestServer(t);

  await t.test('is an unknown method if the request does not allow it', async () => {
    assert.match((await run(server, telling('elicit'))).stdout ?? '', /-32601/);
  });

  await t.test('is declined if no answer comes in time', async () => {
    assert.equal((await run(server, telling('elicit', { elicitation: true, askTimeout: 0.05 }))).stdout, '{"action":"decline"}');
  });

  await t.test('is shown and answered by a form', async () => {
    const id = await submit(server, telling('elicit', { elicitation: true }));
    const { pendingElicitations = [] } = await reaches(server, id, 'it asks', (job) => job.pendingElicitations?.length === 1);
    const [{ elicitationId, message, requestedSchema } = { elicitationId: '', message: '', requestedSchema: null }] = pendingElicitations;
    assert.deepEqual([message, requestedSchema], ['Who?', { type: 'object', properties: { name: { type: 'string' } } }]);
    const answerTo = (one: string, body: object): Promise<Answer> => ask(server, `POST /jobs/${id}/elicitations/${one}`, { body });
    assert.equal((await answerTo('x', { action: 'accept', content: {} })).problem.code, 'elicitation_not_found');
    assert.equal((await answerTo(elicitationId, { action: 'yes' })).problem.code, 'invalid_request');
    assert.equal((await answerTo(elicitationId, { action: 'accept', content: { name: {} } })).problem.code, 'invalid_request');
    const answer = await answerTo(elicitationId, { action: 'accept', content: { name: 'é', count: 3, is: true, all: ['a'] } });
    assert.deepEqual([answer.status, answer.json()], [200, { elicitationId, action: 'accept' }]);
    assert.equal((await finished(server, id)).stdout, '{"action":"accept","content":{"name":"é","count":3,"is":true,"all":["a"]}}');
  });
});

test('elicitation by URL: an agent that sends the user to a page', async (t) => {
  const server = await startTestServer(t);
  const question = { sessionId: 's1', mode: 'url', message: 'Log in', elicitationId: 'e1', url: 'https://example.org/login?x=1' };

  await t.test('is shown with its URL, takes no form, and is accepted once it was opened', async () => {
    const id = await submit(server, fake(`call elicitation/create ${JSON.stringify(question)}`, { elicitation: true }));
    const job = await reaches(server, id, 'it asks', ({ pendingElicitations }) => pendingElicitations?.length === 1);
    const [{ elicitationId, url } = { elicitationId: '', url: '' }] = job.pendingElicitations ?? [];
    assert.equal(url, question.url);
    const path = `POST /jobs/${id}/elicitations/${elicitationId}`;
    assert.equal((await ask(server, path, { body: { action: 'accept', content: { a: 'b' } } })).problem.code, 'invalid_request');
    assert.equal((await ask(server, path, { body: { action: 'accept' } })).status, 200);
    assert.equal((await finished(server, id)).stdout, '{"action":"accept"}');
  });

  await t.test('needs no answer if the agent reports that it was completed', async () => {
    const lines = [
      { jsonrpc: '2.0', id: 900, method: 'elicitation/create', params: question },
      { jsonrpc: '2.0', method: 'elicitation/complete', params: { elicitationId: 'e1' } },
    ];
    const prompt = [...lines.map((line) => `raw ${JSON.stringify(line)}`), 'read none'].join('\n');
    const job = await run(server, fake(prompt, { elicitation: true }));
    const told = eventsOf(job).filter(({ type }) => type === 'elicitation').map(({ decision, reason, url }) => [decision, reason, url]);
    assert.deepEqual(told, [
      ['pending', 'it waits for an answer', question.url], ['accept', 'it was done at the URL', question.url],
    ]);
    assert.deepEqual([job.stopReason, job.pendingElicitations], ['end_turn', []]);
  });
});

async function pending(server: Reached, id: string): Promise<Job> {
  return await reaches(server, id, 'it asks', (job) => job.pendingPermissions?.length === 1);
}

function reply(server: Reached, id: string, permissionId: string, optionId: string): Promise<Answer> {
  return ask(server, `POST /jobs/${id}/permissions/${permissionId}`, { body: { optionId } });
}

function permissionsIn(text: string): { readonly [field: string]: unknown }[] {
  return eventsIn(text).filter(({ event }) => event === 'agent').map(({ data }) => data['event'] as { [field: string]: unknown })
    .filter((event) => event['type'] === 'permission');
}
