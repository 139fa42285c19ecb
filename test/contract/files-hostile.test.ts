/** Paths that lead where they should not, or to what is no file: with each call, and with links that change meanwhile. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Answer, ask } from '../support/client.ts';
import { mountless, smallDisk } from '../support/disk.ts';
import { atEnd, startTestServer, temporaryFolder } from '../support/server.ts';

const skip = process.platform === 'linux' ? false : 'needs /proc and its kinds of files';

/** In a query, where not only text can stand. */
const encoded = (path: string): string => encodeURIComponent(path).replaceAll('%25', '%');

/** In JSON, where bytes that are no UTF-8 stay as they are written here. */
function textOf(path: string): string {
  try {
    return decodeURIComponent(encoded(path));
  } catch {
    return path;
  }
}

/** All are relative to the folder, or absolute; `%` begins a byte. */
const hostile: readonly string[] = [
  // No path at all, or one that says nothing.
  '', ' ', '.', './', '..', '../', '/', '//', '///', '/.', '/..', '%00', 'f%00', 'f%00/../g', '%00/etc/passwd', '~', '~root/x',
  // Bytes and characters.
  '%ff', '%c3%28', '%ed%a0%80', 'a%0ab', 'a%0db', '%1b[31m', '%e2%80%aegpj.exe', '-rf', '--', '$(id)', '`id`', ';id', 'a*b?', '\\..\\f',
  // Lengths.
  'n'.repeat(255), 'n'.repeat(256), 'ü'.repeat(128), 'd/'.repeat(2000), `${'d/'.repeat(2047)}f`, 'x'.repeat(5000),
  // What a part of a path is.
  'f/', 'f/.', 'f/..', 'f/g', 'f/../f', 'dir/', 'dir/.', 'dir/..', 'dir/../f', 'dir//f', 'none/f', 'none/../f',
  // Links.
  'loop', 'loop/f', 'self', 'self/self/self/f', 'dangling', 'dangling/f', 'chain40', 'todir', 'todir/f', 'tofile', 'tofile/x',
  // No regular files.
  'fifo', 'fifo/x', 'socket', 'zero', 'full', 'tty', 'tofifo', 'tozero',
  // What the system makes up.
  '/proc/self/root', '/proc/self/root/none', '/proc/self/cwd', '/proc/self/exe/x', '/proc/self/fd', '/proc/self/fd/99999', '/proc/1/mem',
  '/proc/self/task', '/proc/none', '/sys/none', '/dev/none/x', '/dev/fd/99999',
];

/** Calls that change nothing, whatever the path leads to. */
const questions = ['GET /files', 'HEAD /files', 'GET /files/text', 'GET /files/stat', 'GET /files/list'];

function hostileFolder(t: TestContext): string {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'f'), 'content');
  mkdirSync(join(folder, 'dir'));
  for (const [name, target] of [
    ['loop', 'loop'], ['self', '.'], ['dangling', 'nowhere'], ['todir', 'dir'], ['tofile', 'f'], ['tofifo', 'fifo'], ['tozero', 'zero'],
  ] as const) symlinkSync(target, join(folder, name));
  for (let length = 0; length <= 40; length += 1) symlinkSync(length === 0 ? 'f' : `chain${length - 1}`, join(folder, `chain${length}`));
  execFileSync('mkfifo', [join(folder, 'fifo')]);
  if (process.getuid?.() === 0) {
    for (const [name, minor] of [['zero', '5'], ['full', '7']] as const) execFileSync('mknod', [join(folder, name), 'c', '1', minor]);
    execFileSync('mknod', [join(folder, 'tty'), 'c', '5', '0']);
  }
  return folder;
}

/** Everything in a folder with its type and content, but for what is expected to come. */
function treeOf(folder: string): string {
  return execFileSync('find', [folder, '-printf', '%P %y %s %l\n'], { encoding: 'utf8' }).split('\n').sort().join('\n');
}

