import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { getPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type ExecRequest, type Job, type JobId, type Sidecar, outputBytes } from '../../src/client/client.ts';
import { findProcesses } from '../../src/process/descendants.ts';
import { readStat } from '../../src/process/identity.ts';
import { startTestServer, temporaryFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';

/** Of this process, before the first server. */
const priorityBefore = getPriority();
const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));
const sh = (name: string, ...args: string[]): ExecRequest => ({ mode: 'argv', argv: ['/bin/sh', fixture(name), ...args] });

async function submit(client: Sidecar, request: ExecRequest): Promise<JobId> {
  return (await client.exec(request)).jobId;
}

/** What a job printed once it printed that much. */
async function printed(client: Sidecar, id: JobId, pattern: RegExp): Promise<RegExpExecArray> {
  return until(async () => pattern.exec((await client.jobs.get(id)).stdout ?? '') ?? undefined, { what: `${id} prints ${pattern}` });
}

/** Of a job that runs: its first output may be there before its pid is. */
async function pidOf(client: Sidecar, id: JobId): Promise<number> {
  return until(async () => (await client.jobs.get(id)).pid ?? undefined, { what: `${id} has a pid` });
}

async function familyOf(id: JobId): Promise<number> {
  return (await findProcesses([{ id, leader: undefined }])).get(id)?.length ?? 0;
}

function ending({ status, reason, exitCode, signal }: Job): unknown {
  return { status, reason, exitCode, signal };
}

