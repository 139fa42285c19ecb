/** An interrupt reaches all processes of a command at once. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { describe, it, type TestContext } from 'node:test';
import { findProcesses } from '../../src/process/descendants.ts';
import { type Identity, identify, isAliveNow, type ProcessStat, readStat } from '../../src/process/identity.ts';
import { continueInterrupted, interruptCommand } from '../../src/shells/interrupt.ts';
import { childrenOf } from '../support/processes.ts';
import { until } from '../support/wait.ts';

const skip = process.platform === 'linux' ? false : 'needs /proc';

interface Command {
  readonly child: ChildProcess;
  readonly identity: Identity;
  /** The processes of its group. */
  readonly find: () => Promise<readonly ProcessStat[]>;
}

/** A process group of its own. SIGINT may be ignored where the tests run, and bash would keep that. */
async function start(t: TestContext, script: string): Promise<Command> {
  const child = spawn('env', ['--default-signal=INT', 'bash', '--norc', '-c', script], { detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
  const pid = child.pid as number;
  t.after(() => {
    if (child.exitCode === null && child.signalCode === null) process.kill(-pid, 'SIGKILL');
  });
  if (script.includes('echo')) await once(child.stdout as NonNullable<typeof child.stdout>, 'data');
  const identity = await identify(pid);
  assert.ok(identity);
  return { child, identity, find: async () => (await findProcesses([{ id: '', leader: identity }])).get('') ?? [] };
}

/** A shell that runs nothing. */
async function idleShell(t: TestContext): Promise<Identity> {
  const { identity } = await start(t, 'echo; read -r -t 600 <> <(:)');
  await until(() => readStat(identity.pid)?.state === 'S', { what: 'the shell waits' });
  return identity;
}

describe('interruptCommand()', { skip }, () => {
  it('ends a shell with the program that it has just started, as it goes on where that does not end by SIGINT', async (t) => {
    const shell = await idleShell(t);
    const { child, find, identity } = await start(t, 'echo; while :; do sleep 600; done');
    const ended = once(child, 'exit');
    await until(async () => (await find()).length === 2, { what: 'the program has been started' });
    let looks = 0;
    const findLate = async (): Promise<readonly ProcessStat[]> => {
      looks += 1;
      return (await find()).filter(({ pid }) => looks > 1 || pid === identity.pid);
    };
    assert.equal(await interruptCommand({ shell, find: findLate, signalShell: () => undefined, limitMs: 1000 }), true);
    assert.deepEqual(await ended, [null, 'SIGINT']);
  });

  it('lets a program go on that does something else on SIGINT, and tells it once', async (t) => {
    const shell = await idleShell(t);
    const { child, find, identity } = await start(t, 'trap "echo caught" INT; echo in; while :; do read -r -t 0.01 <> <(:); done');
    const said: string[] = [];
    child.stdout?.on('data', (chunk: Buffer) => said.push(chunk.toString()));
    await interruptCommand({ shell, find, signalShell: () => undefined, limitMs: 1000 });
    await until(() => said.join('').includes('caught'), { what: 'the trap' });
    assert.notEqual(readStat(identity.pid)?.state, 'T');
    assert.equal(said.join(''), 'caught\n');
  });

  it('tells the shell again that has not got it, and says that nothing could be signalled', async (t) => {
    const shell = await idleShell(t);
    const find = async (): Promise<readonly ProcessStat[]> => [];
    const signalled: boolean[] = [];
    const signalShell = (isAsleep: boolean): (() => boolean) => {
      signalled.push(isAsleep);
      return () => signalled.length >= 3;
    };
    const wasInterrupted = await interruptCommand({ shell, find, signalShell, limitMs: 30_000 });
    assert.deepEqual([wasInterrupted, signalled.length, signalled[0]], [true, 3, true]);
    assert.equal(await interruptCommand({ shell, find, signalShell: () => undefined, limitMs: 1000 }), false);
  });

  it('lets no shell with job control see that its program was stopped', async (t) => {
    const { child, identity } = await start(t, 'set -m; echo; env --ignore-signal=INT sleep 600; echo left');
    let program: ProcessStat | undefined;
    await until(() => {
      const [pid = 0] = childrenOf(identity.pid);
      program = readStat(pid);
      return program !== undefined && readFileSync(`/proc/${program.pid}/comm`, 'latin1') === 'sleep\n';
    }, { what: 'the program runs, and ignores SIGINT' });
    const sleeper = program as unknown as ProcessStat;
    t.after(() => {
      if (isAliveNow(sleeper)) process.kill(sleeper.pid, 'SIGKILL');
    });
    let said = '';
    child.stdout?.on('data', (chunk: Buffer) => { said += chunk.toString(); });
    const find = async (): Promise<readonly ProcessStat[]> => [sleeper];
    for (let count = 0; count < 100; count += 1) {
      await interruptCommand({ shell: identity, find, signalShell: () => undefined, limitMs: 1000 });
      assert.deepEqual([said, child.exitCode], ['', null], `interrupt ${count}`);
    }
  });
});

describe('continueInterrupted()', { skip }, () => {
  it('continues what a server left stopped that ended in the middle of an interrupt', async (t) => {
    const shell = await idleShell(t);
    const { find, identity } = await start(t, 'echo; read -r -t 600 <> <(:)');
    const state = (pid: number): string | undefined => readStat(pid)?.state;
    for (const { pid } of [shell, identity]) process.kill(pid, 'SIGSTOP');
    await until(() => state(shell.pid) === 'T' && state(identity.pid) === 'T', { what: 'both are stopped' });
    await continueInterrupted({ shell, find });
    await until(() => state(shell.pid) !== 'T' && state(identity.pid) !== 'T', { what: 'both go on' });
  });

  it('leaves a program stopped whose shell is not', async (t) => {
    const shell = await idleShell(t);
    const { find, identity } = await start(t, 'echo; read -r -t 600 <> <(:)');
    process.kill(identity.pid, 'SIGSTOP');
    await until(() => readStat(identity.pid)?.state === 'T', { what: 'it is stopped' });
    await continueInterrupted({ shell, find });
    assert.equal(readStat(identity.pid)?.state, 'T');
  });
});
