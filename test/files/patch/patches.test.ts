/** Patches by programs that make them, `diff -u` and git, applied to the old files: the new files come out. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { applySplices } from '../../../src/files/edit/edits.ts';
import { searchWork } from '../../../src/files/edit/line-search.ts';
import { EditError } from '../../../src/files/edit/edits.ts';
import { PatchError } from '../../../src/files/patch/patch-error.ts';
import type { FilePatch } from '../../../src/files/patch/file-patch.ts';
import { parsePatch } from '../../../src/files/patch/patch.ts';
import { placeHunks } from '../../../src/files/patch/place-hunks.ts';
import { temporaryFolder } from '../../support/server.ts';
import { numbersFrom } from '../../support/random.ts';

/** The patch of one file, applied to its content. */
const patched = (content: string, patch: string): string => applied(content, parsePatch(patch)[0]);

function applied(content: string, patch: FilePatch | undefined): string {
  assert.ok(patch !== undefined);
  return applySplices(content, placeHunks(content, patch.hunks, searchWork()).splices);
}

const count = 500;

/** A file and what became of it: few different lines, so that many places look alike. */
function pairOf(seed: number): readonly [old: string, current: string] {
  const below = numbersFrom(seed);
  const lineEnd = below(4) === 0 ? '\r\n' : '\n';
  const line = (): string => ['a', 'b', '\tc', '', '-- x', '++ y', 'ü', ' d '][below(8)] ?? '';
  const old = Array.from({ length: below(60) }, line);
  const current = old.flatMap((one) => (below(8) > 0 ? [one] : Array.from({ length: below(3) }, line)));
  const textOf = (lines: readonly string[]): string =>
    Buffer.from(lines.join(lineEnd) + (below(3) > 0 && lines.length > 0 ? lineEnd : '')).toString('latin1');
  return [textOf(old), textOf(current)];
}

test('five hundred random diffs of git, and of diff -u, make the file that they were made from', (t) => {
  const folder = temporaryFolder(t);
  const pairs = Array.from({ length: count }, (_, index) => pairOf(index + 1));
  for (const [index, side] of ['old', 'new'].entries()) {
    mkdirSync(join(folder, side));
    for (const [name, pair] of pairs.entries()) writeFileSync(join(folder, side, `${name} ü`), pair[index] ?? '', 'latin1');
  }
  for (const [program, ...args] of [
    ['git', 'diff', '--no-index', '--no-color', '--text', 'old', 'new'], ['git', 'diff', '--no-index', '--no-color', '--text', '-U0', 'old', 'new'],
    ['diff', '-ruaN', 'old', 'new'], ['diff', '-ra', '-U1', 'old', 'new'],
  ] as const) {
    const { stdout } = spawnSync(program, args, { cwd: folder, encoding: 'latin1', maxBuffer: 2 ** 28 });
    const patches = parsePatch(stdout);
    const changed = pairs.filter(([old, current]) => old !== current).length;
    assert.equal(patches.length, changed, program);
    for (const patch of patches) {
      const number = Number(/\/(\d+) ü$/.exec(patch.name)?.[1]);
      const [old = '', current] = pairs[number] ?? [];
      assert.equal(applied(old, patch), current, `${args.join(' ')}: ${patch.name}`);
    }
  }
});

