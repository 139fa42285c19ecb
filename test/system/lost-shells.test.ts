/** A job damages the directory of its persistent shell, and the server is killed: the next one ends what is lost. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { findProcesses } from '../../src/process/descendants.ts';
import { type ProcessStat, readStat, sendSignal, wordsOf } from '../../src/process/identity.ts';
import { folderName, parseSession, readSessionFile, shellMark } from '../../src/shells/session-record.ts';
import { ask, run } from '../support/client.ts';
import { isInstalled } from '../support/shell.ts';
import { atEnd, spawnServer } from '../support/server.ts';
import { until } from '../support/wait.ts';

const skip = process.platform === 'linux' ? false : 'it needs /proc';

/** Shell, with the directory of the session in `$d`, and a place beside the state directory in `$aside`. */
const damages: { readonly [what: string]: string } = {
  link: 'mv "$d" "$aside"; ln -s "$aside" "$d"',
  gone: 'mv "$d" "$aside"',
  removed: 'rm -r "$d"',
  'run-1 gone': 'mv "$d/run-1" "$aside"',
  'process is a FIFO': 'rm "$d/run-1/process"; mkfifo "$d/run-1/process"',
};
const commands: { readonly [what: string]: string } = {
  program: 'sleep 1000',
  'in the shell': 'while :; do sleep 0.2; done',
  stubborn: 'sh -c \'trap "" TERM HUP; while :; do sleep 0.2; done\'',
};

test('what runs in a shell whose directory was damaged is ended where the outcome is lost, and nothing else', {
  skip, timeout: 120_000,
}, async (t) => {
  const server = await spawnServer(t);
  const folder = join(server.stateDir, '..', 'aside');
  mkdirSync(folder);
  const begin = async (sessionKey: string, command: string): Promise<string> => {
    const body = { mode: 'persistent_shell', sessionKey, command, killGrace: 1 };
    return (await ask(server, 'POST /exec', { body })).json<{ jobId: string }>().jobId;
  };
  const ids: string[] = [];
  const shells: string[] = [];
  const stay = [await begin('whole', 'read go; echo $go')];
  for (const [damage, spoil] of Object.entries(damages)) {
    for (const [what, command] of Object.entries(commands)) {
      const sessionKey = `${damage}: ${what}`;
      const daemon = 'setsid sleep 1000 >/dev/null 2>&1 &';
      const before = await run(server, { mode: 'persistent_shell', sessionKey, command: daemon });
      stay.push(before.jobId);
      const directory = join(server.stateDir, 'shells', folderName(sessionKey));
      shells.push(shellMark(directory, parseSession(readSessionFile(directory)), 1));
      const names = `d='${directory}' aside='${join(folder, String(ids.length))}'`;
      ids.push(await begin(sessionKey, `${names}; ${spoil}; ${command}`));
    }
  }
  atEnd(t, () => until(async () => {
    const left = (await processesOf([...ids, ...stay, ...shells])).flatMap(([, all]) => all);
    for (const { pid } of left) sendSignal(pid, 'SIGKILL');
    return left.length === 0;
  }, { what: 'nothing of the test is left' }));
  await until(async () => await sleepersAmong(ids) === ids.length, { what: 'all run their commands' });
  await server.kill9();
  await server.restart();
  await until(async () => (await processesOf([...ids, ...shells])).length === 0, { what: 'none runs any more' });
  for (const id of ids) {
    const { status, reason } = (await ask(server, `GET /jobs/${id}`)).json<{ status: string; reason: string }>();
    assert.deepEqual([status, reason], ['failed', 'lost']);
  }
  assert.equal(await sleepersAmong(stay), stay.length - 1);
  await ask(server, `POST /jobs/${stay[0]}/stdin`, { body: 'on\n' });
  const whole = await ask(server, `GET /jobs/${stay[0]}?wait=30&waitFor=end`);
  assert.equal(whole.json<{ stdout: string }>().stdout, 'on\n');
});

/** As {@link damages}; what keeps the shell from any further job, and leaves it the one that it has. */
const lastCommands: { readonly [what: string]: readonly [command: string, how: 'continues' | 'ends'] } = {
  exec: ['exec sh -c "echo begun; read go; exit 5"', 'ends'],
  'new control': ['rm "$d/run-1/control"; mkfifo "$d/run-1/control"; echo begun; read go; (exit 5)', 'continues'],
  'no control': ['rm "$d/run-1/control"; echo begun; read go; (exit 5)', 'continues'],
};

