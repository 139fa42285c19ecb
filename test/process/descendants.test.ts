import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs, { readFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { type TestContext, describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { findProcesses, markName } from '../../src/process/descendants.ts';
import { isAliveNow, readStat, sendSignal } from '../../src/process/identity.ts';
import { signalTree, terminate } from '../../src/process/terminate.ts';
import { childrenOf } from '../support/processes.ts';
import { until } from '../support/wait.ts';

let made = 0;

/** A process tree as a job's: marked, and in a group of its own. @returns once it printed `ready`. */
async function tree(t: TestContext, script: string): Promise<{ id: string; child: ChildProcess; pid: number; said: () => string }> {
  const id = `mark-${process.pid}-${made += 1}`;
  const child = spawn('/bin/sh', ['-c', script], { detached: true, env: { PATH: process.env['PATH'], [markName]: id }, stdio: ['pipe', 'pipe', 'ignore'] });
  let said = '';
  child.stdout?.on('data', (chunk: Buffer) => { said += chunk.toString(); });
  t.after(async () => {
    sendSignal(-(child.pid ?? 0), 'SIGKILL');
    for (const { pid } of (await findProcesses([{ id, leader: undefined }])).get(id) ?? []) sendSignal(pid, 'SIGKILL');
  });
  await until(() => said.includes('ready'), { what: 'the tree stands' });
  return { id, child, pid: child.pid ?? 0, said: () => said };
}

const identityOf = (pid: number): { pid: number; startTime: string } => ({ pid, startTime: readStat(pid)?.startTime ?? '' });

describe('descendants', { skip: process.platform === 'linux' ? false : 'needs /proc' }, () => {
  it('findProcesses() finds group and strays by group and by mark', async (t) => {
    const { id, pid, said } = await tree(t, 'sleep 1000 & setsid sh -c "echo stray $$; exec sleep 1000" & env -i sleep 1000 & echo unmarked $!; sleep 0.1; echo ready; wait');
    const unmarked = Number(/unmarked (\d+)/.exec(said())?.[1]);
    const find = async (leader: boolean): Promise<number[]> =>
      ((await findProcesses([{ id, leader: leader ? identityOf(pid) : undefined }])).get(id) ?? []).map((one) => one.pid);
    await until(async () => (await find(true)).length === 4, { what: 'all four are seen' });
    assert.ok((await find(true)).includes(unmarked), 'the group holds it');
    assert.equal((await find(false)).length, 4);
  });

  it('findProcesses() finds what left the group and the environment below a process of the job', async (t) => {
    const { id, pid } = await tree(t, 'env -i setsid sh -c "sh -c \'sleep 1000; :\' & wait" & echo ready; wait');
    const found = async (): Promise<readonly number[]> => ((await findProcesses([{ id, leader: undefined }])).get(id) ?? []).map((one) => one.pid);
    await until(async () => (await found()).length === 4, { what: 'sh, sh, sh and sleep are seen' });
    const all = await found();
    const another = await tree(t, 'echo ready; wait; sleep 1000');
    assert.ok(!(await found()).includes(another.pid));
    assert.equal(await terminate({ id, leader: identityOf(pid) }, { signal: 'SIGTERM', graceMs: 30_000 }), true);
    assert.deepEqual(all.filter((one) => readStat(one) !== undefined && readStat(one)?.state !== 'Z'), []);
  });

  it('findProcesses() takes nobody for ours whose group only has the number of ours', async (t) => {
    const { pid } = await tree(t, 'sleep 1000 & echo ready; wait');
    // What went wrong: only the new owner of the pid was left out, and its children would have been killed.
    const found = await findProcesses([{ id: 'another', leader: { pid, startTime: '1' } }]);
    assert.deepEqual([...found.values()].flat(), []);
  });

  it('findProcesses() sees the mark that a process gets by an exec after an earlier look', async (t) => {
    const { child, pid } = await tree(t, 'echo ready; read x; exec env SIDECAR_JOB_ID=later sleep 1000');
    const found = async (id: string): Promise<readonly number[]> => ((await findProcesses([{ id, leader: undefined }])).get(id) ?? []).map((one) => one.pid);
    assert.deepEqual(await found('later'), []);
    child.stdin?.end('\n');
    await until(async () => (await found('later')).includes(pid), { what: 'it is found by its new mark' });
  });

  it('findProcesses() reads no environment in the event loop, and that of a program once', async (t) => {
    const reads = { blocking: 0, all: [] as string[] };
    const isEnvironment = (path: unknown): path is string => String(path).endsWith('/environ');
    const [openSync, openLater] = [fs.openSync, fs.promises.open];
    // What went wrong: a read waits while the process maps memory, and the server with it, for half a second.
    t.mock.method(fs, 'openSync', (...args: Parameters<typeof openSync>) => {
      if (isEnvironment(args[0])) reads.blocking += 1;
      return openSync(...args);
    });
    t.mock.method(fs.promises, 'open', (...args: Parameters<typeof openLater>) => {
      if (isEnvironment(args[0])) reads.all.push(args[0]);
      return openLater(...args);
    });
    syncBuiltinESMExports();
    t.after(() => {
      t.mock.restoreAll();
      syncBuiltinESMExports();
    });
    const { id, pid } = await tree(t, 'echo ready; read x');
    for (let look = 0; look < 3; look += 1) assert.equal((await findProcesses([{ id, leader: undefined }])).get(id)?.[0]?.pid, pid);
    assert.deepEqual([reads.blocking, reads.all.filter((path) => path === `/proc/${pid}/environ`).length], [0, 1]);
  });

  it('findProcesses() looks once for all that ask at once, and for each at a time after it asked', async (t) => {
    const trees: { readonly id: string }[] = [];
    for (let number = 0; number < 8; number += 1) trees.push(await tree(t, 'sleep 1000 & echo ready; wait'));
    const readsOf = async (work: () => Promise<unknown>): Promise<number> => {
      const reads = (): number => Number(/syscr: (\d+)/.exec(readFileSync('/proc/self/io', 'utf8'))?.[1]); // proc(5)
      const before = reads();
      await work();
      return reads() - before;
    };
    const find = ({ id }: { readonly id: string }): Promise<unknown> => findProcesses([{ id, leader: undefined }]);
    const one = await readsOf(() => find(trees[0] ?? assert.fail()));
    const eight = await readsOf(async () => {
      const found = await Promise.all(trees.map(async ({ id }) => (await findProcesses([{ id, leader: undefined }])).get(id)?.length));
      assert.deepEqual(found, trees.map(() => 2));
    });
    assert.ok(eight < 3 * one, `${eight} reads for eight looks, ${one} for one`);
    const early = findProcesses([{ id: 'early', leader: undefined }]);
    await nextTurn();
    const late = await tree(t, 'echo ready; exec sleep 1000');
    assert.equal((await findProcesses([{ id: late.id, leader: undefined }])).get(late.id)?.length, 1);
    assert.equal((await early).size, 0);
  });

  it('findProcesses() tells marks apart that begin alike', async (t) => {
    const { id } = await tree(t, 'echo ready; exec sleep 1000');
    for (const other of [`${id}0`, id.slice(0, -1), '']) assert.equal((await findProcesses([{ id: other, leader: undefined }])).get(other), undefined);
    assert.equal((await findProcesses([{ id, leader: undefined }])).get(id)?.length, 1);
  });

  it('findProcesses() finds a process by its mark in the middle of an exec', async (t) => {
    const again = 'exec /bin/sh -c "$AGAIN"';
    const { id, pid } = await tree(t, `export AGAIN='${again}'; echo ready; ${again}`);
    const leader = identityOf(pid);
    for (let look = 0; look < 400; look += 1) {
      const found = (await findProcesses([{ id, leader: undefined }])).get(id) ?? [];
      assert.deepEqual(found.map((one) => one.pid), [pid], `look ${look}`);
    }
    assert.equal(await terminate({ id, leader: undefined }, { signal: 'SIGTERM', graceMs: 30_000 }), true);
    assert.equal(isAliveNow(leader), false);
  });

  it('findProcesses() and terminate() reach a process without a mark that was found before', async (t) => {
    const { id, pid, child } = await tree(t, 'env -i sleep 1000 & until [ "$(cat /proc/$!/comm)" = sleep ]; do :; done; echo ready; wait');
    const unmarked = identityOf(childrenOf(pid)[0] ?? 0);
    const known = [unmarked, { pid, startTime: 'of another' }];
    sendSignal(pid, 'SIGKILL');
    await once(child, 'exit');
    assert.equal((await findProcesses([{ id, leader: undefined }])).get(id), undefined);
    const found = (await findProcesses([{ id, leader: undefined, known }])).get(id) ?? [];
    assert.deepEqual(found.map((one) => one.pid), [unmarked.pid]);
    assert.equal(await terminate({ id, leader: undefined, known }, { signal: 'SIGTERM', graceMs: 30_000 }), true);
    assert.equal(isAliveNow(unmarked), false);
  });

  it('terminate() waits for a process that exits slowly, though its mark cannot be read any more', async (t) => {
    // The kernel takes the memory first, which takes the longer the more there is.
    const script = 'const memory = Buffer.alloc(3e8, 1); console.log(process.pid, "ready"); setInterval(() => memory, 1e6)';
    const { id, said } = await tree(t, `exec setsid -f "${process.execPath}" -e '${script}'`);
    const stray = identityOf(Number.parseInt(said(), 10));
    assert.equal(await terminate({ id, leader: undefined }, { signal: 'SIGKILL', graceMs: 0 }), true);
    assert.equal(isAliveNow(stray), false);
  });

  it('terminate() gives a tree that acts on SIGTERM its time', async (t) => {
    const { id, pid, child, said } = await tree(t, 'trap "sleep 0.2; echo bye; exit 3" TERM; echo ready; while :; do sleep 0.05; done');
    const exited = once(child, 'exit');
    assert.equal(await terminate({ id, leader: identityOf(pid) }, { signal: 'SIGTERM', graceMs: 30_000 }), true);
    assert.deepEqual(await exited, [3, null]);
    await until(() => said().includes('bye'), { what: 'it said so' });
  });

  it('terminate() kills a tree that ignores everything, strays included', async (t) => {
    const deaf = 'trap "" TERM INT HUP';
    const { id, pid, child } = await tree(t, `${deaf}; setsid sh -c '${deaf}; sleep 1000 & while :; do sleep 0.1; done' & echo ready; while :; do sleep 0.1; done`);
    const leader = identityOf(pid);
    const exited = once(child, 'exit');
    assert.equal(await terminate({ id, leader }, { signal: 'SIGTERM', graceMs: 50 }), true);
    assert.deepEqual(await exited, [null, 'SIGKILL']);
    assert.equal((await findProcesses([{ id, leader }])).get(id), undefined);
  });

  it('terminate() ends strays whose leader is gone', async (t) => {
    const { id, pid, child } = await tree(t, 'setsid sleep 1000 & sleep 0.1; echo ready');
    const leader = identityOf(pid);
    if (child.exitCode === null) await once(child, 'exit');
    assert.equal(isAliveNow(leader), false);
    assert.equal(await terminate({ id, leader }, { signal: 'SIGTERM', graceMs: 1000 }), true);
    assert.equal((await findProcesses([{ id, leader: undefined }])).get(id), undefined);
  });

  it('signalTree() reaches a stopped tree', async (t) => {
    const { id, pid, child } = await tree(t, 'echo ready; exec sleep 1000');
    const leader = identityOf(pid);
    await signalTree({ id, leader }, 'SIGSTOP');
    await until(() => readStat(pid)?.state === 'T', { what: 'it is stopped' });
    const exited = once(child, 'exit');
    assert.equal(await terminate({ id, leader }, { signal: 'SIGTERM', graceMs: 30_000 }), true);
    assert.deepEqual(await exited, [null, 'SIGTERM']);
  });
});
