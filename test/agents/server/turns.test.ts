/** The turns of an agent, as the server reads them from a file that a job may have filled. */
import assert from 'node:assert/strict';
import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { turnsFile } from '../../../src/agents/runner-config.ts';
import { shownTurns, wholeTurn } from '../../../src/agents/server/turns.ts';
import { temporaryFolder } from '../../support/server.ts';

const line = (turn: number, text: string, finishedAt: number | null): string => JSON.stringify({
  turn, text, isTextCut: false, stopReason: finishedAt === null ? null : 'end_turn', usage: null, denied: 0, startedAt: 1, finishedAt,
  textOffset: null, textBytes: 0,
});

test('the last record of each turn is shown, in the order of the turns', async (t) => {
  const directory = temporaryFolder(t);
  const lines = Array.from({ length: 150 }, (_, n) => [line(n + 1, '', null), line(n + 1, 'x'.repeat(4096), 2), line(n + 1, `text ${n + 1}`, 3)]).flat();
  writeFileSync(join(directory, turnsFile), `${lines.join('\n')}\n`);
  const turns = await shownTurns(directory, null);
  assert.deepEqual(turns.map(({ turn, text }) => `${turn} ${text}`), Array.from({ length: 100 }, (_, n) => `${n + 51} text ${n + 51}`));
  assert.deepEqual((await shownTurns(directory, null, { before: 4, limit: 2 })).map(({ turn, text }) => [turn, text]), [[2, 'text 2'], [3, 'text 3']]);
});

test('lines that no runner writes are not parsed, even millions of them', { timeout: 30_000 }, async (t) => {
  const directory = temporaryFolder(t);
  const path = join(directory, turnsFile);
  const { mock } = t.mock.method(JSON, 'parse');
  // What went wrong: 16 MiB of these were parsed at each look.
  for (const other of [`[${'{},'.repeat(2 ** 22)}{}]\n`, '{}\n'.repeat(2 ** 22), `{"turn":1,"x":[${'[],'.repeat(2 ** 22)}[]]}\n`, '\n'.repeat(2 ** 24)]) {
    writeFileSync(path, `${line(1, 'one', 2)}\n${other}`);
    assert.deepEqual(await shownTurns(directory, null), []);
    assert.equal(mock.callCount(), 0);
  }
  writeFileSync(path, `{"turn":0,"x":${'[0,'.repeat(50)}\n`.repeat(20_000));
  assert.deepEqual(await shownTurns(directory, null), []);
  assert.ok(mock.callCount() <= 4000, `${mock.callCount()} lines were parsed`);
  appendFileSync(path, `${line(7, 'seven', 2)}\n`);
  assert.deepEqual((await shownTurns(directory, null)).map(({ text }) => text), ['seven']);
  assert.equal((await wholeTurn(directory, 7, null))?.turn.text, 'seven');
});
