/**
 * A FIFO, a link, a directory or a huge file stands in the place of each file of queued jobs, persistent shells,
 * terminals and agents: the server answers at each step, after a kill and a restart too, and ends at SIGTERM.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, symlinkSync, truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fake, inPhase } from '../support/agent.ts';
import { type Answer, ask } from '../support/client.ts';
import { atEnd, type SpawnedServer, spawnServer } from '../support/server.ts';
import { soak } from '../support/soak.ts';
import { until } from '../support/wait.ts';
import { processesWith } from '../support/processes.ts';
import { terminalless } from '../support/terminal.ts';

const linux = process.platform === 'linux' ? false : 'it needs mkfifo and /dev/zero';
/** Far more than a request takes on a busy machine, far less than what waits for ever. */
const answerMs = 20_000;
const endMs = 60_000;
const timeout = 300_000;

/** Puts something else in the place of a file. */
const impostors: { readonly [kind: string]: (path: string) => void } = {
  fifo: (path) => { execFileSync('mkfifo', [path]); },
  'link to a device': (path) => { symlinkSync('/dev/zero', path); },
  'link to a FIFO': (path) => { execFileSync('mkfifo', [`${path}.fifo`]); symlinkSync(`${path}.fifo`, path); },
  directory: (path) => { mkdirSync(path); writeFileSync(join(path, 'x'), ''); },
  'huge file': (path) => { closeSync(openSync(path, 'w')); truncateSync(path, 2 ** 40); },
  nothing: () => undefined,
};

interface Case {
  readonly file: string;
  readonly kind: string;
}

/** @param parts The short form takes one case of so many, with each file and each kind. */
function casesOf(files: readonly string[], parts: number): readonly Case[] {
  return files.flatMap((file, row) => Object.keys(impostors)
    .filter((_, column) => (row + column) % soak(parts, 1) === 0)
    .map((kind) => ({ file, kind })));
}

function plant(directory: string, { file, kind }: Case): void {
  const path = join(directory, file);
  rmSync(path, { recursive: true, force: true });
  impostors[kind]?.(path);
}

/** Puts a file back, unless its directory has gone. */
function restore(path: string, content: Buffer): void {
  if (!existsSync(dirname(path))) return;
  rmSync(path, { recursive: true, force: true });
  writeFileSync(path, content);
}

/** Asks within a bound. @throws AssertionError on a 500, and where the answer does not come in time. */
async function answered(server: SpawnedServer, line: string, options?: Parameters<typeof ask>[2]): Promise<Answer> {
  const overdue = Symbol('overdue');
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<typeof overdue>((resolve) => { timer = setTimeout(() => resolve(overdue), answerMs); });
  const answer = await Promise.race([ask(server, line, options), late]).finally(() => clearTimeout(timer));
  if (answer === overdue) throw new Error(`No answer within ${answerMs} ms: ${line}`);
  assert.notEqual(answer.status, 500, `${line}: ${answer.text}`);
  return answer;
}

async function healthy(server: SpawnedServer, what: string): Promise<void> {
  assert.equal((await answered(server, 'GET /health')).status, 200, what);
}

async function submit(server: SpawnedServer, body: object): Promise<string> {
  const answer = await answered(server, 'POST /exec', { body });
  assert.equal(answer.status, 202, answer.text);
  return answer.json<{ jobId: string }>().jobId;
}

/** Waits until all have ended. @throws AssertionError that names those that have not. */
async function allEnded(server: SpawnedServer, jobs: ReadonlyMap<string, string>): Promise<void> {
  let open: readonly string[] = [];
  const look = async (): Promise<boolean> => {
    const answer = await answered(server, 'GET /jobs?limit=1000');
    const running = answer.json<{ jobId: string; finishedAt: number | null }[]>().filter((job) => job.finishedAt === null);
    open = running.flatMap(({ jobId }) => jobs.get(jobId) ?? []);
    return open.length === 0;
  };
  await until(look, { what: 'all have ended', limitMs: endMs }).catch(() => { assert.deepEqual(open, []); });
}

/** @throws AssertionError where SIGTERM does not end it in time. */
async function endsInTime(server: SpawnedServer): Promise<void> {
  let isEnded = false;
  const ending = server.stop().then(() => { isEnded = true; });
  await until(() => isEnded, { what: 'SIGTERM ends the server', limitMs: endMs });
  await ending;
}

const jobFiles = [
  'stdout', 'stderr', 'process', 'exit', 'job.json', 'stdin', 'launch', 'command', 'copiers', 'environment',
];

