/**
 * A job makes files of its own unreadable without replacing them: by chmod(1), where the server is not root, or by a
 * lease (fcntl(2), F_SETLEASE), which lets no other process open the file. The server answers as where they are replaced.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Answer, ask, type Asked, submit } from '../support/client.ts';
import { findProcesses } from '../../src/process/descendants.ts';
import { shellMark } from '../../src/shells/session-record.ts';
import { type SpawnedServer, spawnServer } from '../support/server.ts';
import { until } from '../support/wait.ts';

const hasPerl = process.platform === 'linux' && spawnSync('perl', ['-e', '1']).status === 0;
const withoutPerl = hasPerl ? false : 'it needs perl to take a lease';
const isRoot = process.platform === 'linux' && process.getuid?.() === 0;
const notRoot = isRoot ? false : 'it needs root to start a server that is not';
const timeout = 120_000;
const nobody = 65_534;
const bytes = { 'Content-Type': 'application/octet-stream' };

/** Perl: takes a write lease on the file `$ARGV[0]` once no process has it open, then makes the file `$ARGV[1]`. */
const lease = `$SIG{IO} = "IGNORE"; open(F, "+<", $ARGV[0]) or die;
until (fcntl(F, 1024, 1)) { select(undef, undef, undef, 0.01) } open(G, ">", $ARGV[1]); sleep 1000`;

/** Shell: a process that stays has a lease on `path`, which exists by then, and says so by the file `ready`. */
function leased(path: string, ready: string): string {
  const take = `setsid perl -e '${lease}' ${path} '${ready}' </dev/null >/dev/null 2>&1 &`;
  return `until [ -e ${path} ]; do sleep 0.05; done; ${take}`;
}

function sessionFolder(server: SpawnedServer, sessionKey: string): string {
  return join(server.stateDir, 'shells', createHash('sha256').update(sessionKey).digest('hex').slice(0, 32));
}

async function nothingRuns(ids: readonly string[], what: string): Promise<void> {
  const families = ids.map((id) => ({ id, leader: undefined }));
  await until(async () => (await findProcesses(families)).size === 0, { what, limitMs: 30_000 });
}

/** Asks. @throws AssertionError on a 500, and where the answer has another status or code than expected. */
async function answers(server: SpawnedServer, line: string, expected: string, asked?: Asked): Promise<Answer> {
  const answer = await ask(server, line, asked);
  const code = answer.status < 400 ? '' : ` ${answer.problem.code}`;
  assert.equal(`${answer.status}${code}`, expected, `${line}: ${answer.text}`);
  return answer;
}

/** Waits until a job has a process that can be signalled; the answer is remembered on disk. */
async function signalled(server: SpawnedServer, id: string): Promise<void> {
  const asked = { body: { signal: 'SIGCONT' }, headers: { 'Idempotency-Key': 'before' } };
  const isTold = async (): Promise<boolean> => (await ask(server, `POST /jobs/${id}/signal`, asked)).status === 200;
  await until(isTold, { what: `${id} is signalled` });
}

