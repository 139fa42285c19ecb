import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, readdirSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type ExecRequest, type Job, type JobId, ProblemError, type ShellExec, type Sidecar, outputBytes } from '../../src/client/client.ts';
import { readStat } from '../../src/process/identity.ts';
import { isStillLauncher } from '../../src/process/launcher/pool.ts';
import { key, spawnServer, startTestServer, temporaryFolder } from '../support/server.ts';
import { soak } from '../support/soak.ts';
import { until } from '../support/wait.ts';
import { processesWith, strangersTo } from '../support/processes.ts';

const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const rounds = soak(4, 20);
const jobsARound = 50;
const isLinux = process.platform === 'linux';

/** What one job of the mixture is to do, and how it must end. */
interface Plan {
  readonly request: ExecRequest;
  readonly expected: Partial<Job>;
  readonly stdout?: string;
  readonly stderr?: string | RegExp;
  /** It appends its number to the ledger. Default true. */
  readonly runs?: boolean;
  /** What the test does once the second server is there. */
  readonly act?: (client: Sidecar, id: JobId) => Promise<void>;
}

const exits = (exitCode: number): Partial<Job> =>
  ({ status: exitCode === 0 ? 'completed' : 'failed', reason: 'exit', exitCode, signal: null, timedOut: false, processAlive: false });

/** `number` goes into the ledger once by each job that runs; `down` and `up` are files that let jobs go on. */
function planFor(number: number, folder: string): Plan {
  const mark = `echo ${number} >>'${folder}/ledger'`;
  const gate = (name: 'down' | 'up'): string => `while [ ! -e '${folder}/${name}' ]; do sleep 0.05; done`;
  const sh = (command: string, more: Partial<ShellExec> = {}): ExecRequest => ({ command: `${mark}; ${command}`, ...more });
  const wide = 'x'.repeat(1_000_000);
  const plans: readonly (() => Plan)[] = [
    () => ({ request: sh(`echo quick ${number}`), expected: exits(0), stdout: `quick ${number}\n` }),
    () => ({ request: sh(`echo begin; ${gate('down')}; echo end; exit 7`), expected: exits(7), stdout: 'begin\nend\n' }),
    () => ({ request: sh(`echo begin; ${gate('up')}; echo end >&2`), expected: exits(0), stdout: 'begin\n', stderr: 'end\n' }),
    () => ({ request: sh('cat; exit 3', { stdin: `given ${number}\nno newline` }), expected: exits(3), stdout: `given ${number}\nno newline` }),
    () => ({
      request: sh('read -r line; echo "got $line"; cat; exit 4'), expected: exits(4), stdout: `got a nudge\nand a rest ${number}`,
      act: async (client, id) => {
        await until(async () => (await client.jobs.nudge(id, 'a nudge\n')).nudged, { what: 'the job is nudged' });
        await client.jobs.stdin(id, Buffer.from(`and a rest ${number}`), { eof: true });
      },
    }),
    () => ({
      request: sh(`head -c 1000000 /dev/zero | tr '\\0' x; ${gate(number % 2 === 0 ? 'down' : 'up')}; head -c 1000000 /dev/zero | tr '\\0' x`),
      expected: exits(0), stdout: wide + wide,
    }),
    () => ({ request: sh('echo bad >&2; exit 42'), expected: exits(42), stderr: 'bad\n' }),
    () => ({ request: sh(`${gate('down')}; kill -KILL $$`), expected: { status: 'failed', reason: 'signal', exitCode: 137, signal: 'SIGKILL' } }),
    () => ({
      request: { mode: 'argv', argv: ['/bin/sh', '-c', `${mark}; printf '%s|' "$@"`, 'sh', 'a b', 'it\'s', '', '$HOME\n', '\\'] },
      expected: exits(0), stdout: 'a b|it\'s||$HOME\n|\\|',
    }),
    () => ({
      request: { mode: 'argv', argv: ['no-such-program-anywhere'] }, runs: false,
      expected: { status: 'failed', reason: 'spawn_error', exitCode: 127 }, stderr: /no-such-program-anywhere: not found/,
    }),
    () => ({
      request: sh('echo waiting; exec sleep 1000', { timeout: 3 }),
      expected: { status: 'timeout', reason: 'timeout', timedOut: true, exitCode: 143 }, stdout: 'waiting\n',
    }),
    () => ({ request: sh(`echo done; (${gate('up')}; echo late) &`), expected: exits(0), stdout: 'done\nlate\n' }),
    () => ({
      request: sh('trap "" TERM; echo deaf; while :; do sleep 0.05; done'), stdout: 'deaf\n',
      expected: { status: 'failed', reason: 'cancelled', exitCode: 137 },
      act: async (client, id) => {
        await until(async () => (await client.jobs.get(id)).stdout === 'deaf\n', { what: 'the job ignores SIGTERM' });
        assert.equal((await client.jobs.cancel(id, { graceSeconds: 0.1 })).reason, 'cancelled');
      },
    }),
  ];
  const make = plans[number % plans.length];
  assert.ok(make);
  return make();
}

