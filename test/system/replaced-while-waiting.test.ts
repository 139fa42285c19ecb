/** What is replaced before a job begins: the files of one that waits for its turn, and what is made ahead for jobs to come. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync, constants, existsSync, lstatSync, mkdirSync, openSync, readdirSync, readFileSync, readSync, renameSync, rmSync,
  symlinkSync, unlinkSync, writeFileSync, writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Job } from '../../src/protocol/jobs/job.ts';
import { ask, run } from '../support/client.ts';
import { type SpawnedServer, spawnServer, temporaryFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';

const skip = process.platform === 'linux' ? false : 'it needs mkfifo, and opens FIFOs as Linux does';
const secret = 'a secret of somebody else\n';

interface Victim {
  readonly folder: string;
  readonly file: string;
  readonly fifo: string;
  readonly missing: string;
  readonly check: (what: string) => void;
}

/** Files outside of the state directory, which no job may read or write by way of links. */
function victimOf(t: TestContext): Victim {
  const outside = temporaryFolder(t);
  const [folder, file, fifo, missing] = ['folder', 'file', 'fifo', 'missing'].map((name) => join(outside, name)) as [string, string, string, string];
  mkdirSync(folder);
  const names = ['job.json', 'stdin', 'stdout', 'stderr', 'process', 'exit'];
  for (const path of [file, ...names.map((name) => join(folder, name))]) writeFileSync(path, secret);
  execFileSync('mkfifo', [fifo]);
  const fd = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK);
  t.after(() => closeSync(fd));
  writeSync(fd, secret);
  return {
    folder, file, fifo, missing,
    check(what) {
      const bytes = Buffer.alloc(200);
      assert.equal(bytes.subarray(0, readSync(fd, bytes)).toString(), secret, `${what}: the FIFO outside`);
      writeSync(fd, secret);
      assert.deepEqual(readdirSync(folder).sort(), [...names].sort(), what);
      for (const path of [file, ...names.map((name) => join(folder, name))]) assert.equal(readFileSync(path, 'utf8'), secret, what);
      assert.equal(existsSync(missing), false, `${what}: made outside`);
    },
  };
}

/** A server whose only place is taken. @returns what frees it. */
async function fullServer(t: TestContext): Promise<{ readonly server: SpawnedServer; readonly free: () => Promise<void> }> {
  const server = await spawnServer(t, { flags: { 'max-running': '1' } });
  const { jobId } = (await ask(server, 'POST /exec', { body: { command: 'exec sleep 600' } })).json<Job>();
  const free = async (): Promise<void> => {
    await ask(server, `POST /jobs/${jobId}/cancel`, { body: { graceSeconds: 0 } });
  };
  return { server, free };
}

const reading = 'head -c 100; echo ran';

test('a job whose stdin was replaced while it waited for its turn does not begin', { skip, timeout: 120_000 }, async (t) => {
  const { server, free } = await fullServer(t);
  const victim = victimOf(t);
  const put: { readonly [what: string]: (path: string) => void } = {
    'a link to a FIFO': (path) => symlinkSync(victim.fifo, path),
    'a link to a file': (path) => symlinkSync(victim.file, path),
    'a link to nothing': (path) => symlinkSync(victim.missing, path),
    'a file': (path) => writeFileSync(path, secret),
    nothing: () => undefined,
  };
  const jobs: [string, string][] = [];
  for (const [what, act] of Object.entries(put)) {
    for (const more of [{}, { output: 'pipe' }, { command: `${reading} # ${'x'.repeat(5000)}` }]) {
      const { jobId } = (await ask(server, 'POST /exec', { body: { command: reading, ...more } })).json<Job>();
      const stdin = join(server.stateDir, 'jobs', jobId, 'stdin');
      unlinkSync(stdin);
      act(stdin);
      jobs.push([jobId, `${what} ${JSON.stringify(more).slice(0, 30)}`]);
    }
  }
  await free();
  for (const [jobId, what] of jobs) {
    const job = (await ask(server, `GET /jobs/${jobId}?wait=30&waitFor=end`)).json<Job>();
    assert.deepEqual([job.exitCode, job.stdout], [126, ''], what);
    assert.equal(job.stderr, 'sidecar: something has replaced the files of the job before it began\n', what);
  }
  victim.check('the jobs that waited');
});

