/** What is on the disk, compared with what should be. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { linkSync, mkdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, describe, it } from 'node:test';
import { copyPackage } from '../../../src/update/archive/package-folder.ts';
import { unpack } from '../../../src/update/archive/tarball.ts';
import { UpdateError } from '../../../src/update/update-error.ts';
import { type FileHashes, checkWritten } from '../../../src/update/versions/verify-files.ts';
import { rejectsWith } from '../../support/errors.ts';
import { temporaryFolder } from '../../support/server.ts';
import { entry, tgz } from '../../support/tarball.ts';

interface Setting {
  readonly folder: string;
  readonly hashes: FileHashes;
}

/** What was unpacked just now. */
async function setUp(t: TestContext): Promise<Setting> {
  const parent = temporaryFolder(t);
  const [file, folder] = [join(parent, 'x.tgz'), join(parent, 'x')];
  writeFileSync(file, tgz(entry('package/a', { content: 'a' }), entry('package/b/c', { content: 'c'.repeat(200_000) }), entry('package/d/', { type: '5' })));
  const hashes = new Map<string, string>();
  await unpack(file, folder, { maxBytes: 1e6, maxFiles: 10, onFile: (path, sha512) => hashes.set(path, sha512) });
  return { folder, hashes };
}

describe('checkWritten()', () => {
  it('takes what was unpacked, by the hashes of its content', async (t) => {
    const { folder, hashes } = await setUp(t);
    assert.deepEqual([...hashes.keys()], ['a', 'b/c']);
    assert.equal(hashes.get('a'), createHash('sha512').update('a').digest('base64'));
    await checkWritten(folder, hashes);
  });

  it('takes what was copied from a folder, which has the same hashes', async (t) => {
    const { folder, hashes } = await setUp(t);
    const copied = new Map<string, string>();
    const copy = `${folder}-copy`;
    const result = await copyPackage(folder, copy, { maxBytes: 1e6, maxFiles: 10, onFile: (path, sha512) => copied.set(path, sha512) });
    assert.deepEqual(result, { files: 2, bytes: 200_001 });
    assert.deepEqual(copied, hashes);
    await checkWritten(copy, hashes);
  });

  const changes: readonly (readonly [what: string, change: (folder: string) => void, message: RegExp])[] = [
    ['a byte that changed', (folder) => writeFileSync(join(folder, 'a'), 'b'), /"a" is not what was written/],
    ['a file that was cut off', (folder) => truncateSync(join(folder, 'b/c'), 65_536), /"b\/c" is not what was written/],
    ['a file that has gone', (folder) => rmSync(join(folder, 'a')), /"a" is missing/],
    ['a file more', (folder) => writeFileSync(join(folder, 'd/e'), ''), /"d\/e" should not be there/],
    ['a link to the same content', (folder) => {
      linkSync(join(folder, 'a'), `${folder}-a`);
      rmSync(join(folder, 'a'));
      symlinkSync(`${folder}-a`, join(folder, 'a'));
    }, /"a" should not be there/],
    ['a folder in the place of a file', (folder) => {
      rmSync(join(folder, 'a'));
      mkdirSync(join(folder, 'a'));
    }, /"a" is missing/],
  ];
  for (const [what, change, message] of changes) {
    it(`refuses ${what}, and blames the disk`, async (t) => {
      const { folder, hashes } = await setUp(t);
      change(folder);
      const error = await rejectsWith(checkWritten(folder, hashes), { type: UpdateError, message });
      assert.equal(error.isToBlame, false);
    });
  }

  it('ends with its signal', async (t) => {
    const { folder, hashes } = await setUp(t);
    await assert.rejects(checkWritten(folder, hashes, { signal: AbortSignal.abort(new Error('enough')) }), /enough/);
  });
});
