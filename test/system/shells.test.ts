/** Persistent shells under fire: a thousand jobs, and everything killed that can be. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import type { Job } from '../../src/client/client.ts';
import type { Session, SessionList } from '../../src/protocol/shells.ts';
import { ask } from '../support/client.ts';
import { findProcesses, liveProcesses } from '../../src/process/descendants.ts';
import { isPidAlive, readStat, sendSignal } from '../../src/process/identity.ts';
import { folderName } from '../../src/shells/session-record.ts';
import { atEnd, type SpawnedServer, spawnServer, temporaryFolder } from '../support/server.ts';
import { isInstalled } from '../support/shell.ts';
import { soak } from '../support/soak.ts';
import { until } from '../support/wait.ts';

const options = { skip: process.platform === 'win32' ? 'needs FIFOs' : false };

const inSession = (sessionKey: string, command: string): { mode: 'persistent_shell'; sessionKey: string; command: string } =>
  ({ mode: 'persistent_shell', sessionKey, command });

/** Waits for a job, also beyond the longest wait of one request. */
async function finished(server: SpawnedServer, jobId: string): Promise<Job> {
  return await until(async () => {
    const job = (await ask(server, `GET /jobs/${jobId}?wait=10&maxBytes=0`)).json<Job>();
    return job.finishedAt === null ? undefined : job;
  }, { what: `job ${jobId} has finished`, limitMs: 120_000 });
}

const bytesOf = async (server: SpawnedServer, jobId: string, stream: 'stdout' | 'stderr' = 'stdout'): Promise<Buffer> =>
  (await ask(server, `GET /jobs/${jobId}/${stream}`)).bytes;

const submit = async (server: SpawnedServer, body: object): Promise<string> =>
  (await ask(server, 'POST /exec', { body })).json<{ jobId: string }>().jobId;

/** What a command writes: each shape of output, and the words of our own redirections. */
const shapes: readonly ((n: number) => readonly [command: string, stdout: Buffer])[] = [
  (n) => [`n=${n}`, Buffer.alloc(0)],
  () => ['printf "%s" "$n"', Buffer.from('')],
  (n) => [`printf 'no newline %s' ${n}`, Buffer.from(`no newline ${n}`)],
  () => [`printf 'a\\0b\\0'`, Buffer.from('a\0b\0')],
  () => [`printf '\\377\\376 half \\303'`, Buffer.from([0xff, 0xfe, ...Buffer.from(' half '), 0xc3])],
  (n) => [`echo 'builtin . "x" <&$__sidecar_in- >>"/stdout" 99>&-' ${n}`, Buffer.from(`builtin . "x" <&$__sidecar_in- >>"/stdout" 99>&- ${n}\n`)],
  (n) => [`cat <<'END'\n${n}: exec 99>&-; echo 0 >>exit\nEND`, Buffer.from(`${n}: exec 99>&-; echo 0 >>exit\n`)],
  (n) => [`head -c ${n * 37} /dev/zero`, Buffer.alloc(n * 37)],
  (n) => [`echo ${n}; echo error >&2; (exit 3)`, Buffer.from(`${n}\n`)],
  (n) => [`eval 'echo ${n} "\${unset-}"'`, Buffer.from(`${n} \n`)],
];

test('a session whose directory has gone can be deleted, and its shell ends', options, async (t) => {
  const server = await spawnServer(t);
  for (const isMetAgain of [false, true]) {
    const job = await finished(server, await submit(server, inSession('gone', 'echo $$')));
    const pid = Number((await bytesOf(server, job.jobId)).toString());
    rmSync(join(server.stateDir, 'shells'), { recursive: true });
    if (isMetAgain) {
      await server.kill9();
      mkdirSync(join(server.stateDir, 'shells'), { mode: 0o700 });
      await server.restart();
      await until(() => !isPidAlive(pid), { what: 'its shell is ended by the next server' });
    } else {
      assert.equal((await ask(server, 'DELETE /sessions/gone')).status, 200);
      // Its launcher may not have noted its end yet.
      assert.ok(!isPidAlive(pid) || readStat(pid)?.state === 'Z');
    }
    assert.deepEqual((await ask(server, 'GET /sessions')).json<SessionList>().sessions, []);
  }
});

