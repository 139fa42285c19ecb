/** Turns as a resource, and waiting for what an agent wants of a person. */
import assert from 'node:assert/strict';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import type { AgentTurn, Job, PendingAnywhere } from '../../src/client/client.ts';
import { startTestServer } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { fake, inPhase, reaches, telling } from '../support/agent.ts';
import { type Reached, ask, finished, show, submit } from '../support/client.ts';

test('the turns of an agent', async (t) => {
  const server = await startTestServer(t);

  await t.test('have each their own text, stop reason, denials and times', async () => {
    const id = await submit(server, fake('say one', { keepAlive: 600, permissions: 'deny' }));
    await inPhase(server, id, 'waiting', 1);
    const prompts = [[2, 'say two\nask edit a\nask edit b'], [3, 'stop refusal'], [4, 'say four\nhang']] as const;
    for (const [turn, text] of prompts) {
      await prompt(server, id, text);
      if (turn < 4) await inPhase(server, id, 'waiting', turn);
    }
    const running = await reaches(server, id, 'the fourth has begun', ({ turns }) => turns?.[3]?.text === 'four');
    const turns = running.turns ?? [];
    assert.deepEqual(turns.map(({ turn }) => turn), [1, 2, 3, 4]);
    assert.deepEqual(turns.map(({ text }) => text.slice(0, 4)), ['one', 'two{', '', 'four']);
    assert.deepEqual(turns.map(({ denied }) => denied), [0, 2, 0, 0]);
    assert.deepEqual(turns.map(({ stopReason }) => stopReason), ['end_turn', 'end_turn', 'refusal', null]);
    assert.deepEqual(turns.map(({ finishedAt }) => finishedAt === null), [false, false, false, true]);
    for (const { startedAt, finishedAt } of turns) assert.ok(startedAt <= (finishedAt ?? startedAt));
    assert.deepEqual(await turn(server, id, 2), turns[1]);
    assert.deepEqual((await ask(server, `GET /jobs/${id}/turns?before=4&limit=2`)).json(), { turns: turns.slice(1, 3) });
    await ask(server, `POST /jobs/${id}/cancel`);
    const ended = await show(server, id);
    const { stopReason, text } = ended.turns?.[3] ?? {};
    assert.deepEqual([ended.turnCount, stopReason, text], [4, 'cancelled', 'four']);
    assert.deepEqual((await ask(server, `GET /jobs/${id}/turns`)).json(), { turns: ended.turns });
  });

  await t.test('have their token counts', async () => {
    const id = await submit(server, telling('work'));
    assert.deepEqual((await finished(server, id)).turns?.map(({ usage }) => usage), [(await show(server, id)).turnUsage]);
  });

  await t.test('that do not exist are turn_not_found, and other jobs have none', async () => {
    const id = await submit(server, fake('say x'));
    await finished(server, id);
    for (const wrong of ['0', '2', '-1', '1e0', 'x', '99999999999999999999']) {
      const { status, problem } = await ask(server, `GET /jobs/${id}/turns/${wrong}`);
      assert.deepEqual([status, problem.code], [404, 'turn_not_found'], wrong);
      assert.match(problem.detail, /it has 1, from 1/);
    }
    const other = await submit(server, { command: 'true' });
    for (const path of ['turns', 'turns/1']) {
      assert.equal((await ask(server, `GET /jobs/${other}/${path}`)).problem.code, 'not_an_agent');
    }
  });

  await t.test('are listed with the beginning of a long text, and shown with all of it', async () => {
    const long = `${'ä€😀'.repeat(30_000)}"\\`;
    const id = await submit(server, fake('say short', { keepAlive: 600 }));
    await inPhase(server, id, 'waiting', 1);
    await prompt(server, id, `say ${long}\nsay ${long}`);
    await inPhase(server, id, 'waiting', 2);
    await prompt(server, id, `say ${long}\nhang`);
    const wholeBytes = 5 + 3 * Buffer.byteLength(long);
    await reaches(server, id, 'the third has said all', ({ stdoutBytes }) => stdoutBytes === wholeBytes);
    const turns = (await show(server, id)).turns ?? [];
    assert.deepEqual(turns.map(({ isTextCut }) => isTextCut), [false, true, true]);
    for (const { text } of turns.slice(1)) assert.ok(text.length > 4000 && long.startsWith(text), text.slice(0, 20));
    for (const [number, text] of [[2, long + long], [3, long]] as const) {
      const whole = await turn(server, id, number);
      assert.ok(whole.text === text, `${whole.text.length} of ${text.length} characters`);
      assert.equal(whole.isTextCut, false);
    }
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('keep the beginning of their text if stdout was cut or replaced', async () => {
    const long = 'x'.repeat(5000);
    const id = await submit(server, fake(`say ${long}`, { keepAlive: 600 }));
    await inPhase(server, id, 'waiting', 1);
    const stdout = join(server.stateDir, 'jobs', id, 'stdout');
    truncateSync(stdout);
    await prompt(server, id, `say ${'y'.repeat(6000)}`);
    await inPhase(server, id, 'waiting', 2);
    assert.deepEqual(await outline(server, id, 1), ['x', 4096, true]);
    assert.deepEqual(await outline(server, id, 2), ['y', 6000, false]);
    writeFileSync(stdout, 'other');
    assert.deepEqual(await outline(server, id, 2), ['y', 4096, true]);
    writeFileSync(join(server.stateDir, 'jobs', id, 'turns.ndjson'), 'what is this\n{"turn":"1"}\n[');
    assert.deepEqual((await show(server, id)).turns, []);
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('include text that an agent sends after it has ended the turn', async () => {
    const id = await submit(server, fake('say a\nlater b', { keepAlive: 600 }));
    await inPhase(server, id, 'waiting', 1);
    await reaches(server, id, 'the rest is there', ({ turns }) => turns?.[0]?.text === 'ab');
    await prompt(server, id, 'say c');
    const { turns } = await inPhase(server, id, 'waiting', 2);
    assert.deepEqual(turns?.map(({ text, stopReason }) => [text, stopReason]), [['ab', 'end_turn'], ['c', 'end_turn']]);
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('are listed up to 100, the last ones', async () => {
    const id = await submit(server, fake('say 1', { keepAlive: 600 }));
    for (let number = 2; number <= 103; number += 1) {
      const { status } = await prompt(server, id, `say ${number}`);
      if (status === 429) await inPhase(server, id, 'waiting', number -= 1);
    }
    const job = await inPhase(server, id, 'waiting', 103);
    const last = Array.from({ length: 100 }, (_, at) => [at + 4, `${at + 4}`]);
    assert.deepEqual(job.turns?.map(({ turn: number, text }) => [number, text]), last);
    assert.deepEqual((await turn(server, id, 3)).text, '3');
    await ask(server, `POST /jobs/${id}/cancel`);
  });
});

test('waiting for the input that an agent needs', async (t) => {
  const server = await startTestServer(t);

  await t.test('waitFor=input wakes at a question, and for nothing else', async (t) => {
    const id = await submit(server, fake('say a', { keepAlive: 600, permissions: 'ask', elicitation: true }));
    await inPhase(server, id, 'waiting', 1);
    const tookMs: number[] = [];
    for (let turn = 2; turn <= 10; turn += 1) {
      // Each line of a turn tells something; the last one asks.
      const telling = 'say b\nflood 500\ntool t1 edit in_progress Do it\nplan pending=x\nread gate';
      await prompt(server, id, `${telling}\n${turn % 2 === 0 ? 'ask edit a' : 'elicit Why?'}`);
      const { job, answeredAt } = await heldFor(server, id, 'input');
      const asked = questionIn(job);
      assert.ok(asked, `it was answered in turn ${turn} before it asks: ${JSON.stringify(job).slice(0, 2000)}`);
      tookMs.push(answeredAt - asked.askedAt * 1000);
      await answer(server, id, job);
      await inPhase(server, id, 'waiting', turn);
    }
    // Told, not asserted: it depends on the machine.
    t.diagnostic(`answered ${tookMs.map(Math.round).join(', ')} ms after the question`);
    assert.equal((await heldFor(server, id, 'input')).job.agentPhase, 'waiting', 'it waits for a prompt');
    await prompt(server, id, 'say x\nhang');
    await inPhase(server, id, 'turn', 11);
    const held = heldFor(server, id, 'input');
    await ask(server, `POST /jobs/${id}/cancel`);
    assert.equal((await held).job.reason, 'cancelled', 'the end of the job ends every wait');
  });

  await t.test('waitFor=input is not woken by output, events or the state of the agent', async () => {
    const telling = 'say a\nflood 200\ntool t1 edit completed Do it\nplan pending=x\nhang';
    const id = await submit(server, fake(telling, { keepAlive: 600 }));
    let isAnswered = false;
    const held = heldFor(server, id, 'input').finally(() => { isAnswered = true; });
    await reaches(server, id, 'all was told', ({ plan, stdout }) => plan?.length === 1 && stdout === 'a');
    assert.equal(isAnswered, false);
    await ask(server, `POST /jobs/${id}/prompt/cancel`);
    assert.deepEqual([(await held).job.agentPhase, (await held).job.stopReason], ['waiting', 'cancelled']);
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('waitFor=turn waits for the end of a turn, waitFor=output for more output', async () => {
    const id = await submit(server, fake('say a', { keepAlive: 600, permissions: 'ask' }));
    await inPhase(server, id, 'waiting', 1);
    await prompt(server, id, 'ask edit a\nsay b');
    const asking = await reaches(server, id, 'it asks', ({ pendingPermissions }) => pendingPermissions?.length === 1);
    const settled: string[] = [];
    const turnOver = heldFor(server, id, 'turn').finally(() => settled.push('turn'));
    const output = heldFor(server, id, 'output').finally(() => settled.push('output'));
    const short = (await ask(server, `GET /jobs/${id}?wait=0.2&waitFor=turn`)).json<Job>();
    assert.deepEqual([short.agentPhase, settled], ['turn', []]);
    await answer(server, id, asking);
    assert.ok(((await output).job.stdout ?? '').length > 1);
    const { job } = await turnOver;
    assert.deepEqual([job.turns?.[1]?.stopReason, job.finishedAt], ['end_turn', null]);
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('of a job without an agent, input and turn wait for its end, output for output', async () => {
    const id = await submit(server, { command: 'read x; echo two; read x' });
    const ends = [heldFor(server, id, 'input'), heldFor(server, id, 'turn')];
    const output = heldFor(server, id, 'output');
    const isNudged = async (): Promise<boolean> => (await ask(server, `POST /jobs/${id}/nudge`)).json()['nudged'] === true;
    const nudge = (): Promise<unknown> => until(isNudged, { what: 'nudged' });
    await nudge();
    assert.equal((await output).job.stdout, 'two\n');
    await nudge();
    for (const { job } of await Promise.all(ends)) assert.equal(job.status, 'completed');
  });

  await t.test('GET /permissions has all pending requests, and waitsFor=input the jobs that wait', async () => {
    assert.deepEqual((await ask(server, 'GET /permissions')).json(), { permissions: [], elicitations: [] });
    const ids = await Promise.all([
      submit(server, fake('ask edit a', { permissions: 'ask' })),
      submit(server, fake('elicit Why?', { elicitation: true })),
      submit(server, fake('say a', { keepAlive: 600 })), submit(server, fake('say a\nhang')),
      submit(server, { command: 'read x' }),
    ]);
    const [asking = '', questioning = '', waiting = '', busy = ''] = ids;
    await reaches(server, asking, 'it asks', ({ pendingPermissions }) => pendingPermissions?.length === 1);
    await reaches(server, questioning, 'it asks too', ({ pendingElicitations }) => pendingElicitations?.length === 1);
    await inPhase(server, waiting, 'waiting', 1);
    await inPhase(server, busy, 'turn', 1);
    const { permissions, elicitations } = (await ask(server, 'GET /permissions')).json<PendingAnywhere>();
    assert.deepEqual(permissions.map(({ jobId, kind, paths }) => [jobId, kind, paths]), [[asking, 'edit', ['a']]]);
    assert.deepEqual(elicitations.map(({ jobId, message }) => [jobId, message]), [[questioning, 'Why?']]);
    assert.deepEqual(permissions.map(({ jobId: _, ...one }) => one), (await show(server, asking)).pendingPermissions);
    const listed = (await ask(server, 'GET /jobs?waitsFor=input&status=running')).json<Job[]>();
    assert.deepEqual(listed.map(({ jobId }) => jobId).sort(), [asking, questioning, waiting].sort());
    const first = await ask(server, 'GET /jobs?waitsFor=input&limit=2');
    assert.match(String(first.headers.link), /waitsFor=input/);
    for (const id of ids) await ask(server, `POST /jobs/${id}/cancel`);
    assert.deepEqual((await ask(server, 'GET /permissions')).json(), { permissions: [], elicitations: [] });
  });
});

async function prompt(server: Reached, id: string, text: string): ReturnType<typeof ask> {
  return await ask(server, `POST /jobs/${id}/prompt`, { body: { prompt: text } });
}

async function turn(server: Reached, id: string, number: number): Promise<AgentTurn> {
  return (await ask(server, `GET /jobs/${id}/turns/${number}`)).json<AgentTurn>();
}

async function outline(server: Reached, id: string, number: number): Promise<readonly unknown[]> {
  const { text, isTextCut } = await turn(server, id, number);
  return [[...new Set(text)].join(''), text.length, isTextCut];
}

interface Held {
  readonly job: Job;
  /** Milliseconds since 1970. */
  readonly answeredAt: number;
}

async function heldFor(server: Reached, id: string, what: string): Promise<Held> {
  const { json } = await ask(server, `GET /jobs/${id}?wait=60&maxBytes=1000&waitFor=${what}`);
  return { job: json<Job>(), answeredAt: Date.now() };
}

function questionIn(job: Job): { readonly askedAt: number } | undefined {
  return job.pendingPermissions?.[0] ?? job.pendingElicitations?.[0];
}

async function answer(server: Reached, id: string, job: Job): Promise<void> {
  const { pendingPermissions = [], pendingElicitations = [] } = job;
  for (const { permissionId } of pendingPermissions) {
    await ask(server, `POST /jobs/${id}/permissions/${permissionId}`, { body: { optionId: 'yes' } });
  }
  for (const { elicitationId } of pendingElicitations) {
    await ask(server, `POST /jobs/${id}/elicitations/${elicitationId}`, { body: { action: 'decline' } });
  }
}