describe('hard jobs', { skip: process.platform === 'linux' ? false : 'these are Linux programs', concurrency: 4 }, () => {
  it('one that ignores SIGTERM is killed after its grace, and says so', async (t) => {
    const { client } = await startTestServer(t);
    const id = await submit(client, { ...sh('stubborn.sh'), killGrace: 0.2 });
    await printed(client, id, /deaf/);
    const job = await client.jobs.cancel(id);
    assert.deepEqual(ending(job), { status: 'failed', reason: 'cancelled', exitCode: 137, signal: 'SIGKILL' });
    assert.equal(await familyOf(id), 0);
  });

  it('one runs at the priority that the server was started with, and the server goes first where it may', async (t) => {
    const { client } = await startTestServer(t);
    for (const request of [{ command: 'nice' }, { command: 'nice', stdin: null }, { mode: 'argv', argv: ['nice'] }] as const) {
      assert.equal((await client.run(request)).stdout, `${priorityBefore}\n`);
    }
    if (process.getuid?.() === 0) assert.equal(getPriority(), Math.min(priorityBefore, -10));
    const session = await client.run({ command: 'cat /proc/self/autogroup || echo nice 0' });
    assert.match(session.stdout ?? '', /nice 0\n$/);
  });

  it('one in a state directory with any name is nudged, and its files are there', async (t) => {
    const stateDir = join(temporaryFolder(t), 'a b "c" $(exit 1) \'d\' `exit` %s *');
    const { client } = await startTestServer(t, { stateDir });
    const id = await submit(client, { command: 'read -r line; echo "got $line"; cat', workdir: tmpdir() });
    await until(async () => (await client.jobs.nudge(id, 'a nudge\n')).nudged, { what: 'it is nudged' });
    await client.jobs.stdin(id, Buffer.from('and the rest'), { eof: true });
    await until(async () => (await client.jobs.get(id)).status === 'completed', { what: 'it ends' });
    assert.equal((await client.jobs.get(id)).stdout, 'got a nudge\nand the rest');
  });

  it('one that ignores SIGTERM is killed at its timeout too', async (t) => {
    const { client } = await startTestServer(t);
    const job = await client.run({ ...sh('stubborn.sh'), timeout: 0.5, killGrace: 0.1 });
    assert.deepEqual(ending(job), { status: 'timeout', reason: 'timeout', exitCode: 137, signal: 'SIGKILL' });
    assert.equal(job.timedOut, true);
    assert.equal(await familyOf(job.jobId), 0);
  });

  it('one that double-forks and calls setsid takes its orphans with it', async (t) => {
    const { client } = await startTestServer(t);
    const id = await submit(client, { ...sh('orphan-maker.sh'), killGrace: 0.2 });
    const orphan = Number((await printed(client, id, /orphan (\d+)/))[1]);
    await printed(client, id, /parent/);
    assert.notEqual(readStat(orphan)?.groupId, (await client.jobs.get(id)).pid, 'it left the group');
    const job = await client.jobs.cancel(id);
    assert.equal(job.reason, 'cancelled');
    assert.equal(await familyOf(id), 0);
  });

  it('one that holds stdout open in the background is finished at once, its child reported and not cut off', async (t) => {
    const { client } = await startTestServer(t);
    const gate = join(temporaryFolder(t), 'gate');
    const job = await client.run({ ...sh('holder.sh'), env: { GATE: gate } });
    assert.deepEqual(ending(job), { status: 'failed', reason: 'exit', exitCode: 5, signal: null });
    assert.equal(job.stdout, 'early\n');
    await until(async () => (await client.jobs.get(job.jobId)).lingering.length > 0, { what: 'the child is reported' });
    writeFileSync(gate, '');
    await until(async () => (await client.jobs.get(job.jobId)).stdout === 'early\nlate\n', { what: 'it writes on' });
    await until(async () => (await client.jobs.get(job.jobId)).lingering.length === 0, { what: 'it is gone' });
  });

  it('what lingers of a finished job can be cancelled', async (t) => {
    const { client } = await startTestServer(t);
    const job = await client.run({ ...sh('holder.sh'), env: { GATE: '/nowhere/ever' } });
    await until(async () => (await client.jobs.get(job.jobId)).lingering.length > 0, { what: 'the child is reported' });
    const after = await client.jobs.cancel(job.jobId);
    assert.deepEqual([after.reason, after.exitCode, after.lingering], ['exit', 5, []]);
    assert.equal(await familyOf(job.jobId), 0);
  });

  it('one that reads stdin for ever gets all that comes and ends with its end', async (t) => {
    const { client } = await startTestServer(t);
    const id = await submit(client, sh('reader.sh'));
    for (const word of ['one', 'two']) {
      assert.deepEqual(await client.jobs.nudge(id, `${word}\n`), { nudged: true, processAlive: true });
      await printed(client, id, new RegExp(`read: ${word}\n`));
    }
    await client.jobs.stdin(id, Buffer.from('three\n'), { eof: true });
    const job = await client.jobs.wait(id);
    assert.deepEqual(ending(job), { status: 'failed', reason: 'exit', exitCode: 6, signal: null });
    assert.equal(job.stdout, 'read: one\nread: two\nread: three\nend\n');
    const late = await client.jobs.nudge(id);
    assert.equal(late.nudged, false);
  });

  it('one that reads stdin and is never answered is ended by its timeout', async (t) => {
    const { client } = await startTestServer(t);
    const job = await client.run({ command: 'exec cat', timeout: 0.3 });
    assert.deepEqual(ending(job), { status: 'timeout', reason: 'timeout', exitCode: 143, signal: 'SIGTERM' });
  });

  it('one that writes 100 MB without a newline loses none of it', async (t) => {
    const { client } = await startTestServer(t);
    const bytes = 100_000_000;
    const job = await client.run({ mode: 'argv', argv: [process.execPath, fixture('noisy.mjs'), String(bytes)] });
    assert.deepEqual([job.exitCode, job.stdoutBytes, job.stdoutTruncated, job.stdout?.length], [0, bytes, true, 2 ** 20]);
    const end = await client.jobs.output(job.jobId, 'stdout', { offset: bytes - 10 });
    assert.equal(Buffer.from(end).toString(), 'n'.repeat(10));
    let seen = 0;
    for await (const event of client.jobs.follow(job.jobId)) if (event.type === 'output') seen += outputBytes(event).length;
    assert.equal(seen, bytes);
  });

  it('one that writes beyond its limit is ended for it', async (t) => {
    const { client } = await startTestServer(t);
    const job = await client.run({ command: 'exec cat /dev/zero', maxOutputBytes: 1_000_000, killGrace: 0.5 });
    assert.deepEqual([job.status, job.reason, job.signal], ['failed', 'output_limit', 'SIGTERM']);
    assert.ok(job.stdoutBytes > 1_000_000);
  });

  it('one that writes invalid UTF-8 is shown with U+FFFD and kept as it is', async (t) => {
    const { client } = await startTestServer(t);
    const job = await client.run({ command: 'printf "a\\377\\300\\257b\\360\\237\\230"' });
    assert.equal(job.stdout, new TextDecoder().decode(Buffer.from('61ffc0af62f09f98', 'hex')));
    const bytes = await client.jobs.output(job.jobId, 'stdout');
    assert.equal(Buffer.from(bytes).toString('hex'), '61ffc0af62f09f98');
  });

  for (const [name, number] of [['KILL', 9], ['SEGV', 11], ['TERM', 15], ['USR1', 10], ['PIPE', 13]] as const) {
    it(`one killed by SIG${name} failed with 128 + ${number}`, async (t) => {
      const { client } = await startTestServer(t);
      const job = await client.run({ command: `ulimit -c 0; kill -${name} $$` });
      assert.deepEqual(ending(job), { status: 'failed', reason: 'signal', exitCode: 128 + number, signal: `SIG${name}` });
    });
  }

  for (const env of [{}, { LANG: 'C', 'odd name': 'x' }] as const) {
    it(`a program that does not exist is not found, environment ${JSON.stringify(env)}`, async (t) => {
      const { client } = await startTestServer(t);
      for (const file of ['no-such-program', '/no/such/program']) {
        const job = await client.run({ mode: 'argv', argv: [file, 'x'], env });
        assert.deepEqual(ending(job), { status: 'failed', reason: 'spawn_error', exitCode: 127, signal: null });
        assert.match(job.stderr ?? '', /not found/);
      }
      const other = await client.run({ mode: 'argv', argv: ['/etc/passwd'], env });
      assert.deepEqual(ending(other), { status: 'failed', reason: 'spawn_error', exitCode: 126, signal: null });
      const shell = await client.run({ command: 'no-such-program', env });
      assert.deepEqual(ending(shell), { status: 'failed', reason: 'exit', exitCode: 127, signal: null });
      assert.match(shell.stderr ?? '', /not found/);
      const noShell = await client.run({ command: 'echo', shell: '/no/such/shell', env });
      assert.deepEqual(ending(noShell), { status: 'failed', reason: 'spawn_error', exitCode: 127, signal: null });
    });
  }

  it('one that is cancelled while it waits its turn never runs', async (t) => {
    const { client } = await startTestServer(t, { flags: { 'max-running': '1' } });
    const trace = join(temporaryFolder(t), 'trace');
    const first = await submit(client, sh('forever.sh'));
    const second = await submit(client, { command: `echo ran >'${trace}'` });
    const third = await submit(client, { command: 'echo third' });
    assert.equal((await client.jobs.get(second)).status, 'pending');
    const cancelled = await client.jobs.cancel(second);
    assert.deepEqual([cancelled.status, cancelled.reason, cancelled.exitCode, cancelled.startedAt], ['failed', 'cancelled', -1, null]);
    assert.equal((await client.jobs.get(third)).status, 'pending');
    await client.jobs.cancel(first);
    assert.equal((await client.jobs.wait(third)).stdout, 'third\n');
    assert.throws(() => readFileSync(trace), { code: 'ENOENT' });
  });

  it('one that is stopped is not taken for finished, and can be cancelled', async (t) => {
    const { client } = await startTestServer(t);
    // Without a child: a shell whose child is stopped before its exec waits in vfork(2), and is not stopped itself.
    const id = await submit(client, { command: 'trap "echo heard; exit 9" TERM; echo up; while :; do :; done' });
    await printed(client, id, /up/);
    const pid = await pidOf(client, id);
    await client.jobs.signal(id, 'SIGSTOP');
    await until(() => readStat(pid)?.state === 'T', { what: 'it is stopped' });
    assert.equal((await client.jobs.get(id)).status, 'running');
    const job = await client.jobs.cancel(id, { graceSeconds: 20 });
    assert.deepEqual([job.reason, job.exitCode, job.stdout], ['cancelled', 9, 'up\nheard\n']);
  });

  it('one that is stopped and goes on ends with its own code', async (t) => {
    const { client } = await startTestServer(t);
    const id = await submit(client, { command: 'echo up; read -r line; exit 3' });
    await printed(client, id, /up/);
    const pid = await pidOf(client, id);
    for (let round = 0; round < 3; round += 1) {
      await client.jobs.signal(id, 'SIGSTOP');
      await until(() => readStat(pid)?.state === 'T', { what: 'it is stopped' });
      await client.jobs.signal(id, 'SIGCONT');
      await until(() => readStat(pid)?.state !== 'T', { what: 'it goes on' });
    }
    await client.jobs.nudge(id);
    assert.deepEqual(ending(await client.jobs.wait(id)), { status: 'failed', reason: 'exit', exitCode: 3, signal: null });
  });

  it('a tree that forks happily is ended to the last leaf', async (t) => {
    const { client } = await startTestServer(t);
    const id = await submit(client, { ...sh('fork-happy.sh', '3'), killGrace: 0.1 });
    await until(async () => ((await client.jobs.get(id)).stdout ?? '').split('\n').length > 40, { what: 'the tree has grown' });
    assert.equal((await client.jobs.cancel(id)).reason, 'cancelled');
    assert.equal(await familyOf(id), 0);
  });

  for (const signal of ['KILL', 'TERM', 'HUP'] as const) {
    it(`one that sends SIG${signal} to its launcher goes on, and is lost only where nobody can know`, async (t) => {
      const { client } = await startTestServer(t);
      const id = await submit(client, { command: `echo up; kill -${signal} $PPID; sleep 0.3; echo on; exit 3` });
      const job = await client.jobs.wait(id);
      assert.equal(job.stdout, 'up\non\n');
      assert.ok(job.reason === 'lost' ? job.exitCode === -1 : job.exitCode === 3, JSON.stringify(ending(job)));
      assert.equal((await client.run({ command: 'echo next' })).stdout, 'next\n');
    });
  }

  it('one that closes its stdin is told apart from one that does not read', async (t) => {
    const { client } = await startTestServer(t);
    const id = await submit(client, { command: 'exec 0<&-; echo closed; while :; do sleep 0.05; done' });
    await printed(client, id, /closed/);
    const answer = await client.jobs.nudge(id);
    assert.ok(!answer.nudged);
    assert.match(answer.reason, /closed/);
    assert.equal(answer.processAlive, true);
    const deaf = await submit(client, { command: 'echo up; while :; do sleep 0.05; done' });
    await printed(client, deaf, /up/);
    let full = await client.jobs.nudge(deaf, 'x'.repeat(60_000));
    for (let round = 0; full.nudged && round < 50; round += 1) full = await client.jobs.nudge(deaf, 'x'.repeat(60_000));
    assert.ok(!full.nudged);
    assert.match(full.reason, /no more fits|not read/);
  });

  it('commands and words beyond 128 KiB run', async (t) => {
    const { client } = await startTestServer(t);
    const long = 'y'.repeat(200_000);
    const job = await client.run({ command: `echo ${long} | wc -c` });
    assert.deepEqual([job.exitCode, job.stdout?.trim()], [0, '200001']);
    const words = Array.from({ length: 5000 }, (_, index) => `word-${index}-${'z'.repeat(20)}`);
    const many = await client.run({ mode: 'argv', argv: ['printf', '%s\\n', ...words] });
    assert.equal(many.stdout, `${words.join('\n')}\n`);
    await assert.rejects(client.exec({ mode: 'argv', argv: ['printf', '%s', long] }), { code: 'invalid_request', status: 400 });
  });

  it('environments come through whatever their names and values are', async (t) => {
    const { client } = await startTestServer(t);
    const env = {
      PLAIN: 'a b', EMPTY: '', QUOTES: `'"\\\`$(x)`, LINES: 'one\ntwo\n', UNICODE: 'ä€😀', 'with space': '1', 'a-b': '2', '1st': '3', 'ü': '4',
      BASH_ENV: '/nowhere', IFS: ':', PS1: 'prompt', SHELLOPTS: 'xtrace', UID: '77', RANDOM: 'no', LANG: 'C', LC_ALL: 'C', sc_id: 'mine', sc_d: '/',
      HOME: '/elsewhere', _X: 'y', PWD: '/wrong', TMOUT: '1', POSIXLY_CORRECT: '1', '-dash': '5', GLOBIGNORE: '*', path: 'lower',
    };
    const job = await client.run({ mode: 'argv', argv: [process.execPath, '-p', 'JSON.stringify(process.env)'], env });
    const seen = JSON.parse(job.stdout ?? '') as { [name: string]: string };
    for (const [name, value] of Object.entries(env)) assert.equal(seen[name], value, name);
    assert.equal(seen['SIDECAR_JOB_ID'], job.jobId);
    assert.deepEqual(Object.keys(seen).filter((name) => /^(sc_|SIDECAR_API)/.test(name) && !(name in env)), []);
  });

  it('a program with "=" in its name runs under an environment with odd names', async (t) => {
    const { client } = await startTestServer(t);
    const file = join(temporaryFolder(t), 'a=b');
    writeFileSync(file, '#!/bin/sh\necho "ran $LANG"\n', { mode: 0o755 });
    const job = await client.run({ mode: 'argv', argv: [file], env: { LANG: 'C' } });
    assert.deepEqual([job.exitCode, job.stdout], [0, 'ran C\n']);
  });

  it('workdirs with spaces, quotes, newlines and dashes are workdirs', async (t) => {
    const { client } = await startTestServer(t);
    const folder = temporaryFolder(t);
    for (const name of ['a b', 'it\'s "here"', 'two\nlines', '-dash', '$HOME', 'back\\slash', 'ümlaut 😀', ' trailing ']) {
      const workdir = join(folder, name);
      mkdirSync(workdir);
      const job = await client.run({ command: 'pwd -P', workdir });
      assert.deepEqual([job.exitCode, job.stdout, job.workdir], [0, `${workdir}\n`, workdir]);
    }
  });

  it('one whose workdir is gone before its turn comes cannot be started', async (t) => {
    const { client } = await startTestServer(t, { flags: { 'max-running': '1' } });
    const workdir = join(temporaryFolder(t), 'short-lived');
    mkdirSync(workdir);
    const first = await submit(client, sh('forever.sh'));
    const second = await submit(client, { command: 'echo never', workdir });
    rmdirSync(workdir);
    await client.jobs.cancel(first);
    const job = await client.jobs.wait(second);
    assert.deepEqual(ending(job), { status: 'failed', reason: 'spawn_error', exitCode: 126, signal: null });
    assert.match(job.stderr ?? '', /short-lived/);
    assert.equal(job.stdout, '');
  });

  it('1 MiB of stdin arrives whole, given or streamed', async (t) => {
    const { client } = await startTestServer(t);
    const text = Array.from({ length: 2 ** 15 }, (_, index) => `line ${String(index).padStart(25, '.')}\n`).join('').slice(0, 2 ** 20 - 2 ** 17);
    const given = await client.run({ command: 'cksum', stdin: text });
    const id = await submit(client, { command: 'cksum' });
    await client.jobs.stdin(id, Buffer.from(text), { eof: true });
    const streamed = await client.jobs.wait(id);
    assert.equal(given.exitCode, 0);
    assert.match(given.stdout ?? '', new RegExp(` ${text.length}\n$`));
    assert.equal(streamed.stdout, given.stdout);
    const big = Buffer.alloc(2 ** 20, 'b');
    const bigger = await submit(client, { command: 'wc -c' });
    await client.jobs.stdin(bigger, big, { eof: true });
    assert.equal((await client.jobs.wait(bigger)).stdout?.trim(), String(2 ** 20));
  });

  it('one that opens /dev/stdin, /dev/stdout and /dev/stderr by name finds them', async (t) => {
    const { client } = await startTestServer(t);
    const job = await client.run({ command: 'cat </dev/stdin >/dev/stdout; echo no >>/dev/stderr', stdin: 'through\n' });
    assert.deepEqual([job.exitCode, job.stdout, job.stderr], [0, 'through\n', 'no\n']);
  });

  it('SIGINT reaches the whole group of a job, as from a terminal', async (t) => {
    const { client } = await startTestServer(t);
    const id = await submit(client, { command: 'trap "echo interrupted; exit 130" INT; echo up; while :; do sleep 0.05; done' });
    await printed(client, id, /up/);
    await client.jobs.signal(id, 'SIGINT');
    const job = await client.jobs.wait(id);
    assert.equal(job.stdout, 'up\ninterrupted\n');
    assert.equal(job.exitCode, 130);
  });
});