test('a session is not told of the end of the shell that had its key before', {
  ...options, skip: process.platform === 'linux' ? false : 'needs /proc',
}, async (t) => {
  const server = await spawnServer(t);
  const pidOfShell = async (): Promise<number> => {
    const { jobId } = await finished(server, await submit(server, inSession('same', 'echo $$')));
    return Number((await bytesOf(server, jobId)).toString());
  };
  const old = await pidOfShell();
  const launcher = readStat(old)?.parentPid ?? 0;
  atEnd(t, () => { sendSignal(launcher, 'SIGCONT'); });
  sendSignal(launcher, 'SIGSTOP');
  assert.equal((await ask(server, 'DELETE /sessions/same')).status, 200);
  assert.notEqual(await pidOfShell(), old);
  sendSignal(launcher, 'SIGCONT');
  await until(() => !isPidAlive(old) && readStat(launcher)?.state === 'S', { what: 'its launcher has noted its end' });
  await finished(server, await submit(server, inSession('same', 'kill -9 $$')));
  const [folder = ''] = readdirSync(join(server.stateDir, 'shells'));
  const exit = join(server.stateDir, 'shells', folder, 'run-1', 'exit');
  await until(() => existsSync(exit), { what: 'the end of the second shell is noted' });
  assert.equal(readFileSync(exit, 'utf8'), '137\n');
});

/** Whether anything runs in these process groups. */
async function isLeft(groups: readonly number[]): Promise<boolean> {
  return (await liveProcesses()).some(({ groupId }) => groups.includes(groupId));
}

/** What a command leaves running whose shell ends with it, and its exit code. */
const leavings: { readonly [what: string]: readonly [command: string, exitCode: number] } = {
  program: ['sleep 1000 & exit 3', 3],
  'of a killed shell': ['sleep 1000 & kill -9 $$', 137],
  'part of the shell': ['(while :; do sleep 0.2; done) & exit 3', 3],
  'without an environment': ['sleep 1000 & env -i sleep 1000 & exit 3', 3],
};

test('what the earlier shells of a session have left ends with the session, but what left them stays', {
  ...options, skip: process.platform === 'linux' ? false : 'needs /proc', timeout: 120_000,
}, async (t) => {
  const server = await spawnServer(t);
  const leave = async (key: string, command: string, code: number): Promise<{ id: string; groupId: number }> => {
    const begin = await finished(server, await submit(server, inSession(key, 'setsid sleep 1000 & echo $$')));
    const groupId = Number((await bytesOf(server, begin.jobId)).toString());
    const end = await finished(server, await submit(server, inSession(key, command)));
    assert.equal(end.exitCode, code);
    assert.equal(await isLeft([groupId]), true, `${key}: ${command}`);
    return { id: begin.jobId, groupId };
  };
  const marked = (): ReturnType<typeof findProcesses> => findProcesses(stay.map((id) => ({ id, leader: undefined })));
  const other = await leave('other', 'sleep 1000 & exit 3', 3);
  const stay = [other.id];
  atEnd(t, async () => {
    for (const { pid } of [...(await marked()).values()].flat()) sendSignal(pid, 'SIGKILL');
  });
  for (const [what, [command, code]] of Object.entries(leavings)) {
    const groups: number[] = [];
    for (const isRestarted of [false, true, false]) {
      const { id, groupId } = await leave(what, command, code);
      stay.push(id);
      groups.push(groupId);
      if (isRestarted) await server.restart();
    }
    assert.equal((await ask(server, `DELETE /sessions/${encodeURIComponent(what)}`)).status, 200);
    await until(async () => !await isLeft(groups), { what: `${what}: nothing is left` });
  }
  assert.equal(await isLeft([other.groupId]), true);
  assert.deepEqual([...(await marked()).keys()].sort(), [...stay].sort(), 'what left the shells stays');
  assert.equal((await ask(server, 'DELETE /sessions/other')).status, 200);
  await until(async () => !await isLeft([other.groupId]), { what: 'nothing of the other session is left' });
  for (const id of stay) assert.equal((await ask(server, `POST /jobs/${id}/cancel`)).status, 200);
  assert.equal((await marked()).size, 0);
});

