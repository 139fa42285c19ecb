/** Tarballs as npm and tar write them, and as nobody should. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, openSync, closeSync, readFileSync, readdirSync, statSync, symlinkSync, linkSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type TestContext, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { TarLayout } from '../../../src/update/archive/tar-layout.ts';
import { type UnpackOptions, type Unpacked, unpack } from '../../../src/update/archive/tarball.ts';
import { TarballError } from '../../../src/update/errors.ts';
import { temporaryFolder } from '../../support/server.ts';
import { until } from '../../support/wait.ts';
import { archive, base256, entry, entryOf, header, longName, octal, pax, tgz } from '../../support/tarball.ts';

const limits = { maxBytes: 1024 * 1024, maxFiles: 1000 };
const [MiB, GiB] = [1024 ** 2, 1024 ** 3];
/** Others lack the options that make what is refused. */
const gnuTar = execFileSync('tar', ['--version'], { encoding: 'utf8' }).includes('GNU tar') ? false : 'tar is not GNU tar';

interface Place {
  readonly folder: string;
  readonly file: string;
  readonly target: string;
}

function placeFor(t: TestContext, bytes?: Buffer): Place {
  const folder = temporaryFolder(t);
  const file = join(folder, 'package.tgz');
  if (bytes) writeFileSync(file, bytes);
  return { folder, file, target: join(folder, 'target') };
}

/** Unpacks, and reads what is there: files by path. */
async function unpacked(t: TestContext, bytes: Buffer): Promise<{ result: Unpacked; files: { [path: string]: string }; target: string }> {
  const { file, target } = placeFor(t, bytes);
  const result = await unpack(file, target, limits);
  return { result, files: readAll(target), target };
}

function readAll(folder: string): { [path: string]: string } {
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) => statSync(join(folder, path)).isFile());
  return Object.fromEntries(paths.map((path) => [path, readFileSync(join(folder, path), 'utf8')]));
}

/** It fails for this reason, and nothing is left. */
async function refuses(t: TestContext, bytes: Buffer, reason: RegExp, options: UnpackOptions = limits): Promise<TarballError> {
  const { folder, file, target } = placeFor(t, bytes);
  const error = await unpack(file, target, options).then(() => undefined, (failure: unknown) => failure);
  assert.ok(error instanceof TarballError, String(error));
  assert.match(error.message, reason);
  assert.match(error.message, /^Cannot unpack ("[^]*"|the tarball): /);
  assert.deepEqual(readdirSync(folder), ['package.tgz']);
  return error;
}

/** A folder of files, by path; those that end in `/` are folders. */
function write(folder: string, files: { readonly [path: string]: string }): void {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(folder, path.endsWith('/') ? path : dirname(path)), { recursive: true });
    if (!path.endsWith('/')) writeFileSync(join(folder, path), content);
  }
}

function tar(folder: string, ...words: readonly string[]): Buffer {
  return execFileSync('tar', ['-cz', '-C', folder, ...words], { stdio: ['ignore', 'pipe', 'ignore'] });
}

const modeOf = (path: string): number => statSync(path).mode & 0o7777;

