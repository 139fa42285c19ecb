/** Terminals on disk, whose files a job may have replaced. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { TerminalStore } from '../../src/terminals/store.ts';
import { temporaryFolder } from '../support/server.ts';

const id = '01kaaaaaa0000001';

test('a record or an exit that no holder writes is not parsed, one of a later version once', (t) => {
  const stateDir = temporaryFolder(t);
  const store = new TerminalStore(stateDir);
  const directory = join(stateDir, 'terminals', id);
  mkdirSync(directory, { recursive: true });
  const { mock } = t.mock.method(JSON, 'parse');
  const hostile = `[${'{},'.repeat(2 ** 21)}{}]`;
  for (const name of ['terminal.json', 'exit']) writeFileSync(join(directory, name), hostile);
  // What went wrong: 32 MiB of these kept each start of the server for 8 s, as they were parsed twice.
  assert.match(store.readAll().skipped[0]?.why ?? '', /terminal\.json holds more than/);
  assert.equal(store.readExit(id as Parameters<typeof store.readExit>[0]), undefined);
  assert.equal(mock.callCount(), 0);
  writeFileSync(join(directory, 'terminal.json'), JSON.stringify({ terminalId: id, holder: { pid: 77 }, isLater: true }));
  assert.equal(store.readAll().skipped[0]?.holderPid, 77);
  assert.equal(mock.callCount(), 1);
});