test('hostile paths are answered with a problem or with what is there, by each call, and nothing is changed', { skip }, async (t) => {
  assert.ok(hostile.length >= 64);
  const folder = hostileFolder(t);
  const listener = createServer().listen(join(folder, 'socket'));
  atEnd(t, () => { listener.close(); });
  await once(listener, 'listening');
  const server = await startTestServer(t);
  const before = treeOf(folder);
  for (const path of hostile) {
    const full = path.startsWith('/') || path.startsWith('~') || path === '' ? path : `${folder}/${path}`;
    // An archive of the whole machine would be large.
    const lines = /^[a-z]/.test(path) && !path.includes('..') ? [...questions, 'GET /files/archive'] : questions;
    const answers = await Promise.all(lines.map(async (line) => [line, await ask(server, `${line}?path=${encoded(full)}`)] as const));
    for (const [line, answer] of answers) mustBeExpected(`${line} ${path.slice(0, 60)}`, answer);
  }
  assert.equal(treeOf(folder), before);
  assert.doesNotMatch(server.logged(), /request failed|unexpected/);
});

test('hostile paths are changed only where they are files or directories, by each call', { skip }, async (t) => {
  const folder = hostileFolder(t);
  const server = await startTestServer(t, { flags: { 'files-root': [folder] } as never });
  const outside = temporaryFolder(t);
  writeFileSync(join(outside, 'f'), 'outside');
  symlinkSync(outside, join(folder, 'out'));
  const special = execFileSync('find', [folder, '-not', '-type', 'f', '-not', '-type', 'd', '-printf', '%P %y %l\n'], { encoding: 'utf8' });
  const paths = [...hostile, 'out', 'out/f', 'out/new', `todir/../../${outside.slice(1)}/f`, `${outside}/f`];
  for (const path of paths.filter((one) => !['.', './'].includes(one))) {
    const full = path.startsWith('/') || path.startsWith('~') || path === '' ? path : `${folder}/${path}`;
    const text = textOf(full);
    for (const [line, asked] of [
      [`PUT /files?path=${encoded(full)}&append=1`, { body: '' }],
      ['POST /files/edit', { body: { path: text, edits: [{ old: 'content', new: 'content' }] } }],
      ['POST /files/edit', { body: { path: folder, patch: `--- ${text}\n+++ ${text}\n@@ -1 +1 @@\n-none of it\n+x\n` } }],
      ['POST /files/mkdir', { body: { path: `${text}/new/er` } }],
      ['POST /files/copy', { body: { from: text, to: `${folder}/nowhere/to` } }],
      ['POST /files/move', { body: { from: text, to: `${folder}/nowhere/to` } }],
      [`PUT /files/archive?path=${encoded(full)}`, { body: Buffer.alloc(100) }],
    ] as const) mustBeExpected(`${line.slice(0, 25)} ${path.slice(0, 60)}`, await ask(server, line, asked));
  }
  assert.equal(execFileSync('find', [folder, '-not', '-type', 'f', '-not', '-type', 'd', '-not', '-name', 'out', '-printf', '%P %y %l\n'], { encoding: 'utf8' }), special.replace(`out l ${outside}\n`, ''));
  assert.deepEqual([readFileSync(join(folder, 'f'), 'utf8'), readFileSync(join(outside, 'f'), 'utf8'), readdirSync(outside)], ['content', 'outside', ['f']]);
  assert.doesNotMatch(server.logged(), /request failed|unexpected/);
});

function mustBeExpected(what: string, answer: Answer): void {
  if (answer.status < 300) return;
  assert.ok(answer.status < 500, `${what}: ${answer.status} ${answer.text}`);
  if (answer.text !== '') assert.ok(answer.problem.detail.startsWith('Cannot '), `${what}: ${answer.text}`);
}

/** Exchanges two names in one step (renameat2(2), RENAME_EXCHANGE) until its stdin ends, then says how often. */
const exchange = `
  use POSIX qw(uname); my ($a, $b) = @ARGV; my $n = 0; my $call = (uname())[4] eq 'x86_64' ? 316 : 276;
  my $bits = ''; vec($bits, 0, 1) = 1;
  until (select(my $ready = $bits, undef, undef, 0)) {
    for (1 .. 100) { syscall($call, -100, $a, -100, $b, 2) == 0 or die $!; $n++; }
  }
  print $n;
`;

