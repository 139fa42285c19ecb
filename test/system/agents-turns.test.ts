/** Turns of an agent over deaths of its server and of its runner. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { AgentTurn } from '../../src/client/client.ts';
import { fake, inPhase, noProcessLeft, reaches } from '../support/agent.ts';
import { ask, finished, submit } from '../support/client.ts';
import { soak } from '../support/soak.ts';
import { spawnServer } from '../support/server.ts';

const turnCount = soak(15, 50);
/** The server is killed in each turn of such a number. */
const deathEvery = 5;

const skip = process.platform === 'linux' ? false : 'needs /proc to see who is left behind';

describe('the turns of an agent', { skip }, () => {
  it(`${turnCount} of them, the server killed in some: each has its own text`, async (t) => {
    const server = await spawnServer(t);
    const id = await submit(server, fake(promptFor(1), { keepAlive: 600 }));
    for (let turn = 2; turn <= turnCount; turn += 1) {
      if (turn % deathEvery !== 0) await inPhase(server, id, 'waiting', turn - 1);
      const { status } = await ask(server, `POST /jobs/${id}/prompt`, { body: { prompt: promptFor(turn) } });
      assert.equal(status, 202);
      if (turn % deathEvery !== 0) continue;
      await server.kill9();
      await server.restart();
    }
    const job = await inPhase(server, id, 'waiting', turnCount);
    const all = Array.from({ length: turnCount }, (_, at) => [at + 1, textOf(at + 1), 'end_turn']);
    assert.deepEqual(job.turns?.map(({ turn, text, stopReason }) => [turn, text, stopReason]), all);
    for (let turn = 1; turn <= turnCount; turn += 1) {
      const whole = (await ask(server, `GET /jobs/${id}/turns/${turn}`)).json<AgentTurn>();
      assert.deepEqual([whole.text, whole.isTextCut], [textOf(turn), false]);
    }
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  it('a turn that takes too long while no server is there: the next one says so, and every one after it', async (t) => {
    const server = await spawnServer(t);
    const id = await submit(server, fake('say a\nhang', { timeout: 5, keepAlive: 600 }));
    await reaches(server, id, 'it has said something', ({ stdout }) => stdout === 'a');
    await server.kill9();
    await noProcessLeft(id);
    for (const _ of [1, 2]) {
      await server.restart();
      const { status, reason, timedOut, exitCode, stopReason, turns = [] } = await finished(server, id);
      assert.deepEqual([status, reason, timedOut, exitCode, stopReason], ['timeout', 'timeout', true, 124, 'cancelled']);
      assert.deepEqual(turns.map((turn) => [turn.text, turn.stopReason]), [['a', 'cancelled']]);
      await server.kill9();
    }
    await server.restart();
  });

  it('a turn goes on to count after a restart of the server, and the lifetime too', async (t) => {
    const server = await spawnServer(t);
    const ids = await Promise.all([
      submit(server, fake('say a\nhang', { timeout: 6 })), submit(server, fake('say a', { lifetime: 8, keepAlive: 600 })),
    ]);
    for (const id of ids) await reaches(server, id, 'it has said something', ({ stdout }) => stdout === 'a');
    await server.kill9();
    await server.restart();
    for (const id of ids) {
      const { status, reason } = await finished(server, id);
      assert.deepEqual([status, reason], ['timeout', 'timeout']);
    }
  });

  it('kill -9 of the runner: the turn that it was at has failed, with what it had said', async (t) => {
    const server = await spawnServer(t);
    const id = await submit(server, fake('say a', { keepAlive: 600 }));
    await inPhase(server, id, 'waiting', 1);
    await ask(server, `POST /jobs/${id}/prompt`, { body: { prompt: 'say b\nhang' } });
    const { pid } = await reaches(server, id, 'it has said something', ({ stdout }) => stdout === 'ab');
    process.kill(pid ?? 0, 'SIGKILL');
    for (const isRestarted of [false, true]) {
      if (isRestarted) await server.restart();
      const { turns = [], finishedAt } = await finished(server, id);
      assert.deepEqual(turns.map(({ text, stopReason }) => [text, stopReason]), [['a', 'end_turn'], ['b', 'error']]);
      assert.equal(turns[1]?.finishedAt, finishedAt);
      assert.deepEqual((await ask(server, `GET /jobs/${id}/turns/2`)).json(), turns[1]);
    }
    await noProcessLeft(id);
  });
});

function promptFor(turn: number): string {
  return `say ${textOf(turn)}\nflood 20`;
}

function textOf(turn: number): string {
  return `text of turn ${turn};`.repeat(turn);
}
