/** What keeps the stdin of jobs open, seen by a program that reads from such a FIFO. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, openSync, closeSync, constants, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, describe, it } from 'node:test';
import { ForkServer } from '../../../src/process/launcher/fork-server.ts';
import { sendSignal } from '../../../src/process/identity.ts';
import { StdinHolder } from '../../../src/process/launcher/stdin-holder.ts';
import { findBash } from '../../../src/process/launcher/pool.ts';
import { childrenOf } from '../../support/processes.ts';
import { atEnd, temporaryFolder } from '../../support/server.ts';
import { until } from '../../support/wait.ts';

const bash = findBash();

interface Setting {
  readonly folder: string;
  readonly first: ForkServer;
  readonly keeper: StdinHolder;
  readonly warnings: string[];
  /** The pid of the keeper's process. */
  readonly pid: () => number;
}

function setUp(t: TestContext, folder = temporaryFolder(t), bounds: { answerMs?: number; taskTimeoutMs?: number } = {}): Setting {
  const warnings: string[] = [];
  const onWarning = (message: string): void => { warnings.push(message); };
  const first = new ForkServer({ bash: bash ?? '', jobsDirectory: folder, env: { PATH: process.env['PATH'] ?? '' }, onWarning, ...bounds });
  const keeper = new StdinHolder({ forkServer: first, stateDir: folder, onWarning, ...bounds });
  let pid = 0;
  first.listen({ onStart: () => undefined, onEnd: () => undefined, onLine: (line) => { if (line.startsWith('keeper ')) pid = Number(line.split(' ')[2]); } });
  atEnd(t, () => {
    keeper.close();
    first.close();
  });
  return { folder, first, keeper, warnings, pid: () => pid };
}

/** A FIFO, and a program that reads it to its end. */
function reader(t: TestContext, folder: string, name: string): { path: string; isAtEnd: () => boolean; start: () => void } {
  const path = join(folder, name);
  execFileSync('mkfifo', [path]);
  let isAtEnd = false;
  return {
    path,
    isAtEnd: () => isAtEnd,
    start: () => {
      // As a job opens it: it must not wait for a writer.
      const both = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
      const end = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
      const cat = spawn('sh', ['-c', 'exec 3<&-; exec cat'], { stdio: [end, 'ignore', 'ignore'] });
      closeSync(both);
      closeSync(end);
      void once(cat, 'exit').then(() => { isAtEnd = true; });
      atEnd(t, async () => {
        cat.kill('SIGKILL');
        await until(() => isAtEnd, { what: 'cat has gone' });
      });
    },
  };
}

