/** What a shell is told that was started by one server, and met by the next. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, readlinkSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { setImmediate as afterThisTurn } from 'node:timers/promises';
import { createLog } from '../../src/base/log.ts';
import { readStat } from '../../src/process/identity.ts';
import type { Launch } from '../../src/process/launcher/launch-script.ts';
import type { ShellRequest } from '../../src/shells/request.ts';
import { findShells } from '../../src/shells/dialects/find-shells.ts';
import { Shells } from '../../src/shells/shells.ts';
import { atEnd, temporaryFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';

const options = { skip: process.platform === 'win32' ? 'needs FIFOs' : false };
const request: ShellRequest = { sessionKey: 'one', workdir: '/', env: {}, bootstrapCommand: 'boots=$((boots + 1))', isBootstrap: false };

const needsShell = {
  skip: options.skip || (existsSync('/proc/self/stat') ? false : 'needs /proc')
    || (findShells(process.env['PATH'] ?? '').size > 0 ? false : 'needs a shell'),
};

/** Shells that note what they have launched, and leave it to the test. */
function shellsIn(t: TestContext, stateDir: string): { shells: Shells; launched: Launch[]; ended: Map<string, number | undefined>; run: (command: string) => Promise<string> } {
  const launched: Launch[] = [];
  const ended = new Map<string, number | undefined>();
  let fifos = 0;
  const shells = new Shells({
    stateDir, inherited: { PATH: process.env['PATH'] ?? '' }, maxSessions: 1, idleSeconds: 0, log: createLog({ fd: 2, format: 'json', level: 'error' }),
    takeFifo: async () => {
      const path = join(stateDir, `fifo-${process.pid}-${(fifos += 1)}`);
      execFileSync('mkfifo', [path]);
      return path;
    },
  });
  atEnd(t, () => shells.close());
  shells.connect({
    launch: (launch) => launched.push(launch), jobDirectory: () => undefined,
    events: {
      onStarted: () => {}, onShellStarted: () => {}, onClaimed: () => {}, onOrphaned: () => {},
      onExit: (id, { code }) => ended.set(id, code), onFailed: (id, error) => ended.set(`${id}: ${error.message}`, undefined),
    },
    cancelJobs: async () => {},
  });
  const run = async (command: string): Promise<string> => {
    const id = `job-${process.hrtime.bigint()}`;
    const directory = join(stateDir, id);
    mkdirSync(directory);
    shells.admit(request);
    shells.start({ id, directory, stdin: 'null', sessionKey: 'one', command, isBootstrap: false });
    await until(() => ended.has(id), { what: `${command} has ended` });
    return readFileSync(join(directory, 'stdout'), 'utf8');
  };
  return { shells, launched, ended, run };
}

/** Whether this process has it open. */
function isOpen(path: string): boolean {
  return openFiles('self').includes(path);
}

function openFiles(pid: number | 'self'): readonly string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch {
      return [];
    }
  });
}

/** Becomes the shell of a launch as a launcher would have, but later. */
function become(t: TestContext, launch: Launch): number {
  const pid = spawned(t, launch);
  writeFileSync(join(launch.directory, 'process'), readFileSync(`/proc/${pid}/stat`));
  return pid;
}

/** A job that is in the middle of a command, and whose server has ended. */
async function interrupted(t: TestContext, command: string): Promise<{
  stateDir: string; launch: Launch; pid: number; job: { id: string; directory: string; sessionKey: string };
}> {
  const stateDir = realpathSync(temporaryFolder(t));
  const first = shellsIn(t, stateDir);
  first.shells.admit({ ...request, workdir: stateDir });
  const directory = join(stateDir, 'job-0');
  mkdirSync(directory);
  const job = { id: 'job-0', directory, sessionKey: 'one' };
  first.shells.start({ ...job, stdin: 'null', command, isBootstrap: false });
  const launch = await until(() => first.launched[0], { what: 'a shell is to be started' });
  const pid = become(t, launch);
  await until(() => existsSync(join(directory, 'stdout')), { what: 'the command has begun' });
  first.shells.close();
  return { stateDir, launch, pid, job };
}

