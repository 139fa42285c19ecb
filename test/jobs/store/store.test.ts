import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { JobRecord } from '../../../src/jobs/job.ts';
import { JobStore } from '../../../src/jobs/store/store.ts';
import type { JobId } from '../../../src/protocol/ids.ts';
import { kinds } from '../../support/kinds.ts';
import { temporaryFolder } from '../../support/server.ts';

const id = (number: number): JobId => `01kaaaaaa00000${number.toString(32).padStart(2, '0')}` as JobId;
const record = (number: number): JobRecord => ({
  jobId: id(number), submittedAt: 5.5, state: { is: 'running', startedAt: 6.25 },
  request: {
    program: { mode: 'argv', argv: ['a', '', '\u0000', 'ä'] }, workdir: '/x', env: { A: 'b', __proto__x: '1' }, timeoutSeconds: null, killGraceSeconds: 0,
    stdin: 'null\u0000', maxOutputBytes: 1, name: null, labels: { constructor: 'x' },
  },
  idempotency: { key: 'k', hash: 'h' },
});

const storeIn = (stateDir: string): JobStore => new JobStore(stateDir, (value, path) => kinds.parse(value, path));

/** What is kept of a job, see `readAll`: its outline. */
const whole = (outline: JobRecord): JobRecord => outline;

/** A directory of a job as it is on disk. */
function put(stateDir: string, name: string, files: { readonly [file: string]: string } = {}): string {
  const directory = join(stateDir, 'jobs', name);
  mkdirSync(directory, { recursive: true });
  for (const [file, content] of Object.entries(files)) writeFileSync(join(directory, file), content);
  return directory;
}