test('a lease on a file of a job changes nothing for other jobs, nor does it keep the server from starting', {
  skip: withoutPerl, timeout,
}, async (t) => {
  const server = await spawnServer(t);
  const files = ['process', 'exit', 'job.json', 'stdout', 'answers.ndjson'];
  const jobs = new Map<string, string>();
  for (const file of files) {
    const ready = join(server.stateDir, '..', `${file}-ready`);
    const path = `'${server.stateDir}'/jobs/$SIDECAR_JOB_ID/${file}`;
    // It has its output in no file of its own: no lease is to be had on one that is open.
    const command = `exec >/dev/null 2>&1; ${leased(path, ready)} exec sleep 1000`;
    const id = await submit(server, { command, output: 'file' });
    jobs.set(file, id);
    if (file === 'answers.ndjson') {
      await signalled(server, id);
    }
    await until(() => existsSync(ready), { what: `there is a lease on ${file}`, limitMs: 30_000 });
  }
  const id = (file: string): string => jobs.get(file) ?? '';
  const look = async (): Promise<void> => {
    await answers(server, 'GET /jobs', '200');
    await answers(server, 'GET /jobs?output=1', '200');
    for (const file of files.filter((name) => name !== 'job.json')) {
      await answers(server, `GET /jobs/${id(file)}`, '200');
      await answers(server, `GET /jobs/${id(file)}?wait=0.1&waitFor=change`, '200');
    }
    await answers(server, `GET /jobs/${id('stdout')}/stdout`, '409 output_unreadable');
    const asked = { body: { signal: 'SIGCONT' }, headers: { 'Idempotency-Key': 'after' } };
    await answers(server, `POST /jobs/${id('answers.ndjson')}/signal`, '503 unavailable', asked);
  };
  await answers(server, `GET /jobs/${id('job.json')}`, '200');
  await look();
  await server.kill9();
  // What went wrong: this one ended with "Cannot serve: EAGAIN".
  await server.restart();
  await look();
  for (const file of ['process', 'exit']) {
    const job = (await answers(server, `POST /jobs/${id(file)}/cancel`, '200', { body: { graceSeconds: 1 } })).json();
    assert.equal(job['reason'], 'cancelled', file);
  }
  await nothingRuns([id('job.json')], 'the job whose record cannot be read was ended');
});

test('what a job closes to a server that is not root is answered as what it replaces', {
  skip: notRoot, timeout,
}, async (t) => {
  const server = await spawnServer(t, { uid: nobody });
  const cases = [
    { file: '.', keyed: '503 unavailable', plain: '409 stdin_closed' },
    { file: 'stdin', keyed: '409 stdin_closed', plain: '409 stdin_closed' },
    { file: 'answers.ndjson', keyed: '503 unavailable', plain: '200' },
  ];
  for (const more of [{}, { mode: 'persistent_shell' }]) {
    for (const { file, keyed, plain } of cases) {
      const isShell = 'mode' in more;
      const sessionKey = `of-${file}`;
      const session = isShell ? { sessionKey } : {};
      const id = await submit(server, { command: 'sleep 1000', killGrace: 0, ...more, ...session });
      const signal = { body: { signal: 'SIGCONT' } };
      await signalled(server, id);
      chmodSync(join(server.stateDir, 'jobs', id, file), 0);
      const toSignal = file === 'stdin' ? '200' : keyed;
      const at = `POST /jobs/${id}`;
      await answers(server, `${at}/signal`, toSignal, { ...signal, headers: { 'Idempotency-Key': 'after' } });
      const withKey = { ...bytes, 'Idempotency-Key': 'stdin' };
      await answers(server, `${at}/stdin`, keyed, { body: 'x', headers: withKey });
      await answers(server, `${at}/stdin`, plain, { body: 'x', headers: bytes });
      await answers(server, `GET /jobs/${id}`, '200');
      if (isShell) await answers(server, `GET /sessions/${sessionKey}`, '200');
      await answers(server, `POST /jobs/${id}/cancel`, '200', { body: { graceSeconds: 0 } });
    }
  }
});

test('a waiting job whose files are closed to a server that is not root fails, and the next one runs', {
  skip: notRoot, timeout,
}, async (t) => {
  // What went wrong: the server tried without an end to open its stdin, or waited for a shell that could not claim it.
  const server = await spawnServer(t, { uid: nobody, flags: { 'max-running': '1' } });
  for (const [more, file] of [
    [{}, 'stdin'], [{ mode: 'persistent_shell', sessionKey: 'k' }, 'stdin'],
    [{ mode: 'persistent_shell', sessionKey: 'k' }, 'process'],
  ] as const) {
    const first = await submit(server, { command: 'sleep 1000', killGrace: 0 });
    const waiting = await submit(server, { command: 'echo ran', ...more });
    const next = await submit(server, { command: 'echo next' });
    chmodSync(join(server.stateDir, 'jobs', waiting, file), 0);
    await answers(server, `POST /jobs/${first}/cancel`, '200', { body: { graceSeconds: 0 } });
    const ended = (await answers(server, `GET /jobs/${waiting}?wait=30&waitFor=end`, '200')).json();
    assert.deepEqual([ended['status'], ended['exitCode'], ended['stdout']], ['failed', 126, ''], `${file} ${JSON.stringify(more)}`);
    const after = (await answers(server, `GET /jobs/${next}?wait=30&waitFor=end`, '200')).json();
    assert.equal(after['stdout'], 'next\n');
  }
});