test('links that another process exchanges with directories ten thousand times lead nowhere outside', { skip }, async (t) => {
  const outer = temporaryFolder(t);
  for (const name of ['in/d', 'out']) mkdirSync(join(outer, name), { recursive: true });
  writeFileSync(join(outer, 'in/d/f'), 'mine');
  writeFileSync(join(outer, 'out/f'), 'secret');
  symlinkSync('../out', join(outer, 'in/link'));
  const server = await startTestServer(t, { flags: { 'files-root': [join(outer, 'in')] } as never });
  const perl = spawn('perl', ['-e', exchange, join(outer, 'in/d'), join(outer, 'in/link')], { stdio: ['pipe', 'pipe', 'inherit'] });
  atEnd(t, () => { perl.stdin.end(); });
  let printed = '';
  perl.stdout.on('data', (bytes) => { printed += String(bytes); });
  const path = (name: string): string => encodeURIComponent(`${outer}/in/d/${name}`);
  const seen = new Map<string, number>();
  for (let tries = 0; tries < 300; tries += 1) {
    const [read, listed, packed] = await Promise.all([
      ask(server, `GET /files?path=${path('f')}`), ask(server, `GET /files/list?path=${path('')}`),
      // Where what it packs has gone in between, it breaks off.
      tries % 10 === 0 ? ask(server, `GET /files/archive?path=${path('')}`).catch(() => undefined) : undefined,
      ask(server, `PUT /files?path=${path('g')}`, { body: 'x' }), ask(server, 'POST /files/mkdir', { body: { path: `${outer}/in/d/made` } }),
      ask(server, `DELETE /files?path=${path('made')}`),
    ]);
    const result = read.status === 200 ? read.text : read.problem.code;
    seen.set(result, (seen.get(result) ?? 0) + 1);
    for (const { status, text } of [read, listed, ...packed === undefined ? [] : [packed]]) {
      assert.ok(status < 500 && !text.includes('secret') && !text.includes(`${outer}/out`), text);
    }
  }
  perl.stdin.end();
  await once(perl, 'close');
  t.diagnostic(`${printed} exchanges; ${[...seen].map(([result, count]) => `${result} ${count}`).join(', ')}`);
  assert.ok(Number(printed) >= 10_000, `${printed} exchanges`);
  assert.deepEqual([seen.has('mine'), [...seen.keys()].filter((result) => !['mine', 'path_not_allowed', 'file_not_found', 'file_unusable'].includes(result))], [true, []]);
  assert.deepEqual([readdirSync(join(outer, 'out')), readFileSync(join(outer, 'out/f'), 'utf8')], [['f'], 'secret']);
});

test('on a full disk each call that writes is 507, and the old files stay', { skip: mountless }, async (t) => {
  const disk = smallDisk(t, '1m');
  const server = await startTestServer(t);
  const at = (name: string): string => join(disk, name);
  writeFileSync(at('f'), 'old\n'.repeat(10_000));
  writeFileSync(at('big'), 'x'.repeat(700_000));
  const before = treeOf(disk);
  // Of unknown size, so that only writing finds out.
  const pieces = async function* (): AsyncGenerator<Buffer, void> {
    for (let index = 0; index < 20; index += 1) yield Buffer.alloc(100_000, 'y');
  };
  for (const name of ['f', 'new']) {
    await assert.rejects(server.client.files.write(at(name), pieces()), { code: 'storage_full', status: 507 });
  }
  for (const [line, body] of [
    ['POST /files/copy', { from: at('big'), to: at('copy') }],
    ['POST /files/edit', { path: at('f'), edits: [{ old: 'old', new: 'n'.repeat(90), all: true }] }],
    ['POST /files/edit', { path: disk, patch: `--- /dev/null\n+++ new\n@@ -0,0 +1,9000 @@\n${`+${'n'.repeat(90)}\n`.repeat(9000)}` }],
  ] as const) {
    const { problem } = await ask(server, line, { body });
    assert.deepEqual([problem.status, problem.code], [507, 'storage_full'], line);
  }
  const appended = await ask(server, `PUT /files?path=${encodeURIComponent(at('f'))}&append=1`, { body: Buffer.alloc(900_000, 'z') });
  assert.deepEqual([appended.status, appended.problem.code], [507, 'storage_full']);
  assert.equal(treeOf(disk), before);
});