test('cancel ends what a trap of a finished job has started in a later one', {
  ...options, skip: process.platform === 'linux' && isInstalled('bash') ? false : 'needs /proc and bash', timeout: 120_000,
}, async (t) => {
  const server = await spawnServer(t);
  const inBash = (command: string): object => ({ ...inSession('trap', command), shell: 'bash', killGrace: 0 });
  const first = await submit(server, inBash('echo begun; trap "sleep 1000" DEBUG; :'));
  const marked = async (): Promise<number> => (await findProcesses([{ id: first, leader: undefined }])).size;
  await until(async () => await marked() > 0, { what: 'the trap runs' });
  await ask(server, `POST /jobs/${first}/cancel`);
  await finished(server, first);
  // What this one leaves is found no sooner than what the first one has left.
  const witness = await submit(server, inSession('witness', 'sleep 1000 &'));
  await until(async () => (await ask(server, `GET /jobs/${witness}`)).json<Job>().lingering.length > 0, {
    what: 'what jobs have left is known',
  });
  const second = await finished(server, await submit(server, { ...inBash(':'), timeout: 1 }));
  assert.equal(second.status, 'timeout');
  assert.ok(await marked() > 0);
  await ask(server, `POST /jobs/${first}/cancel`);
  assert.equal(await marked(), 0);
  await ask(server, `POST /jobs/${witness}/cancel`);
});

test('nothing is written or removed below a link in the place of the directory of a session', options, async (t) => {
  const server = await spawnServer(t);
  await finished(server, await submit(server, inSession('linked', 'true')));
  const [name = ''] = readdirSync(join(server.stateDir, 'shells'));
  const directory = join(server.stateDir, 'shells', name);
  const outside = temporaryFolder(t);
  mkdirSync(join(outside, 'run-1'));
  mkdirSync(join(outside, 'run-2'));
  for (const file of ['run-1/a', 'run-2/b', 'shell.json']) writeFileSync(join(outside, file), 'ours');
  renameSync(directory, `${directory}-aside`);
  symlinkSync(outside, directory);
  const seen = (): unknown => readdirSync(outside, { recursive: true }).map(String).sort();
  const before = seen();
  for (const command of ['exit', 'echo again']) {
    const job = await finished(server, await submit(server, inSession('linked', command)));
    assert.equal(job.reason, 'spawn_error', command);
  }
  assert.equal((await ask(server, 'DELETE /sessions/linked')).status, 200);
  assert.deepEqual(seen(), before);
  await server.kill9();
  const other = temporaryFolder(t);
  writeFileSync(join(other, 'shell.json'), 'ours');
  symlinkSync(other, directory);
  await server.restart();
  assert.equal((await ask(server, 'POST /exec', { body: inSession('linked', 'echo new') })).status, 503);
  assert.deepEqual(readdirSync(other), ['shell.json']);
  for (const folder of [outside, other]) assert.equal(readFileSync(join(folder, 'shell.json'), 'utf8'), 'ours');
});

test('nothing is written below a link that a job puts in the place of the run of its shell', options, async (t) => {
  const server = await spawnServer(t);
  const outside = temporaryFolder(t);
  for (const file of ['job', 'ended', 'started', 'exit', 'process']) writeFileSync(join(outside, file), 'ours');
  const run = `'${server.stateDir}'/shells/*/run-1`;
  for (const command of [`mv ${run} '${outside}/aside'; ln -s '${outside}' "$(echo '${server.stateDir}'/shells/*)/run-1"`, 'echo again; exit']) {
    await finished(server, await submit(server, inSession('linked', command)));
  }
  for (const file of ['job', 'ended', 'started', 'exit', 'process']) {
    assert.equal(readFileSync(join(outside, file), 'utf8'), 'ours', file);
  }
});

