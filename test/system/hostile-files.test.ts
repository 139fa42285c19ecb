/**
 * A job puts a FIFO, a link, a directory or a huge file in the place of each file of its own: the server answers on, and
 * starts again.
 */
import assert from 'node:assert/strict';
import {
  existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { type Answer, ask, run } from '../support/client.ts';
import { findProcesses } from '../../src/process/descendants.ts';
import { sendSignal, wordsOf } from '../../src/process/identity.ts';
import { atEnd, spawnServer } from '../support/server.ts';
import { until } from '../support/wait.ts';

const skip = process.platform === 'linux' ? false : 'it needs mkfifo, truncate and /dev/zero';

/** Shell, with the name in `$f`. */
const impostors: { readonly [kind: string]: string } = {
  fifo: 'mkfifo "$f"',
  'link to a device': 'ln -s /dev/zero "$f"',
  'link to nothing': 'ln -s /no/such/file "$f"',
  directory: 'mkdir "$f"; touch "$f/x"',
  'huge file': 'truncate -s 1T "$f"',
  nothing: ':',
};
/** A huge file in the place of the output would else end the job before it has said that it is ready. */
const maxOutputBytes = Number.MAX_SAFE_INTEGER;
const files = ['stdout', 'stderr', 'process', 'exit', 'job.json', 'answers.ndjson', 'stdin', 'command'];

interface Planted {
  readonly id: string;
  readonly what: string;
}

test('no file that a job replaces keeps the server from answering, from starting again, or the job from ending', { skip, timeout: 240_000 }, async (t) => {
  const server = await spawnServer(t);
  const answered = async (line: string, options?: Parameters<typeof ask>[2]): Promise<Answer> => {
    const answer = await ask(server, line, options);
    assert.notEqual(answer.status, 500, `${line}: ${answer.text}`);
    return answer;
  };
  // A long command is read back from the record when it is shown.
  const padding = `# ${'x'.repeat(3000)}`;
  const planted: Planted[] = [];
  for (const file of files) {
    for (const [kind, put] of Object.entries(impostors)) {
      const command = `cd '${server.stateDir}'/jobs/$SIDECAR_JOB_ID || exit 9; f=${file}; rm -f "$f"; ${put}; touch '${server.stateDir}'/../$SIDECAR_JOB_ID.ready
while [ ! -e '${server.stateDir}'/../go ]; do sleep 0.1; done; exit 3\n${padding}`;
      const { jobId } = (await answered('POST /exec', { body: { command, maxOutputBytes } })).json<{ jobId: string }>();
      planted.push({ id: jobId, what: `${file}: ${kind}` });
    }
  }
  const beside = (name: string): string => join(server.stateDir, '..', name);
  t.after(() => { for (const name of ['go', ...planted.map(({ id }) => `${id}.ready`)]) rmSync(beside(name), { force: true }); });
  const missing = (): string[] => planted.filter(({ id }) => !existsSync(beside(`${id}.ready`))).map(({ what }) => what);
  await allOf(missing, 'all have replaced their file', 60_000);
  const look = async ({ id, what }: Planted): Promise<void> => {
    const headers = { 'Idempotency-Key': `key of ${what}` };
    await answered(`GET /jobs/${id}`);
    for (const stream of ['stdout', 'stderr']) await answered(`GET /jobs/${id}/${stream}?tailLines=3&maxBytes=100`);
    await answered(`POST /jobs/${id}/nudge`, { body: { input: 'x\n' }, headers });
    await answered(`POST /jobs/${id}/signal`, { body: { signal: 'SIGCONT' }, headers });
    await answered(`POST /jobs/${id}/rerun`, { headers: { 'Idempotency-Key': `rerun of ${what}` }, body: { no: 'such field' } });
    const { status } = await ask(server, 'GET /health');
    assert.equal(status, 200, what);
  };
  const lookAtAll = async (): Promise<void> => {
    for (const one of planted) await look(one);
    for (const query of ['', '?output=true']) assert.equal((await answered(`GET /jobs${query}`)).status, 200);
  };
  await lookAtAll();
  const replaced = (await answered(`GET /jobs/${planted[0]?.id ?? ''}`)).json<{ warnings?: readonly string[]; stdout: string }>();
  assert.deepEqual([replaced.stdout, replaced.warnings], ['', ['stdout cannot be read: something has replaced the file']]);
  assert.equal((await ask(server, `GET /jobs/${planted[0]?.id ?? ''}/stdout`)).problem.code, 'output_unreadable');
  // What went wrong: the next server stood still in the same open.
  await server.kill9();
  await server.restart();
  await lookAtAll();
  writeFileSync(beside('go'), '');
  await until(async () => {
    const { jobs, running } = (await answered('GET /health')).json<{ jobs: number; running: number }>();
    return jobs > 0 && running === 0;
  }, { what: 'all have ended', limitMs: 120_000 });
  await lookAtAll();
});

test('a job that a launcher of this server waits for ends, whatever it has put in the place of its files', { skip, timeout: 240_000 }, async (t) => {
  const server = await spawnServer(t);
  const ids: Planted[] = [];
  for (const file of ['exit', 'process', 'stdout']) {
    for (const [kind, put] of Object.entries(impostors)) {
      for (const code of [3, 126]) {
        const command = `cd '${server.stateDir}'/jobs/$SIDECAR_JOB_ID || exit 9; f=${file}; rm -f "$f"; ${put}; exit ${code}`;
        for (const more of [{}, { mode: 'persistent_shell', sessionKey: `${file}-${kind}` }]) {
          const { jobId } = (await ask(server, 'POST /exec', { body: { command, maxOutputBytes, ...more } })).json<{ jobId: string }>();
          ids.push({ id: jobId, what: `${file}: ${kind}, exit ${code}, ${JSON.stringify(more)}` });
        }
      }
    }
  }
  const unfinished = async (): Promise<string[]> => {
    const jobs = (await ask(server, 'GET /jobs?limit=1000')).json<{ jobId: string; finishedAt: number | null }[]>();
    const open = new Set(jobs.filter(({ finishedAt }) => finishedAt === null).map(({ jobId }) => jobId));
    return ids.filter(({ id }) => open.has(id)).map(({ what }) => what);
  };
  await allOf(unfinished, 'all have ended', 100_000);
  assert.equal((await ask(server, 'POST /exec?wait=30', { body: { command: 'echo on' } })).json<{ stdout: string }>().stdout, 'on\n');
});

test('a huge file in the place of the output ends the job by the default limit', { skip, timeout: 60_000 }, async (t) => {
  const server = await spawnServer(t);
  for (const file of ['stdout', 'stderr']) {
    const put = `cd '${server.stateDir}'/jobs/$SIDECAR_JOB_ID && rm ${file} && truncate -s 1T ${file}`;
    const { reason, status } = await run(server, { command: `${put} && exec sleep 300`, killGrace: 1 });
    assert.deepEqual([status, reason], ['failed', 'output_limit'], file);
  }
});

test('a job that has replaced the files of its process and its exit is signalled, met again and ended at once', { skip, timeout: 120_000 }, async (t) => {
  const server = await spawnServer(t);
  const planted: { readonly id: string; readonly what: string; readonly ready: string }[] = [];
  const puts = {
    FIFO: 'mkfifo process; rm exit; mkfifo exit', nothing: 'rm exit; mkdir exit',
    'a huge file': 'rm exit; truncate -s 1T process exit', garbage: 'echo x > process; rm exit; ln -s /no/such exit',
  };
  for (const [what, put] of Object.entries(puts)) {
    const ready = join(server.stateDir, '..', `${what}-ready`);
    t.after(() => { rmSync(ready, { force: true }); });
    const command = `cd '${server.stateDir}'/jobs/$SIDECAR_JOB_ID || exit 9; rm process; ${put}; trap 'echo heard' USR1; echo $$ > '${ready}'; while :; do sleep 0.1; done`;
    planted.push({ id: (await ask(server, 'POST /exec', { body: { command } })).json<{ jobId: string }>().jobId, what, ready });
  }
  for (const { ready, what } of planted) await until(() => existsSync(ready), { what, limitMs: 30_000 });
  // What went wrong: each of these waited ten seconds for what cannot come, and then said that there is no process.
  const atOnce = async (line: string, body: object, what: string): Promise<Answer> => {
    const begunAt = performance.now();
    const answer = await ask(server, line, { body });
    assert.equal(answer.status, 200, `${what}: ${answer.text}`);
    assert.ok(performance.now() - begunAt < 8000, `${what}: ${line} took ${performance.now() - begunAt} ms`);
    return answer;
  };
  for (const { id, what } of planted) await atOnce(`POST /jobs/${id}/signal`, { signal: 'SIGUSR1' }, what);
  for (const { id, what } of planted) {
    await until(async () => (await ask(server, `GET /jobs/${id}`)).json<{ stdout: string }>().stdout === 'heard\n', { what, limitMs: 30_000 });
  }
  await server.kill9();
  await server.restart();
  for (const { id, what } of planted) await atOnce(`POST /jobs/${id}/signal`, { signal: 'SIGUSR1' }, what);
  for (const { id, what } of planted) {
    const job = (await atOnce(`POST /jobs/${id}/cancel`, { graceSeconds: 0 }, what)).json<{ reason: string; processAlive: boolean }>();
    assert.deepEqual([job.reason, job.processAlive], ['cancelled', false], what);
  }
});

test('a job that has emptied or removed the file of its process is not run again by the next server', { skip, timeout: 60_000 }, async (t) => {
  const server = await spawnServer(t);
  const folder = join(server.stateDir, '..');
  const jobs = await Promise.all([': >process', 'rm process'].map(async (spoil, index) => {
    const command = `cd '${server.stateDir}'/jobs/$SIDECAR_JOB_ID; ${spoil}; echo run >>'${folder}/ledger-${index}'
while [ ! -e '${folder}/go' ]; do sleep 0.05; done; exit 5`;
    return (await ask(server, 'POST /exec', { body: { command } })).json<{ jobId: string }>().jobId;
  }));
  const overdue = (await ask(server, 'POST /exec', { body: {
    command: `: >'${server.stateDir}'/jobs/$SIDECAR_JOB_ID/process; touch '${folder}/ledger-2'; exec sleep 1000`, timeout: 2, killGrace: 1,
  } })).json<{ jobId: string }>().jobId;
  t.after(() => { for (const name of ['go', 'ledger-0', 'ledger-1', 'ledger-2']) rmSync(join(folder, name), { force: true }); });
  await until(() => [0, 1, 2].every((index) => existsSync(join(folder, `ledger-${index}`))), { what: 'all run' });
  await server.kill9();
  await server.restart();
  writeFileSync(join(folder, 'go'), '');
  for (const [index, id] of jobs.entries()) {
    const job = await until(async () => {
      const now = (await ask(server, `GET /jobs/${id}`)).json<{ finishedAt: number | null; exitCode: number }>();
      return now.finishedAt !== null && now;
    }, { what: 'it has ended' });
    assert.equal(job.exitCode, 5);
    assert.equal(readFileSync(join(folder, `ledger-${index}`), 'utf8'), 'run\n');
  }
  await until(async () => (await ask(server, `GET /jobs/${overdue}`)).json<{ reason: string | null }>().reason === 'timeout', {
    what: 'the timeout of the third holds',
  });
});

test('what a job runs whose record is gone is ended by the next server', { skip, timeout: 60_000 }, async (t) => {
  const server = await spawnServer(t);
  const spoilers = [
    'rm job.json', ': >job.json', 'rm job.json; mkfifo job.json', 'rm -r *; touch x',
    // What went wrong: any object counted as a record of a later version, and the processes were left alone.
    'echo "{\\"state\\":1}" >job.json', 'echo "[]" >job.json', 'echo "{" >job.json; echo 0 >exit',
  ];
  const ids = await Promise.all(spoilers.map(async (spoil) => {
    const command = `cd '${server.stateDir}'/jobs/$SIDECAR_JOB_ID; ${spoil}; exec sleep 1000`;
    return (await ask(server, 'POST /exec', { body: { command } })).json<{ jobId: string }>().jobId;
  }));
  const families = ids.map((id) => ({ id, leader: undefined }));
  await until(async () => [...(await findProcesses(families)).values()].flat().filter(({ pid }) => wordsOf(pid)[0] === 'sleep').length === ids.length, {
    what: 'all have spoilt their record',
  });
  await server.kill9();
  await server.restart();
  await until(async () => (await findProcesses(families)).size === 0, { what: 'nothing of them is left' });
});

/** Shell, with the directory of the job in `$d`. */
const withoutDirectory: { readonly [kind: string]: string } = {
  fifo: 'rm -r "$d"; mkfifo "$d"',
  link: 'mv "$d" "$d.aside"; ln -s "$d.aside" "$d"',
  file: 'rm -r "$d"; echo x >"$d"',
  'empty directory': 'rm -r "$d"; mkdir "$d"',
  'empty files': 'for f in "$d"/*; do : >"$f"; done',
  nothing: 'rm -r "$d"',
};

test('what a job runs whose directory is gone is ended by the next server, and nothing else', {
  skip, timeout: 90_000,
}, async (t) => {
  const [server, other] = [await spawnServer(t), await spawnServer(t)];
  const begin = async (on: typeof server, spoil: string, more: object = {}): Promise<string> => {
    const command = `d='${on.stateDir}'/jobs/$SIDECAR_JOB_ID; ${spoil}; sleep 1000`;
    return (await ask(on, 'POST /exec', { body: { command, ...more } })).json<{ jobId: string }>().jobId;
  };
  const ids: string[] = [];
  for (const [kind, spoil] of Object.entries(withoutDirectory)) {
    ids.push(await begin(server, spoil));
    // In a shell, nothing but what lies there tells that it runs.
    if (spoil !== withoutDirectory['nothing']) {
      ids.push(await begin(server, spoil, { mode: 'persistent_shell', sessionKey: kind }));
    }
  }
  const { jobId: forgotten } = await run(server, { command: 'setsid sleep 1000 >/dev/null 2>&1 &' });
  assert.equal((await ask(server, `DELETE /jobs/${forgotten}`)).status, 204);
  // The other server has the same in its state directory.
  const stay = [forgotten, await begin(other, withoutDirectory['nothing'] ?? '')];
  const sleepsOf = async (some: readonly string[]): Promise<number> => {
    const found = [...(await findProcesses(some.map((id) => ({ id, leader: undefined })))).values()].flat();
    return found.filter(({ pid }) => wordsOf(pid)[0] === 'sleep').length;
  };
  atEnd(t, () => endMarked([...ids, ...stay]));
  await until(async () => await sleepsOf(ids) === ids.length && await sleepsOf(stay) === stay.length, {
    what: 'all have spoilt their directory',
  });
  await server.kill9();
  await server.restart();
  await until(async () => await sleepsOf(ids) === 0, { what: 'nothing of them is left' });
  assert.equal(await sleepsOf(stay), stay.length);
  assert.equal((await ask(server, 'GET /jobs')).text.trim(), '[]');
});

async function endMarked(ids: readonly string[]): Promise<void> {
  const found = await findProcesses(ids.map((id) => ({ id, leader: undefined })));
  for (const { pid } of [...found.values()].flat()) sendSignal(pid, 'SIGKILL');
}

test('a file with holes counts only what it takes on disk', { skip, timeout: 60_000 }, async (t) => {
  const server = await spawnServer(t, { flags: { 'keep-jobs': '3' } });
  const commands = ['echo oldest', 'echo important', 'truncate -s 20G /dev/stdout; echo hi', 'echo last'];
  for (const command of commands) await run(server, { command, output: 'file' });
  const listed = async (): Promise<readonly string[]> => (await ask(server, 'GET /jobs')).json<{ command: string }[]>().map((job) => job.command);
  await until(async () => !(await listed()).includes('echo oldest'), { what: 'the oldest is forgotten' });
  assert.equal((await listed()).length, 3);
  await until(() => server.logged().includes('old jobs deleted'), { what: 'it is logged' });
});

test('nothing is read or written below a link in the place of a directory', { skip, timeout: 60_000 }, async (t) => {
  const server = await spawnServer(t);
  const outside = mkdtempSync(join(tmpdir(), 'outside-'));
  t.after(() => { rmSync(outside, { recursive: true, force: true }); });
  const holds = (): Record<string, string> => Object.fromEntries(readdirSync(outside).sort().map((name) => [name, readFileSync(join(outside, name), 'utf8')]));
  const { jobId } = (await ask(server, 'POST /exec', { body: { command: 'read line' } })).json<{ jobId: string }>();
  const { terminalId } = (await ask(server, 'POST /terminals', { body: {} })).json<{ terminalId: string }>();
  const own = join(server.stateDir, 'jobs', jobId);
  await until(() => readFileSync(join(own, 'process'), 'utf8') !== '', { what: 'the job has begun' });
  for (const name of ['stdout', 'stderr', 'stdin', 'exit']) writeFileSync(join(outside, name), `kept ${name}\n`);
  writeFileSync(join(outside, 'job.json'), readFileSync(join(own, 'job.json')));
  writeFileSync(join(outside, 'process'), readFileSync(join(own, 'process')));
  const before = holds();
  for (const directory of [own, join(server.stateDir, 'terminals', terminalId)]) {
    renameSync(directory, `${outside}-${basename(directory)}`);
    t.after(() => { rmSync(`${outside}-${basename(directory)}`, { recursive: true, force: true }); });
    symlinkSync(outside, directory);
  }
  assert.equal((await ask(server, `GET /jobs/${jobId}/stdout`)).problem.code, 'output_unreadable');
  assert.equal((await ask(server, `GET /jobs/${jobId}`)).json<{ stdout: string }>().stdout, '');
  assert.equal((await ask(server, `POST /jobs/${jobId}/cancel`, { body: { graceSeconds: 0 } })).status, 200);
  assert.deepEqual(holds(), before);
  rmSync(join(outside, 'job.json'));
  await server.kill9();
  await server.restart();
  assert.equal((await ask(server, `GET /terminals/${terminalId}`)).status, 404);
  // What went wrong: a terminal.json was made there, and stdin was removed.
  assert.deepEqual(Object.keys(holds()), ['exit', 'process', 'stderr', 'stdin', 'stdout']);
});

/** Waits until none is left. @throws AssertionError that names those that are. */
async function allOf(left: () => readonly string[] | Promise<readonly string[]>, what: string, limitMs: number): Promise<void> {
  const none = async (): Promise<boolean> => (await left()).length === 0;
  await until(none, { what, limitMs }).catch(async () => { assert.deepEqual(await left(), [], what); });
}