/** Says in the note of a shell who waits for it (proc(5), stat: the fourth field). */
function noteLauncher({ directory }: Launch, pid: number): void {
  const path = join(directory, 'process');
  writeFileSync(path, readFileSync(path, 'latin1').replace(/(?<=^.*\) \S )\d+/, String(pid)));
}

/** {@link become} without a note of who it is. */
function spawned(t: TestContext, { id, argv: [program = '', ...words] }: Launch): number {
  const child = spawn(program, words, { stdio: 'ignore', detached: true, env: { ...process.env, SIDECAR_JOB_ID: id } });
  const { pid = 0 } = child;
  atEnd(t, async () => {
    child.kill('SIGKILL');
    await until(() => child.exitCode !== null || child.signalCode !== null, { what: 'the shell has ended' });
  });
  return pid;
}

test('a shell that opens its control only once the server has ended is told all of it by the next one, and outlives that, too', {
  skip: options.skip || (existsSync('/proc/self/stat') ? false : 'needs /proc') || (findShells(process.env['PATH'] ?? '').size > 0 ? false : 'needs a shell'),
}, async (t) => {
  const stateDir = realpathSync(temporaryFolder(t));
  const first = shellsIn(t, stateDir);
  first.shells.admit(request);
  mkdirSync(join(stateDir, 'job-0'));
  first.shells.start({ id: 'job-0', directory: join(stateDir, 'job-0'), stdin: 'null', sessionKey: 'one', command: 'count=0', isBootstrap: false });
  const launch = await until(() => first.launched[0], { what: 'a shell is to be started' });
  first.shells.close();
  const control = join(launch.directory, 'control');
  await until(() => !isOpen(control), { what: 'the first server has let go of the control' });

  const pid = become(t, launch);
  for (let server = 1; server <= 3; server += 1) {
    const next = shellsIn(t, stateDir);
    assert.equal(await next.run('count=$((count + 1)); echo $count $boots $$'), `${server} 1 ${pid}\n`);
    assert.deepEqual(next.launched, [], 'no other shell is started');
    next.shells.close();
  }
});

for (const isEarlier of [true, false]) {
  const when = isEarlier ? 'the server started' : 'its job was adopted';
  test(`a job whose shell ended in the moment before ${when} waits for the exit code of the shell`, needsShell, async (t) => {
    const { stateDir, launch, pid, job } = await interrupted(t, 'kill -STOP $$');
    const launcher = spawn('sleep', ['1000'], { stdio: 'ignore', detached: true });
    atEnd(t, () => { launcher.kill('SIGKILL'); });
    noteLauncher(launch, launcher.pid ?? 0);
    const end = async (): Promise<void> => {
      process.kill(pid, 'SIGKILL');
      await until(() => readStat(pid) === undefined, { what: 'the shell has ended' });
    };
    if (isEarlier) await end();
    const next = shellsIn(t, stateDir);
    if (!isEarlier) await end();
    next.shells.adopt(job);
    assert.equal(next.shells.get('one').status, 'running');
    // The first look at an adopted job.
    await afterThisTurn();
    assert.deepEqual([...next.ended], []);
    writeFileSync(join(launch.directory, 'exit'), '137\n');
    await until(() => next.ended.size > 0, { what: 'the job has ended' });
    assert.deepEqual([...next.ended], [['job-0', 137]]);
    assert.deepEqual(next.shells.endedWith(job), { reason: 'signal', exitCode: 137 });
  });
}

for (const [what, file, code] of [
  ['its own', 'exit-job-0', 4], ['that of its shell', 'exit', 137], ['unknown without a launcher', undefined, undefined],
] as const) {
  test(`the exit code of a job is ${what} where its shell has ended by the next start`, needsShell, async (t) => {
    const { stateDir, launch, pid, job } = await interrupted(t, 'kill -STOP $$');
    const launcher = spawn('true', { stdio: 'ignore', detached: true });
    await until(() => launcher.exitCode !== null, { what: 'the launcher has ended' });
    noteLauncher(launch, launcher.pid ?? 0);
    process.kill(pid, 'SIGKILL');
    await until(() => readStat(pid) === undefined, { what: 'the shell has ended' });
    if (file !== undefined) writeFileSync(join(launch.directory, file), `${code}\n`);
    const next = shellsIn(t, stateDir);
    next.shells.adopt(job);
    // The first look at an adopted job.
    await afterThisTurn();
    assert.deepEqual([...next.ended], [['job-0', code]]);
  });
}

