/** Programs that open /dev/stdout and /dev/stderr again lose no output, and a job that truncates its output says so. */
import assert from 'node:assert/strict';
import { chmodSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Job } from '../../src/protocol/jobs/job.ts';
import { isPidAlive } from '../../src/process/identity.ts';
import { spawnServer, startTestServer, temporaryFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { ask, run, show, submit } from '../support/client.ts';

describe('output through pipes', { skip: process.platform === 'linux' ? false : 'elsewhere /dev/stderr truncates nothing', concurrency: 4 }, () => {
  it('keeps what a program writes before and after it opens its output again', async (t) => {
    const server = await startTestServer(t);
    const folder = temporaryFolder(t);
    const script = join(folder, 'script');
    writeFileSync(script, '#!/bin/sh\necho one >&2\necho two | tee /dev/stderr\n');
    chmodSync(script, 0o755);
    symlinkSync(script, join(folder, 'link.sh'));
    const both = { stdout: 'two\n', stderr: 'one\ntwo\n' };
    const cases: readonly (readonly [request: object, expected: object])[] = [
      [{ command: 'echo one >&2; echo two > /dev/stderr' }, { stdout: '', stderr: 'one\ntwo\n' }],
      [{ command: 'echo one; echo two > /dev/stdout; echo three' }, { stdout: 'one\ntwo\nthree\n', stderr: '' }],
      [{ command: 'echo one; echo two > /dev/fd/1; echo three > /proc/self/fd/1' }, { stdout: 'one\ntwo\nthree\n', stderr: '' }],
      [{ command: 'echo one >&2; echo two | tee /dev/stderr' }, both],
      [{ mode: 'argv', argv: ['bash', '-c', 'echo one >&2; echo two | tee /dev/stderr'] }, both],
      [{ mode: 'argv', argv: [script] }, both],
      [{ mode: 'argv', argv: ['sh', 'link.sh'], workdir: folder }, both],
      [{ command: 'true && ./script', workdir: folder }, both],
      [{ command: 'eval "$HIDDEN"', env: { HIDDEN: 'echo one >&2; echo two | tee /dev/stderr' }, output: 'pipe' }, both],
    ];
    for (const [request, expected] of cases) {
      const job = await run(server, request);
      assert.deepEqual({ stdout: job.stdout, stderr: job.stderr }, expected, JSON.stringify(request));
      assert.deepEqual([job.output, job.exitCode, job.stderrTruncated, job.warnings], ['pipe', 0, false, undefined], JSON.stringify(request));
    }
    const plain = await run(server, { command: 'echo plain; readlink "/proc/$$"/fd/1' });
    assert.equal(plain.output, undefined);
    assert.match(String(plain.stdout), /\/stdout\n$/);
  });

  it('needs no program of the PATH', async (t) => {
    const server = await startTestServer(t, { environment: { PATH: temporaryFolder(t) } });
    const job = await run(server, { command: 'echo one; echo two > /dev/stderr' });
    assert.deepEqual([job.stdout, job.stderr, job.exitCode], ['one\n', 'two\n', 0]);
  });

  it('has all that the process wrote once the job has finished, in order, and at any size', async (t) => {
    const server = await startTestServer(t);
    const command = 'seq 1 200000; seq 1 20000 >/dev/stderr';
    const job = await run(server, { command });
    const stdout = await ask(server, `GET /jobs/${job.jobId}/stdout`);
    assert.equal(stdout.text, Array.from({ length: 200_000 }, (_, index) => `${index + 1}\n`).join(''));
    const stderr = await ask(server, `GET /jobs/${job.jobId}/stderr`);
    assert.equal(stderr.text, Array.from({ length: 20_000 }, (_, index) => `${index + 1}\n`).join(''));
  });

  it('does not wait for a background child, which goes on writing and gets no SIGPIPE', async (t) => {
    const server = await startTestServer(t);
    const gate = join(temporaryFolder(t), 'gate');
    const command = `(while [ ! -e '${gate}' ]; do sleep 0.02; done; echo late >/dev/stderr; echo later; echo latest >&2) & echo now; yes | head -c 3000000 >/dev/stderr; : >/dev/stderr`;
    const job = await run(server, { command });
    const { lingering } = await show(server, job.jobId, '?wait=60');
    assert.deepEqual([job.stdout, job.stderrBytes, lingering.length > 0], ['now\n', 3_000_000, true]);
    const copiers = copiersOf(server.stateDir, job.jobId);
    assert.equal(copiers.filter(isPidAlive).length, 2);
    writeFileSync(gate, '');
    await until(() => !copiers.some(isPidAlive), { what: 'the copiers end with the last writer' });
    const text = async (name: string): Promise<string> => (await ask(server, `GET /jobs/${job.jobId}/${name}`)).text;
    assert.equal(await text('stdout'), 'now\nlater\n');
    assert.ok((await text('stderr')).endsWith('y\nlate\nlatest\n'));
  });

  it('is not held up by a background child that never stops writing', async (t) => {
    const server = await startTestServer(t);
    const job = await run(server, { command: 'yes & echo begin >/dev/stderr; sleep 0.2', maxOutputBytes: 2 ** 33 });
    assert.deepEqual([job.exitCode, job.stderr], [0, 'begin\n']);
    await ask(server, `POST /jobs/${job.jobId}/cancel`, { body: { graceSeconds: 0 } });
    await until(() => !copiersOf(server.stateDir, job.jobId).some(isPidAlive), { what: 'the copiers end with the tree' });
  });

  it('keeps what was written before the tree is ended, by any signal', async (t) => {
    const server = await startTestServer(t);
    for (const request of [{ timeout: 3, killGrace: 0 }, { timeout: 3 }]) {
      const job = await run(server, { command: 'trap "echo bye >/dev/stdout; exit" TERM; seq 1 20000; seq 1 20000 >/dev/stderr; while :; do sleep 0.05; done', ...request });
      assert.equal(job.status, 'timeout');
      assert.ok(String(job.stdout).startsWith('1\n2\n'));
      assert.ok(String(job.stderr).includes('\n19999\n20000\n'));
      assert.equal(String(job.stdout).endsWith('bye\n'), request.killGrace === undefined);
    }
    const jobId = await submit(server, { command: 'trap "" INT; echo one >/dev/stderr; read -r line; echo "got $line" >/dev/stderr' });
    await until(async () => (await ask(server, `GET /jobs/${jobId}/stderr`)).text === 'one\n', { what: 'it writes' });
    await ask(server, `POST /jobs/${jobId}/signal`, { body: { signal: 'SIGINT' } });
    await ask(server, `POST /jobs/${jobId}/nudge`, { body: { input: 'this\n' } });
    await until(async () => (await ask(server, `GET /jobs/${jobId}/stderr`)).text === 'one\ngot this\n', { what: 'it goes on' });
  });

  it('outlives the server', async (t) => {
    const server = await spawnServer(t);
    const { jobId } = await server.client.exec({ command: 'echo one; read -r line; echo "got $line" >/dev/stdout; echo three >/dev/stderr' });
    await until(async () => (await server.client.jobs.get(jobId)).stdout === 'one\n', { what: 'it writes' });
    await server.kill9();
    await server.restart();
    await server.client.jobs.nudge(jobId, 'it\n');
    const job = await server.client.jobs.wait(jobId);
    assert.deepEqual([job.stdout, job.stderr, job.exitCode], ['one\ngot it\n', 'three\n', 0]);
  });

  it('is refused where a job has no files or pipes of its own', async (t) => {
    const server = await startTestServer(t);
    for (const request of [{ mode: 'persistent_shell', sessionKey: 'k', command: 'x', output: 'pipe' }, { command: 'x', output: 'maybe' }]) {
      const { status, text } = await ask(server, 'POST /exec', { body: request });
      assert.deepEqual([status, text.includes('body.output')], [400, true], text);
    }
  });
});

describe('a persistent shell', { skip: process.platform === 'linux' ? false : 'it is about Linux' }, () => {
  it('warns of a command whose output may be truncated by what it names', async (t) => {
    const server = await startTestServer(t);
    const warnings = async (command: string): Promise<readonly string[] | undefined> =>
      (await run(server, { mode: 'persistent_shell', sessionKey: 'k', command })).warnings;
    for (const command of ['echo one >&2; echo two > /dev/stderr', 'echo one | tee /dev/stderr', 'echo x >/dev/fd/2']) {
      assert.match(String((await warnings(command))?.[0]), /names \/dev\/stdout or .*is lost; write >&1/, command);
    }
    for (const command of ['echo one >&2', 'echo one >>/dev/stderr', 'echo one 2>/dev/null']) {
      assert.equal(await warnings(command), undefined, command);
    }
  });

  it('warns of variables that no shell can have, and shows their values to nobody', async (t) => {
    const server = await startTestServer(t);
    const env = { 'a.b': 'value-of-a-b', plain: 'p' };
    const command = 'echo "$plain"; env | grep -c value-of-a-b';
    const request = { mode: 'persistent_shell', sessionKey: 'k', command, env };
    const job = await run(server, request);
    assert.equal(job.stdout, 'p\n0\n');
    assert.deepEqual(job.warnings,
      ['not in the environment of the persistent shell, as no shell has variables of such names: "a.b"']);
    assert.equal((await run(server, { ...request, env: {} })).warnings, undefined);
  });
});

describe('variables of foreign names', { skip: process.platform === 'linux' ? false : 'it needs /proc' }, () => {
  it('reach a job with pipes, and stand in the arguments of no process', async (t) => {
    const server = await startTestServer(t);
    const value = `value-${process.hrtime.bigint()}`;
    for (const more of [{ output: 'pipe' }, { output: 'file' }, { tty: true }, { output: 'pipe', stdin: 'x' }]) {
      const id = await submit(server, { mode: 'argv', argv: ['sleep', '60'], env: { 'a.b': value }, ...more });
      const holders = (file: string): string[] =>
        readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && readQuietly(`/proc/${pid}/${file}`).includes(value));
      const isSleep = (pid: string): boolean => readQuietly(`/proc/${pid}/comm`) === 'sleep\n';
      await until(() => holders('environ').some(isSleep), { what: 'the job has the variable' });
      assert.deepEqual(holders('cmdline'), [], JSON.stringify(more));
      await ask(server, `POST /jobs/${id}/cancel`, { body: { signal: 'SIGKILL' } });
    }
  });
});

