/** Terminals on disk, whose files a job may have replaced. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { identify, readStat, wordsOf } from '../../../src/process/identity.ts';
import { HolderLink } from '../../../src/terminals/server/holder-link.ts';
import { parseTerminalRecord, type TerminalRecord } from '../../../src/terminals/record.ts';
import { TerminalStore } from '../../../src/terminals/server/store.ts';
import { TerminalHandle } from '../../../src/terminals/server/terminal-handle.ts';
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

/** The record of a terminal whose program has ended. */
function recordWith(holder: TerminalRecord['holder']): TerminalRecord {
  return parseTerminalRecord({
    terminalId: id, name: null, command: null, workdir: '/', backend: 'script', ofConnection: false, createdAt: 1,
    cols: 80, rows: 24, holder, program: { pid: 2 ** 31 - 1, startTime: '1' },
  });
}

test('a record whose holder is a process without a title is none', {
  skip: process.platform === 'linux' ? false : 'titles are in /proc',
}, async (t) => {
  // What went wrong: no title counted as one that cannot be read, so the terminal of a kernel thread ran for ever.
  const child = spawn('/bin/sleep', ['1000'], { argv0: '', stdio: 'ignore' });
  t.after(() => child.kill('SIGKILL'));
  const pid = child.pid ?? 0;
  await until(() => wordsOf(pid)[0] === '', { what: 'it has no title' });
  const stateDir = temporaryFolder(t);
  mkdirSync(join(stateDir, 'terminals', id), { recursive: true });
  for (const holder of [await identify(pid), readStat(2)]) {
    // A container shows no kernel threads.
    if (holder === undefined) continue;
    const record = recordWith({ pid: holder.pid, startTime: holder.startTime });
    writeFileSync(join(stateDir, 'terminals', id, 'terminal.json'), JSON.stringify(record));
    assert.match(new TerminalStore(stateDir).readAll().skipped[0]?.why ?? '', /another process/);
  }
});

test('a terminal whose holder cannot be ended refuses that with words, in a bounded time', {
  skip: readStat(2)?.isKernel === true ? false : 'it needs a kernel thread, which nothing ends',
}, async (t) => {
  const stateDir = temporaryFolder(t);
  mkdirSync(join(stateDir, 'terminals', id), { recursive: true });
  const holder = await identify(2);
  assert.ok(holder);
  const handle = new TerminalHandle(recordWith(holder), new TerminalStore(stateDir), () => undefined);
  t.after(() => handle.close());
  await assert.rejects(handle.end(), { code: 'unavailable', message: /its holder, process 2, does not end/ });
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