test('a file that has changed elsewhere is patched as git apply does it', (t) => {
  const folder = temporaryFolder(t);
  const made: { readonly shifted: string; readonly diff: string }[] = [];
  mkdirSync(join(folder, 'old'));
  mkdirSync(join(folder, 'new'));
  for (let seed = 1; seed <= 200; seed += 1) {
    const [old, current] = pairOf(seed).map((text) => text.replaceAll('\r', ''));
    writeFileSync(join(folder, 'old', String(seed)), old ?? '', 'latin1');
    writeFileSync(join(folder, 'new', String(seed)), current ?? '', 'latin1');
  }
  const all = spawnSync('git', ['diff', '--no-index', '--no-color', '--text', 'old', 'new'], { cwd: folder, encoding: 'latin1', maxBuffer: 2 ** 26 }).stdout;
  for (const diff of all.split(/^(?=diff --git )/m)) {
    const number = Number(/old\/(\d+)/.exec(diff)?.[1]);
    if (/^(?:new|deleted) file/m.test(diff)) continue;
    made.push({ shifted: `first\nsecond\n${readFileSync(join(folder, 'old', String(number)), 'latin1')}`, diff });
  }
  let taken = 0;
  const folderOf = (name: string): string => join(folder, name);
  mkdirSync(folderOf('apply'));
  for (const [index, { shifted }] of made.entries()) writeFileSync(folderOf(`apply/${index}`), shifted, 'latin1');
  const joined = made.map(({ diff }, index) => diff.replaceAll(/([ab]\/)(?:old|new)\/\d+/g, `$1${index}`)).join('');
  const { stderr } = spawnSync('git', ['apply', '--reject', '--whitespace=nowarn', '-'], { cwd: folderOf('apply'), input: Buffer.from(joined, 'latin1'), encoding: 'utf8' });
  const rejected = new Set([...stderr.matchAll(/^error: patch failed: (\d+):/gm)].map(([, name]) => Number(name)));
  for (const [index, { shifted, diff }] of made.entries()) {
    if (rejected.has(index)) continue;
    let mine: string;
    try {
      mine = patched(shifted, diff);
    } catch (error) {
      // Two places that are equally near: git takes one of them.
      assert.match((error as Error).message, /more than once/);
      continue;
    }
    taken += 1;
    assert.equal(mine, readFileSync(folderOf(`apply/${index}`), 'latin1'), diff);
  }
  assert.ok(taken > 100, String(taken));
});

const file = 'one\ntwo\nthree\nfour\nfive\nsix\nseven\n';

test('hunks of models fit: wrong counts, no numbers, other blanks, another line ending, no mark of a missing newline', () => {
  for (const [content, patch, expected] of [
    [file, '--- a/f\n+++ b/f\n@@ -1,9 +1,2 @@\n two\n-three\n+3\n four\n', file.replace('three', '3')],
    [file, '--- f\n+++ f\n@@ ... @@\n two\n-three\n+3\n', file.replace('three', '3')],
    [file, '--- f\n+++ f\n@@\n two\n-three\n+3\n\n@@\n-six\n+6\n', file.replace('three', '3').replace('six', '6')],
    ['\tif\n\t\tx  \n\tend\n', '--- f\n+++ f\n@@ -1 +1 @@\n if\n-\tx\n+\ty\n end\n', '\tif\n\t\ty\n\tend\n'],
    ['a\r\nb\r\nc\r\n', '--- f\n+++ f\n@@ -1,2 +1,2 @@\n a\n-b\n+B\n+B2\n', 'a\r\nB\r\nB2\r\nc\r\n'],
    ['a\nb', '--- f\n+++ f\n@@ -1,2 +1,3 @@\n a\n b\n+c\n', 'a\nb\nc'],
    ['a\nb', '--- f\n+++ f\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n', 'a\nc'],
    ['a\nb', '--- f\n+++ f\n@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+c\n', 'a\nc\n'],
    ['a\nb', '--- f\r\n+++ f\r\n@@ -1,2 +1,2 @@\r\n a\r\n-b\r\n+c\r\n', 'a\nc'],
    ['a\n\nb\n', '--- f\n+++ f\n@@ -1,3 +1,3 @@\n a\n\n-b\n+c\n', 'a\n\nc\n'],
    [file, 'From: x\n\n one more\n---\n f | 2 +-\n\n--- a/f\n+++ b/f\n@@ -7 +7 @@\n-seven\n+7\n-- \n2.39.0\n', file.replace('seven', '7')],
    [file, '*** Begin Patch\n*** Update File: f\n@@ five\n-six\n+6\n*** End of File\n*** End Patch'.replace('*** End of File\n', ''), file.replace('six', '6')],
    [file, '*** Begin Patch\n*** Update File: f\n seven\n+8\n*** End of File\n*** End Patch\n', `${file}8\n`],
    ['a\nx\nb\nx\n', '*** Begin Patch\n*** Update File: f\n@@ b\n-x\n+y\n*** End Patch\n', 'a\nx\nb\ny\n'],
    ['class A\n f\n  x\nclass B\n f\n  x\n', '*** Begin Patch\n*** Update File: f\n@@ class B\n@@ f\n-  x\n+  y\n*** End Patch\n', 'class A\n f\n  x\nclass B\n f\n  y\n'],
    [file, '*** Begin Patch\n*** Update File: f\n@@\n+end\n*** End Patch\n', `${file}end\n`],
  ] as const) assert.equal(patched(content, patch), expected, patch);
});