function readQuietly(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    // The process has ended, or is not ours to see.
    return '';
  }
}

describe('a job that truncates its output', { concurrency: 2 }, () => {
  it('says so, now and after a restart, and its followers continue at the new beginning', async (t) => {
    const server = await spawnServer(t);
    const gate = join(temporaryFolder(t), 'gate');
    const { jobId } = await server.client.exec({ command: `echo one two three >&2; read -r line; : > /dev/stderr; echo x >&2; while [ ! -e '${gate}' ]; do sleep 0.02; done`, output: 'file' });
    const pieces: string[] = [];
    let end: Job | undefined;
    const following = (async () => {
      for await (const event of server.client.jobs.follow(jobId)) {
        if (event.type === 'output' && 'text' in event) pieces.push(event.text);
        if (event.type === 'end') end = event.job;
      }
    })();
    await until(() => pieces.length === 1, { what: 'the follower has the first line' });
    await server.client.jobs.nudge(jobId, '\n');
    await until(() => pieces.length === 2, { what: 'the follower has the second line' });
    writeFileSync(gate, '');
    await following;
    assert.deepEqual(pieces, ['one two three\n', 'x\n']);
    const check = (job: Job | undefined): void => {
      assert.deepEqual([job?.stdoutTruncated, job?.stderrTruncated, job?.warnings?.length], [job?.stdout === undefined ? undefined : false, true, 1]);
      assert.match(job?.warnings?.[0] ?? '', /^stderr was truncated by the job itself \(seen at 2.*\): what it had written before is lost; "output": "pipe" keeps such output$/);
    };
    check(end);
    check(await server.client.jobs.get(jobId));
    await server.restart();
    check(await server.client.jobs.get(jobId));
    const raw = await fetch(`${server.url}/jobs/${jobId}/stderr?offset=14`, { headers: { 'X-API-Key': server.key } });
    assert.match(raw.headers.get('x-job-warning') ?? '', /^stderr was truncated/);
    // Who has read more than there is continues at the new beginning.
    const again: string[] = [];
    for await (const event of server.client.jobs.follow(jobId, { from: { stdout: 0, stderr: 14 } })) if (event.type === 'output' && 'text' in event) again.push(event.text);
    assert.deepEqual(again, ['x\n']);
  });
});

function copiersOf(stateDir: string, jobId: string): readonly number[] {
  const folder = readdirSync(join(stateDir, 'jobs'), { recursive: true, encoding: 'utf8' }).find((path) => path.endsWith(`${jobId}/copiers`)) ?? '';
  return readFileSync(join(stateDir, 'jobs', folder), 'utf8').trim().split('\n').map(Number);
}