describe('recovery', { skip: isLinux ? false : 'needs /proc to see who is left behind' }, () => {
  it(`kill -9 amid ${jobsARound} jobs, ${rounds} times: every exit code and output is right, none runs twice, nobody is left`, async (t) => {
    const folder = temporaryFolder(t);
    const server = await spawnServer(t, { stateDir: join(folder, 'state'), flags: { 'max-running': '30', 'keep-jobs': '100000' } });
    const home = join(server.stateDir, '..');
    for (let round = 0; round < rounds; round += 1) {
      const work = join(folder, `round-${round}`);
      mkdirSync(work);
      writeFileSync(join(work, 'ledger'), '');
      const plans = Array.from({ length: jobsARound }, (_, number) => planFor(number, work));
      // Every other time amid the submitting, else when all are taken on and some have begun.
      const isEarly = round % 2 === 1;
      const accepted = new Map<number, JobId>();
      const submitting = submit(server.client, plans, round, accepted);
      await until(() => accepted.size >= (isEarly ? 2 * round : jobsARound), { what: 'some jobs are taken on' });
      const begun = isEarly ? 0 : Math.min(2 * round, 20);
      await until(() => linesOf(join(work, 'ledger')).length >= begun, { what: `${begun} jobs have begun` });
      await server.kill9();
      await submitting;
      writeFileSync(join(work, 'down'), '');
      await server.restart();
      const all = new Map<number, JobId>();
      await submit(server.client, plans, round, all);
      assert.equal(all.size, jobsARound);
      for (const [number, id] of accepted) assert.equal(all.get(number), id, 'the same key gives the same job');
      await Promise.all(plans.map(async ({ act }, number) => act?.(server.client, all.get(number) as JobId)));
      writeFileSync(join(work, 'up'), '');
      for (const [number, plan] of plans.entries()) await check(server.client, all.get(number) as JobId, plan, `round ${round}, job ${number}`);
      const ran = plans.flatMap(({ runs }, number) => (runs === false ? [] : [String(number)]));
      assert.deepEqual(linesOf(join(work, 'ledger')).sort(), ran.sort(), `round ${round}: each job ran once`);
      await until(() => processesWith(`${work}/`).length === 0 && strangersTo(server.pid, home).length === 0, {
        what: `nobody of round ${round} is left`,
      }).catch((error: unknown) => assert.fail(`${String(error)}: ${JSON.stringify(strangersTo(server.pid, home))}`));
    }
    await server.stop();
    await until(() => processesWith(home).length === 0, { what: 'nobody is left behind' });
  });

  it('a job that a launcher of the killed server takes while it waits for its turn keeps its stdin, and does not run once cancelled', async (t) => {
    const folder = temporaryFolder(t);
    const stateDir = join(folder, 'state');
    const gate = join(folder, 'gate');
    const before = await spawnServer(t, { stateDir, flags: { 'max-running': '3' } });
    const submit = async (command: string): Promise<JobId> => (await before.client.exec({ command })).jobId;
    const stdinOf = (id: JobId): string => join(stateDir, 'jobs', id, 'stdin');
    const first = await submit(`echo up; while [ ! -e '${gate}' ]; do sleep 0.05; done`);
    await until(async () => (await before.client.jobs.get(first)).stdout === 'up\n', { what: 'the first job runs' });
    // The launchers stop before they take the next two jobs.
    const launchers = await until(() => {
      const idle = idleLaunchers(before.pid);
      return idle.length >= 2 ? idle : undefined;
    }, { what: 'two launchers wait for work' });
    for (const pid of launchers) process.kill(pid, 'SIGSTOP');
    const taken = await submit('read -r line; echo "got $line"; cat; exit 4');
    const cancelled = await submit(`echo ran >'${folder}/ran'`);
    await before.kill9();
    const { client } = await spawnServer(t, { stateDir, flags: { 'max-running': '1' } });
    assert.deepEqual(await statusesOf(client, [first, taken, cancelled]), ['running', 'pending', 'pending']);
    await client.jobs.cancel(cancelled);
    await until(() => holdersOf(stdinOf(cancelled)).length === 0, { what: 'the stdin of the cancelled job is no longer held' });
    for (const pid of launchers) process.kill(pid, 'SIGCONT');
    await until(() => readFileSync(join(stateDir, 'jobs', taken, 'process'), 'utf8') !== '', { what: 'the launcher takes the job' });
    writeFileSync(gate, '');
    await until(async () => (await client.jobs.nudge(taken, 'a nudge\n')).nudged, { what: 'the job is nudged' });
    await client.jobs.stdin(taken, Buffer.from('the rest'), { eof: true });
    const job = await client.jobs.wait(taken);
    assert.deepEqual([job.exitCode, job.stdout], [4, 'got a nudge\nthe rest']);
    assert.equal(existsSync(join(folder, 'ran')), false);
  });

  it('what kept the stdin of a finished job open is not released again, as it may be another job\'s by then', async (t) => {
    const folder = temporaryFolder(t);
    const server = await spawnServer(t, { stateDir: join(folder, 'state'), flags: { 'max-running': '2' } });
    const submit = async (command: string): Promise<JobId> => (await server.client.exec({ command })).jobId;
    const wait = (name: string): string => `while [ ! -e '${folder}/${name}' ]; do sleep 0.05; done`;
    const fileOf = (id: JobId, name: string): string => join(server.stateDir, 'jobs', id, name);
    const isReleased = (id: JobId) => (): boolean => holdersOf(`${fileOf(id, 'stdin')} (deleted)`).length === 0 && !existsSync(fileOf(id, 'stdin'));
    const holdOf = (id: JobId): unknown => (JSON.parse(readFileSync(fileOf(id, 'job.json'), 'utf8')) as { hold?: string }).hold;
    const long = await submit('exec sleep 1000');
    const first = await submit(wait('first'));
    const second = await submit(wait('second'));
    const reader = await submit('read -r line; echo "got $line"; cat; exit 4');
    writeFileSync(join(folder, 'first'), '');
    await server.client.jobs.wait(first);
    await until(isReleased(first), { what: 'the stdin of the first job is no longer held' });
    writeFileSync(join(folder, 'second'), '');
    await server.client.jobs.wait(second);
    await until(async () => (await server.client.jobs.get(reader)).pid !== null, { what: 'the reader runs' });
    assert.equal(holdOf(reader), holdOf(first), 'the reader has what the first job had');
    await server.kill9();
    await server.restart();
    await server.client.jobs.cancel(long);
    await until(isReleased(long), { what: 'the new server has released what it had to' });
    await until(async () => (await server.client.jobs.nudge(reader, 'a nudge\n')).nudged, { what: 'the job is nudged' });
    await server.client.jobs.stdin(reader, Buffer.from('the rest'), { eof: true });
    const job = await server.client.jobs.wait(reader);
    assert.deepEqual([job.exitCode, job.stdout], [4, 'got a nudge\nthe rest']);
  });

  it('what keeps the stdin of jobs open outlives a server that is killed before it has its answer', async (t) => {
    const folder = temporaryFolder(t);
    const gate = join(folder, 'gate');
    const server = await spawnServer(t, { stateDir: join(folder, 'state'), flags: { 'max-running': '2' } });
    const submit = async (command: string): Promise<JobId> => (await server.client.exec({ command })).jobId;
    const stdinOf = (id: JobId): string => join(server.stateDir, 'jobs', id, 'stdin');
    const reader = await submit('echo up; read -r line; echo "got $line"; exit 4');
    await until(async () => (await server.client.jobs.get(reader)).stdout === 'up\n', { what: 'the reader runs' });
    const gated = await submit(`while [ ! -e '${gate}' ]; do sleep 0.05; done`);
    const queued = await submit('cat');
    const { pid: readerPid } = await server.client.jobs.get(reader);
    const [keeper] = holdersOf(stdinOf(reader)).filter((pid) => pid !== readerPid);
    assert.ok(keeper);
    process.kill(keeper, 'SIGSTOP');
    writeFileSync(gate, '');
    // With that the turn of the queued job has come, and its stdin is to be held.
    await server.client.jobs.wait(gated);
    await server.kill9();
    process.kill(keeper, 'SIGCONT');
    await until(() => readStat(keeper) === undefined || holdersOf(stdinOf(queued)).includes(keeper), { what: 'the keeper has done what it was asked' });
    await server.restart();
    await until(async () => (await server.client.jobs.nudge(reader, 'a nudge\n')).nudged, { what: 'the job is nudged' });
    assert.equal((await server.client.jobs.wait(reader)).stdout, 'up\ngot a nudge\n');
  });

  it('a clean restart adopts what runs: nudge, follow, timeout and cancel work on it', async (t) => {
    const before = await startTestServer(t);
    const submit = async (request: ExecRequest): Promise<JobId> => (await before.client.exec(request)).jobId;
    const reader = await submit({ command: 'echo begin; while read -r line; do echo "got $line"; done; exit 4' });
    const late = await submit({ command: 'echo up; exec sleep 1000', timeout: 2 });
    const forever = await submit({ command: 'echo up; while :; do sleep 0.1; done' });
    for (const id of [reader, late, forever]) {
      await until(async () => ((await before.client.jobs.get(id)).stdout ?? '') !== '', { what: 'it runs' });
    }
    const { pid, startedAt } = await before.client.jobs.get(reader);
    await before.close();
    const { client } = await startTestServer(t, { stateDir: before.stateDir });
    const adopted = await client.jobs.get(reader);
    assert.deepEqual([adopted.status, adopted.pid, adopted.startedAt, adopted.processAlive], ['running', pid, startedAt, true]);
    const followed = (async () => {
      let text = '';
      for await (const event of client.jobs.follow(reader)) if (event.type === 'output') text += Buffer.from(outputBytes(event)).toString();
      return text;
    })();
    assert.deepEqual(await client.jobs.nudge(reader, 'one\n'), { nudged: true, processAlive: true });
    await until(async () => (await client.jobs.get(reader)).stdout === 'begin\ngot one\n', { what: 'it reads' });
    await client.jobs.stdin(reader, Buffer.from('two\n'), { eof: true });
    const ended = await client.jobs.wait(reader);
    assert.deepEqual([ended.status, ended.reason, ended.exitCode], ['failed', 'exit', 4]);
    assert.equal(await followed, 'begin\ngot one\ngot two\n');
    const timedOut = await client.jobs.wait(late);
    assert.deepEqual([timedOut.status, timedOut.exitCode], ['timeout', 143]);
    assert.ok((timedOut.durationMs ?? 0) >= 1900, 'its time counts from its start');
    const cancelled = await client.jobs.cancel(forever);
    assert.deepEqual([cancelled.reason, cancelled.exitCode], ['cancelled', 143]);
  });

  it('what was cancelled or timed out stays so after a restart', async (t) => {
    const before = await startTestServer(t);
    const { jobId } = await before.client.exec({ command: 'exec sleep 1000' });
    const cancelled = await before.client.jobs.cancel(jobId);
    const timed = await before.client.run({ command: 'exec sleep 1000', timeout: 0.1 });
    const broken = await before.client.run({ mode: 'argv', argv: ['/no/such/program'] });
    await before.close();
    const { client } = await startTestServer(t, { stateDir: before.stateDir });
    for (const job of [cancelled, timed, broken]) {
      const { lingering: _, ...after } = await client.jobs.get(job.jobId);
      const { lingering: __, ...known } = job;
      assert.deepEqual(after, known);
    }
  });

  it('a kill in the middle of a cancel ends the job all the same', async (t) => {
    const server = await spawnServer(t);
    const { jobId } = await server.client.exec({ command: 'trap "" TERM; echo deaf; while :; do sleep 0.1; done', killGrace: 1 });
    await until(async () => (await server.client.jobs.get(jobId)).stdout === 'deaf\n', { what: 'it is deaf' });
    const cancelling = server.client.jobs.cancel(jobId, { graceSeconds: 1000 }).catch((error: unknown) => error);
    await until(() => readFileSync(join(server.stateDir, 'jobs', jobId, 'job.json'), 'utf8').includes('"ending"'), { what: 'it is being ended' });
    await server.kill9();
    await cancelling;
    await server.restart();
    const job = await server.client.jobs.wait(jobId);
    assert.deepEqual([job.status, job.reason, job.exitCode], ['failed', 'cancelled', 137]);
  });

  it('after a reboot, which no identity survives, what ran is lost', async (t) => {
    const before = await startTestServer(t);
    const { jobId } = await before.client.exec({ command: 'echo up; while :; do sleep 0.1; done' });
    await until(async () => (await before.client.jobs.get(jobId)).stdout === 'up\n', { what: 'it runs' });
    await before.close();
    const path = join(before.stateDir, 'jobs', jobId, 'process');
    const stat = readFileSync(path, 'utf8');
    const fields = stat.split(' ');
    const pid = Number(fields[0]);
    // Somebody else has its pid now, and its launcher is gone.
    writeFileSync(path, fields.map((field, index) => (index === 3 ? '1' : index === 21 ? '1' : field)).join(' '));
    const { client } = await startTestServer(t, { stateDir: before.stateDir });
    const job = await client.jobs.wait(jobId);
    assert.deepEqual([job.status, job.reason, job.exitCode, job.processAlive], ['failed', 'lost', -1, false]);
    assert.equal(job.stdout, 'up\n');
    assert.ok(process.kill(pid, 0), 'whoever has the pid is left alone');
    process.kill(-pid, 'SIGKILL');
  });

  it('a second server on the same state directory says who holds it and exits with 1', async (t) => {
    const server = await spawnServer(t);
    // Into a file, as a pipe was once reset on a machine that was very busy.
    const log = join(temporaryFolder(t), 'log');
    const fd = openSync(log, 'a');
    const second = spawn(process.execPath, [program, 'serve', '--port=0', `--state-dir=${server.stateDir}`], {
      env: { PATH: process.env['PATH'], SIDECAR_API_KEY: key, HOME: server.stateDir }, stdio: ['ignore', 'ignore', fd],
    });
    closeSync(fd);
    const [code] = await once(second, 'close') as [number];
    assert.equal(code, 1);
    const said = readFileSync(log, 'utf8');
    assert.match(said, new RegExp(`pid ${server.pid}\\b`));
    assert.ok(said.includes(server.url), said);
    assert.equal((await server.client.run({ command: 'echo untouched' })).stdout, 'untouched\n');
  });

  it('the lock of a server that was killed is no obstacle, nor is one whose pid is somebody else\'s now', async (t) => {
    const server = await spawnServer(t);
    await server.kill9();
    const lock = join(server.stateDir, 'server.lock');
    assert.ok(existsSync(lock));
    await server.restart();
    await server.kill9();
    writeFileSync(lock, JSON.stringify({ pid: process.pid, startTime: '1', version: '0.0.0' }));
    await server.restart();
    for (const content of ['', '{"pid":', 'null', '\0\0\0']) {
      await server.kill9();
      writeFileSync(lock, content);
      await server.restart();
    }
  });

  it('torn and foreign files in the state directory are reported and passed over', { timeout: 60_000 }, async (t) => {
    const before = await startTestServer(t);
    const good = await before.client.run({ command: 'echo good' });
    const jobs = join(before.stateDir, 'jobs');
    const record = readFileSync(join(jobs, good.jobId, 'job.json'), 'utf8');
    await before.close();
    const id = (number: number): string => `01kaaaaaa000000${number.toString(32)}`;
    const make = (number: number, file?: string, content?: string): string => {
      const directory = join(jobs, id(number));
      mkdirSync(directory);
      if (file !== undefined) writeFileSync(join(directory, file), content ?? '');
      return directory;
    };
    const running = (number: number): string =>
      JSON.stringify({ ...JSON.parse(record) as object, jobId: id(number), state: { is: 'running', startedAt: good.startedAt } });
    make(0, 'job.json', record.slice(0, record.length / 2));
    make(1);
    make(2, 'job.json', record);
    make(3, 'job.json', '');
    execFileSync('mkfifo', [join(make(4), 'job.json')]);
    symlinkSync('/dev/zero', join(make(5), 'job.json'));
    symlinkSync(join(jobs, good.jobId), join(jobs, id(6)));
    mkdirSync(join(make(7), 'job.json'));
    make(8, 'job.json', '[]');
    make(9, 'job.json', record.replace('"is":"', '"is":"un'));
    const foreign = ['not a job', 'ABC', `${id(0)}.old`, '.hidden', 'ünïcode\n'];
    for (const name of foreign) mkdirSync(join(jobs, name));
    writeFileSync(join(jobs, id(10)), 'a file');
    writeFileSync(join(make(11, 'job.json', running(11)), 'process'), '77 (half a li');
    writeFileSync(join(make(12, 'job.json', running(12)), 'exit'), '');
    writeFileSync(join(jobs, id(12), 'process'), '1 (init) S 0 1 1 0\n');
    writeFileSync(join(make(13, 'job.json', running(13)), 'process'), '999999 (x) S 1 999999 999999 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0\n');
    writeFileSync(join(jobs, id(13), 'exit'), '0');
    execFileSync('mkfifo', [join(make(14, 'job.json', running(14)), 'process'), join(jobs, id(14), 'exit')]);
    const odd = make(15, 'job.json', running(15));
    for (const name of ['process', 'exit', 'stdin']) mkdirSync(join(odd, name));
    writeFileSync(join(before.stateDir, 'jobs.txt'), 'foreign');

    const { client, logged } = await startTestServer(t, { stateDir: before.stateDir });
    assert.equal((await client.run({ command: 'echo works' })).stdout, 'works\n');
    assert.equal((await client.jobs.get(good.jobId)).stdout, 'good\n');
    for (const number of [11, 12, 13, 14, 15]) {
      const job = await client.jobs.wait(id(number) as JobId);
      assert.deepEqual([number, job.status, job.reason, job.exitCode], [number, 'failed', 'lost', -1]);
    }
    const known = (await client.jobs.list({ limit: 1000 })).map(({ jobId }) => String(jobId));
    assert.deepEqual(known.filter((one) => [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map(id).includes(one)), []);
    const told = logged().split('\n').filter((line) => line.includes('skipped in the jobs directory'));
    // Nothing was ever taken on by these names, and nothing of them is left.
    assert.deepEqual(readdirSync(jobs).filter((name) => [1, 3].map(id).includes(name)), []);
    for (const name of [...[0, 2, 4, 5, 6, 7, 8, 9, 10].map(id), ...foreign]) {
      assert.ok(told.some((line) => (JSON.parse(line) as { name: string }).name === name), `${JSON.stringify(name)} is reported`);
    }
    assert.ok(readdirSync(jobs).includes('not a job'), 'nothing foreign is touched');
  });
});

/** Submits each under a key of its own, so that whoever repeats it gets the same job; fills `accepted` as the answers come. */
async function submit(client: Sidecar, plans: readonly Plan[], round: number, accepted: Map<number, JobId>): Promise<void> {
  await Promise.all(plans.map(async ({ request }, number) => {
    try {
      accepted.set(number, (await client.exec(request, { idempotencyKey: `round-${round}-job-${number}` })).jobId);
    } catch (error) {
      // The server was killed before it answered.
      if (!(error instanceof ProblemError && error.code === 'unreachable')) throw error;
    }
  }));
}

async function check(client: Sidecar, id: JobId, plan: Plan, what: string): Promise<void> {
  const ended = await client.jobs.wait(id, { timeoutMs: 60_000 });
  const { expected, stderr = '', stdout = '' } = plan;
  const known = Object.fromEntries(Object.keys(expected).map((name) => [name, ended[name as keyof Job]]));
  assert.deepEqual(known, expected, `${what}: ${JSON.stringify({ ...ended, stdout: ended.stdout?.slice(0, 200), command: undefined })}`);
  const isComplete = async (): Promise<boolean> => (await client.jobs.output(id, 'stdout')).length >= Buffer.byteLength(stdout);
  // What a background child adds comes after the job's end.
  await until(isComplete, { what: `${what}: all output is there` });
  assert.equal(digest(await client.jobs.output(id, 'stdout')), digest(Buffer.from(stdout)), `${what}: stdout`);
  const errors = Buffer.from(await client.jobs.output(id, 'stderr')).toString();
  if (typeof stderr === 'string') assert.equal(errors, stderr, `${what}: stderr`);
  else assert.match(errors, stderr, `${what}: stderr`);
}

function digest(bytes: Uint8Array): string {
  return `${bytes.length} bytes, ${createHash('sha256').update(bytes).digest('hex')}`;
}

function linesOf(path: string): string[] {
  return readFileSync(path, 'utf8').split('\n').filter((line) => line !== '');
}

async function statusesOf(client: Sidecar, ids: readonly JobId[]): Promise<readonly string[]> {
  return await Promise.all(ids.map(async (id) => (await client.jobs.get(id)).status));
}

/** The processes that launchers of the server have forked ahead for their next job: grandchildren of its first bash. */
function idleLaunchers(server: number): readonly number[] {
  const all = pids().flatMap((pid) => readStat(pid) ?? []);
  const children = (parents: readonly number[]): readonly number[] =>
    all.filter(({ parentPid }) => parents.includes(parentPid)).map(({ pid }) => pid);
  return children(children(children([server]))).filter(isStillLauncher);
}

/** Processes that have the file open. */
function holdersOf(path: string): readonly number[] {
  return pids().filter((pid) => {
    try {
      return readdirSync(`/proc/${pid}/fd`).some((fd) => linkOf(`/proc/${pid}/fd/${fd}`) === path);
    } catch {
      // It ended meanwhile, or belongs to another user.
      return false;
    }
  });
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

function pids(): readonly number[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number);
}
