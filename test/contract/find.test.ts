/** POST /files/find, and `sidecar find`. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { findProgram } from '../../src/process/find-program.ts';
import { readProcFile } from '../../src/process/proc-file.ts';
import type { FindRecord, FindRequest } from '../../src/protocol/files/find.ts';
import { programOf } from '../support/cli.ts';
import { type Reached, ask } from '../support/client.ts';
import { childrenOf } from '../support/processes.ts';
import { startTestServer, temporaryFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';

const skip = process.platform === 'win32' ? 'its paths are others' : false;
const rgOnly = findProgram('rg', process.env['PATH'] ?? '') === undefined ? 'needs ripgrep' : skip;

/** The processes of ripgrep that this one has started. */
const searches = (): readonly number[] => childrenOf(process.pid).filter((pid) => {
  try {
    return /^[^\0]*rg\0/.test(readProcFile(`/proc/${pid}/cmdline`));
  } catch {
    return false;
  }
});

async function found(server: Reached, body: FindRequest): Promise<readonly FindRecord[]> {
  const answer = await ask(server, 'POST /files/find', { body });
  assert.deepEqual([answer.status, answer.headers['content-type']], [200, 'application/x-ndjson'], answer.text);
  return answer.text.trimEnd().split('\n').map((line) => JSON.parse(line) as FindRecord);
}

it('answers line by line, and says at the end whether there is more', { skip }, async (t) => {
  const server = await startTestServer(t);
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, 'd'));
  writeFileSync(join(folder, 'd/a.txt'), 'before\nfind me\nbehind\n');
  writeFileSync(join(folder, 'b.txt'), 'find me, find me\n');
  const [begin, b, before, match, end] = await found(server, { path: folder, text: 'find me', before: 1 });
  assert.deepEqual([begin, b, before, match], [
    { type: 'begin', path: folder },
    { type: 'match', path: 'b.txt', line: 1, text: 'find me, find me', column: 1, ranges: [[0, 7], [9, 16]] },
    { type: 'context', path: 'd/a.txt', line: 1, text: 'before' },
    { type: 'match', path: 'd/a.txt', line: 2, text: 'find me', column: 1, ranges: [[0, 7]] },
  ]);
  assert.ok(end?.type === 'end' && end.matches === 2 && end.files === 2 && !end.truncated, JSON.stringify(end));
  const cut = (await found(server, { path: folder, glob: '*', limit: 2 })).at(-1);
  assert.ok(cut?.type === 'end' && cut.matches === 2 && cut.truncated && cut.stoppedBy === 'limit', JSON.stringify(cut));
  const records: FindRecord[] = [];
  for await (const record of server.client.files.find({ path: folder, regex: 'behind$' })) records.push(record);
  assert.deepEqual(records.map(({ type }) => type), ['begin', 'match', 'end']);
});

it('says what it cannot search, before the answer begins', { skip }, async (t) => {
  const server = await startTestServer(t);
  const folder = temporaryFolder(t);
  execFileSync('mkfifo', [join(folder, 'fifo')]);
  for (const [body, code, detail] of [
    [{ path: join(folder, 'none'), text: 'x' }, 'file_not_found', /no such file/],
    [{ path: join(folder, 'fifo'), text: 'x' }, 'not_a_file', /it is a FIFO/],
    [{ path: folder, text: 'x', regex: 'x' }, 'invalid_request', /body\.regex: there is a text/],
    [{ path: folder, text: 'x', type: 'directory' }, 'invalid_request', /body\.type: content is looked for in files alone/],
    [{ path: folder, regex: '(' }, 'invalid_request', /body\.regex: Unterminated group/],
    [{ path: folder, regex: 'a(?=b)' }, 'invalid_request', /body\.regex: lookaround is not supported/],
    [{ path: folder, regex: '(a)\\1' }, 'invalid_request', /body\.regex: backreferences are not supported/],
    [{ path: folder, text: 'a\nb' }, 'invalid_request', /body\.text: a match is within one line/],
    [{ path: folder, glob: 'a{b' }, 'invalid_request', /body\.glob: .*a \{ is without its \}/],
    [{ path: folder, glob: ['ok', '{a,b}'.repeat(30)] }, 'invalid_request', /body\.glob: .*too many alternatives/],
  ] as const) {
    const { problem } = await ask(server, 'POST /files/find', { body });
    assert.deepEqual([problem.code, detail.test(problem.detail)], [code, true], problem.detail);
  }
});