for (const isRestarted of [false, true]) {
  const when = isRestarted ? ', also by the next server' : '';
  test(`queued jobs whose files were replaced end${when}`, { skip: linux, timeout }, async (t) => {
    const server = await spawnServer(t, { flags: { 'max-running': '1' } });
    const go = join(server.stateDir, '..', 'go');
    t.after(() => { rmSync(go, { force: true }); });
    await submit(server, { command: `while [ ! -e '${go}' ]; do sleep 0.1; done`, timeout: 300 });
    const jobs = new Map<string, string>();
    // A long line is read from a file by its launcher; a name that is none for a shell goes by a file, too.
    const ways: { readonly [way: string]: object } = {
      plain: { command: 'echo ran' },
      pipe: { command: 'echo ran', output: 'pipe' },
      'file for stdin': { command: `cat; true ${'x'.repeat(5000)}`, stdin: 'text', env: { 'a.b': 'c' } },
      shell: { command: 'echo ran', mode: 'persistent_shell' },
    };
    for (const [turn, [way, body]] of Object.entries(ways).entries()) {
      for (const [index, one] of casesOf(jobFiles, 1).entries()) {
        // In the short form each case has one way.
        if (soak((index + turn) % Object.keys(ways).length !== 0, false)) continue;
        const session = way === 'shell' ? { sessionKey: `s${index % 4}` } : {};
        const id = await submit(server, { ...body, ...session, timeout: 280 });
        jobs.set(id, `${way}: ${one.file}: ${one.kind}`);
        plant(join(server.stateDir, 'jobs', id), one);
      }
    }
    await healthy(server, 'planted');
    for (const id of jobs.keys()) await answered(server, `GET /jobs/${id}`);
    if (isRestarted) {
      await server.kill9();
      await server.restart();
      await healthy(server, 'restarted');
    }
    writeFileSync(go, '');
    await allEnded(server, jobs);
    for (const id of jobs.keys()) await answered(server, `GET /jobs/${id}`);
    const after = await answered(server, 'POST /exec?wait=30', { body: { command: 'echo on' } });
    assert.equal(after.json<{ stdout: string }>().stdout, 'on\n');
    await endsInTime(server);
  });
}

test('persistent shells whose files were replaced keep nobody waiting', { skip: linux, timeout }, async (t) => {
  const server = await spawnServer(t, { flags: { 'max-sessions': '200' } });
  const ofRun = ['control', 'process', 'exit', 'job', 'bootstrap'].map((file) => join('run-1', file));
  const folder = join(server.stateDir, 'shells');
  const cases = casesOf(['shell.json', ...ofRun], 2);
  const known = new Set<string>();
  // What ends the processes of the test reads them.
  const records = new Map<string, Buffer>();
  atEnd(t, () => { for (const [path, record] of records) restore(path, record); });
  const sessions: string[] = [];
  for (const [index, one] of cases.entries()) {
    const sessionKey = `${one.file} ${one.kind}`;
    const shell = index % 2 === 0 ? 'bash' : 'sh';
    await answered(server, 'POST /exec?wait=30', { body: { command: ':', mode: 'persistent_shell', sessionKey, shell } });
    const name = readdirSync(folder).find((other) => !known.has(other));
    assert.ok(name !== undefined, sessionKey);
    known.add(name);
    sessions.push(sessionKey);
    records.set(join(folder, name, 'shell.json'), readFileSync(join(folder, name, 'shell.json')));
    plant(join(folder, name), one);
  }
  const use = async (): Promise<void> => {
    await healthy(server, 'planted');
    await answered(server, 'GET /sessions');
    const jobs = new Map<string, string>();
    for (const sessionKey of sessions) {
      const body = { command: 'echo ran', mode: 'persistent_shell', sessionKey, timeout: 20, bootstrapCommand: 'x=1' };
      const answer = await answered(server, 'POST /exec', { body });
      if (answer.status === 202) jobs.set(answer.json<{ jobId: string }>().jobId, sessionKey);
      await healthy(server, sessionKey);
    }
    await allEnded(server, jobs);
  };
  await use();
  await server.kill9();
  await server.restart();
  await use();
  for (const sessionKey of sessions) {
    await answered(server, `DELETE /sessions/${encodeURIComponent(sessionKey)}`);
    await healthy(server, `${sessionKey} deleted`);
  }
  // Without its record nothing tells of a session; that shell is ended with the test.
  const told = [...known].filter((_, index) => cases[index]?.file !== 'shell.json');
  await until(() => {
    const commands = processesWith(dirname(server.stateDir)).map(({ command }) => command);
    return !told.some((name) => commands.some((command) => command.includes(join(folder, name))));
  }, { what: 'the shells of deleted sessions have ended' });
  await endsInTime(server);
});

const terminalFiles = ['terminal.json', 'socket', 'scrollback', 'exit', 'answers.ndjson'];

