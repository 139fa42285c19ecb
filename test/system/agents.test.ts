/** Agents under fire: they outlive their server, however that ends, and nobody outlives them. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { Job } from '../../src/client/client.ts';
import { type Event, eventsOf, fake, inPhase, noProcessLeft, reaches, telling } from '../support/agent.ts';
import { ask, eventsIn, finished, isRunning, open, type Reached, show, submit } from '../support/client.ts';
import { key, spawnServer, temporaryFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { release, spawnWrapper } from '../support/wrapper.ts';

const isLinux = process.platform === 'linux';

describe('agents', { skip: isLinux ? false : 'needs /proc to see who is left behind' }, () => {
  it('a server that is killed in the middle of a turn: it goes on, and all of it is there once', async (t) => {
    const server = await spawnServer(t);
    for (const isEarly of [true, false]) {
      const gate = join(temporaryFolder(t), 'gate');
      const id = await submit(server, fake(`say a\nflood 50\n${waitFor(gate)}\nsay b\nflood 50\nsay c`, { permissions: commandsToo }));
      await reaches(server, id, 'it has said something', ({ stdout }) => stdout === 'a');
      await server.kill9();
      // While nobody is there, or before anybody of them ends.
      if (isEarly) await passAndEnd(gate, id);
      await server.restart();
      const live = await open(t, server, `GET /jobs/${id}/events`);
      writeFileSync(gate, '');
      const job = await finished(server, id);
      assert.deepEqual([job.status, job.reason, job.exitCode, job.stopReason, job.acpError], ['completed', 'exit', 0, 'end_turn', null]);
      assert.match(job.stdout ?? '', /^a\{.*\}bc$/);
      assert.deepEqual(eventsOf(job).map(({ seq }) => seq), Array.from({ length: job.eventCount ?? 0 }, (_, index) => index + 1));
      assert.deepEqual(eventsOf(job).filter(({ type }) => type !== 'update').map(({ type }) => type), ['agent', 'session', 'prompt', 'stop']);
      assert.equal(eventsIn(await live.end()).filter(({ event }) => event === 'agent').length, job.eventCount);
      await noProcessLeft(id);
    }
  });

  it('many agents over many deaths of the server', async (t) => {
    const server = await spawnServer(t);
    const gate = join(temporaryFolder(t), 'gate');
    const ids = await Promise.all(Array.from({ length: 6 }, (_, number) => submit(server, fake(`say ${number}\n${waitFor(gate)}\nsay  end`, { permissions: commandsToo }))));
    for (let death = 0; death < 3; death += 1) {
      // The first time before they have begun.
      if (death > 0) for (const id of ids) await reaches(server, id, 'it has begun', ({ turnCount }) => turnCount === 1);
      await server.kill9();
      await server.restart();
    }
    writeFileSync(gate, '');
    for (const [number, id] of ids.entries()) {
      const job = await finished(server, id);
      assert.equal(job.status, 'completed', JSON.stringify(job));
      assert.match(job.stdout ?? '', new RegExp(`^${number}\\{.*\\} end$`));
      assert.equal(eventsOf(job).filter(({ type }) => type === 'agent').length, 1, 'it was begun once');
      await noProcessLeft(id);
    }
  });

  it('a permission that is asked for while the server is away is answered to the next one', async (t) => {
    const server = await spawnServer(t);
    const gate = join(temporaryFolder(t), 'gate');
    const id = await submit(server, fake(`say a\n${waitFor(gate)}\nask edit x`, { permissions: askedEdits }));
    await reaches(server, id, 'it has said something', ({ stdout }) => stdout === 'a');
    await server.kill9();
    writeFileSync(gate, '');
    await until(() => pendingOnDisk(server.stateDir, id) === 1, { what: 'it asks' });
    await server.restart();
    const [permission] = (await show(server, id)).pendingPermissions ?? [];
    const line = `POST /jobs/${id}/permissions/${permission?.permissionId}`;
    const answer = await ask(server, line, { body: { optionId: 'yes' }, headers: { 'Idempotency-Key': 'k' } });
    assert.equal(answer.status, 200, answer.text);
    const job = await finished(server, id);
    assert.deepEqual([job.status, /"optionId":"yes"/.test(job.stdout ?? '')], ['completed', true]);
    await server.kill9();
    await server.restart();
    assert.equal((await ask(server, line, { body: { optionId: 'yes' }, headers: { 'Idempotency-Key': 'k' } })).text, answer.text);
  });

  it('prompts and a cancel reach the same agent by way of the next server', async (t) => {
    const server = await spawnServer(t);
    const id = await submit(server, telling('session', { keepAlive: 600 }));
    const pid = agentOf(await inPhase(server, id, 'waiting', 1));
    const prompt = (text: string, key: string): ReturnType<typeof ask> =>
      ask(server, `POST /jobs/${id}/prompt`, { body: { prompt: text }, headers: { 'Idempotency-Key': key } });
    for (let turn = 2; turn <= 4; turn += 1) {
      await server.kill9();
      await server.restart();
      const first = await prompt('argv', `k${turn}`);
      assert.deepEqual(first.json(), { jobId: id, turn });
      await inPhase(server, id, 'waiting', turn);
      assert.equal((await prompt('argv', `k${turn}`)).text, first.text);
    }
    await prompt('hang', 'hang');
    await inPhase(server, id, 'turn', 5);
    await server.restart();
    assert.equal((await prompt('argv', 'k4')).json()['turn'], 4, 'what was answered two servers ago');
    assert.deepEqual((await ask(server, `POST /jobs/${id}/prompt/cancel`)).json(), { cancelled: true });
    const job = await inPhase(server, id, 'waiting', 5);
    assert.deepEqual([agentOf(job), isRunning(pid), job.stopReason], [pid, true, 'cancelled']);
    const ended = (await ask(server, `POST /jobs/${id}/cancel`)).json<Job>();
    assert.equal(ended.reason, 'cancelled');
    await noProcessLeft(id);
  });

  it('keepAlive ends also while no server is there', async (t) => {
    const server = await spawnServer(t);
    const id = await submit(server, fake('say a', { keepAlive: 1 }));
    await reaches(server, id, 'the turn', ({ turnCount }) => turnCount === 1);
    await server.kill9();
    await noProcessLeft(id);
    await server.restart();
    const job = await finished(server, id);
    assert.deepEqual([job.status, job.stdout, job.stopReason, job.agentPhase], ['completed', 'a', 'end_turn', 'ended']);
  });

  for (const isDeaf of [false, true]) {
    it(`kill -9 of the runner: the job has failed, and ${isDeaf ? 'an agent that heeds nothing' : 'its agent'} is gone`, async (t) => {
      const server = await spawnServer(t);
      const id = await submit(server, telling('hang', { killGrace: 0.5 }, { deaf: isDeaf }));
      const { pid } = await inPhase(server, id, 'turn', 1);
      process.kill(pid ?? 0, 'SIGKILL');
      const job = await finished(server, id);
      assert.deepEqual([job.status, job.reason, job.exitCode, job.acpError?.code, job.agentPhase], ['failed', 'signal', 137, 'runner_ended', 'ended']);
      assert.match(job.acpError?.message ?? '', /The runner of the agent has ended in the middle \(SIGKILL\)/);
      await noProcessLeft(id);
      const next = (await ask(server, `POST /jobs/${id}/prompt`, { body: { prompt: 'x' } })).json<{ jobId: string; continues: string }>();
      assert.equal(next.continues, id);
      await ask(server, `POST /jobs/${next.jobId}/cancel`, { body: { graceSeconds: 0 } });
      await noProcessLeft(next.jobId);
    });
  }

  it('kill -9 of the runner while the server is away: the same, once there is one', async (t) => {
    const server = await spawnServer(t);
    const id = await submit(server, telling('hang', { killGrace: 0.5 }, { deaf: true }));
    const { pid } = await inPhase(server, id, 'turn', 1);
    await server.kill9();
    process.kill(pid ?? 0, 'SIGKILL');
    await server.restart();
    const job = await finished(server, id);
    assert.deepEqual([job.status, job.acpError?.code, job.agentPhase], ['failed', 'runner_ended', 'ended']);
    await noProcessLeft(id);
  });

  it('kill -9 of the agent: the job has failed, in words', async (t) => {
    const server = await spawnServer(t);
    const id = await submit(server, telling('hang', { keepAlive: 600 }));
    process.kill(agentOf(await inPhase(server, id, 'turn', 1)), 'SIGKILL');
    const job = await finished(server, id);
    assert.deepEqual([job.status, job.reason, job.exitCode, job.acpError?.code], ['failed', 'exit', 1, 'agent_ended']);
    assert.match(job.acpError?.message ?? '', /ended at session\/prompt: .*it was ended by SIGKILL/);
    assert.deepEqual(job.acpError?.details, { exitCode: null, signal: 'SIGKILL' });
    await noProcessLeft(id);
  });

  it('a kill of the server in the middle of a cancel ends the agent all the same', async (t) => {
    const server = await spawnServer(t);
    const id = await submit(server, telling('hang', { killGrace: 1 }, { deaf: true }));
    await inPhase(server, id, 'turn', 1);
    const cancelling = ask(server, `POST /jobs/${id}/cancel`, { body: { graceSeconds: 1000 } }).catch((error: unknown) => error);
    await until(() => readFileSync(join(server.stateDir, 'jobs', id, 'job.json'), 'utf8').includes('"ending"'), { what: 'it is being ended' });
    await server.kill9();
    void cancelling;
    await server.restart();
    const job = await finished(server, id);
    assert.deepEqual([job.status, job.reason, job.agentPhase], ['failed', 'cancelled', 'ended']);
    await noProcessLeft(id);
  });

  it('an update while agents run: they go on, with those who follow them', async (t) => {
    const folder = temporaryFolder(t);
    const source = join(folder, 'release.tgz');
    const gate = join(folder, 'gate');
    writeFileSync(source, release('1.0.1'));
    const wrapped = await spawnWrapper(t, { flags: { 'update-source': source, 'update-probation': '1' } });
    const server: Reached = { get url() { return wrapped.url; }, key };
    const atTurn = await submit(server, fake(`say a\n${waitFor(gate)}\nask edit x\nsay b`, { permissions: askedEdits }));
    const kept = await submit(server, telling('session', { keepAlive: 600 }));
    await reaches(server, atTurn, 'it has said something', ({ stdout }) => stdout === 'a');
    const pid = agentOf(await inPhase(server, kept, 'waiting', 1));
    const followed = follow(t, server, atTurn);
    const before = wrapped.server()?.pid;
    await wrapped.client.updates.begin();
    const state = await wrapped.client.updates.wait('1.0.1', { untilProven: true });
    assert.deepEqual([state.current, state.lastOutcome?.status], ['1.0.1', 'updated'], JSON.stringify(state));
    assert.notEqual(wrapped.server()?.pid, before);

    assert.equal((await ask(server, `POST /jobs/${kept}/prompt`, { body: { prompt: 'argv' } })).json()['turn'], 2);
    assert.deepEqual([agentOf(await inPhase(server, kept, 'waiting', 2)), isRunning(pid)], [pid, true]);
    writeFileSync(gate, '');
    const { pendingPermissions } = await reaches(server, atTurn, 'it asks', (job) => job.pendingPermissions?.length === 1);
    await ask(server, `POST /jobs/${atTurn}/permissions/${pendingPermissions?.[0]?.permissionId}`, { body: { optionId: 'yes' } });
    const job = await finished(server, atTurn);
    assert.equal(job.status, 'completed', JSON.stringify(job));
    assert.deepEqual(await followed, eventsOf(job), 'a follower has every event once');
    // One that begins now is the new version's.
    assert.equal((await finished(server, await submit(server, fake('say new')))).stdout, 'new');
    await ask(server, `POST /jobs/${kept}/cancel`);
    for (const id of [atTurn, kept]) await noProcessLeft(id);
  });
});

/** Policies under which the commands of the agents run; without them no step would wait. */
const commandsToo = [{ kind: 'execute', decide: 'approve' }, { decide: 'approve' }];
const askedEdits = [{ kind: 'execute', decide: 'approve' }, { decide: 'ask' }];

