/** Turns outlive the server: each keeps its own text when the server is killed in the middle of it. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { spawnServer, temporaryFolder } from '../support/server.ts';
import { soak } from '../support/soak.ts';
import { fake, inPhase, noProcessLeft, reaches } from '../support/agent.ts';
import { ask, show, submit } from '../support/client.ts';

const turnCount = soak(8, 50);

test(`each of ${turnCount} turns has its own text, with a server killed in each`, async (t) => {
  const server = await spawnServer(t);
  const folder = temporaryFolder(t);
  const gateOf = (turn: number): string => join(folder, `gate-${turn}`);
  const wordsOf = (turn: number): string => {
    const command = `until [ -e ${gateOf(turn)} ]; do sleep 0.02; done; echo ran ${turn}`;
    return `say ${turn} begins\nrun ${command}\nsay ${turn} ends`;
  };
  const textOf = (turn: number): RegExp => new RegExp(`^${turn} begins\\{"output":"ran ${turn}\\\\n".*\\}${turn} ends$`);
  const id = await submit(server, fake(wordsOf(1), { keepAlive: 600, permissions: 'all' }));
  for (let turn = 1; turn <= turnCount; turn += 1) {
    if (turn > 1) {
      const { status } = await ask(server, `POST /jobs/${id}/prompt`, { body: { prompt: wordsOf(turn) } });
      assert.equal(status, 202, `turn ${turn}`);
    }
    await reaches(server, id, `turn ${turn} has begun`, ({ turns }) => turns?.at(-1)?.text.startsWith(`${turn} begins`) === true);
    await server.kill9();
    // Every second turn ends while there is no server.
    if (turn % 2 === 0) writeFileSync(gateOf(turn), '');
    await server.restart();
    if (turn % 2 === 1) {
      assert.equal((await show(server, id)).agentPhase, 'turn', `turn ${turn} continues`);
      writeFileSync(gateOf(turn), '');
    }
    await inPhase(server, id, 'waiting', turn);
  }
  const turns = [];
  for (let turn = 1; turn <= turnCount; turn += 1) {
    turns.push((await ask(server, `GET /jobs/${id}/turns/${turn}`)).json<{ turn: number; text: string; stopReason: string }>());
  }
  for (const { turn, text, stopReason } of turns) {
    assert.match(text, textOf(turn));
    assert.equal(stopReason, 'end_turn', `turn ${turn}`);
  }
  const { stdout } = await show(server, id, '?maxBytes=1000000');
  assert.equal(stdout, turns.map(({ text }) => text).join(''));
  await ask(server, `POST /jobs/${id}/cancel`);
  await noProcessLeft(id);
});