describe('unpack() takes', () => {
  test('what npm packs: its files, with their modes made the same everywhere', async (t) => {
    const { folder, target } = placeFor(t);
    const long = `lib/${'deep/'.repeat(20)}${'x'.repeat(90)}.js`;
    const source = join(folder, 'source');
    write(source, {
      'package.json': JSON.stringify({ name: 'a-package', version: '1.2.3', bin: 'bin/run.js' }),
      'bin/run.js': '#!/usr/bin/env node\n', 'lib/ä ö.txt': 'umlauts', 'empty': '', 'big.bin': 'x'.repeat(300_000), [long]: 'long',
    });
    chmodSync(join(source, 'bin/run.js'), 0o700);
    chmodSync(join(source, 'empty'), 0o600);
    execFileSync('npm', ['pack', '--silent', '--offline', '--cache', join(folder, 'cache')], { cwd: source });
    const before = process.umask(0o077);
    t.after(() => { process.umask(before); });
    const result = await unpack(join(source, 'a-package-1.2.3.tgz'), target, limits);
    const files = readAll(target);
    assert.deepEqual(Object.keys(files).sort(), ['bin/run.js', 'big.bin', 'empty', long, 'lib/ä ö.txt', 'package.json'].sort());
    for (const [path, content] of Object.entries(files)) assert.equal(content, readFileSync(join(source, path), 'utf8'), path);
    assert.deepEqual(result, { files: 6, bytes: Object.values(files).reduce((sum, content) => sum + Buffer.byteLength(content), 0) });
    assert.equal(modeOf(target), 0o700);
    assert.equal(modeOf(join(target, 'bin')), 0o755);
    assert.equal(modeOf(join(target, 'bin/run.js')), 0o755);
    assert.equal(modeOf(join(target, 'empty')), 0o644);
  });

  for (const format of ['ustar', 'pax', 'gnu']) {
    test(`what tar writes as ${format}, with folders and long names`, { skip: gnuTar }, async (t) => {
      const { folder, file, target } = placeFor(t);
      const long = `${'folder/'.repeat(18)}${'n'.repeat(80)}`;
      write(folder, { 'package/a.js': 'a', 'package/empty/': '', [`package/${long}`]: 'long' });
      writeFileSync(file, tar(folder, `--format=${format}`, 'package'));
      assert.deepEqual(await unpack(file, target, limits), { files: 2, bytes: 5 });
      assert.deepEqual(readAll(target), { 'a.js': 'a', [long]: 'long' });
      assert.ok(statSync(join(target, 'empty')).isDirectory());
    });
  }

  const x = entry('package/x', { content: 'x' });
  const good: readonly (readonly [what: string, bytes: Buffer, files: { readonly [path: string]: string }])[] = [
    ['a prefix before the name', tgz(entry('b/c', { prefix: 'package/a', content: '1' })), { 'a/b/c': '1' }],
    ['a name and a size from an extended header', tgz(pax({ path: 'package/ä', size: '3', mtime: '1.5', comment: 'a\nb=c' }), entryOf({ name: 'cut', size: octal(0), content: 'abc' })), { ä: 'abc' }],
    ['a name cut within a character, where an extended header has the whole', tgz(pax({ path: 'package/ä' }), entryOf({ name: Buffer.from('package/ä').subarray(0, -1) })), { ä: '' }],
    ['the last of two extended headers', tgz(pax({ path: '/no' }), pax({ path: 'package/y' }), x), { y: 'x' }],
    ['an extended header rather than a long name', tgz(pax({ path: 'package/y' }), longName('package/z'), x), { y: 'x' }],
    ['a long name', tgz(longName(`package/${'y'.repeat(200)}`), x), { ['y'.repeat(200)]: 'x' }],
    ['global headers, which say nothing', tgz(pax({ path: 'package/no', size: '9' }, 'g'), x), { x: 'x' }],
    ['a size in base 256', tgz(entryOf({ name: 'package/x', content: 'xyz', size: base256(3n) })), { x: 'xyz' }],
    ['numbers with spaces around', tgz(entryOf({ name: 'package/x', content: 'xyz', size: '         3  ', mode: '   644 \0' })), { x: 'xyz' }],
    ['a file of the old type', tgz(entry('package/x', { type: '\0', content: 'x' })), { x: 'x' }],
    ['a folder that is named after what is in it', tgz(entry('package/a/x'), entry('package/a/', { type: '5' }), entry('package', { type: '5' })), { 'a/x': '' }],
    ['dots that are no segments', tgz(entry('package/.x'), entry('package/..y'), entry('package/...')), { '.x': '', '..y': '', '...': '' }],
    ['__proto__', tgz(entry('package/__proto__', { content: 'x' }), entry('package/constructor')), Object.fromEntries([['__proto__', 'x'], ['constructor', '']])],
    ['a path of 240 bytes', tgz(entry(`package/${'a/'.repeat(30)}`, { type: '5' }), pax({ path: `package/${'é'.repeat(116)}` }), x), { ['é'.repeat(116)]: 'x' }],
    ['one block of zeros at the end', gzipSync(Buffer.concat([x, Buffer.alloc(512)])), { x: 'x' }],
    ['a record filled up with zeros', gzipSync(Buffer.concat([archive(x), Buffer.alloc(100_000)])), { x: 'x' }],
    ['gzip in several members', Buffer.concat([gzipSync(x.subarray(0, 700)), gzipSync(x.subarray(700)), gzipSync(Buffer.alloc(1024))]), { x: 'x' }],
  ];
  for (const [what, bytes, files] of good) {
    test(what, async (t) => assert.deepEqual((await unpacked(t, bytes)).files, files));
  }

  test('modes: the execute bit of the owner alone counts, set-uid and the like never', async (t) => {
    const modes = { '0000755\0': 0o755, '0000100\0': 0o755, '0000011\0': 0o644, '0000000\0': 0o644, '0007777\0': 0o755, '0106000\0': 0o644 };
    const { target } = await unpacked(t, tgz(...Object.keys(modes).map((mode, index) => entry(`package/${index}`, { mode }))));
    assert.deepEqual(Object.keys(modes).map((_, index) => modeOf(join(target, String(index)))), Object.values(modes));
  });

  test('files up to the limits, whatever they are made of', async (t) => {
    const { file, target } = placeFor(t);
    const [one, other] = [randomBytes(700_001), randomBytes(512)];
    writeFileSync(file, tgz(entry('package/a/b/one', { content: one }), entry('package/other', { content: other })));
    const options = { maxBytes: one.length + other.length, maxFiles: 4 };
    assert.deepEqual(await unpack(file, target, options), { files: 2, bytes: options.maxBytes });
    assert.ok(readFileSync(join(target, 'a/b/one')).equals(one));
    assert.ok(readFileSync(join(target, 'other')).equals(other));
  });
});