test('what a server left that was killed before a session had its record is removed, and nothing else', options, async (t) => {
  const stateDir = temporaryFolder(t);
  const folder = join(stateDir, 'shells');
  const name = (letter: string): string => letter.repeat(32);
  for (const one of [name('a'), name('b'), name('c'), 'foreign']) mkdirSync(join(folder, one), { recursive: true });
  writeFileSync(join(folder, name('b'), 'shell.json.77.1'), '{');
  mkdirSync(join(folder, name('c'), 'run-1'));
  shellsIn(t, stateDir);
  // What went wrong: it was warned of at every start, and stayed for ever.
  await until(() => readdirSync(folder).length === 2, { what: 'what is left is removed' });
  assert.deepEqual(readdirSync(folder).sort(), [name('c'), 'foreign']);
});

test('what a job has put in the place of the next start is gone from there, and its files go in the background', {
  skip: options.skip || (findShells(process.env['PATH'] ?? '').size > 0 ? false : 'needs a shell'),
}, async (t) => {
  const stateDir = realpathSync(temporaryFolder(t));
  const { shells, launched } = shellsIn(t, stateDir);
  shells.admit(request);
  const [session = ''] = readdirSync(join(stateDir, 'shells'));
  const next = join(stateDir, 'shells', session, 'run-1');
  mkdirSync(next);
  for (let number = 0; number < 200; number += 1) writeFileSync(join(next, String(number)), '');
  const directory = join(stateDir, 'job');
  mkdirSync(directory);
  let inTrash: readonly string[] = [];
  launched.push = (...all: Launch[]) => {
    inTrash = readdirSync(join(stateDir, 'trash'));
    return Array.prototype.push.apply(launched, all);
  };
  shells.start({ id: 'job', directory, stdin: 'null', sessionKey: 'one', command: 'true', isBootstrap: false });
  await until(() => launched.length === 1, { what: 'the shell is launched' });
  assert.equal(existsSync(join(next, '0')), false);
  // What went wrong: the server removed them first, 250,000 in 4 s, and answered nobody meanwhile.
  assert.equal(inTrash.length, 1);
  await until(() => !existsSync(join(stateDir, 'trash')), { what: 'they are gone' });
});

test('a shell that is starting is left to the next job by one that is withdrawn, and ended with its session', {
  skip: options.skip || (existsSync('/proc/self/stat') ? false : 'needs /proc') || (findShells(process.env['PATH'] ?? '').size > 0 ? false : 'needs a shell'),
}, async (t) => {
  const stateDir = realpathSync(temporaryFolder(t));
  const { shells, launched, run } = shellsIn(t, stateDir);
  const begin = async (): Promise<Launch> => {
    shells.admit(request);
    const directory = join(stateDir, `job-${process.hrtime.bigint()}`);
    mkdirSync(directory);
    const before = launched.length;
    shells.start({ id: 'withdrawn', directory, stdin: 'null', sessionKey: 'one', command: ':', isBootstrap: false });
    const launch = await until(() => launched[before], { what: 'a shell is to be started' });
    assert.equal(shells.withdraw('withdrawn'), true);
    return launch;
  };
  const first = await begin();
  const output = run('echo "$boots"');
  become(t, first);
  assert.equal(await output, '1\n');
  assert.equal(launched.length, 1);
  await shells.delete('one');
  const second = await begin();
  const pid = spawned(t, second);
  const control = join(second.directory, 'control');
  await until(() => openFiles(pid).filter((path) => path === control).length === 2, { what: 'the shell never reads its end' });
  await shells.delete('one');
  await until(() => readStat(pid) === undefined, { what: 'the shell has ended' });
});