test('the exit of a shell is not written below a link that a job puts in the place of its session', options, async (t) => {
  const server = await spawnServer(t);
  for (const shell of ['bash', 'zsh', 'sh']) {
    const outside = join(temporaryFolder(t), 'session');
    const session = `"$(echo '${server.stateDir}'/shells/*)"`;
    // The launcher looked only at the directory of the run where there was such a file already.
    const command = `echo ours >${session}/run-1/exit; d=${session}; mv "$d" '${outside}'; ln -s '${outside}' "$d"; exit 5`;
    await finished(server, await submit(server, { ...inSession('linked', command), shell }));
    const pid = Number(readFileSync(join(outside, 'run-1', 'process'), 'utf8').split(' ')[0]);
    await until(() => !isPidAlive(pid), { what: 'the shell has ended' });
    assert.equal((await ask(server, 'DELETE /sessions/linked')).status, 200);
    assert.equal(readFileSync(join(outside, 'run-1', 'exit'), 'utf8'), 'ours\n', shell);
  }
});

test('a thousand jobs in one shell: in order, each with its own output whole', { ...options, timeout: 300_000 }, async (t) => {
  const server = await spawnServer(t, { flags: { 'keep-jobs': '2000' } });
  const first = await submit(server, inSession('one', 'order=; echo $$'));
  const expected: { jobId: string; stdout: Buffer; exitCode: number }[] = [];
  for (let n = 0; n < 1000; n += 1) {
    const [command, stdout] = shapes[n % shapes.length]?.(n) ?? ['', Buffer.alloc(0)];
    const withOrder = n % shapes.length === 1 ? [`order=$order.${n}; printf "%s" "$n"`, Buffer.from(String(n - 1))] as const : [command, stdout] as const;
    expected.push({ jobId: await submit(server, inSession('one', withOrder[0])), stdout: withOrder[1], exitCode: n % shapes.length === 8 ? 3 : 0 });
  }
  const last = await submit(server, inSession('one', 'echo $order; echo $$'));
  const end = await finished(server, last);
  assert.equal(end.exitCode, 0);
  for (const { jobId, stdout, exitCode } of expected) {
    const job = (await ask(server, `GET /jobs/${jobId}?maxBytes=0`)).json<Job>();
    assert.equal(job.exitCode, exitCode, job.command);
    assert.ok((await bytesOf(server, jobId)).equals(stdout), job.command);
  }
  const [order = '', pid] = (await bytesOf(server, last)).toString().split('\n');
  assert.equal(order, Array.from({ length: 100 }, (_, index) => `.${index * 10 + 1}`).join(''));
  assert.equal(pid, (await bytesOf(server, first)).toString().trim(), 'it is one shell from first to last');
});

test('50 MB through a shell, from a built-in and from a program', { ...options, timeout: 120_000 }, async (t) => {
  const server = await spawnServer(t);
  const jobId = await submit(server, inSession('big', 'head -c 50000000 /dev/zero; x=$(printf "%0100000d" 0); for i in 1 2 3 4 5 6 7 8 9 10; do echo "$x"; done'));
  const { exitCode, stdoutBytes } = await finished(server, jobId);
  assert.deepEqual([exitCode, stdoutBytes], [0, 50_000_000 + 10 * 100_001]);
  assert.equal(await end(server, 'big', 'echo next'), 'next\n');
});

test('many at a time, to one key and to 32: each key in order, none mixed up', { ...options, timeout: 240_000 }, async (t) => {
  const server = await spawnServer(t);
  const keys = Array.from({ length: 32 }, (_, index) => `key ${index}`);
  const ids = await Promise.all(keys.flatMap((key) =>
    Array.from({ length: 10 }, async (_, index) => ({ key, index, jobId: await submit(server, inSession(key, `n=$((n + 1)); echo "$n ${key}"`)) }))));
  const toOne = await Promise.all(Array.from({ length: 100 }, async () => await submit(server, inSession('key 0', 'n=$((n + 1)); echo "$n key 0"'))));
  for (const key of keys) {
    const own = [...ids.filter((one) => one.key === key).map(({ jobId }) => jobId), ...(key === 'key 0' ? toOne : [])];
    const said = await Promise.all(own.map(async (jobId) => (await finished(server, jobId), (await bytesOf(server, jobId)).toString())));
    assert.deepEqual([...said].sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10)), said.map((_, index) => `${index + 1} ${key}\n`));
    // Ids ascend as jobs are taken on, and jobs of a key run in that order.
    const inOrder = own.map((jobId, index) => [jobId, said[index]] as const).sort(([a], [b]) => (a < b ? -1 : 1)).map(([, text]) => Number.parseInt(text ?? '', 10));
    assert.deepEqual(inOrder, inOrder.map((_, index) => index + 1));
  }
  const { sessions } = (await ask(server, 'GET /sessions')).json<SessionList>();
  assert.deepEqual(sessions.map(({ starts, processAlive }) => [starts, processAlive]), keys.map(() => [1, true]));
  assert.equal((await ask(server, 'POST /exec', { body: inSession('one more', 'true') })).problem.code, 'too_many_sessions');
});