for (const shell of ['bash', 'zsh', 'sh']) {
  test(`a job of ${shell} continues after a restart although its shell can be given no other job, and the next job gets a new shell`, {
    skip: skip || (isInstalled(shell) ? false : `needs ${shell}`), timeout: 120_000,
  }, async (t) => {
    const server = await spawnServer(t);
    const jobs: (readonly [sessionKey: string, id: string])[] = [];
    for (const [sessionKey, [command]] of Object.entries(lastCommands)) {
      const directory = join(server.stateDir, 'shells', folderName(sessionKey));
      const body = { mode: 'persistent_shell', sessionKey, shell, command: `d='${directory}'; ${command}` };
      jobs.push([sessionKey, (await ask(server, 'POST /exec', { body })).json<{ jobId: string }>().jobId]);
    }
    const shown = async (id: string): Promise<{ status: string; stdout: string }> =>
      (await ask(server, `GET /jobs/${id}`)).json<{ status: string; stdout: string }>();
    for (const [what, id] of jobs) {
      await until(async () => (await shown(id)).stdout === 'begun\n', { what: `${what} has begun` });
    }
    await server.kill9();
    await server.restart();
    for (const [what, id] of jobs) {
      await ask(server, `POST /jobs/${id}/stdin`, { body: 'on\n' });
      const job = (await ask(server, `GET /jobs/${id}?wait=30&waitFor=end`)).json<Record<string, unknown>>();
      const hasShellEnded = lastCommands[what]?.[1] === 'ends';
      assert.deepEqual(
        [job['status'], job['reason'], job['exitCode'], job['shellEnded'] ?? null],
        ['failed', 'exit', 5, hasShellEnded ? { reason: 'exit', exitCode: 5 } : null], what,
      );
      const next = await run(server, { mode: 'persistent_shell', sessionKey: what, shell, command: 'echo next' });
      const why = hasShellEnded ? { reason: 'exit', start: 2, exitCode: 5 } : { reason: 'gone', start: 2 };
      assert.deepEqual([next.stdout, next.shellStarted], ['next\n', why], what);
    }
  });
}

test('an idle shell that was left stopped in an interrupt goes on', { skip, timeout: 60_000 }, async (t) => {
  const server = await spawnServer(t);
  const inShell = { mode: 'persistent_shell', sessionKey: 'stopped' };
  const { stdout = '' } = await run(server, { ...inShell, command: 'kept=1; sleep 1000 >/dev/null & echo $$ $!' });
  const pids = stdout.trim().split(' ').map(Number);
  const areStopped = (): readonly boolean[] => pids.map((pid) => readStat(pid)?.state === 'T');
  await server.kill9();
  for (const pid of pids) sendSignal(pid, 'SIGSTOP');
  await until(() => areStopped().every(Boolean), { what: 'both are stopped' });
  await server.restart();
  await until(() => !areStopped().some(Boolean), { what: 'both go on' });
  assert.equal((await run(server, { ...inShell, command: 'echo $kept $$' })).stdout, `1 ${pids[0]}\n`);
});

test('a job of a shell that has ended does not run again where its exit file was removed', {
  skip, timeout: 60_000,
}, async (t) => {
  // What went wrong: the next server waited for its end in the idle shell, ended the shell at the timeout of the job,
  // and gave the shell no other job until then.
  const server = await spawnServer(t);
  const inShell = { mode: 'persistent_shell', sessionKey: 'idle' };
  const ways: { readonly [way: string]: (path: string) => void } = {
    gone: () => undefined,
    FIFO: (path) => { execFileSync('mkfifo', [path]); },
    directory: (path) => mkdirSync(path),
  };
  const jobs: (readonly [id: string, code: number | undefined])[] = [];
  await run(server, { ...inShell, command: 'kept=1' });
  for (const replace of Object.values(ways)) {
    const { jobId } = await run(server, { ...inShell, command: 'true' });
    jobs.push([jobId, undefined]);
    const exit = join(server.stateDir, 'jobs', jobId, 'exit');
    rmSync(exit);
    replace(exit);
  }
  const last = await run(server, { ...inShell, command: '(exit 3)' });
  rmSync(join(server.stateDir, 'jobs', last.jobId, 'exit'));
  jobs.push([last.jobId, 3]);
  await server.kill9();
  await server.restart();
  for (const [id, code] of jobs) {
    const job = (await ask(server, `GET /jobs/${id}?wait=30&waitFor=end`)).json<{ reason: string; exitCode: number }>();
    if (code === undefined) assert.equal(job.reason, 'lost');
    else assert.deepEqual([job.reason, job.exitCode], ['exit', code]);
  }
  assert.equal((await run(server, { ...inShell, command: 'echo $kept' })).stdout, '1\n');
});

/** As {@link damages}; what makes it impossible to note a job for the next server. */
const unusable: { readonly [what: string]: string } = {
  'run-1 gone': 'mv "$d/run-1" "$aside"',
  'run-1 is a link': 'mv "$d/run-1" "$aside"; ln -s "$aside" "$d/run-1"',
  'run-1 is a FIFO': 'rm -r "$d/run-1"; mkfifo "$d/run-1"',
  'all gone': 'rm -r "$d"',
  'job is a FIFO': 'rm "$d/run-1/job"; mkfifo "$d/run-1/job"',
  'job is a link': 'mv "$d/run-1/job" "$aside"; ln -s "$aside" "$d/run-1/job"',
  'bootstrap is a directory': 'mkdir "$d/run-1/bootstrap"',
};