describe('unpack() refuses what tar wrote with', { skip: gnuTar }, () => {
  const cases: readonly (readonly [what: string, make: (folder: string) => readonly string[], reason: RegExp])[] = [
    ['a symbolic link', (folder) => { symlinkSync('/etc/passwd', join(folder, 'package/b')); return ['package']; }, /"package\/b": it is a symbolic link/],
    ['a hard link', (folder) => { linkSync(join(folder, 'package/a'), join(folder, 'package/b')); return ['package/a', 'package/b']; }, /"package\/b": it is a hard link/],
    ['a link to a long name', (folder) => { symlinkSync('t'.repeat(200), join(folder, 'package/b')); return ['--format=gnu', 'package']; }, /"package\/b": it is a symbolic link/],
    ['a FIFO', (folder) => { execFileSync('mkfifo', [join(folder, 'package/b')]); return ['package']; }, /"package\/b": it is a FIFO/],
    ['a device', () => ['-P', '--transform=s,^/dev/,package/,', '/dev/null'], /"package\/null": it is a character device/],
    ['an absolute path', (folder) => ['-P', join(folder, 'package/a')], /"\/[^"]+\/package\/a": its path is absolute/],
    ['a path that goes up', () => ['-P', '--transform=s,package/a,package/../../a,', 'package/a'], /"package\/..\/..\/a": there is a ".." in its path/],
    ['a path that begins with a dot', () => ['./package/a'], /"\.\/package\/a": there is a "\." in its path/],
    ['another folder', () => ['--transform=s,package,other,', 'package/a'], /"other\/a": it is not inside package\//],
    ['no folder', (folder) => ['-C', join(folder, 'package'), 'a'], /"a": it is not inside package\//],
    ['a file twice', () => ['package/a', 'package/a', '--hard-dereference'], /"package\/a": it is there twice/],
    ['a sparse file', (folder) => { sparse(join(folder, 'package/b')); return ['--format=gnu', '-S', 'package/b']; }, /"package\/b": it is a sparse file/],
    ['a sparse file, in an extended header', (folder) => { sparse(join(folder, 'package/b')); return ['--format=pax', '-S', 'package/b']; }, /stored with holes/],
    ['no entry', () => ['-T', '/dev/null'], /there are no files in it/],
    ['folders alone', (folder) => { write(folder, { 'package/c/': '' }); return ['package/c']; }, /there are no files in it/],
  ];
  for (const [what, make, reason] of cases) {
    test(what, async (t) => {
      const { folder } = placeFor(t);
      write(folder, { 'package/a': 'a' });
      await refuses(t, tar(folder, ...make(folder)), reason);
    });
  }
});

function sparse(path: string): void {
  writeFileSync(path, 'x');
  truncateSync(path, 10 * MiB);
}

describe('unpack() refuses', () => {
  const x = entry('package/x', { content: 'x' });
  const at = (path: string): Buffer => tgz(pax({ path }), x);
  const fine = tgz(x, entry('package/y', { content: randomBytes(5000) }));
  const cases: readonly (readonly [what: string, bytes: Buffer, reason: RegExp, options?: Partial<UnpackOptions>])[] = [
    ['an empty segment', tgz(entry('package//x')), /"package\/\/x": there is an empty segment/],
    ['a file with a slash at the end', tgz(entry('package/x/')), /there is an empty segment/],
    ['a folder with two', tgz(entry('package/x//', { type: '5' })), /there is an empty segment/],
    ['a dot within', tgz(entry('package/./x')), /there is a "\." in its path/],
    ['two dots at the end', tgz(entry('package/a/..', { type: '5' })), /there is a "\.\." in its path/],
    ['two dots in a prefix', tgz(entry('x', { prefix: 'package/..' })), /there is a "\.\." in its path/],
    ['two dots in an extended header', at('package/../x'), /there is a "\.\." in its path/],
    ['two dots in a long name', tgz(longName('package/../x'), x), /there is a "\.\." in its path/],
    ['an absolute path in an extended header', at('/package/x'), /"\/package\/x": its path is absolute/],
    ['a backslash', tgz(entry('package\\..\\x')), /there is a backslash in its name/],
    ['a NUL in an extended header', at('package/x\0.js'), /"package\/x\\x00\.js": there is a NUL in its name/],
    ['a NUL in a long name', tgz(longName('package/x\0y'), x), /there is a NUL in its name/],
    ['a name that is not UTF-8', tgz(entryOf({ name: Buffer.from('package/\xe4', 'latin1') })), /its name is not UTF-8/],
    ['an empty name', tgz(entry('')), /"": its name is empty/],
    ['an empty name in an extended header', at(''), /"": its name is empty/],
    ['a path of 241 bytes', at(`package/${'é'.repeat(116)}x`), /its path is longer than 240 bytes/],
    ['a file in place of the folder', tgz(entry('package')), /"package": package must be a folder/],
    ['another top folder, after the first', tgz(x, entry('packages/y')), /"packages\/y": it is not inside package\//],
    ['a folder twice', tgz(x, entry('package/a', { type: '5' }), entry('package/a/', { type: '5' })), /"package\/a\/": it is there twice/],
    ['a folder where a file is', tgz(x, entry('package/x', { type: '5' })), /"x" is a file already/],
    ['a file in a file', tgz(x, entry('package/x/y')), /"package\/x\/y": "x" is a file already, a folder is needed/],
    ['a file where a folder is', tgz(entry('package/x/y'), x), /"package\/x": "x" is a folder already/],
    ['names that differ by case', tgz(x, entry('package/X')), /"package\/X": its path differs only by case.* from "x"/],
    ['folders that differ by case', tgz(entry('package/a/x'), entry('package/A/y')), /"package\/A\/y": .*differs only by case.* from "a"/],
    ['names that differ by how characters are composed', tgz(x, entry('package/é'), entry('package/e\u0301')), /how characters are composed/],
    ['a folder with content', tgz(entry('package/a', { type: '5', content: 'x' })), /it is a folder with content/],
    ['a contiguous file', tgz(entry('package/x', { type: '7' })), /it is a contiguous file/],
    ['a block device', tgz(entry('package/x', { type: '4' })), /it is a block device/],
    ['a type that nobody knows', tgz(entry('package/x', { type: 'Z' })), /it is a thing of unknown type/],
    ['a wrong checksum', tgz(entry('package/x', { checksum: '000000\0 ' })), /checksum is wrong/],
    ['no checksum', tgz(entry('package/x', { checksum: '\0'.repeat(8) })), /checksum is wrong/],
    ['an archive from before ustar', tgz(entry('package/x', { magic: '\0'.repeat(8) })), /not that of a ustar archive/],
    ['a size that is no number', tgz(entry('package/x', { size: '9'.repeat(11) })), /its size is not a number/],
    ['no size', tgz(entry('package/x', { size: '\0'.repeat(12) })), /its size is not a number/],
    ['a mode that is no number', tgz(entry('package/x', { mode: 'rwxr-xr-' })), /its mode is not a number/],
    ['a negative size', tgz(entry('package/x', { size: base256((1n << 88n) - 5n, 0xff) })), /its size is not a number/],
    ['a size beyond all numbers', tgz(entry('package/x', { size: base256(1n << 60n) })), /its size is not a number/],
    ['a size in words in an extended header', tgz(pax({ size: '-1' }), x), /the size is not a number/],
    ['an extended header with a wrong length', tgz(entry('p', { type: 'x', content: '99 path=a\n' }), x), /an extended header is damaged/],
    ['an extended header with a length of nothing', tgz(entry('p', { type: 'x', content: '0 path=a\n' }), x), /an extended header is damaged/],
    ['an extended header without a line end', tgz(entry('p', { type: 'x', content: '9 path=aa' }), x), /an extended header is damaged/],
    ['an extended header of more than 64 KiB', tgz(pax({ comment: 'x'.repeat(64 * 1024) }), x), /the extended header has 65\d+ bytes/],
    ['a global header of more than 64 KiB', tgz(pax({ comment: 'x'.repeat(64 * 1024) }, 'g'), x), /the global header has/],
    ['a long name of more than 64 KiB', tgz(longName('x'.repeat(64 * 1024)), x), /the long name has/],
    ['extended headers without end', tgz(...Array.from({ length: 5 }, () => pax({}, 'g')), x), /more than 4 extended headers/],
    ['an extended header and nothing after', tgz(x, pax({ path: 'package/y' })), /it ends where an entry should follow/],
    ['more bytes than allowed', fine, /"package\/y": its files have more than 5000 bytes/, { maxBytes: 5000 }],
    ['more files than allowed', fine, /"package\/y": there are more than 1 files and folders/, { maxFiles: 1 }],
    ['more folders than allowed, that paths imply', tgz(entry(`package/${'a/'.repeat(40)}x`)), /more than 40 files and folders/, { maxFiles: 40 }],
    ['a size beyond the limit, early', gzipSync(header({ size: base256(BigInt(10 * GiB)) })), /its files have more than 1048576 bytes/],
    ['no blocks of zeros', gzipSync(x), /it ends too early/],
    ['half a header', gzipSync(x.subarray(0, 300)), /it ends too early/],
    ['half a content', gzipSync(archive(x).subarray(0, 512)), /it ends too early/],
    ['an archive of nothing', gzipSync(''), /it ends too early/],
    ['something after the end of the archive', gzipSync(Buffer.concat([archive(x), x])), /after the end of the archive/],
    ['zeros without end', gzipSync(Buffer.concat([archive(x), Buffer.alloc(2 * MiB)])), /after the end of the archive/],
    ['gzip that is cut off', fine.subarray(0, fine.length - 1), /its gzip data is cut off/],
    ['gzip that is cut in half', fine.subarray(0, fine.length / 2), /its gzip data is cut off/],
    ['a damaged byte', Buffer.from(fine.map((byte, index) => (index === fine.length - 6 ? byte ^ 1 : byte))), /its gzip data is damaged/],
    ['garbage after the gzip', Buffer.concat([fine, Buffer.from('garbage')]), /its gzip data is damaged/],
    // Node's zlib ends in silence at these.
    ['zeros after the gzip', Buffer.concat([fine, Buffer.alloc(1)]), /after the end of the gzip data/],
    ['zeros and garbage after the gzip', Buffer.concat([fine, Buffer.alloc(1), randomBytes(200_000)]), /after the end of the gzip data/],
    ['no gzip', archive(x), /its gzip data is damaged/],
    ['an empty file', Buffer.alloc(0), /its gzip data is cut off/],
  ];
  for (const [what, bytes, reason, options] of cases) {
    test(what, async (t) => { await refuses(t, bytes, reason, { ...limits, ...options }); });
  }

  test('with the name of the entry, and none where there is none', async (t) => {
    assert.equal((await refuses(t, at('package/../x'), /\.\./)).entry, 'package/../x');
    assert.equal((await refuses(t, fine.subarray(0, -1), /cut off/)).entry, undefined);
  });

  test('in a short line, whatever the name', async (t) => {
    const { message } = await refuses(t, at(`package/\x1b[31m\n\u202e${'x'.repeat(60_000)}`), /longer than 240/);
    assert.match(message, /^Cannot unpack "package\/\\x1b\[31m\\n\\u202ex/);
    assert.ok(message.length < 400);
  });
});

describe('unpack()', () => {
  test('stops at the limit of a bomb of 10 GiB, having written no more than that', async (t) => {
    const { folder, file, target } = placeFor(t);
    const fd = openSync(file, 'w');
    const part = entry('package/0', { content: Buffer.alloc(4 * MiB) });
    for (let number = 0; number < 10; number += 1) {
      part[8] = 0x30 + number;
      writeSync(fd, gzipSync(Buffer.concat([header({ name: `package/${number}`, size: octal(4 * MiB) }), part.subarray(512)])));
    }
    // The last file is one of 10 GiB, which comes in members of 64 MiB.
    writeSync(fd, gzipSync(header({ name: 'package/big', size: base256(BigInt(10 * GiB)) })));
    const zeros = gzipSync(Buffer.alloc(64 * MiB));
    for (let count = 0; count < 160; count += 1) writeSync(fd, zeros);
    closeSync(fd);
    const before = written();
    const startedAt = performance.now();
    await assert.rejects(unpack(file, target, { maxBytes: 10 * MiB, maxFiles: 100 }), /"package\/2": its files have more than 10485760 bytes/);
    await assert.rejects(unpack(file, target, { maxBytes: 41 * MiB, maxFiles: 100 }), /"package\/big": its files have more than/);
    assert.ok(performance.now() - startedAt < 10_000);
    if (before !== undefined) assert.ok((written() ?? 0) - before < 52 * MiB);
    assert.deepEqual(readdirSync(folder), ['package.tgz']);
  });

  test('does not read on where the archive has ended: a bomb of zeros costs little', async (t) => {
    const zeros = gzipSync(Buffer.alloc(64 * MiB));
    const startedAt = performance.now();
    await refuses(t, Buffer.concat([tgz(entry('package/x')), ...Array.from({ length: 160 }, () => zeros)]), /after the end of the archive/);
    assert.ok(performance.now() - startedAt < 5000);
  });

  test('keeps the event loop free and the memory small', async (t) => {
    const { file, target } = placeFor(t, tgz(entry('package/x', { content: Buffer.alloc(200 * MiB) })));
    let [longest, last, peak] = [0, performance.now(), 0];
    const before = process.memoryUsage();
    const timer = setInterval(() => {
      const now = performance.now();
      [longest, last] = [Math.max(longest, now - last), now];
      const { arrayBuffers } = process.memoryUsage();
      peak = Math.max(peak, arrayBuffers - before.arrayBuffers);
    }, 1);
    t.after(() => { clearInterval(timer); });
    await unpack(file, target, { ...limits, maxBytes: GiB });
    assert.ok(longest < 500, `the loop stood still for ${longest} ms`);
    assert.ok(peak < 150 * MiB, `it held ${peak} bytes`);
  });

  test('leaves alone what is there already', async (t) => {
    const { file, target } = placeFor(t, tgz(entry('package/x')));
    write(target, { mine: 'still here' });
    await assert.rejects(unpack(file, target, limits), { code: 'EEXIST' });
    assert.deepEqual(readAll(target), { mine: 'still here' });
    await assert.rejects(unpack(file, join(target, 'mine'), limits), { code: 'EEXIST' });
    await assert.rejects(unpack(file, join(target, 'no/where'), limits), { code: 'ENOENT' });
  });

  test('makes no folder for a file that is not there', async (t) => {
    const { file, folder, target } = placeFor(t);
    await assert.rejects(unpack(file, target, limits), { code: 'ENOENT' });
    await assert.rejects(unpack(folder, target, limits), { code: 'EISDIR' });
    assert.equal(existsSync(target), false);
  });

  test('passes on what the system says, with the folder gone', { skip: process.platform !== 'linux' }, async (t) => {
    const { file, folder } = placeFor(t, tgz(entry('package/a/x'), entry(`package/${'a'.repeat(80)}`)));
    // The target and its first file can be made; with the second the path is longer than PATH_MAX.
    const deep = join(folder, ...Array.from({ length: 16 }, () => 'd'.repeat(240)));
    mkdirSync(deep, { recursive: true });
    const near = join(deep, 'e'.repeat(4095 - 30 - deep.length));
    await assert.rejects(unpack(file, near, limits), { code: 'ENAMETOOLONG' });
    assert.deepEqual(readdirSync(deep), []);
  });

  test('does nothing where it was aborted before', async (t) => {
    const { file, target } = placeFor(t, tgz(entry('package/x')));
    const reason = new Error('enough');
    await assert.rejects(unpack(file, target, { ...limits, signal: AbortSignal.abort(reason) }), reason);
    assert.equal(existsSync(target), false);
  });

  test('ends when it is aborted, with the reason and the folder gone', async (t) => {
    const zeros = gzipSync(Buffer.alloc(16 * MiB));
    const head = gzipSync(header({ name: 'package/x', size: octal(GiB) }));
    const { file, folder, target } = placeFor(t, Buffer.concat([head, ...Array.from({ length: 64 }, () => zeros)]));
    const controller = new AbortController();
    const reason = new Error('enough');
    const ending = assert.rejects(unpack(file, target, { maxBytes: GiB, maxFiles: 9, signal: controller.signal }), reason);
    await until(() => existsSync(join(target, 'x')) && statSync(join(target, 'x')).size > 0, { what: 'it writes' });
    controller.abort(reason);
    await ending;
    assert.deepEqual(readdirSync(folder), ['package.tgz']);
  });

  test('leaves no file open, however it ends', { skip: process.platform !== 'linux' }, async (t) => {
    const openFiles = (): number => readdirSync('/proc/self/fd').length;
    const before = openFiles();
    for (const bytes of [tgz(entry('package/x')), tgz(entry('/x')), Buffer.from('none'), Buffer.concat([tgz(entry('/x')), randomBytes(MiB)])]) {
      const { file, target } = placeFor(t, bytes);
      await unpack(file, target, limits).catch(() => undefined);
    }
    await until(() => openFiles() <= before, { what: 'all are closed' });
  });
});

test('TarLayout refuses what Windows would take for something else, there alone', () => {
  const names = ['con', 'CON', 'nul.txt', 'com1', 'COM¹.a.b', 'lpt9 .x', 'aux/x', 'prn', 'conin$', 'x.', 'x ', 'x. /y', 'a:b', 'c:', 'a*', 'a?', 'a<b', 'a|b', 'a\x01'];
  for (const name of names) {
    const place = (platform: NodeJS.Platform) => () => new TarLayout({ maxPlaces: 9, platform }).place(`package/${name}`, 'file');
    assert.throws(place('win32'), TarballError, name);
    assert.doesNotThrow(place('linux'), name);
  }
  for (const name of ['console', 'com', 'com10', 'nul-x', 'x.con', '.con', 'lpt', 'a.b']) {
    assert.doesNotThrow(() => new TarLayout({ maxPlaces: 9, platform: 'win32' }).place(`package/${name}`, 'file'), name);
  }
});

/** What this process has handed to the system to be written, where Linux says it. */
function written(): number | undefined {
  if (process.platform !== 'linux') return undefined;
  return Number(/^wchar: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1]);
}

test('unpack() takes any level of compression', async (t) => {
  for (const level of [0, 1, 9]) {
    const { files } = await unpacked(t, gzipSync(archive(entry('package/x', { content: 'x'.repeat(100_000) })), { level }));
    assert.equal(files['x']?.length, 100_000);
  }
});
