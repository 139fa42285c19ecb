/** Patches over several files, on the disk: all or nothing. */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, describe, it } from 'node:test';
import { Roots } from '../../../src/base/files/roots.ts';
import { createLog } from '../../../src/base/log.ts';
import { Files } from '../../../src/files/files.ts';
import type { ProblemError } from '../../../src/protocol/problem.ts';
import { temporaryFolder } from '../../support/server.ts';

const skip = process.platform === 'win32' ? 'its paths are others' : false;

interface Setting {
  readonly folder: string;
  readonly files: Files;
  readonly write: (name: string, content: string | Buffer) => void;
  readonly read: (name: string) => string;
}

async function setUp(t: TestContext, isHeld = false): Promise<Setting> {
  const folder = temporaryFolder(t);
  const stateDir = temporaryFolder(t);
  const roots = isHeld ? await Roots.of(folder, [folder]) : Roots.everywhere(folder);
  return {
    folder, files: new Files({ roots, stateDir, programPath: '', log: createLog({ level: 'error', format: 'json' }) }),
    write: (name, content) => writeFileSync(join(folder, name), content),
    read: (name) => readFileSync(join(folder, name), 'utf8'),
  };
}

async function problemOf(act: Promise<unknown>): Promise<ProblemError> {
  return act.then(() => assert.fail('it worked'), (error: unknown) => error as ProblemError);
}