it('ends when its client leaves, with ripgrep and without', { skip: rgOnly }, async (t) => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'f'), `a line that matches ${'x'.repeat(100)}\n`.repeat(100_000));
  const server = await startTestServer(t);
  for await (const { type } of server.client.files.find({ path: folder, text: 'matches', limit: 100_000 })) {
    if (type !== 'match') continue;
    assert.equal(searches().length, 1);
    break;
  }
  await until(() => searches().length === 0, { what: 'ripgrep has ended' });
  const leaving = new AbortController();
  const endless = server.client.files.find({ path: folder, glob: '*', regex: '(.+.+)+#', timeLimitMs: 120_000 }, { signal: leaving.signal });
  await endless.next();
  leaving.abort(new Error('enough'));
  await assert.rejects(endless.next(), /enough/);
  // There is room for others: four run at once.
  for (let times = 0; times < 8; times += 1) assert.equal((await found(server, { path: folder, glob: 'f' })).length, 3);
  assert.doesNotMatch(server.logged(), /request failed/);
});

it('--files-root holds a search within its directories', { skip }, async (t) => {
  const outer = temporaryFolder(t);
  for (const name of ['in/d', 'out']) mkdirSync(join(outer, name), { recursive: true });
  for (const path of ['in/f', 'in/d/f', 'out/f']) writeFileSync(join(outer, path), 'secret\n');
  writeFileSync(join(outer, '.gitignore'), 'f\n');
  symlinkSync('../out', join(outer, 'in/link'));
  const server = await startTestServer(t, { flags: { 'files-root': [join(outer, 'in')] } as never });
  const records = await found(server, { path: join(outer, 'in'), text: 'secret' });
  // What is above is not read, so its .gitignore does not count.
  assert.deepEqual(records.flatMap((record) => (record.type === 'match' ? [record.path] : [])), ['d/f', 'f']);
  assert.ok(records.at(-1)?.type === 'end', JSON.stringify(records));
  for (const path of [outer, join(outer, 'in/link'), join(outer, 'in/..')]) {
    assert.equal((await ask(server, 'POST /files/find', { body: { path, text: 'secret' } })).problem.code, 'path_not_allowed', path);
  }
});

it('sidecar find prints names and lines, and its exit code says whether there were any', { skip }, async (t) => {
  const server = await startTestServer(t);
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, 'd'));
  writeFileSync(join(folder, 'd/a.ts'), 'one\ntwo\nthree\n\n\n\ntwo\u001b[31m\n');
  const run = programOf(t, server);
  const find = async (...words: string[]): Promise<readonly unknown[]> => {
    const { exitCode, stdout, stderr } = await run(['find', ...words]);
    return [exitCode, stdout.replaceAll(folder, 'AT'), stderr];
  };
  assert.deepEqual(await find(`${folder}/`), [0, 'AT/d/\nAT/d/a.ts\n', '']);
  assert.deepEqual(await find(folder, '-n', '*.ts', '--type', 'f', '--limit', '1'), [0, 'AT/d/a.ts\n', '']);
  assert.deepEqual(await find(folder, '-e', '^tw.', '-C', '1'), [0, [
    'AT/d/a.ts-1-one', 'AT/d/a.ts:2:two', 'AT/d/a.ts-3-three', '--', 'AT/d/a.ts-6-', 'AT/d/a.ts:7:two\\x1b[31m', '',
  ].join('\n'), '']);
  assert.deepEqual(await find(folder, '-t', 'none of it'), [1, '', '']);
  assert.deepEqual((await find(folder, '-e', '('))[0], 2);
  assert.match(String((await find(folder, '-t', 'two', '--limit', '1'))[2]), /There is more than the 1 matches/);
});