test('a hunk that does not fit says why, and where it nearly fits', () => {
  for (const [content, patch, index, message, nearest] of [
    [file, '--- f\n+++ f\n@@ -1 +1 @@\n-one\n+1\n@@ -3 +3 @@\n two\n-3\n four\n', 1, /^its lines are not there behind line 1; the nearest place is line 2$/, 2],
    ['x\na\nx\n', '--- f\n+++ f\n@@\n-x\n+y\n', 0, /more than once, at the lines 1, 3: give more/, undefined],
    ['x \n a\nx\t\n', '--- f\n+++ f\n@@\n-x\n+y\n', 0, /more than once/, undefined],
    [file, '*** Begin Patch\n*** Update File: f\n@@ eight\n-x\n+y\n*** End Patch\n', 0, /the line of its @@ is not there/, undefined],
    [file, '*** Begin Patch\n*** Update File: f\n-six\n+y\n*** End of File\n*** End Patch\n', 0, /not there at the end of the file/, 6],
    [file, '--- f\n+++ f\n@@ -9,0 +10 @@\n+y\n', 0, /line 10 is behind the end/, undefined],
  ] as const) {
    assert.throws(() => patched(content, patch), (error) => {
      assert.ok(error instanceof EditError, String(error));
      assert.deepEqual([error.index, error.nearestLine], [index, nearest], error.message);
      assert.match(error.message, message);
      return true;
    });
  }
});

test('a patch that cannot be read is refused in words', () => {
  for (const [patch, message] of [
    ['hello', /it is no patch/], ['@@ -1 +1 @@\n-a\n+b\n', /no file is named before it/],
    ['--- f\n+++ f\n@@ -1,2 +1,2 @@\n a\n+b\nforgotten\n+c\n', /line 7 is in no hunk/],
    ['diff --git a/f b/f\nindex 1..2\nGIT binary patch\nliteral 3\n', /binary patch, which is not taken/],
    ['diff --git a/f b/f\nindex 1..2\nBinary files a/f and b/f differ\n', /binary/],
    ['diff --git a/f b/f\nnew file mode 120000\n--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+x\n', /no regular file/],
    ['*** Begin Patch\n*** Update File: f\n-a\n+b\n', /may be cut off/], ['*** Begin Patch\n*** End Patch\n', /names no file/],
    ['*** Begin Patch\n*** Update File: f\nx\n*** End Patch\n', /none of blank, \+ and -/], ['*** Begin Patch\nx\n*** End Patch\n', /line 2 is none of/],
  ] as const) assert.throws(() => parsePatch(patch), (error) => error instanceof PatchError && message.test(error.message) || assert.fail(String(error)));
});

test('a hundred thousand lines in as many hunks', () => {
  const lines = Array.from({ length: 100_000 }, (_, index) => `${index % 7}${index}`);
  const content = `${lines.join('\n')}\n`;
  for (const shift of [0, 1]) {
    const hunks = lines.map((line, index) => `@@ -${index + 1 + (index % 2) * shift} +${index + 1} @@\n-${line}\n+x${line}\n`).join('');
    assert.equal(patched(content, `--- f\n+++ f\n${hunks}`), `${lines.map((line) => `x${line}`).join('\n')}\n`);
  }
});