test('terminals whose files were replaced keep nobody waiting', { skip: linux || terminalless, timeout }, async (t) => {
  const cases = casesOf(terminalFiles, 2).filter(({ kind }) => kind !== 'huge file');
  const server = await spawnServer(t, { flags: { 'max-terminals': '60' } });
  const ids = new Map<string, string>();
  for (const one of cases) {
    const opened = await answered(server, 'POST /terminals', { body: { command: 'exec cat' } });
    const { terminalId } = opened.json<{ terminalId: string }>();
    ids.set(terminalId, `${one.file}: ${one.kind}`);
    plant(join(server.stateDir, 'terminals', terminalId), one);
  }
  const use = async (): Promise<void> => {
    await healthy(server, 'planted');
    await answered(server, 'GET /terminals');
    // All at once: one that cannot be reached is waited for, each time.
    await Promise.all([...ids].map(async ([id, what]) => {
      const headers = { 'Idempotency-Key': `key of ${id}` };
      await answered(server, `GET /terminals/${id}`);
      await answered(server, `POST /terminals/${id}/input`, { body: { data: 'x\r' }, headers });
      await answered(server, `GET /terminals/${id}/screen`);
      await answered(server, `POST /terminals/${id}/resize`, { body: { cols: 90, rows: 30 } });
      await healthy(server, what);
    }));
  };
  await use();
  await server.kill9();
  await server.restart();
  await use();
  for (const [id, what] of ids) {
    await answered(server, `DELETE /terminals/${id}`);
    await healthy(server, `${what}: deleted`);
  }
  await endsInTime(server);
});

test('agents whose files were replaced keep nobody waiting', { skip: linux, timeout }, async (t) => {
  const server = await spawnServer(t);
  const cases = casesOf(['agent.json', 'events.ndjson', 'turns.ndjson', 'stdin', 'answers.ndjson'], 2);
  const jobs = new Map<string, string>();
  // Few at a time: each is two programs in Node.
  for (let begin = 0; begin < cases.length; begin += 12) {
    const some = cases.slice(begin, begin + 12);
    const ids: string[] = [];
    for (const one of some) {
      const id = await submit(server, fake('say x', { keepAlive: 600, timeout: 600 }));
      ids.push(id);
      jobs.set(id, `${one.file}: ${one.kind}`);
    }
    for (const [index, one] of some.entries()) {
      const id = ids[index] ?? '';
      await inPhase(server, id, 'waiting', 1);
      plant(join(server.stateDir, 'jobs', id), one);
    }
    const use = async (): Promise<void> => {
      for (const id of ids) {
        await answered(server, `GET /jobs/${id}`);
        for (const path of ['stdout?tailLines=3&maxBytes=100', 'turns?before=9', 'turns/1']) await answered(server, `GET /jobs/${id}/${path}`);
        await healthy(server, jobs.get(id) ?? '');
      }
    };
    await use();
    await server.kill9();
    await server.restart();
    await use();
    for (const id of ids) {
      const headers = { 'Idempotency-Key': `key of ${id}` };
      await answered(server, `POST /jobs/${id}/prompt`, { body: { prompt: 'say y' }, headers });
    }
    await use();
    for (const id of ids) await answered(server, `POST /jobs/${id}/cancel`, { body: { graceSeconds: 1 } });
    await allEnded(server, jobs);
    await use();
  }
  await endsInTime(server);
});

/** `false`: something was put into it meanwhile, by what the server had started to make FIFOs. */
function isRemoved(path: string): boolean {
  try {
    rmSync(path, { recursive: true, force: true });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOTEMPTY') return false;
    throw error;
  }
}

test('a state directory full of impostors keeps no server from starting', { skip: linux, timeout }, async (t) => {
  const server = await spawnServer(t);
  await answered(server, 'POST /exec?wait=30', { body: { command: 'true' } });
  const names = [...readdirSync(server.stateDir), 'server.lock', 'keepers', 'trash', 'jobs', 'shells', 'terminals'];
  await server.kill9();
  for (const { file, kind } of casesOf([...new Set(names)], 3)) {
    plant(server.stateDir, { file, kind });
    const isUp = await server.restart().then(() => true, (error: unknown) => {
      // It may refuse to start, in words.
      assert.match(String(error), /The server ended: .*Cannot|The server ended: .*sidecar/s, `${file}: ${kind}`);
      return false;
    });
    if (isUp) await healthy(server, `${file}: ${kind}`);
    if (isUp) await server.kill9();
    await until(() => isRemoved(join(server.stateDir, file)), { what: `${file} is gone` });
  }
  await server.restart();
  await endsInTime(server);
});