test('a job that waits for its turn is cancelled at once, whatever has replaced its files', { skip, timeout: 120_000 }, async (t) => {
  const { server } = await fullServer(t);
  const victim = victimOf(t);
  const put: { readonly [what: string]: (directory: string) => void } = {
    'process: a directory': (directory) => { unlinkSync(join(directory, 'process')); mkdirSync(join(directory, 'process')); },
    'the directory: a link': (directory) => { renameSync(directory, join(temporaryFolder(t), 'aside')); symlinkSync(victim.folder, directory); },
    'the directory: nothing': (directory) => renameSync(directory, join(temporaryFolder(t), 'aside')),
  };
  for (const [what, act] of Object.entries(put)) {
    const { jobId } = (await ask(server, 'POST /exec', { body: { command: reading } })).json<Job>();
    act(join(server.stateDir, 'jobs', jobId));
    const { status, reason, startedAt } = (await ask(server, `POST /jobs/${jobId}/cancel`)).json<Job>();
    assert.deepEqual([status, reason, startedAt], ['failed', 'cancelled', null], what);
  }
  victim.check('the jobs that were cancelled');
});

test('no answer waits for a process that cannot come', { skip, timeout: 120_000 }, async (t) => {
  const { server } = await fullServer(t);
  const pending = (await ask(server, 'POST /exec', { body: { command: 'echo ran' } })).json<Job>().jobId;
  const [running] = (await ask(server, 'GET /jobs?status=running')).json<Job[]>();
  const id = running?.jobId ?? '';
  await until(async () => (await ask(server, `GET /jobs/${id}`)).json<Job>().pid !== null, { what: 'it runs' });
  rmSync(join(server.stateDir, 'jobs', id, 'process'));
  const calls = [
    ask(server, `POST /jobs/${pending}/signal`, { body: { signal: 'SIGINT' } }), ask(server, `POST /jobs/${id}/nudge`, { body: { input: 'x\n' } }),
  ];
  const first = await Promise.race([Promise.all(calls), ask(server, `GET /jobs/${id}?wait=6&waitFor=end`)]);
  assert.ok(Array.isArray(first), 'both were answered before a wait of 6 s was over');
  assert.equal(first[0]?.problem.code, 'job_not_running');
  assert.equal(first[1]?.json<{ nudged: boolean }>().nudged, true, first[1]?.text);
});

test('what was made ahead for jobs and then replaced is not used', { skip, timeout: 120_000 }, async (t) => {
  const victim = victimOf(t);
  const put: { [what: string]: (directory: string) => void } = {
    'a link in the place of the directory': (directory) => { rmSync(directory, { recursive: true }); symlinkSync(victim.folder, directory); },
    'a link in the place of job.json': (directory) => { unlinkSync(join(directory, 'job.json')); symlinkSync(victim.file, join(directory, 'job.json')); },
    'nothing in the place of the directory': (directory) => rmSync(directory, { recursive: true }),
    'a link in the place of their folder': (directory) => {
      const folder = dirname(directory);
      if (lstatSync(folder).isSymbolicLink()) return;
      renameSync(folder, join(temporaryFolder(t), 'aside'));
      symlinkSync(victim.folder, folder);
    },
  };
  for (const name of ['stdin', 'stdout', 'process']) {
    put[`a link in the place of ${name}`] = (directory) => { unlinkSync(join(directory, name)); symlinkSync(victim.fifo, join(directory, name)); };
  }
  for (const [what, act] of Object.entries(put)) {
    const server = await spawnServer(t);
    assert.equal((await run(server, { command: 'echo first' })).stdout, 'first\n');
    const made = await spares(server);
    for (const directory of made) act(directory);
    for (const more of [{}, { stdin: 'given' }, { output: 'pipe' }]) {
      assert.equal((await run(server, { command: 'echo ran', ...more })).stdout, 'ran\n', `${what} ${JSON.stringify(more)}`);
    }
    victim.check(what);
    await server.stop();
  }
});

/** The directories that are made ahead, once there are some. */
async function spares(server: SpawnedServer): Promise<readonly string[]> {
  const all = (): string[] => readdirSync(join(server.stateDir, 'spares')).flatMap((name) => {
    const folder = join(server.stateDir, 'spares', name);
    return readdirSync(folder).map((one) => join(folder, one));
  });
  await until(() => all().some((path) => existsSync(join(path, 'stdin'))), { what: 'directories are made ahead' });
  return all();
}