/** A step of the fake agent: its client runs a command that goes on until the file is there. */
function waitFor(gate: string): string {
  return `run while [ ! -e '${gate}' ]; do sleep 0.05; done`;
}

async function passAndEnd(gate: string, id: string): Promise<void> {
  writeFileSync(gate, '');
  await noProcessLeft(id);
}

function agentOf(job: Job): number {
  const agents = eventsOf(job).filter(({ type }) => type === 'agent');
  assert.equal(agents.length, 1);
  return Number(agents[0]?.['pid']);
}

function pendingOnDisk(stateDir: string, id: string): number {
  const { pendingPermissions } = JSON.parse(readFileSync(join(stateDir, 'jobs', id, 'agent.json'), 'utf8')) as { pendingPermissions: readonly unknown[] };
  return pendingPermissions.length;
}

/** All that a follower gets of the events of an agent, who comes back behind the last one whenever the stream ends. */
async function follow(t: TestContext, server: Reached, id: string): Promise<Event[]> {
  const all: Event[] = [];
  let position = '0-0-0';
  for (;;) {
    // Between two servers there may be nobody.
    const live = await until(() => open(t, server, `GET /jobs/${id}/events`, { headers: { 'Last-Event-ID': position } }).catch(() => undefined), { what: 'a server' });
    const text = await live.end();
    const events = live.status === 200 ? eventsIn(text.slice(0, text.lastIndexOf('\n\n') + 2)) : [];
    for (const { id: at, event, data } of events) {
      if (event === 'end') return all;
      if (event === 'agent') all.push(data['event'] as Event);
      position = at;
    }
  }
}