test('a session whose shell can be given no job any more gets a new one', { skip, timeout: 90_000 }, async (t) => {
  const server = await spawnServer(t);
  const folder = join(server.stateDir, '..', 'aside');
  mkdirSync(folder);
  const shells: string[] = [];
  for (const [what, spoil] of Object.entries(unusable)) {
    const inShell = { mode: 'persistent_shell', sessionKey: what };
    const directory = join(server.stateDir, 'shells', folderName(what));
    const aside = join(folder, String(shells.length));
    await run(server, { ...inShell, command: 'kept=1' });
    shells.push(shellMark(directory, parseSession(readSessionFile(directory)), 1));
    await run(server, { ...inShell, command: `d='${directory}' aside='${aside}'; ${spoil}` });
    const refused = await ask(server, 'POST /exec', { body: { ...inShell, command: ':', requireShell: true } });
    assert.deepEqual([refused.status, refused.problem.code], [409, 'shell_gone'], what);
    const held = namesIn(aside);
    const { status, stdout, shellStarted } = await run(server, { ...inShell, command: 'echo "<$kept>"' });
    assert.deepEqual([status, stdout, shellStarted], ['completed', '<>\n', { reason: 'unknown', start: 2 }], what);
    assert.deepEqual(namesIn(aside), held, `${what}: nothing is touched behind a link`);
    const next = await run(server, { ...inShell, command: 'echo on' });
    assert.deepEqual([next.stdout, next.shellStarted], ['on\n', undefined], what);
  }
  assert.deepEqual(await processesOf(shells), []);
});

/** Shell, with the directory of the job in `$d`, that of its session in `$s`, a place aside in `$aside`, and `$outside`. */
const replacements: { readonly [what: string]: string } = {
  link: 'mv "$d" "$aside"; ln -s "$outside" "$d"',
  gone: 'rm -r "$d"',
  FIFO: 'rm -r "$d"; mkfifo "$d"',
  'that of the session, too': 'rm -r "$d"; ln -s "$outside" "$d"; mv "$s" "$aside"; ln -s "$outside" "$s"',
};

for (const shell of ['bash', 'zsh', 'sh']) {
  test(`${shell} tells how a job ends that has replaced its directory, and changes nothing behind a link`, {
    skip: skip || (isInstalled(shell) ? false : `needs ${shell}`), timeout: 120_000,
  }, async (t) => {
    const server = await spawnServer(t);
    const folder = join(server.stateDir, '..', 'aside');
    const outside = join(folder, 'outside');
    mkdirSync(join(outside, 'exit'), { recursive: true });
    mkdirSync(join(outside, 'run-1'));
    for (const name of ['exit/kept', 'traps', 'interrupts', 'process', 'run-1/process']) writeFileSync(join(outside, name), 'kept');
    const holds = (): readonly (readonly string[])[] => readdirSync(outside, { recursive: true, encoding: 'utf8' }).sort()
      .map((name) => [name, statSync(join(outside, name)).isFile() ? readFileSync(join(outside, name), 'utf8') : '']);
    const before = holds();
    for (const [what, replace] of Object.entries(replacements)) {
      const session = { mode: 'persistent_shell', sessionKey: what, shell };
      const own = join(server.stateDir, 'shells', folderName(what));
      const spoil = (name: string): string =>
        `kept=1 d='${server.stateDir}/jobs/'$SIDECAR_JOB_ID s='${own}' aside='${join(folder, `${what} ${name}`)}' outside='${outside}'; ${replace}`;
      const ended = await run(server, { ...session, command: `${spoil('ended')}; (exit 3)` });
      assert.equal(ended.status, 'failed', what);
      assert.deepEqual(holds(), before, what);
      if (what === 'that of the session, too') continue;
      assert.equal(ended.exitCode, 3, what);
      const interrupt = '(for i in 1 2; do sleep 0.3; kill -URG $$; done) & while :; do sleep 0.1; done';
      const interrupted = await run(server, { ...session, command: `trap : INT; ${spoil('interrupted')}; ${interrupt}` });
      assert.deepEqual([interrupted.status, interrupted.exitCode], ['failed', 130], `${what}: an interrupt`);
      assert.deepEqual(holds(), before, `${what}: an interrupt`);
      const { stdout, shellStarted } = await run(server, { ...session, command: 'echo "<$kept>"' });
      assert.deepEqual([stdout, shellStarted], ['<1>\n', undefined], what);
    }
  });
}

/** Of the files in a folder; none where it is none. */
function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}

type Marked = readonly [mark: string, processes: readonly ProcessStat[]];

async function processesOf(marks: readonly string[]): Promise<readonly Marked[]> {
  return [...await findProcesses(marks.map((id) => ({ id, leader: undefined })))];
}

/** Of how many a sleep(1) runs. */
async function sleepersAmong(ids: readonly string[]): Promise<number> {
  return (await processesOf(ids)).filter(([, all]) => all.some(({ pid }) => wordsOf(pid)[0] === 'sleep')).length;
}