test('shells and their state outlive the server, killed or stopped, with the job that runs and those that wait', { ...options, timeout: 240_000 }, async (t) => {
  const server = await spawnServer(t);
  for (const [round, how] of (['kill -9', 'restart', 'kill -9', 'restart'] as const).entries()) {
    const key = `round ${round}`;
    assert.equal(await end(server, key, 'kept=yes; cd /usr; sleep 1000 & background=$!; echo $$'), `${(await session(server, key)).pid}\n`);
    const running = await submit(server, { ...inSession(key, 'echo begun; read line; echo "got $line"; kept="$kept $line"; (exit 6)'), timeout: 60 });
    const waiting = await submit(server, inSession(key, 'echo "$kept $(pwd)"; kill -0 $background && kill $background'));
    await until(async () => (await bytesOf(server, running)).includes('begun'), { what: 'it runs' });
    if (how === 'kill -9') await server.kill9();
    await server.restart();
    assert.deepEqual([(await session(server, key)).status, (await session(server, key)).activeJobId], ['running', running]);
    assert.equal((await ask(server, `GET /jobs/${waiting}`)).json<Job>().status, 'pending');
    assert.equal((await ask(server, `POST /jobs/${running}/nudge`, { body: { input: 'a line\n' } })).json<{ nudged: boolean }>().nudged, true);
    assert.equal((await finished(server, running)).exitCode, 6);
    assert.equal((await bytesOf(server, running)).toString(), 'begun\ngot a line\n');
    assert.equal((await finished(server, waiting)).exitCode, 0);
    assert.equal((await bytesOf(server, waiting)).toString(), 'yes a line /usr\n');
    assert.equal((await session(server, key)).starts, 1);
  }
});

test('a job that an earlier server gave to its shell is ended by cancel and by its timeout', { ...options, timeout: 120_000 }, async (t) => {
  const server = await spawnServer(t);
  await end(server, 'a', 'kept=1');
  await end(server, 'b', 'kept=2');
  const cancelled = await submit(server, inSession('a', 'echo begun; sleep 1000'));
  const overdue = await submit(server, { ...inSession('b', 'echo begun; sleep 1000'), timeout: 1 });
  for (const jobId of [cancelled, overdue]) await until(async () => (await bytesOf(server, jobId)).includes('begun'), { what: 'it runs' });
  await server.kill9();
  await server.restart();
  assert.equal((await ask(server, `POST /jobs/${cancelled}/cancel`, { body: {} })).json<Job>().reason, 'cancelled');
  assert.equal((await finished(server, overdue)).reason, 'timeout');
  assert.equal(await end(server, 'a', 'echo $kept'), '1\n');
  assert.equal(await end(server, 'b', 'echo $kept'), '2\n');
});

