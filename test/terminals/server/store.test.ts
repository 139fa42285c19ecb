/** Terminals on disk, whose files a job may have replaced. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { HolderLink } from '../../../src/terminals/server/holder-link.ts';
import { TerminalStore } from '../../../src/terminals/server/store.ts';
import { temporaryFolder } from '../../support/server.ts';
import { until } from '../../support/wait.ts';

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

test('the directory of one that was never finished goes in the background, however much is in it', async (t) => {
  const stateDir = temporaryFolder(t);
  const directory = join(stateDir, 'terminals', id);
  mkdirSync(directory, { recursive: true });
  for (let number = 0; number < 200; number += 1) writeFileSync(join(directory, String(number)), '');
  // A job can empty the record: then 300,000 files kept the start of the server for 6.7 s.
  writeFileSync(join(directory, 'terminal.json'), '');
  assert.deepEqual(new TerminalStore(stateDir).readAll(), { records: [], skipped: [] });
  assert.equal(existsSync(directory), false);
  const [place = ''] = readdirSync(join(stateDir, 'trash'));
  assert.equal(readdirSync(join(stateDir, 'trash', place)).length, 201);
  await until(() => !existsSync(join(stateDir, 'trash')), { what: 'its files are gone' });
});

test('nothing is read, and nobody is asked, behind a link in the place of the directory', async (t) => {
  const stateDir = temporaryFolder(t);
  const store = new TerminalStore(stateDir);
  const terminalId = id as Parameters<typeof store.readExit>[0];
  const [directory, outside] = [join(stateDir, 'terminals', id), join(stateDir, 'outside')];
  store.create(terminalId);
  const exit = { exitCode: 0, reason: 'exit', finishedAt: 1, lastActivityAt: 1, cols: 80, rows: 24, outputBytes: 6 } as const;
  store.writeExit(terminalId, exit);
  writeFileSync(join(directory, 'scrollback'), 'theirs');
  let calls = 0;
  const other = createServer((socket) => { calls += 1; socket.end(); }).listen(join(directory, 'socket'));
  t.after(() => other.close());
  await once(other, 'listening');
  assert.deepEqual([store.readExit(terminalId), String(await store.readScrollback(terminalId))], [exit, 'theirs']);
  const address = { directory, terminalId, socket: undefined };
  (await HolderLink.open(address)).close();
  await until(() => calls === 1, { what: 'it was asked where it should be' });
  renameSync(directory, outside);
  symlinkSync(outside, directory);
  await turn();
  assert.deepEqual([store.readExit(terminalId), String(await store.readScrollback(terminalId))], [undefined, '']);
  await assert.rejects(HolderLink.open(address), { name: 'UntrustedFileError' });
  assert.equal(calls, 1);
});
