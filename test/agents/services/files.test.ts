import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, realpathSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { AgentFiles, type AgentFilesOptions } from '../../../src/agents/services/files.ts';
import { Sandbox } from '../../../src/agents/services/sandbox.ts';
import { RpcError } from '../../../src/jsonrpc/message.ts';
import { rejectsWith } from '../../support/errors.ts';
import { temporaryFolder } from '../../support/server.ts';

const options = { skip: process.platform === 'win32' ? 'needs symbolic links' : false };

async function setUp(t: TestContext, more: Partial<AgentFilesOptions> = {}): Promise<{ files: AgentFiles; work: string; top: string }> {
  const top = realpathSync(temporaryFolder(t));
  const work = join(top, 'work');
  mkdirSync(work);
  return { files: new AgentFiles({ sandbox: await Sandbox.of(work), missingFile: 'error', ...more }), work, top };
}

const refusal = (code: number, message: RegExp, errorKind?: string) => (error: unknown): boolean =>
  error instanceof RpcError && error.code === code && message.test(error.message) && (errorKind === undefined || (error.data as { errorKind: string }).errorKind === errorKind);

test('read() gives the whole text, or lines with their ends', options, async (t) => {
  const { files, work } = await setUp(t);
  const path = join(work, 'file');
  writeFileSync(path, 'one\r\ntwo\n\nfour ä𐀀');
  const rows: readonly (readonly [line: number | undefined, limit: number | undefined, text: string])[] = [
    [undefined, undefined, 'one\r\ntwo\n\nfour ä𐀀'], [1, undefined, 'one\r\ntwo\n\nfour ä𐀀'], [1, 1, 'one\r\n'], [2, 1, 'two\n'], [2, 2, 'two\n\n'], [3, 100, '\nfour ä𐀀'],
    [4, 1, 'four ä𐀀'], [5, 1, ''], [500, undefined, ''], [1, 0, ''], [undefined, 2, 'one\r\ntwo\n'],
  ];
  for (const [line, limit, text] of rows) assert.equal(await files.read(path, { line, limit }), text, `${line} ${limit}`);
});

test('read() of a missing file is -32002, or empty if the agent needs that', options, async (t) => {
  const { files, work } = await setUp(t);
  await assert.rejects(files.read(join(work, 'none')), refusal(-32002, /there is none/));
  const { files: forGemini, work: other } = await setUp(t, { missingFile: 'empty' });
  assert.equal(await forGemini.read(join(other, 'new/none')), '');
});

test('write() creates files and directories, and replaces a file in one step and with its permissions', options, async (t) => {
  const { files, work } = await setUp(t);
  const path = join(work, 'a/b/new');
  await files.write(path, 'text ä\r\n');
  assert.equal(readFileSync(path, 'utf8'), 'text ä\r\n');
  writeFileSync(join(work, 'program'), 'old', { mode: 0o751 });
  const { ino } = statSync(join(work, 'program'));
  await files.write('program', '');
  const now = statSync(join(work, 'program'));
  assert.deepEqual([now.size, now.mode & 0o777], [0, 0o751]);
  assert.notEqual(now.ino, ino);
  assert.deepEqual(readdirSync(work).sort(), ['a', 'program'], 'nothing is left beside');
});

test('write() through a link inside changes its target', options, async (t) => {
  const { files, work } = await setUp(t);
  writeFileSync(join(work, 'real'), 'old');
  symlinkSync('real', join(work, 'link'));
  await files.write(join(work, 'link'), 'new');
  assert.equal(readFileSync(join(work, 'real'), 'utf8'), 'new');
  assert.equal(realpathSync(join(work, 'link')), join(work, 'real'));
});

test('a path outside is refused, with the reason: the path itself, or a link', options, async (t) => {
  const { files, work, top } = await setUp(t);
  writeFileSync(join(top, 'secret'), 'secret');
  symlinkSync('../secret', join(work, 'link'));
  symlinkSync('..', join(work, 'up'));
  symlinkSync('../new', join(work, 'nowhere'));
  for (const [path, kind] of [
    [join(top, 'secret'), 'path_outside_workspace'], ['../secret', 'path_outside_workspace'], [join(work, '../secret'), 'path_outside_workspace'], ['/etc/passwd', 'path_outside_workspace'],
    ['link', 'symlink_escape'], ['up/secret', 'symlink_escape'], ['nowhere', 'symlink_escape'],
  ] as const) {
    await assert.rejects(files.read(path), refusal(-32602, /outside of the directories of the job/, kind), path);
    await assert.rejects(files.write(path, 'x'), refusal(-32602, /outside/, kind), path);
  }
  assert.equal(readFileSync(join(top, 'secret'), 'utf8'), 'secret');
  assert.deepEqual(readdirSync(top).sort(), ['secret', 'work']);
});

test('anything but a regular file is refused without a wait, and so is a long file', options, async (t) => {
  const { files, work } = await setUp(t, { maxBytes: 1000 });
  execFileSync('mkfifo', [join(work, 'fifo')]);
  mkdirSync(join(work, 'folder'));
  writeFileSync(join(work, 'long'), Buffer.alloc(1001));
  for (const [path, why] of [['fifo', /no regular file/], ['folder', /directory/], ['long', /1001 bytes/]] as const) await assert.rejects(files.read(path), refusal(-32603, why), path);
  for (const [path, why] of [['fifo', /no regular file/], ['folder', /directory/], ['long/below', /outside|directory/]] as const) {
    await rejectsWith(files.write(path, 'x'), { type: RpcError, message: why }, path);
  }
  await assert.rejects(files.write('new', 'ä'.repeat(501)), refusal(-32602, /longer than 1000 bytes/));
  assert.deepEqual(readdirSync(work).sort(), ['fifo', 'folder', 'long']);
});

test('simultaneous writers of one file leave one of their texts', options, async (t) => {
  const { files, work } = await setUp(t);
  const texts = Array.from({ length: 20 }, (_, index) => `${index}`.repeat(10_000));
  await Promise.all(texts.map((text) => files.write('file', text)));
  assert.ok(texts.includes(readFileSync(join(work, 'file'), 'utf8')));
  assert.deepEqual(readdirSync(work), ['file']);
});