test('a job that has closed its record or its directory is ended by the next server', {
  skip: notRoot, timeout,
}, async (t) => {
  const server = await spawnServer(t, { uid: nobody });
  const ids: string[] = [];
  for (const file of ['job.json', '.']) {
    const id = await submit(server, { command: 'sleep 1000' });
    ids.push(id);
    await signalled(server, id);
    chmodSync(join(server.stateDir, 'jobs', id, file), 0);
  }
  await server.kill9();
  await server.restart();
  await nothingRuns(ids, 'nothing of them is left');
});

/** `R/`: in the directory of the start of the shell; else in that of its job. */
const filesOfShells = ['R/.', 'R/process', 'R/job', 'process', 'exit', '.'];

for (const way of ['chmod', 'lease'] as const) {
  test(`a session goes on after a restart where a job has made a file unreadable by ${way}, and no shell is left`, {
    skip: way === 'chmod' ? notRoot : withoutPerl, timeout,
  }, async (t) => {
    const server = await spawnServer(t, way === 'chmod' ? { uid: nobody } : {});
    const jobs = new Map<string, string>();
    const marks: string[] = [];
    for (const file of filesOfShells.filter((name) => way === 'chmod' || !name.endsWith('.'))) {
      const sessionKey = `of-${file}`;
      const folder = sessionFolder(server, sessionKey);
      const inJob = `${join(server.stateDir, 'jobs')}/$SIDECAR_JOB_ID/${file}`;
      const path = file.startsWith('R/') ? join(folder, 'run-1', file.slice(2)) : inJob;
      const ready = join(server.stateDir, '..', `${file.replace('/', '-')}-ready`);
      const spoil = way === 'chmod' ? `chmod 0 ${path}; : >'${ready}';` : leased(path, ready);
      const command = `${spoil} sleep 1000`;
      const id = await submit(server, { command, mode: 'persistent_shell', sessionKey, killGrace: 0 });
      jobs.set(sessionKey, id);
      await until(() => existsSync(ready), { what: `${file} is spoilt`, limitMs: 30_000 });
      const record = JSON.parse(readFileSync(join(folder, 'shell.json'), 'utf8')) as { createdAt: number };
      marks.push(id, shellMark(folder, record, 1));
    }
    await server.kill9();
    await server.restart();
    for (const [sessionKey, id] of jobs) {
      const at = `/sessions/${encodeURIComponent(sessionKey)}`;
      // What went wrong: the session was skipped, and its shell kept for a later version.
      await answers(server, `GET ${at}`, '200');
      await ask(server, `POST /jobs/${id}/cancel`, { body: { graceSeconds: 0 } });
      const body = { command: 'echo again', mode: 'persistent_shell', sessionKey };
      const again = (await answers(server, 'POST /exec?wait=30', '200', { body })).json();
      assert.equal(again['stdout'], 'again\n', `${sessionKey}: ${JSON.stringify(again)}`);
      await answers(server, `DELETE ${at}`, '200');
    }
    await nothingRuns(marks, 'nothing of the sessions is left');
  });
}

test('a terminal whose files cannot be removed is not said to be deleted', { skip: notRoot, timeout }, async (t) => {
  const server = await spawnServer(t, { uid: nobody });
  const { terminalId } = (await answers(server, 'POST /terminals', '201', { body: { command: 'sleep 600' } })).json<{ terminalId: string }>();
  const folder = join(server.stateDir, 'terminals');
  chmodSync(folder, 0o500);
  await answers(server, `DELETE /terminals/${terminalId}`, '503 unavailable');
  await answers(server, `GET /terminals/${terminalId}`, '200');
  chmodSync(folder, 0o700);
  await answers(server, `DELETE /terminals/${terminalId}`, '200');
  await answers(server, `GET /terminals/${terminalId}`, '404 terminal_not_found');
});
