/** `sidecar.agents` against a real server and a real process of an agent. */
import assert from 'node:assert/strict';
import { type TestContext, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type AgentEvent, type JobId, ProblemError, Sidecar, agentEvent, optionFor } from '../../src/client/client.ts';
import { clientEventTypes } from '../../src/protocol/agents/job-details.ts';
import { rejectsWith } from '../support/errors.ts';
import { startTestServer } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { startUnreliableProxy } from '../support/unreliable-proxy.ts';
import { FakeServer, key } from '../support/fake-server.ts';

const skip = process.platform === 'win32' ? 'needs FIFOs' : false;
const argv = [process.execPath, fileURLToPath(new URL('../fixtures/fake-agent.mjs', import.meta.url))];

async function setUp(t: TestContext): Promise<Sidecar> {
  return (await startTestServer(t)).client;
}

describe('Agents', { skip }, () => {
  it('run() tells what happens, has permissions answered, and hands out the job', async (t) => {
    const sidecar = await setUp(t);
    const events: AgentEvent[] = [];
    const answers = ['approve', 'deny', 'always'];
    let accepted: string | undefined;
    const job = await sidecar.agents.run({
      argv, prompt: 'say hello\nask edit a\nask edit b\nask edit c', labels: { a: 'b' },
      onAccepted: ({ jobId }) => { accepted = jobId; },
      onEvent: (event) => void events.push(event),
      onPermission: ({ kind, tools, paths }) => {
        assert.deepEqual([kind, tools, paths.length], ['edit', ['Do it'], 1]);
        return answers.shift();
      },
    });
    assert.deepEqual([job.jobId, job.status, job.mode, job.stopReason, job.acpSessionId, job.labels], [accepted, 'completed', 'acp', 'end_turn', 's1', { a: 'b' }]);
    assert.deepEqual(job.stdout?.match(/"(yes|no|always)"/g), ['"yes"', '"no"', '"always"']);
    assert.deepEqual(events.map(({ seq }) => seq), events.map((_, index) => index + 1));
    assert.deepEqual(events.map(({ type }) => type).filter((type) => type !== 'update' && type !== 'permission'), ['agent', 'session', 'prompt', 'stop']);
    assert.deepEqual(events.flatMap((event) => (event.type === 'permission' ? [event.decision] : [])), ['pending', 'yes', 'pending', 'no', 'pending', 'always']);
  });

  it('run() and permit() take a decision, which may be remembered', async (t) => {
    const sidecar = await setUp(t);
    let asked = 0;
    const job = await sidecar.agents.run({
      argv, prompt: 'ask execute ls\nask execute ls\nask edit a',
      onPermission: ({ kind }) => {
        asked += 1;
        return kind === 'execute' ? { decision: 'approve', remember: 'job' } : { decision: 'deny' };
      },
    });
    assert.deepEqual([job.stdout?.match(/"(yes|no)"/g), asked, job.permissionsAsked], [['"yes"', '"yes"', '"no"'], 2, 3]);
    assert.deepEqual(job.permissionsDenied?.map(({ paths }) => paths), [['a']]);
    const { jobId } = await sidecar.agents.start({ argv, prompt: 'ask edit a', permissions: 'ask' });
    const pending = await until(async () => (await sidecar.jobs.get(jobId)).pendingPermissions?.[0], { what: 'it asks' });
    const answer = { decision: 'deny', remember: 'turn' } as const;
    assert.deepEqual(await sidecar.agents.permit(jobId, pending.permissionId, answer), { permissionId: pending.permissionId, ...answer });
  });

  it('run() leaves what nobody answers to somebody else, and fails with what it told', async (t) => {
    const sidecar = await setUp(t);
    let id: JobId | undefined;
    const aborted: boolean[] = [];
    const job = await sidecar.agents.run({
      argv, prompt: 'ask edit a\nask edit b', onAccepted: ({ jobId }) => { id = jobId; },
      onPermission: async ({ permissionId }, { signal }) => {
        await sidecar.agents.permit(id ?? assert.fail(), permissionId, 'no');
        await until(() => signal.aborted, { what: 'it is told that this was decided' });
        aborted.push(signal.aborted);
        return aborted.length === 1 ? undefined : 'approve';
      },
    });
    assert.deepEqual([job.stdout?.match(/"no"/g)?.length, aborted], [2, [true, true]]);
    const tooBad = sidecar.agents.run({ argv, prompt: 'ask edit a', onPermission: () => 'maybe', askTimeout: 1 });
    await assert.rejects(tooBad, /Cannot answer permission .* with "maybe": its options are always, yes, no/);
    await assert.rejects(sidecar.agents.run({ argv, prompt: 'say x', onEvent: () => { throw new Error('mine'); } }), /mine/);
    const leaving = new AbortController();
    await assert.rejects(sidecar.agents.run({ argv, prompt: 'hang', signal: leaving.signal, onEvent: ({ type }) => { if (type === 'prompt') leaving.abort(new Error('left')); } }), /left/);
    assert.equal((await sidecar.jobs.list({ limit: 1 }))[0]?.status, 'running');
  });

  it('run() without anybody to tell waits; start(), prompt(), cancelTurn() and answer() go on', async (t) => {
    const sidecar = await setUp(t);
    assert.equal((await sidecar.agents.run({ argv, prompt: 'say quiet' })).stdout, 'quiet');
    assert.equal((await sidecar.agents.run({ argv, prompt: 'die' })).acpError?.code, 'agent_ended');
    const { jobId } = await sidecar.agents.start({ argv, prompt: 'say one', keepAlive: 600, elicitation: true });
    assert.deepEqual(await sidecar.agents.prompt(jobId, 'hang'), { jobId, turn: 2 });
    await until(async () => (await sidecar.jobs.get(jobId)).turnCount === 2, { what: 'it is at the second turn' });
    await until(async () => (await sidecar.agents.cancelTurn(jobId)).cancelled, { what: 'the turn is cancelled' });
    await sidecar.agents.prompt(jobId, [{ type: 'text', text: 'elicit How many?' }]);
    const question = await until(async () => (await sidecar.jobs.get(jobId)).pendingElicitations?.[0], { what: 'it asks' });
    const taken = await sidecar.agents.answer(jobId, question.elicitationId, { action: 'accept', content: { count: 3 } });
    assert.equal(taken.action, 'accept');
    await until(async () => (await sidecar.jobs.get(jobId)).stdout === 'one{"action":"accept","content":{"count":3}}', { what: 'the agent has it' });
    await rejectsWith(sidecar.agents.permit(jobId, 'none', 'yes'), { type: ProblemError, code: 'permission_not_found' });
    await sidecar.jobs.cancel(jobId);
    const { jobId: next, ...more } = await sidecar.agents.prompt(jobId, 'say late');
    assert.deepEqual(more, { turn: 1, continues: jobId, keepAlive: 600 });
    assert.equal((await sidecar.jobs.wait(next)).acpError?.code, 'resume_not_supported');
    await rejectsWith(sidecar.agents.cancelTurn((await sidecar.exec({ command: 'true' })).jobId), { type: ProblemError, code: 'not_an_agent' });
    const { agents, defaultAgent } = await sidecar.agents.list();
    assert.ok(agents.some(({ name }) => name === defaultAgent));
  });

  it('wait() comes back where a person is wanted; pending(), turns() and turn() tell the rest', async (t) => {
    const sidecar = await setUp(t);
    const { jobId } = await sidecar.agents.start({ argv, prompt: 'say one', keepAlive: 600, permissions: 'ask' });
    assert.equal((await sidecar.jobs.wait(jobId, { waitFor: 'input' })).agentPhase, 'waiting');
    await sidecar.agents.prompt(jobId, 'say two\nask edit a');
    const [asked] = (await sidecar.jobs.wait(jobId, { waitFor: 'input' })).pendingPermissions ?? [];
    const { permissions, elicitations } = await sidecar.agents.pending();
    assert.deepEqual([permissions.map((one) => [one.jobId, one.permissionId]), elicitations], [[[jobId, asked?.permissionId]], []]);
    assert.deepEqual((await sidecar.jobs.list({ waitsFor: 'input' })).map((job) => job.jobId), [jobId]);
    assert.equal((await sidecar.jobs.wait(jobId, { timeoutMs: 100 })).status, 'running');
    assert.deepEqual((await sidecar.agents.turns(jobId)).map(({ turn, text }) => [turn, text]), [[1, 'one'], [2, 'two']]);
    assert.deepEqual((await sidecar.agents.turns(jobId, { before: 2, limit: 1 })).map(({ turn }) => turn), [1]);
    assert.deepEqual([(await sidecar.agents.turn(jobId, 2)).text, (await sidecar.agents.turn(jobId, 2)).finishedAt], ['two', null]);
    await rejectsWith(sidecar.agents.turn(jobId, 3), { type: ProblemError, code: 'turn_not_found' });
    await sidecar.jobs.cancel(jobId);
    assert.equal((await sidecar.jobs.wait(jobId, { waitFor: 'input' })).reason, 'cancelled');
  });

  it('change() changes what an agent goes on with, and tells so', async (t) => {
    const sidecar = await setUp(t);
    const { jobId } = await sidecar.agents.start({ argv, prompt: 'say one', keepAlive: 600 });
    assert.deepEqual(await sidecar.agents.change(jobId, { model: 'B', permissions: 'deny' }), { jobId, model: 'b', permissions: 'deny' });
    const { events } = await sidecar.jobs.get(jobId);
    const [changed] = (events ?? []).map(agentEvent).flatMap((event) => (event?.type === 'changed' ? [event] : []));
    assert.deepEqual([changed?.model, changed?.permissions, changed && 'effort' in changed], ['b', 'deny', false]);
    await rejectsWith(sidecar.agents.change(jobId, { agentMode: 'plan' }), { type: ProblemError, code: 'config_not_supported' });
    await sidecar.jobs.cancel(jobId);
    await rejectsWith(sidecar.agents.change(jobId, { permissions: 'ask' }), { type: ProblemError, code: 'job_not_running' });
  });

  it('follow() gives each event and each byte once, wherever connections break', async (t) => {
    const server = await startTestServer(t);
    const breaker = await startUnreliableProxy(t, server);
    const sidecar = new Sidecar({ url: breaker.url, key: server.key, retry: { firstDelayMs: 1, maxDelayMs: 5 } });
    const count = 600;
    const { jobId } = await server.client.agents.start({ argv, prompt: `${'say wörd \n'.repeat(count)}flood ${count}\nsay end` });
    const job = await server.client.jobs.wait(jobId);
    const seen: number[] = [];
    let text = '';
    let lost = 0;
    breaker.limit(5000);
    for await (const event of sidecar.jobs.follow(jobId, { onLost: () => { lost += 1; breaker.limit(lost < 40 ? 3000 + 997 * (lost % 7) : Infinity); } })) {
      if (event.type === 'agent') seen.push(agentEvent(event.event)?.seq ?? 0);
      if (event.type === 'output' && 'text' in event) text += event.text;
    }
    assert.ok(lost >= 20, `it broke ${lost} times`);
    assert.equal(seen.length, job.eventCount);
    assert.deepEqual(seen, seen.map((_, index) => index + 1));
    assert.equal(text, job.stdout);
  });

  it('follow() refuses events without a position, and answers are checked', async (t) => {
    const server = new FakeServer();
    await server.start();
    t.after(() => server.close());
    const sidecar = new Sidecar({ url: server.url, key, retry: { attempts: 1 } });
    const { jobId } = server.script().job;
    const answer = (contentType: string, body: string): void => void server.faults.push((_request, response) => {
      response.writeHead(200, { 'Content-Type': contentType }).end(body);
      return true;
    });
    for (const id of ['0-0', 'x', '']) {
      answer('text/event-stream', `id: ${id}\nevent: agent\ndata: {"event":{"seq":1,"type":"prompt","turn":1}}\n\n`);
      await rejectsWith(sidecar.jobs.follow(jobId).next(), { type: ProblemError, code: 'bad_answer' }, id);
    }
    answer('text/event-stream', 'id: 0-0-9\nevent: agent\ndata: {}\n\n');
    await rejectsWith(sidecar.jobs.follow(jobId).next(), { type: ProblemError, code: 'bad_answer' });
    const calls: readonly (() => Promise<unknown>)[] = [
      () => sidecar.agents.list(), () => sidecar.agents.prompt(jobId, 'x'), () => sidecar.agents.cancelTurn(jobId), () => sidecar.agents.permit(jobId, 'a/b', 'y'),
      () => sidecar.agents.answer(jobId, 'a', { action: 'decline' }), () => sidecar.agents.start({ prompt: 'x' }),
      () => sidecar.agents.change(jobId, { model: 'x' }),
    ];
    for (const [index, call] of calls.entries()) {
      answer('application/json', '{"agents":[{}]}');
      await rejectsWith(call(), { type: ProblemError, code: 'bad_answer' }, String(index));
    }
    assert.ok(server.seen.some(({ line }) => line === `POST /jobs/${jobId}/permissions/a%2Fb`));
  });

  it('optionFor() goes by the kind, never allows always by itself, and takes ids', () => {
    const options = [{ optionId: 'a', kind: 'allow_always' }, { optionId: 'n', kind: 'reject_always' }];
    assert.deepEqual(['approve', 'deny', 'a', 'x'].map((answer) => optionFor({ options }, answer)), [undefined, 'n', 'a', undefined]);
    const usual = [{ optionId: 'r', kind: 'reject_once' }, ...options, { optionId: 'o', kind: 'allow_once' }, { optionId: 'approve', kind: 'reject_always' }];
    assert.deepEqual(['approve', 'deny'].map((answer) => optionFor({ options: usual }, answer)), ['o', 'r']);
  });

  it('agentEvent() reads the events of a job as those of the stream, none of them twice', async (t) => {
    const sidecar = await setUp(t);
    const events: AgentEvent[] = [];
    const prompt = 'say a\ntool t1 edit pending Do it\ntool t1 edit completed\nplan pending=Look\nask edit a';
    const { jobId } = await sidecar.agents.run({ argv, prompt, onEvent: (event) => void events.push(event) });
    const shown = (await sidecar.jobs.get(jobId)).events ?? [];
    const types = shown.map((event) => (event as { readonly type: string }).type);
    for (const type of clientEventTypes) assert.ok(type === 'thought' || types.includes(type), type);
    assert.deepEqual(shown.flatMap((event) => agentEvent(event) ?? []), events);
  });

  it('agentEvent() knows what it knows, whatever is missing', () => {
    assert.equal(agentEvent({ type: 'of_another_version' }), undefined);
    assert.equal(agentEvent(null), undefined);
    for (const type of ['agent', 'session', 'config_refused', 'prompt', 'update', 'permission', 'elicitation', 'stop', 'fault', 'error']) {
      assert.equal(agentEvent({ type, seq: 3, question: 5, error: [], info: 'x' })?.seq, 3, type);
    }
  });
});