test('a shell that is killed takes its job along, whether or not there is a server, and the next job has a new one', { ...options, timeout: 240_000 }, async (t) => {
  const server = await spawnServer(t);
  for (const [round, who] of (['shell', 'shell and server', 'server, then shell'] as const).entries()) {
    const key = `round ${round}`;
    const seed = { ...inSession(key, 'kept=1'), bootstrapCommand: 'boot=strapped' };
    await finished(server, await submit(server, seed));
    const jobId = await submit(server, inSession(key, 'echo begun; read line; echo unseen'));
    await until(async () => (await bytesOf(server, jobId)).includes('begun'), { what: 'it runs' });
    const { pid } = await session(server, key);
    if (who === 'server, then shell') await server.kill9();
    process.kill(pid ?? 0, 'SIGKILL');
    if (who === 'shell and server') await server.kill9();
    if (who !== 'shell') {
      // Its launcher notes how it ended; a server that starts before that cannot know.
      const exit = join(server.stateDir, 'shells', folderName(key), 'run-1', 'exit');
      await until(() => existsSync(exit) && readFileSync(exit, 'utf8').endsWith('\n'), { what: 'the end of the shell is noted' });
      await server.restart();
    }
    const job = await finished(server, jobId);
    assert.deepEqual([job.exitCode, job.reason, job.signal], [137, 'signal', 'SIGKILL'], who);
    assert.equal((await bytesOf(server, jobId)).toString(), 'begun\n');
    assert.equal(await end(server, key, 'echo "$boot [$kept]"'), 'strapped []\n');
    assert.equal((await session(server, key)).starts, 2);
  }
});

test('no job in a shell runs twice or not at all, however often the server is killed', { ...options, timeout: 300_000 }, async (t) => {
  const server = await spawnServer(t);
  const ids: string[] = [];
  for (let round = 0; round < soak(4, 10); round += 1) {
    for (let n = 0; n < 5; n += 1) ids.push(await submit(server, inSession('one', `count=$((count + 1)); echo $count`)));
    await server.kill9();
    await server.restart();
  }
  const said: string[] = [];
  for (const jobId of ids) {
    assert.deepEqual([jobId, (await finished(server, jobId)).exitCode], [jobId, 0]);
    said.push((await bytesOf(server, jobId)).toString());
  }
  assert.deepEqual(said, ids.map((_, index) => `${index + 1}\n`));
});

test('a job that the shell was told of by two servers runs once', { ...options, timeout: 120_000 }, async (t) => {
  const server = await spawnServer(t);
  const gate = join(temporaryFolder(t), 'gate');
  await end(server, 'one', `count=0; trap 'while [ -e ${gate} ]; do sleep 0.02; done' DEBUG`);
  // From here on the shell reads what it is told, and does nothing of it.
  writeFileSync(gate, '');
  const jobId = await submit(server, inSession('one', 'count=$((count + 1)); echo $count'));
  await until(async () => (await session(server, 'one')).activeJobId === jobId, { what: 'the shell was told of it' });
  const control = join(server.stateDir, 'jobs', jobId);
  await until(() => readdirSync(control).some((name) => name.startsWith('run-')), { what: 'the shell was told of it' });
  await server.kill9();
  await server.restart();
  await until(() => readdirSync(control).filter((name) => name.startsWith('run-')).length === 2, { what: 'the shell was told of it again' });
  rmSync(gate);
  assert.equal((await finished(server, jobId)).exitCode, 0);
  assert.equal((await bytesOf(server, jobId)).toString(), '1\n');
  assert.equal(await end(server, 'one', 'trap - DEBUG; echo $count'), '1\n');
});

test('a file or a FIFO in the place of a session keeps no next session of its key from being opened', { ...options, timeout: 120_000 }, async (t) => {
  const server = await spawnServer(t);
  const ways: readonly ((path: string) => void)[] = [(path) => writeFileSync(path, 'x'), (path) => void execFileSync('mkfifo', [path])];
  for (const [index, put] of ways.entries()) {
    const directory = join(server.stateDir, 'shells', folderName('one'));
    await end(server, 'one', 'true');
    // Its shell would outlive the server, and a directory that is gone.
    assert.equal((await ask(server, 'DELETE /sessions/one')).status, 200);
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
    put(directory);
    await server.restart();
    assert.equal(await end(server, 'one', `echo ${index}`), `${index}\n`);
  }
});

async function session(server: SpawnedServer, key: string): Promise<Session> {
  return (await ask(server, `GET /sessions/${encodeURIComponent(key)}`)).json<Session>();
}

/** Runs a command to its end. @returns its stdout. */
async function end(server: SpawnedServer, key: string, command: string): Promise<string> {
  const jobId = await submit(server, inSession(key, command));
  const { exitCode } = await finished(server, jobId);
  assert.equal(exitCode, 0, command);
  return (await bytesOf(server, jobId)).toString();
}
