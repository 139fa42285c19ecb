import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { identify } from '../../../src/process/identity.ts';
import { LockHeldError, acquireLock, readOwner } from '../../../src/process/state/lock.ts';
import { builtModule } from '../../support/built.ts';
import { rejectsWith } from '../../support/errors.ts';
import { temporaryFolder } from '../../support/server.ts';

const source = builtModule('process/state/lock');

describe('lock', () => {
  it('acquireLock() refuses a second taker and names the first', async (t) => {
    const path = join(temporaryFolder(t), 'lock');
    const lock = await acquireLock(path, '1.2.3');
    lock.announce('http://here');
    const error = await rejectsWith(acquireLock(path, '1.2.3'), { type: LockHeldError, message: /pid \d+ at http:\/\/here/ });
    assert.equal(error.owner.pid, process.pid);
    lock.release();
    assert.equal(existsSync(path), false);
    (await acquireLock(path, '1.2.3')).release();
  });

  it('acquireLock() says whether a server or a wrapper holds it', async (t) => {
    for (const who of ['server', 'wrapper']) {
      const path = join(temporaryFolder(t), `${who}.lock`);
      const lock = await acquireLock(path, '1');
      await assert.rejects(acquireLock(path, '1'), { message: `Cannot use ${path}: it is held by the ${who} with pid ${process.pid}` });
      lock.release();
    }
  });

  for (const [what, content] of [
    ['a dead process', JSON.stringify({ pid: 2 ** 22 - 1, startTime: '1' })], ['another process with its pid', JSON.stringify({ pid: process.pid, startTime: '1' })],
    ['nobody', ''], ['half a file', '{"pid":'], ['a number', '7'], ['nonsense', '{"pid":-1,"startTime":""}'], ['zeros', '\0\0\0\0'],
  ] as const) {
    it(`acquireLock() takes over the lock of ${what}`, async (t) => {
      const folder = temporaryFolder(t);
      const path = join(folder, 'lock');
      writeFileSync(path, content);
      const lock = await acquireLock(path, '1');
      assert.equal(readOwner(path)?.pid, process.pid);
      lock.release();
      assert.deepEqual(readdirSync(folder), []);
    });
  }

  it('a lock that was removed is put back, and only its owner removes it', async (t) => {
    const path = join(temporaryFolder(t), 'lock');
    const lock = await acquireLock(path, '1');
    rmSync(path);
    lock.renew();
    const { pid, startTime } = readOwner(path) ?? {};
    assert.deepEqual({ pid, startTime }, await identify(process.pid));
    const other = JSON.stringify({ pid: 1, startTime: '5' });
    writeFileSync(path, other);
    lock.renew();
    lock.release();
    assert.equal(readFileSync(path, 'utf8'), other);
  });

  it('of many that take a stale lock at once one gets it', async (t) => {
    const folder = temporaryFolder(t);
    const path = join(folder, 'lock');
    const script = `import { acquireLock } from ${JSON.stringify(source)};
      process.stdin.once('data', async () => {
        try { await acquireLock(${JSON.stringify(path)}, '1'); console.log('got'); } catch (error) { console.log(error.name); }
        process.stdin.once('data', () => process.exit());
      });
      console.log('ready');`;
    const takers = Array.from({ length: 6 }, () =>
      spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'inherit'] }));
    t.after(() => { for (const taker of takers) taker.kill('SIGKILL'); });
    await Promise.all(takers.map(({ stdout }) => once(stdout, 'data')));
    for (let round = 0; round < 1; round += 1) {
      writeFileSync(path, JSON.stringify({ pid: 2 ** 22 - 1, startTime: '1' }));
      const answers = takers.map(async ({ stdout }) => String((await once(stdout, 'data'))[0]).trim());
      for (const { stdin } of takers) stdin.write('go\n');
      const said = (await Promise.all(answers)).sort();
      assert.deepEqual(said, ['LockHeldError', 'LockHeldError', 'LockHeldError', 'LockHeldError', 'LockHeldError', 'got']);
    }
    assert.ok(takers.some(({ pid }) => pid === readOwner(path)?.pid));
    assert.deepEqual(readdirSync(folder), ['lock']);
  });
});