describe('applyPatch()', { skip }, () => {
  it('makes, edits, deletes, moves and copies files, with their permissions, as git says', async (t) => {
    const { files, folder, write, read } = await setUp(t);
    write('edit', 'a\nb\n');
    write('gone', 'x\n');
    write('move', Buffer.from([0, 1, 2]));
    write('rewritten', 'one\ntwo\n');
    write('run', 'x\n');
    chmodSync(join(folder, 'rewritten'), 0o640);
    const patch = [
      'diff --git a/edit b/edit', '--- a/edit', '+++ b/edit', '@@ -1,2 +1,2 @@', ' a', '-b', '+B',
      'diff --git a/gone b/gone', 'deleted file mode 100644', '--- a/gone', '+++ /dev/null', '@@ -1 +0,0 @@', '-x',
      'diff --git a/move b/new/dir/moved', 'similarity index 100%', 'rename from move', 'rename to new/dir/moved',
      'diff --git a/rewritten b/again', 'similarity index 50%', 'rename from rewritten', 'rename to again',
      '--- a/rewritten', '+++ b/again', '@@ -1,2 +1,2 @@', ' one', '-two', '+2',
      'diff --git a/run b/run', 'old mode 100644', 'new mode 100755',
      'diff --git "a/\\303\\274 x" "b/\\303\\274 x"', 'new file mode 100755', '--- /dev/null', '+++ "b/\\303\\274 x"', '@@ -0,0 +1 @@', '+new', '',
    ].join('\n');
    const dry = await files.patch({ patch, dryRun: true });
    assert.deepEqual([dry.written, read('edit')], [false, 'a\nb\n']);
    const { files: changed, written } = await files.patch({ patch });
    assert.equal(written, true);
    const shown = changed.map(({ path, action, from }) => [path, action, from].map((one) => one?.replace(`${folder}/`, '')));
    assert.deepEqual(shown.sort(), [
      ['again', 'moved', 'rewritten'], ['edit', 'edited', undefined], ['gone', 'deleted', undefined], ['new/dir/moved', 'moved', 'move'],
      ['run', 'edited', undefined], ['ü x', 'created', undefined],
    ]);
    assert.deepEqual(readdirSync(folder).sort(), ['again', 'edit', 'new', 'run', 'ü x']);
    assert.deepEqual([read('edit'), read('again'), read('ü x'), [...readFileSync(join(folder, 'new/dir/moved'))]], ['a\nB\n', 'one\n2\n', 'new\n', [0, 1, 2]]);
    assert.deepEqual(['again', 'run', 'ü x'].map((name) => statSync(join(folder, name)).mode & 0o777), [0o640, 0o755, 0o755]);
    assert.match(changed.find(({ action }) => action === 'created')?.diff ?? '', /^--- \/dev\/null\n\+\+\+ .*ü x\n@@ -0,0 \+1 @@\n\+new\n$/);
    const { etag } = await files.stat('edit', { isFollowed: true });
    assert.equal(changed.find(({ path }) => path.endsWith('/edit'))?.etag, etag);
  });

  it('takes the form of OpenAI, also with several parts for one file, and swaps of names', async (t) => {
    const { files, write, read, folder } = await setUp(t);
    write('a', 'one\ntwo\nthree\n');
    write('b', 'b\n');
    const { files: changed } = await files.patch({
      patch: '*** Begin Patch\n*** Update File: a\n@@\n-one\n+1\n*** Update File: a\n*** Move to: c\n@@\n-two\n+2\n*** Delete File: b\n*** Add File: b\n+new\n*** Add File: d\n*** End Patch\n',
    });
    assert.deepEqual([read('c'), read('b'), read('d'), existsSync(join(folder, 'a'))], ['1\n2\nthree\n', 'new\n', '', false]);
    assert.deepEqual(changed.map(({ action }) => action), ['moved', 'edited', 'created']);
    await files.patch({ patch: 'diff --git a/b b/c\nsimilarity index 100%\nrename from b\nrename to c\ndiff --git a/c b/b\nsimilarity index 100%\nrename from c\nrename to b\n' });
    assert.deepEqual([read('c'), read('b')], ['new\n', '1\n2\nthree\n']);
  });

  it('changes nothing where one hunk does not fit, and says all that does not', async (t) => {
    const { files, write, read, folder } = await setUp(t);
    write('a', 'one\n');
    write('b', 'x\ntwo\nthree\n');
    write('there', '');
    const error = await problemOf(files.patch({
      patch: '--- a\n+++ a\n@@ -1 +1 @@\n-one\n+1\n--- b\n+++ b\n@@ -1,2 +1,2 @@\n two\n-4\n+5\n--- c\n+++ c\n@@ -1 +1 @@\n-x\n+y\n--- /dev/null\n+++ there\n@@ -0,0 +1 @@\n+x\n',
    }));
    assert.deepEqual([error.code, error.extensions['file'], error.extensions['hunk']], ['edit_failed', 'b', 1]);
    assert.match(error.message, /^Cannot patch b: hunk 1: its lines are not there; the nearest place is line 2 \(and 2 more files do not fit/);
    const failures = error.extensions['failures'] as readonly { readonly file: string; readonly reason: string; readonly lines?: readonly object[] }[];
    assert.deepEqual(failures.map(({ file }) => file), ['b', 'c', 'there']);
    assert.deepEqual([failures[0]?.lines?.length, failures[1]?.reason], [3, 'there is no such file']);
    assert.deepEqual([read('a'), readdirSync(folder).sort()], ['one\n', ['a', 'b', 'there']]);
    assert.equal((await problemOf(files.patch({ patch: 'x' }))).code, 'invalid_request');
  });

  it('puts back what was written where a later file cannot be', async (t) => {
    const { files, write, read, folder } = await setUp(t);
    write('a', 'one\n');
    write('gone', 'x\n');
    write('plain', '');
    chmodSync(join(folder, 'a'), 0o640);
    const error = await problemOf(files.patch({
      patch: `*** Begin Patch\n*** Update File: a\n-one\n+1\n*** Add File: new\n+x\n*** Delete File: gone\n*** Add File: ${'n'.repeat(256)}\n+x\n*** End Patch`,
    }));
    assert.match(error.message, /too long/);
    assert.deepEqual([read('a'), read('gone'), readdirSync(folder).sort()], ['one\n', 'x\n', ['a', 'gone', 'plain']]);
    // A directory takes the place of a file between the check and the write.
    const race = await problemOf(files.patch({
      patch: '*** Begin Patch\n*** Update File: a\n-one\n+1\n*** Add File: new\n+x\n*** Add File: new/below\n+x\n*** End Patch',
    }));
    assert.match(race.message, /; all files of the patch are as they were$/);
    assert.deepEqual([read('a'), statSync(join(folder, 'a')).mode & 0o777, readdirSync(folder).sort()], ['one\n', 0o640, ['a', 'gone', 'plain']]);
  });

  it('heeds the tags of what was read, and shows the lines that are there now', async (t) => {
    const { files, write, read } = await setUp(t);
    write('a', 'one\ntwo\n');
    const { etag = '' } = await files.stat('a', { isFollowed: true });
    const patch = '--- a\n+++ a\n@@ -1 +1 @@\n-one\n+1\n';
    await files.patch({ patch, etags: { './a': etag } });
    write('a', 'zero\none\n');
    const error = await problemOf(files.patch({ patch, etags: { a: etag } }));
    assert.deepEqual([error.code, error.extensions['lines']], ['file_changed', [{ number: 1, text: 'zero' }, { number: 2, text: 'one' }]]);
    assert.equal(read('a'), 'zero\none\n');
    assert.equal((await problemOf(files.patch({ patch, etags: { b: etag } }))).code, 'invalid_request');
  });

  it('of many patches of the same files at once each is made', async (t) => {
    const { files, write, read } = await setUp(t);
    const numbers = Array.from({ length: 10 }, (_, index) => index);
    for (const name of ['a', 'b']) write(name, numbers.map((number) => `line ${number};\n`).join(''));
    await Promise.all(numbers.map((number) => files.patch({
      patch: ['a', 'b'].map((name) => `--- ${name}\n+++ ${name}\n@@ -1 +1 @@\n-line ${number};\n+new ${number};\n`).join(''),
    })));
    for (const name of ['a', 'b']) assert.equal(read(name), numbers.map((number) => `new ${number};\n`).join(''));
  });

  it('stays within the directories of the server, and refuses links where they themselves are meant', async (t) => {
    const { files, write, folder } = await setUp(t, true);
    const outside = temporaryFolder(t);
    writeFileSync(join(outside, 'f'), 'x\n');
    symlinkSync(outside, join(folder, 'out'));
    write('target', 'x\n');
    symlinkSync('target', join(folder, 'link'));
    for (const name of ['../f', 'out/f', `${outside}/f`, 'out/../../f']) {
      const error = await problemOf(files.patch({ patch: `*** Begin Patch\n*** Update File: ${name}\n-x\n+y\n*** End Patch` }));
      assert.equal(error.code, 'path_not_allowed', name);
      const made = await problemOf(files.patch({ patch: `*** Begin Patch\n*** Add File: ${name}new\n+y\n*** End Patch` }));
      assert.equal(made.code, 'path_not_allowed', name);
    }
    assert.equal((await problemOf(files.patch({ patch: '*** Begin Patch\n*** Delete File: link\n*** End Patch' }))).code, 'not_a_file');
    await files.patch({ patch: '*** Begin Patch\n*** Update File: link\n-x\n+y\n*** End Patch' });
    assert.equal(readFileSync(join(folder, 'target'), 'utf8'), 'y\n');
    mkdirSync(join(folder, 'dir'));
    assert.equal((await problemOf(files.patch({ patch: '*** Begin Patch\n*** Update File: dir\n-x\n+y\n*** End Patch' }))).code, 'not_a_file');
  });
});
