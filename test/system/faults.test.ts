import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Agent, request as httpRequest } from 'node:http';
import { type Job, type JobId, ProblemError, type Sidecar } from '../../src/client/client.ts';
import { keepReserve } from '../../src/process/state/disk-reserve.ts';
import { readStat, sendSignal } from '../../src/process/identity.ts';
import { mountless, smallDisk } from '../support/disk.ts';
import { childrenOf } from '../support/processes.ts';
import { atEnd, key, spawnServer, startTestServer, temporaryFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';

const isLinux = process.platform === 'linux';

/** Leaves no byte. @returns makes room again. */
function fill(folder: string): () => void {
  const path = join(folder, 'filling');
  writeFileSync(path, '');
  for (const bytes of [65_536, 4096, 512, 1]) {
    try {
      for (;;) writeFileSync(path, Buffer.alloc(bytes, 'f'), { flag: 'a' });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    }
  }
  assert.equal(statfsSync(folder).bavail, 0);
  return () => rmSync(path);
}

async function problemOf(answer: Promise<unknown>): Promise<ProblemError> {
  const outcome = await answer.then((value) => value, (error: unknown) => error);
  assert.ok(outcome instanceof ProblemError, `expected a problem, got ${JSON.stringify(outcome)}`);
  return outcome;
}

async function submit(client: Sidecar, command: string): Promise<JobId> {
  return (await client.exec({ command })).jobId;
}

async function printed(client: Sidecar, id: JobId, text: string): Promise<Job> {
  return until(async () => {
    const job = await client.jobs.get(id);
    return (job.stdout ?? '').includes(text) && job;
  }, { what: `${id} prints ${text}` });
}

/** Nothing that a client did led to a bug's answer. */
function assertNoBug(logged: string): void {
  const bugs = logged.split('\n').filter((line) => line.includes('"unexpected failure"') || line.includes('"status":500'));
  assert.deepEqual(bugs, []);
}

describe('faults', { skip: isLinux ? false : 'these faults are made with the means of Linux' }, () => {
  it('a full disk refuses jobs with 507, running ones go on, and all is well once there is room', { skip: mountless }, async (t) => {
    const disk = smallDisk(t, '4m');
    const { client, logged } = await startTestServer(t, { stateDir: join(disk, 'state') });
    const reader = await submit(client, 'echo up; read -r line; exit 6');
    await printed(client, reader, 'up');
    const known = await client.run({ command: 'echo before' });
    const makeRoom = fill(disk);
    for (let round = 0; round < 5; round += 1) {
      const problem = await problemOf(client.exec({ command: 'echo refused' }));
      assert.deepEqual([problem.status, problem.code], [507, 'storage_full']);
      assert.match(problem.message, /full/);
    }
    assert.deepEqual((await client.jobs.list()).map(({ jobId }) => jobId), [known.jobId, reader], 'what was refused is not there');
    assert.equal((await client.jobs.get(known.jobId)).stdout, 'before\n');
    assert.deepEqual(await client.jobs.nudge(reader), { nudged: true, processAlive: true });
    const ended = await client.jobs.wait(reader);
    assert.deepEqual([ended.status, ended.exitCode], ['failed', 6], 'its exit could not be written, and is known all the same');
    assert.match(ended.warnings?.join() ?? '', /disk of the state directory was full/);
    makeRoom();
    const path = join(disk, 'state', 'jobs', reader, 'job.json');
    await until(() => readFileSync(path, 'utf8').includes('"exitCode":6'), { what: 'its end is written once there is room' });
    assert.equal((await client.run({ command: 'echo after' })).stdout, 'after\n');
    assert.equal(readdirSync(join(disk, 'state', 'jobs')).length, 3, 'nothing of what was refused is left');
    assertNoBug(logged());
  });

  it('a server starts on a full disk, so that room can be made through it', { skip: mountless }, async (t) => {
    const disk = smallDisk(t, '4m');
    const stateDir = join(disk, 'state');
    const server = await spawnServer(t, { stateDir });
    const { jobId } = await server.client.run({ command: 'head -c 1000000 /dev/zero' });
    keepReserve(stateDir);
    fill(disk);
    keepReserve(stateDir);
    await server.kill9();
    await server.restart();
    assert.equal(existsSync(join(stateDir, 'reserve')), false, 'it was needed');
    keepReserve(stateDir);
    assert.equal(existsSync(join(stateDir, 'reserve')), false, 'what is free is left to others');
    await server.client.jobs.delete(jobId);
    await until(() => statfsSync(disk).bavail > 0, { what: 'there is room' });
    await until(async () => (await server.client.run({ command: 'echo after' })).stdout === 'after\n', { what: 'jobs run' });
  });

  it('what ended while the disk was full is known to the next server too', { skip: mountless }, async (t) => {
    const disk = smallDisk(t, '4m');
    const first = await startTestServer(t, { stateDir: join(disk, 'state') });
    const reader = await submit(first.client, 'echo up; read -r line; exit 6');
    const cancelled = await submit(first.client, 'echo up; exec sleep 1000');
    for (const id of [reader, cancelled]) await printed(first.client, id, 'up');
    const makeRoom = fill(disk);
    await first.client.jobs.nudge(reader);
    await first.client.jobs.wait(reader);
    assert.equal((await first.client.jobs.cancel(cancelled)).reason, 'cancelled');
    makeRoom();
    await first.close();
    const { client } = await startTestServer(t, { stateDir: join(disk, 'state') });
    assert.deepEqual([(await client.jobs.get(reader)).reason, (await client.jobs.get(reader)).exitCode], ['exit', 6]);
    assert.deepEqual([(await client.jobs.get(cancelled)).reason, (await client.jobs.get(cancelled)).exitCode], ['cancelled', 143]);
  });

  it('a job that fills the disk itself ends as it does, and its server goes on', { skip: mountless }, async (t) => {
    const disk = smallDisk(t, '4m');
    const { client, logged } = await startTestServer(t, { stateDir: join(disk, 'state') });
    const job = await client.run({ command: 'head -c 100000000 /dev/zero; echo "head said $?" >&2; exit 9' });
    assert.deepEqual([job.status, job.exitCode], ['failed', 9]);
    assert.ok(job.stdoutBytes > 1_000_000);
    await client.jobs.cancel(job.jobId);
    const { jobId } = job;
    await until(async () => {
      const problem = await fetchStatus(client.url, `/jobs/${jobId}`, 'DELETE');
      return problem === 204;
    }, { what: 'it can be forgotten' });
    assert.equal((await client.run({ command: 'echo after' })).stdout, 'after\n');
    assertNoBug(logged());
  });

  it('a state directory that cannot be written refuses with 503 and is used again afterwards', { skip: mountless }, async (t) => {
    const disk = smallDisk(t, '8m');
    const { client, logged } = await startTestServer(t, { stateDir: join(disk, 'state') });
    assert.equal((await client.run({ command: 'echo before' })).exitCode, 0);
    const jobs = join(disk, 'state', 'jobs');
    const reader = await submit(client, 'echo up; read -r line; exit 7');
    await printed(client, reader, 'up');
    execFileSync('mount', ['--bind', jobs, jobs]);
    let isMounted = true;
    const unmount = (): void => {
      if (isMounted) execFileSync('umount', ['-l', jobs]);
      isMounted = false;
    };
    atEnd(t, unmount);
    execFileSync('mount', ['-o', 'remount,bind,ro', jobs]);
    const problem = await problemOf(client.exec({ command: 'echo refused' }));
    assert.deepEqual([problem.status, problem.code], [503, 'unavailable']);
    assert.match(problem.message, /state directory/);
    assert.equal((await client.jobs.list()).length, 2);
    assert.equal((await client.jobs.cancel(reader)).reason, 'cancelled');
    unmount();
    await until(() => readFileSync(join(jobs, reader, 'job.json'), 'utf8').includes('cancelled'), { what: 'its end is written' });
    assert.equal((await client.run({ command: 'echo after' })).stdout, 'after\n');
    assertNoBug(logged());
  });

  it('a state directory that is deleted while jobs run is made again; the jobs go on and their end is known', async (t) => {
    const { client, stateDir, logged } = await startTestServer(t);
    const gate = join(temporaryFolder(t), 'gate');
    const id = await submit(client, `echo up; while [ ! -e '${gate}' ]; do sleep 0.05; done; exit 8`);
    await printed(client, id, 'up');
    rmSync(stateDir, { recursive: true, force: true, maxRetries: 10 });
    const after = await until(async () => {
      const job = await client.run({ command: 'echo after' }).catch((error: unknown) => {
        assert.ok(error instanceof ProblemError && error.code === 'unavailable', String(error));
        return undefined;
      });
      return job?.status === 'completed' && job;
    }, { what: 'jobs run again' });
    assert.equal(after.stdout, 'after\n');
    for (const stdin of ['given', null]) assert.equal((await client.run({ command: 'cat', stdin })).stdout, stdin ?? '');
    assert.equal((await client.jobs.get(id)).status, 'running');
    writeFileSync(gate, '');
    const job = await client.jobs.wait(id);
    assert.deepEqual([job.status, job.exitCode], ['failed', 8]);
    assertNoBug(logged());
  });

  it('no file descriptors left: refused with 503, running jobs go on and end right, and all is well once there are some', async (t) => {
    const server = await spawnServer(t);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    t.after(() => agent.destroy());
    const ask = (method: string, path: string, body?: unknown): Promise<{ status: number; body: { [name: string]: unknown } }> =>
      askOver(agent, server.url, method, path, body);
    const jobs: JobId[] = [];
    for (let index = 0; index < 4; index += 1) jobs.push((await ask('POST', '/exec', { command: 'echo up; read -r line; exit 11' })).body['jobId'] as JobId);
    for (const id of jobs) await until(async () => (await ask('GET', `/jobs/${id}`)).body['stdout'] === 'up\n', { what: 'it runs' });
    const limit = execFileSync('prlimit', ['--pid', String(server.pid), '--nofile', '--raw', '--noheadings', '--output', 'SOFT']).toString().trim();
    // Not one more than it has: the connection stays, everything that opens fails.
    const setLimit = (count: string): void => { execFileSync('prlimit', ['--pid', String(server.pid), `--nofile=${count}:`]); };
    setLimit('3');
    const refused = await ask('POST', '/exec', { command: 'echo refused' });
    assert.deepEqual([refused.status, refused.body['code']], [503, 'unavailable']);
    assert.match(String(refused.body['detail']), /file descriptors/);
    for (const id of jobs.slice(0, 2)) sendSignal(Number((await ask('GET', '/jobs')).body === undefined ? 0 : pidOf(server.stateDir, id)), 'SIGKILL');
    await until(async () => (await ask('GET', '/health')).body['running'] === 2, { what: 'the ends of two are heard' });
    setLimit(limit);
    for (const id of jobs.slice(0, 2)) {
      const { body } = await ask('GET', `/jobs/${id}`);
      assert.deepEqual([body['status'], body['reason'], body['exitCode']], ['failed', 'signal', 137]);
    }
    for (const id of jobs.slice(2)) {
      await until(async () => (await server.client.jobs.nudge(id)).nudged, { what: 'it can be nudged again' });
      assert.equal((await server.client.jobs.wait(id)).exitCode, 11);
    }
    const after = await Promise.all(Array.from({ length: 20 }, (_, index) => server.client.run({ command: `exit ${index}` })));
    assert.deepEqual(after.map(({ exitCode }) => exitCode), after.map((_, index) => index));
    assertNoBug(server.logged());
    const lines = server.logged().split('\n').length;
    assert.ok(lines < 500, `the log is not flooded: ${lines} lines`);
  });

  it('a server with few file descriptors answers each of many jobs', async (t) => {
    const server = await spawnServer(t);
    execFileSync('prlimit', ['--pid', String(server.pid), '--nofile=60:']);
    const accepted: { readonly id: JobId; readonly exitCode: number }[] = [];
    await Promise.all(Array.from({ length: 100 }, async (_, exitCode) => {
      try {
        accepted.push({ id: (await server.client.exec({ command: `sleep 0.2; exit ${exitCode}` })).jobId, exitCode });
      } catch (error) {
        assert.ok(error instanceof ProblemError && ['unreachable', 'unavailable'].includes(error.code), String(error));
      }
    }));
    execFileSync('prlimit', ['--pid', String(server.pid), '--nofile=4096:']);
    for (const { id, exitCode } of accepted) {
      const job = await server.client.jobs.wait(id);
      assert.ok(job.reason === 'exit' ? job.exitCode === exitCode : job.reason === 'spawn_error', JSON.stringify(job));
    }
    assert.equal((await server.client.run({ command: 'echo after' })).stdout, 'after\n');
    assertNoBug(server.logged());
  });

  it('a launcher that is killed loses only its job\'s exit code, and its stdin', async (t) => {
    const { client, logged } = await startTestServer(t);
    const gate = join(temporaryFolder(t), 'gate');
    const id = await submit(client, `echo up; while [ ! -e '${gate}' ]; do sleep 0.05; done; echo on; exit 3`);
    const { pid } = await printed(client, id, 'up');
    const launcher = readStat(pid ?? 0)?.parentPid ?? 0;
    assert.ok(launcher > 1);
    sendSignal(launcher, 'SIGKILL');
    await until(() => readStat(pid ?? 0)?.parentPid !== launcher, { what: 'the job is an orphan' });
    assert.equal((await client.jobs.get(id)).status, 'running');
    writeFileSync(gate, '');
    const job = await client.jobs.wait(id);
    assert.deepEqual([job.reason, job.exitCode, job.stdout], ['lost', -1, 'up\non\n']);
    assert.equal((await client.run({ command: 'echo next' })).stdout, 'next\n');
    assertNoBug(logged());
  });

  it('a launcher that is killed while it waits for work runs no job: another one does', async (t) => {
    const { client, logged } = await startTestServer(t);
    const id = await submit(client, 'echo up; read line');
    const { pid } = await printed(client, id, 'up');
    const first = readStat(readStat(pid ?? 0)?.parentPid ?? 0)?.parentPid ?? 0;
    // Those that have forked the process of their next job ahead.
    const launchers = childrenOf(first).filter((launcher) => childrenOf(launcher).length > 0);
    assert.ok(launchers.length > 1);
    for (const launcher of launchers) sendSignal(launcher, 'SIGKILL');
    // On a busy machine a signal takes effect later, and a job that has begun by then has lost its launcher.
    await until(() => launchers.every((launcher) => (readStat(launcher)?.state ?? 'Z') === 'Z'), { what: 'they have ended' });
    const jobs = await Promise.all(launchers.map((_, index) => submit(client, `echo ${index}`)));
    for (const [index, next] of jobs.entries()) {
      const { reason, stdout } = await client.jobs.wait(next);
      assert.deepEqual([reason, stdout], ['exit', `${index}\n`]);
    }
    await client.jobs.cancel(id);
    assertNoBug(logged());
  });

  it('a job runs though the process that was forked ahead for it was killed', async (t) => {
    const { client, logged } = await startTestServer(t);
    const id = await submit(client, 'echo up; read line');
    const { pid } = await printed(client, id, 'up');
    const first = readStat(readStat(pid ?? 0)?.parentPid ?? 0)?.parentPid ?? 0;
    const ahead = (): readonly number[] => childrenOf(first).flatMap(childrenOf).filter((one) => one !== pid);
    await until(() => ahead().length > 0, { what: 'a launcher waits for a job' });
    const killed = ahead();
    for (const one of killed) sendSignal(one, 'SIGKILL');
    await until(() => killed.every((one) => readStat(one) === undefined), { what: 'they have ended' });
    const jobs = await Promise.all(killed.map((_, index) => submit(client, `echo ${index}; exit 3`)));
    for (const [index, next] of jobs.entries()) {
      const { reason, exitCode, stdout } = await client.jobs.wait(next);
      assert.deepEqual([reason, exitCode, stdout], ['exit', 3, `${index}\n`]);
    }
    await client.jobs.cancel(id);
    assertNoBug(logged());
  });

  it('a job that nothing begins is ended at its timeout, and never run', async (t) => {
    const { client } = await startTestServer(t);
    const id = await submit(client, 'echo up; read line');
    const { pid } = await printed(client, id, 'up');
    const first = readStat(readStat(pid ?? 0)?.parentPid ?? 0)?.parentPid ?? 0;
    const ahead = childrenOf(first).flatMap(childrenOf).filter((one) => one !== pid);
    for (const one of [first, ...ahead]) sendSignal(one, 'SIGSTOP');
    const mark = join(temporaryFolder(t), 'mark');
    const { jobId } = await client.exec({ command: `touch '${mark}'`, timeout: 1 });
    assert.equal((await client.jobs.wait(jobId)).reason, 'timeout');
    for (const one of [first, ...ahead]) sendSignal(one, 'SIGCONT');
    assert.equal((await client.run({ command: 'echo next' })).stdout, 'next\n');
    await client.jobs.cancel(id);
    assert.equal(existsSync(mark), false);
  });

  it('a job whose launcher was killed can still be cancelled and timed out', async (t) => {
    const { client } = await startTestServer(t);
    for (const timeout of [null, 1]) {
      const { jobId } = await client.exec({ command: 'echo up; exec sleep 1000', timeout });
      const { pid } = await printed(client, jobId, 'up');
      sendSignal(readStat(pid ?? 0)?.parentPid ?? 0, 'SIGKILL');
      const job = timeout === null ? await client.jobs.cancel(jobId) : await client.jobs.wait(jobId);
      assert.equal(job.reason, timeout === null ? 'cancelled' : 'timeout');
      await until(() => readStat(pid ?? 0) === undefined || readStat(pid ?? 0)?.state === 'Z', { what: 'its process is gone' });
    }
  });

  it('the first launcher is replaced when it is killed, as often as that happens', async (t) => {
    const { client, logged } = await startTestServer(t);
    const reader = await submit(client, 'echo up; read -r line; exit 5');
    const { pid } = await printed(client, reader, 'up');
    const first = (): number => readStat(readStat(pid ?? 0)?.parentPid ?? 0)?.parentPid ?? 0;
    const victim = first();
    assert.equal(readStat(victim)?.parentPid, process.pid);
    sendSignal(victim, 'SIGKILL');
    const many = await Promise.all(Array.from({ length: 40 }, (_, index) => client.run({ command: `exit ${index}` })));
    assert.deepEqual(many.map(({ exitCode }) => exitCode), many.map((_, index) => index));
    await client.jobs.nudge(reader);
    assert.equal((await client.jobs.wait(reader)).exitCode, 5);
    assertNoBug(logged());
  });
});

function pidOf(stateDir: string, id: JobId): number {
  return Number(readFileSync(join(stateDir, 'jobs', id, 'process'), 'utf8').split(' ')[0]);
}

async function fetchStatus(url: string, path: string, method: string): Promise<number> {
  const response = await fetch(url + path, { method, headers: { 'X-API-Key': key } });
  await response.arrayBuffer();
  return response.status;
}

function askOver(
  agent: Agent, url: string, method: string, path: string, body?: unknown,
): Promise<{ status: number; body: { [name: string]: unknown } }> {
  return new Promise((resolve, reject) => {
    const headers = { 'X-API-Key': key, 'Content-Type': 'application/json' };
    const asking = httpRequest(url + path, { method, agent, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => { text += chunk; });
      response.on('error', reject).on('end', () => {
        resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as { [name: string]: unknown } });
      });
    });
    asking.on('error', reject);
    asking.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