describe('JobStore', () => {
  it('gives records back as they were, oldest first', (t) => {
    const stateDir = temporaryFolder(t);
    for (const number of [3, 1, 2]) put(stateDir, id(number), { 'job.json': JSON.stringify(record(number)) });
    const { jobs: records, skipped } = storeIn(stateDir).readAll(whole);
    assert.deepEqual(skipped, []);
    const outlines = [1, 2, 3].map(record).map((one) => ({ ...one, request: { ...one.request, env: {} } }));
    assert.deepEqual(JSON.parse(JSON.stringify(records)), outlines);
    for (const number of [1, 2, 3]) assert.deepEqual(JSON.parse(JSON.stringify(storeIn(stateDir).read(id(number)))), record(number));
  });

  it('has one whole record in memory at a time, and gives of it what a server keeps', (t) => {
    const stateDir = temporaryFolder(t);
    const { request, ...rest } = record(0);
    const state = { is: 'finished', startedAt: 1, outcome: { reason: 'exit', exitCode: 0, signal: null, finishedAt: 2, error: 'x'.repeat(1e6) } };
    const argv = Array.from({ length: 50_000 }, () => '');
    const env = Object.fromEntries(argv.map((_, index) => [`NAME_${index}`, '']));
    for (let number = 0; number < 3; number += 1) {
      const large = { ...rest, jobId: id(number), state, warnings: ['y'.repeat(1e6)], request: { ...request, env, program: { mode: 'argv', argv } } };
      put(stateDir, id(number), { 'job.json': JSON.stringify(large) });
    }
    let left = 0;
    // What went wrong: 400 such records took 1.8 GB, as all were held until the last was read.
    const { jobs, skipped } = storeIn(stateDir).readAll((outline) => {
      left += 1;
      const { program } = outline.request;
      assert.ok(program.mode === 'argv' && program.argv.length < 5000 && program.argv.length * 8 > 2048);
      assert.ok(JSON.stringify(outline).length < 20_000);
      return `${outline.jobId} ${left}`;
    });
    assert.deepEqual([jobs, skipped], [[0, 1, 2].map((number) => `${id(number)} ${number + 1}`), []]);
    put(stateDir, id(3), { 'job.json': JSON.stringify({ ...record(3), request: { ...request, name: 'z'.repeat(1e6) } }) });
    assert.match(storeIn(stateDir).readAll(whole).skipped[0]?.why ?? '', /name: expected at most/);
  });

  it('skips a record torn at any byte, and says why', (t) => {
    const stateDir = temporaryFolder(t);
    const complete = JSON.stringify(record(1));
    const store = storeIn(stateDir);
    for (let length = 1; length < complete.length; length += 7) {
      put(stateDir, id(1), { 'job.json': complete.slice(0, length) });
      const { jobs: records, skipped } = store.readAll(whole);
      assert.equal(records.length, 0);
      assert.match(skipped[0]?.why ?? '', /torn or not JSON/);
    }
  });

  it('a record that a job has made too large is not parsed, one of a later version once', (t) => {
    const stateDir = temporaryFolder(t);
    const { mock } = t.mock.method(JSON, 'parse');
    // What went wrong: a record of 32 MiB kept each start of the server for 8 s, as it was parsed twice.
    put(stateDir, id(1), { 'job.json': `[${'{},'.repeat(2 ** 21)}{}]` });
    const { skipped: [large], lost } = storeIn(stateDir).readAll(whole);
    assert.deepEqual([lost, mock.callCount()], [[id(1)], 0]);
    assert.match(large?.why ?? '', /job\.json holds more than/);
    put(stateDir, id(1), { 'job.json': JSON.stringify({ jobId: id(1), isLater: true }) });
    const later = storeIn(stateDir).readAll(whole);
    assert.deepEqual([later.skipped.map(({ name }) => name), later.lost, mock.callCount()], [[id(1)], [], 1]);
    // What went wrong: any object counted as a record of a later version, so what the job ran was left alone.
    for (const content of ['[]', '{}', 'null', '{"jobId":"of another kind"}', JSON.stringify(record(2))]) {
      put(stateDir, id(1), { 'job.json': content });
      assert.deepEqual(storeIn(stateDir).readAll(whole).lost, [id(1)], content);
    }
  });

  it('removes what a server left that was killed before it had taken on the job, and nothing else', async (t) => {
    const stateDir = temporaryFolder(t);
    const store = storeIn(stateDir);
    const empty = { 'job.json': '', stdout: '', stderr: '', process: '', exit: '' };
    // What went wrong: it was warned of at every start, and stayed for ever.
    put(stateDir, id(1));
    put(stateDir, id(2), empty);
    put(stateDir, id(3), { 'job.json': '', stdin: 'given with the request' });
    put(stateDir, `.new-${id(4)}`, { 'job.json': '{' });
    put(stateDir, id(5), { ...empty, stdout: 'it has run' });
    put(stateDir, id(6), { ...empty, process: 'it was taken' });
    put(stateDir, id(7), { stdout: '', notes: '' });
    put(stateDir, 'somebody-elses');
    const { jobs: records, skipped } = store.readAll(whole);
    assert.deepEqual([records.length, skipped.map(({ name }) => name)], [0, [id(5), id(6), id(7), 'somebody-elses']]);
    assert.deepEqual(readdirSync(join(stateDir, 'jobs')).sort(), [id(5), id(6), id(7), 'somebody-elses'].sort());
    await store.emptyTrash();
    assert.equal(existsSync(join(stateDir, 'trash')), false);
  });

  it('a job has its record when it gets its name', (t) => {
    const stateDir = temporaryFolder(t);
    const spare = join(stateDir, 'spare');
    mkdirSync(spare);
    for (const name of ['job.json', 'stdin', 'stdout', 'stderr', 'process', 'exit']) writeFileSync(join(spare, name), '');
    const store = storeIn(stateDir);
    store.readAll(whole);
    const watched = join(stateDir, 'jobs');
    // The rename is the last thing that happens to it: where that fails, there is nothing of that name.
    put(stateDir, id(1), { blocked: '' });
    assert.throws(() => store.create(record(1), spare), { code: 'unavailable' });
    assert.deepEqual(readdirSync(join(watched, id(1))), ['blocked']);
    assert.equal(existsSync(spare), false);
    store.create(record(2));
    assert.deepEqual(readdirSync(watched).sort(), [id(1), id(2)]);
    assert.deepEqual(JSON.parse(JSON.stringify(store.read(id(2)))), record(2));
  });

  for (const [what, change] of [
    ['no state', { state: undefined }], ['an unknown state', { state: { is: 'odd' } }], ['a state of another type', { state: 5 }],
    ['a time that is none', { submittedAt: 'now' }], ['another id', { jobId: id(9) }], ['no id', { jobId: '' }], ['a request that is none', { request: [] }],
    ['an exit code beyond 32 bits', { state: { is: 'finished', startedAt: 1, outcome: { reason: 'exit', exitCode: 2 ** 32, signal: null, finishedAt: 2 } } }],
  ] as const) {
    it(`skips a record with ${what}`, (t) => {
      const stateDir = temporaryFolder(t);
      put(stateDir, id(1), { 'job.json': JSON.stringify({ ...record(1), ...change }) });
      const { jobs: records, skipped } = storeIn(stateDir).readAll(whole);
      assert.deepEqual([records.length, skipped.map(({ name }) => name)], [0, [id(1)]]);
    });
  }

  it('neither waits for a FIFO nor follows a link', { skip: process.platform === 'win32' ? 'has neither' : false }, (t) => {
    const stateDir = temporaryFolder(t);
    const good = put(stateDir, id(1), { 'job.json': JSON.stringify(record(1)), exit: '0\n' });
    execFileSync('mkfifo', ['job.json', 'exit', 'process'].map((file) => join(put(stateDir, id(2)), file)));
    symlinkSync(join(good, 'job.json'), join(put(stateDir, id(3)), 'job.json'));
    symlinkSync(good, join(stateDir, 'jobs', id(4)));
    symlinkSync(join(good, 'exit'), join(put(stateDir, id(5)), 'exit'));
    const store = storeIn(stateDir);
    const { jobs: records, skipped } = store.readAll(whole);
    assert.deepEqual(records.map(({ jobId }) => jobId), [id(1)]);
    assert.deepEqual(skipped.map(({ name }) => name), [id(2), id(3), id(4), id(5)]);
    for (const number of [2, 5]) assert.deepEqual([store.readExit(id(number)), store.readProcess(id(number))], [undefined, undefined]);
    assert.equal(store.readExit(id(1))?.code, 0);
  });

  for (const [content, code] of [['0\n', 0], ['255\n', 255], ['137\n', 137], ['', undefined], ['0', undefined], ['13', undefined], ['\n', undefined],
    ['x\n', undefined], ['-1\n', undefined], ['12345678901\n', undefined], ['0\n\n', undefined], [' 0\n', undefined]] as const) {
    it(`an exit file with ${JSON.stringify(content)} says ${code ?? 'nothing yet'}`, (t) => {
      const stateDir = temporaryFolder(t);
      put(stateDir, id(1), { exit: content });
      assert.equal(storeIn(stateDir).readExit(id(1))?.code, code);
    });
  }

  const stat = '77 (a (b) c) S 66 77 77 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 987654 2801664 300';
  for (const [what, content, expected] of [
    ['a line of /proc', `${stat}\n`, { identity: { pid: 77, startTime: '987654' }, parentPid: 66, isStarted: true }],
    ['a program that could not be started', `${stat}\nfailed\n`, { identity: { pid: 77, startTime: '987654' }, parentPid: 66, isStarted: false }],
    ['a line of ps', '77 Mon Jan  5 10:00:00 2026\n', { identity: { pid: 77, startTime: 'Mon Jan 5 10:00:00 2026' }, parentPid: 0, isStarted: true }],
    ['half a line', stat, undefined], ['nothing', '', undefined], ['a newline', '\n', undefined], ['zeros', '\0\0\n', undefined],
  ] as const) {
    it(`a process file with ${what}`, (t) => {
      const stateDir = temporaryFolder(t);
      put(stateDir, id(1), { process: content });
      assert.deepEqual(storeIn(stateDir).readProcess(id(1)), expected);
    });
  }

  it('replaces a state and leaves the request alone', (t) => {
    const stateDir = temporaryFolder(t);
    const directory = put(stateDir, id(1), { 'job.json': JSON.stringify(record(1)) });
    const store = storeIn(stateDir);
    store.writeState(id(1), { is: 'running', startedAt: 9, ending: 'timeout' });
    assert.deepEqual(JSON.parse(readFileSync(join(directory, 'job.json'), 'utf8')), { ...record(1), state: { is: 'running', startedAt: 9, ending: 'timeout' } });
  });
});
