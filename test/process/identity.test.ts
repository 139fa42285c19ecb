import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { ageSeconds, identify, isAlive, isAliveNow, isGroupAlive, memoryOf, parseStat, readStat, sendSignal } from '../../src/process/identity.ts';
import { until } from '../support/wait.ts';

const skip = process.platform === 'linux' ? false : 'needs /proc';
const rest = 'S 7 42 42 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 987654 2801664 300 18446744073709551615\n';

describe('identity', () => {
  for (const name of ['sh', 'a b', 'a) b', '((', '))', ') S 1 1', 'tmux: client', '', 'ü', ' ', '0 (x) R 1 2 3 ']) {
    it(`parseStat() reads a process called ${JSON.stringify(name)}`, () => {
      assert.deepEqual(parseStat(`42 (${name}) ${rest}`), { pid: 42, state: 'S', parentPid: 7, groupId: 42, sessionId: 42, terminal: 0, startTime: '987654', isKernel: false });
    });
  }

  it('parseStat() tells a thread of the kernel', () => {
    assert.equal(parseStat(`2 (kthreadd) ${rest.replace(/^((?:\S+ ){6})\d+/, '$12129984')}`)?.isKernel, true);
  });

  for (const line of ['', '\n', '42', '42 (sh', '42 (sh)', '42 (sh) S 1 1', 'x (sh) S', '987 Mon Jan 1 00:00:00 2024', `(sh) ${rest}`]) {
    it(`parseStat() knows that ${JSON.stringify(line.slice(0, 30))} is none`, () => assert.equal(parseStat(line), undefined));
  }

  it('tells a process from a later one with its pid, and a dead one from both', { skip }, async () => {
    const child = spawn('sleep', ['1000'], { detached: true });
    const pid = child.pid ?? 0;
    const identity = await identify(pid);
    assert.ok(identity);
    assert.equal(await isAlive(identity), true);
    assert.equal(isAliveNow({ ...identity, startTime: `${Number(identity.startTime) + 1}` }), false);
    assert.equal(isAliveNow({ pid, startTime: '' }), false);
    assert.equal(isGroupAlive(pid), true);
    const age = await ageSeconds(identity);
    assert.ok(age !== undefined && age > -1 && age < 60, String(age));
    child.kill('SIGKILL');
    await once(child, 'exit');
    assert.equal(isAliveNow(identity), false);
    assert.equal(readStat(pid), undefined);
    assert.equal(sendSignal(pid, 'SIGTERM'), false);
    assert.equal(isGroupAlive(pid), false);
  });

  it('a process that waits to be reaped is not alive', { skip }, async (t) => {
    // Its parent is a program that never waits; it ends only once that is so, as the shell before it might wait.
    const parent = spawn('/bin/sh', ['-c', '(until [ "$(cat /proc/$$/comm)" = sleep ]; do :; done) & echo $!; exec sleep 1000'], { stdio: ['ignore', 'pipe', 'ignore'] });
    t.after(() => parent.kill('SIGKILL'));
    const [line] = await once(parent.stdout, 'data') as [Buffer];
    const pid = Number(line.toString());
    const stat = await until(() => readStat(pid)?.state === 'Z' && readStat(pid), { what: 'it waits to be reaped' });
    assert.equal(isAliveNow(stat), false);
  });

  it('memoryOf() tells a process without an environment from one that has it', { skip }, async (t) => {
    const env = { ANY: 'value' };
    for (const [argv, hasEnvironment] of [[['sleep', '1000'], true], [['env', '-i', 'sleep', '1000'], false]] as const) {
      const child = spawn(`/usr/bin/${argv[0]}`, argv.slice(1), { env, stdio: 'ignore' });
      t.after(() => child.kill('SIGKILL'));
      const pid = child.pid ?? 0;
      const memory = await until(() => {
        const isSleep = readFileSync(`/proc/${pid}/comm`, 'latin1') === 'sleep\n';
        const now = memoryOf(pid);
        return isSleep && now?.isLoading === false && now;
      }, { what: 'it has become sleep' });
      const { program, ...rest } = memory;
      assert.deepEqual(rest, { isLoading: false, hasEnvironment, isExitingOrKernel: false, isHidden: false });
      assert.match(program, /^\d+( \d+){4}$/);
      child.kill('SIGKILL');
      await once(child, 'exit');
      assert.equal(memoryOf(pid), undefined);
    }
  });
});