describe('Keeper', { skip: bash === undefined ? 'there is no bash' : false }, () => {
  it('hold() keeps a FIFO open until release()', async (t) => {
    const { folder, keeper } = setUp(t);
    const [one, other] = [reader(t, folder, 'one'), reader(t, folder, 'other')];
    const [first, second] = await keeper.lease([one.path, other.path]);
    assert.ok(first !== undefined && second !== undefined && first !== second);
    one.start();
    other.start();
    assert.equal(keeper.release(first), true);
    await until(one.isAtEnd, { what: 'the one reads the end' });
    assert.equal(other.isAtEnd(), false);
    keeper.releaseLater(second);
    await until(other.isAtEnd, { what: 'the other does, too' });
  });

  it('hold() holds what there is, and makes nothing', async (t) => {
    const { folder, keeper } = setUp(t);
    const { path } = reader(t, folder, 'fifo');
    writeFileSync(join(folder, 'file'), '');
    const holds = await keeper.lease([join(folder, 'missing'), path, join(folder, 'file')]);
    assert.deepEqual(holds.map((hold) => hold !== undefined), [false, true, false]);
    assert.equal(existsSync(join(folder, 'missing')), false);
  });

  it('holds of an ended server are released by the next', async (t) => {
    const before = setUp(t);
    const { path, isAtEnd, start } = reader(t, before.folder, 'fifo');
    const [hold = ''] = await before.keeper.lease([path]);
    start();
    const { keeper } = setUp(t, before.folder);
    assert.equal(keeper.isCurrent(hold), false);
    assert.equal(keeper.release(hold), true);
    await until(isAtEnd, { what: 'it reads the end' });
  });

  it('a keeper that is killed is told of and replaced', async (t) => {
    const { folder, keeper, warnings, pid } = setUp(t);
    const [one, other] = [reader(t, folder, 'one'), reader(t, folder, 'other')];
    const [hold = ''] = await keeper.lease([one.path]);
    sendSignal(await until(() => pid() > 0 && pid(), { what: 'it is known' }), 'SIGKILL');
    await until(() => !keeper.isCurrent(hold), { what: 'its end is seen' });
    assert.match(warnings.join(), /what keeps stdin open has ended/);
    assert.equal(keeper.release(hold), false);
    const [next = ''] = await keeper.lease([other.path]);
    assert.equal(keeper.isCurrent(next), true);
    other.start();
    assert.equal(keeper.release(next), true);
    await until(other.isAtEnd, { what: 'the next one works' });
  });

  it('one that stands still holds what it holds, and another does what is asked from then on', async (t) => {
    const { folder, keeper, warnings, pid } = setUp(t, undefined, { answerMs: 300 });
    const [one, other] = [reader(t, folder, 'one'), reader(t, folder, 'other')];
    const [hold = ''] = await keeper.lease([one.path]);
    one.start();
    const stopped = await until(() => pid() > 0 && pid(), { what: 'it is known' });
    sendSignal(stopped, 'SIGSTOP');
    await assert.rejects(keeper.lease([other.path]), /does not answer; it may be tried again/);
    assert.match(warnings.join(), /does not answer, starting another/);
    const [next = ''] = await keeper.lease([other.path]);
    assert.notEqual(pid(), stopped);
    other.start();
    assert.equal(keeper.release(next), true);
    await until(other.isAtEnd, { what: 'the next one works' });
    assert.equal(one.isAtEnd(), false);
    assert.equal(keeper.release(hold), true);
    sendSignal(stopped, 'SIGCONT');
    await until(one.isAtEnd, { what: 'the first one goes on' });
  });

  it('a first bash that stands still is replaced', async (t) => {
    const { folder, first, keeper, warnings } = setUp(t, undefined, { taskTimeoutMs: 300 });
    const one = reader(t, folder, 'one');
    await first.runTask(['true'], { isUrgent: true });
    const [bashPid = 0] = childrenOf(process.pid).filter((child) => readFileSync(`/proc/${child}/cmdline`, 'latin1').endsWith(`${folder}\0`));
    sendSignal(bashPid, 'SIGSTOP');
    await assert.rejects(first.runTask(['true'], { isUrgent: true }), /more than 0.3 s; it may be tried again/);
    const [hold] = await until(() => keeper.lease([one.path]).catch(() => undefined), { what: 'another one works' });
    assert.notEqual(hold, undefined);
    assert.match(warnings.join(), /the first launcher ended, starting another/);
  });

  it('holds what is in a folder with any name', async (t) => {
    // What went wrong: a space in it ended the keeper.
    const folder = join(temporaryFolder(t), 'a b "c" $(exit 1) \'d\' `exit` *');
    mkdirSync(folder);
    const { keeper } = setUp(t, folder);
    const { path, isAtEnd, start } = reader(t, folder, 'fi fo');
    const [hold] = await keeper.lease([path]);
    start();
    assert.equal(isAtEnd(), false);
    assert.ok(hold !== undefined && keeper.release(hold));
    await until(isAtEnd, { what: 'it is closed' });
  });

  it('one that ended before it could open its FIFO is waited for by nobody', async (t) => {
    // What went wrong: bash waited in open(2) for a reader, for ever where the server was killed then, and no job could be started where it was not.
    const { folder, first } = setUp(t);
    await first.runTask(['true'], { isUrgent: true });
    for (const name of ['keeper', 'never there']) {
      if (name === 'keeper') execFileSync('mkfifo', [join(folder, name)]);
      first.send('sc_join', join(folder, name));
      await first.runTask(['true'], { isUrgent: true });
    }
    assert.deepEqual(readdirSync(folder), ['keeper']);
  });

  it('one that was never forked, as the first bash ended before, is asked for again', async (t) => {
    // What went wrong: the keeper was waited for for ever, and no job could be taken on until the server was started again.
    const { folder, first, keeper } = setUp(t);
    const { path } = reader(t, folder, 'fifo');
    const send = first.send.bind(first);
    // The word is lost, and its reader with it.
    first.send = (...words) => {
      if (words[0] !== 'sc_fork_holder') return send(...words);
      first.send = send;
      send('exit');
    };
    await assert.rejects(keeper.lease([path]), /has ended/);
    const [hold] = await keeper.lease([path]);
    assert.ok(hold !== undefined && keeper.isCurrent(hold));
  });

  it('the FIFO of a keeper that ends after the next server has begun is removed, too', async (t) => {
    const before = setUp(t);
    await before.keeper.start();
    await until(() => before.pid(), { what: 'the keeper runs' });
    const [left = ''] = readdirSync(join(before.folder, 'keepers'));
    setUp(t, before.folder);
    assert.ok(existsSync(join(before.folder, 'keepers', left)));
    before.keeper.close();
    before.first.close();
    await until(() => !existsSync(join(before.folder, 'keepers', left)), { what: 'its FIFO is removed' });
  });

  it('nothing is removed below a link in the place of its folder, which is made again', async (t) => {
    const folder = temporaryFolder(t);
    const outside = temporaryFolder(t);
    for (const name of ['file', '100-1-abc']) writeFileSync(join(outside, name), 'kept');
    symlinkSync(outside, join(folder, 'keepers'));
    const { keeper } = setUp(t, folder);
    // What went wrong: every file there was taken for the FIFO of a keeper that has ended.
    assert.deepEqual(readdirSync(outside).sort(), ['100-1-abc', 'file']);
    const [hold] = await keeper.lease([reader(t, folder, 'one').path]);
    assert.notEqual(hold, undefined);
    assert.deepEqual(readdirSync(outside).sort(), ['100-1-abc', 'file']);
  });

  it('a FIFO behind a link in the place of the directory of a job is not held', async (t) => {
    const { folder, keeper } = setUp(t);
    const outside = temporaryFolder(t);
    symlinkSync(outside, join(folder, 'job'));
    execFileSync('mkfifo', [join(outside, 'stdin')]);
    assert.deepEqual(await keeper.lease([join(folder, 'job', 'stdin')]).catch(() => [undefined]), [undefined]);
  });

  it('the FIFOs of keepers that have ended are removed', async (t) => {
    const before = setUp(t);
    await before.keeper.start();
    const [left = ''] = readdirSync(join(before.folder, 'keepers'));
    const inUse = setUp(t, before.folder);
    assert.ok(existsSync(join(before.folder, 'keepers', left)));
    sendSignal(await until(() => before.pid() > 0 && before.pid(), { what: 'it is there' }), 'SIGKILL');
    before.keeper.close();
    inUse.keeper.close();
    await until(() => {
      setUp(t, before.folder).keeper.close();
      return !existsSync(join(before.folder, 'keepers', left));
    }, { what: 'it is removed' });
  });
});
