/**
 * Files that something else may stand in place of.
 * @module
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chownSync, closeSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync, writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { replaceFile } from '../../../src/base/files/atomic-file.ts';
import {
  appendLine, appendRegular, createFile, openFifo, openRegular, openRegularLater, openToAppend, readRegular, readRegularLater, UntrustedFileError,
  writeRegular,
} from '../../../src/base/files/untrusted-file.ts';
import { temporaryFolder } from '../../support/server.ts';

const isWindows = process.platform === 'win32';

/** Puts something else there. */
const impostors: { readonly [kind: string]: (path: string) => void } = {
  'a FIFO': (path) => { execFileSync('mkfifo', [path]); },
  'a link to a file': (path) => {
    writeFileSync(`${path}.target`, 'secret');
    symlinkSync(`${path}.target`, path);
  },
  'a link to a device that never ends': (path) => symlinkSync('/dev/zero', path),
  'a link to nothing': (path) => symlinkSync(`${path}.missing`, path),
  'a directory': (path) => mkdirSync(path),
  'a socket': (path) => {
    // Ended by SIGKILL it leaves its socket behind.
    const script = 'require("node:net").createServer().listen(process.argv[1], () => process.kill(process.pid, "SIGKILL"))';
    spawnSync(process.execPath, ['-e', script, path], { stdio: 'ignore' });
  },
};

for (const [kind, put] of Object.entries(impostors)) {
  test(`${kind} in the place of a file is refused, and nobody waits`, { skip: isWindows, timeout: 20_000 }, async (t) => {
    const path = join(temporaryFolder(t), 'record');
    put(path);
    const acts = {
      openRegular: () => openRegular(path), readRegular: () => readRegular(path, 100), openToAppend: () => openToAppend(path),
      appendRegular: () => appendRegular(path, 'x'), writeRegular: () => writeRegular(path, 'x'),
    };
    for (const [name, act] of Object.entries(acts)) assert.throws(act, UntrustedFileError, name);
    await assert.rejects(openRegularLater(path), UntrustedFileError);
    await assert.rejects(readRegularLater(path, 100), UntrustedFileError);
    assert.throws(() => createFile(path, 'x'), { code: 'EEXIST' });
    if (kind === 'a link to a file') assert.equal(readFileSync(`${path}.target`, 'utf8'), 'secret');
    assert.equal(existsSync(`${path}.missing`), false, 'nothing is made through a link');
  });
}

test('only a FIFO is opened as one; without a reader that says ENXIO', { skip: isWindows }, (t) => {
  const folder = temporaryFolder(t);
  const fifo = join(folder, 'fifo');
  const file = join(folder, 'file');
  execFileSync('mkfifo', [fifo]);
  writeFileSync(file, '');
  assert.throws(() => openFifo(fifo, 'write'), { code: 'ENXIO' });
  const both = openFifo(fifo, 'both');
  const write = openFifo(fifo, 'write');
  assert.equal(writeSync(write, 'x'), 1);
  closeSync(write);
  closeSync(both);
  assert.throws(() => openFifo(file, 'write'), UntrustedFileError);
  assert.throws(() => openFifo(file, 'both'), UntrustedFileError);
  symlinkSync(fifo, join(folder, 'link'));
  assert.throws(() => openFifo(join(folder, 'link'), 'both'), UntrustedFileError);
  assert.throws(() => openFifo(join(folder, 'missing'), 'write'), { code: 'ENOENT' });
});

test('a file of another user is not believed', { skip: process.getuid?.() === 0 ? false : 'needs root, to make one' }, async (t) => {
  const path = join(temporaryFolder(t), 'record');
  writeFileSync(path, 'theirs');
  chownSync(path, 12_345, 12_345);
  assert.throws(() => readRegular(path, 100), /record belongs to user 12345, not to us \(0\)/);
  await assert.rejects(readRegularLater(path, 100), UntrustedFileError);
  assert.throws(() => appendRegular(path, 'x'), UntrustedFileError);
  await (await openRegularLater(path, { owner: 'anyone' })).close();
});

test('a file that is longer than it can be is not read', async (t) => {
  const path = join(temporaryFolder(t), 'record');
  writeFileSync(path, '');
  truncateSync(path, 2 ** 40);
  assert.throws(() => readRegular(path, 2 ** 20), UntrustedFileError);
  await assert.rejects(readRegularLater(path, 2 ** 20), UntrustedFileError);
});

test('what is written, appended and made is there, for its owner only', (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, 'file');
  appendRegular(path, 'one\n');
  appendRegular(path, 'two\n');
  assert.equal(readRegular(path, 100).toString(), 'one\ntwo\n');
  writeRegular(path, 'ü');
  assert.equal(readRegular(path, 2).toString(), 'ü');
  createFile(join(folder, 'other'), 'x');
  assert.throws(() => createFile(join(folder, 'other'), 'y'), { code: 'EEXIST' });
  assert.throws(() => readRegular(join(folder, 'missing'), 100), { code: 'ENOENT' });
});

test('what stands where a file is prepared that replaces another is not written into', { skip: isWindows, timeout: 20_000 }, (t) => {
  const path = join(temporaryFolder(t), 'record');
  writeFileSync(`${path}.target`, 'mine');
  const names = Array.from({ length: 60 }, (_, number) => `${path}.${process.pid}.${number}`);
  execFileSync('mkfifo', names.slice(0, 30));
  for (const name of names.slice(30)) symlinkSync(`${path}.target`, name);
  for (let content = 0; content < 80; content += 1) {
    replaceFile(path, String(content));
    assert.equal(readFileSync(path, 'utf8'), String(content));
  }
  assert.equal(readFileSync(`${path}.target`, 'utf8'), 'mine');
  mkdirSync(`${path}.folder`);
  assert.throws(() => replaceFile(`${path}.folder`, 'x'), { code: 'EISDIR' });
  assert.deepEqual(readdirSync(dirname(path)).filter((name) => name.includes('folder.')), []);
});

test('appendLine() begins a line of its own, and writes the same one once', (t) => {
  const path = join(temporaryFolder(t), 'file');
  for (const [before, after] of [['', 'x\n'], ['a\n', 'a\nx\n'], ['a', 'a\nx\n'], ['x\n', 'x\n'], ['ax\n', 'ax\nx\n'], ['a\nx\n', 'a\nx\n'], ['x', 'x\nx\n']] as const) {
    writeFileSync(path, before);
    appendLine(path, 'x');
    assert.equal(readFileSync(path, 'utf8'), after, JSON.stringify(before));
  }
  rmSync(path);
  symlinkSync('elsewhere', path);
  assert.throws(() => appendLine(path, 'x'), UntrustedFileError);
});
