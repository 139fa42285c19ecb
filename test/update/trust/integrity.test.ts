/** Hashes of files as npm writes them, against files whose hash openssl says. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, describe, it, test } from 'node:test';
import { checkFile, integrityOf, parseIntegrity } from '../../../src/update/trust/integrity.ts';
import { TrustError } from '../../../src/update/trust/trust-error.ts';
import { rejectsWith, throwsWith } from '../../support/errors.ts';
import { temporaryFolder } from '../../support/server.ts';

// RFC 6234's "abc" and the empty text.
const abc = '3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==';
const empty = 'z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==';

function fileOf(t: TestContext, content: string | Buffer): string {
  const path = join(temporaryFolder(t), 'file');
  writeFileSync(path, content);
  return path;
}

test('a FIFO in the place of the file is refused, not waited for', {
  skip: process.platform === 'win32' ? 'Windows has none' : false, timeout: 20_000,
}, async (t) => {
  const path = join(temporaryFolder(t), 'package.tgz');
  execFileSync('mkfifo', [path]);
  await assert.rejects(integrityOf(path), /package\.tgz is not a regular file/);
});

describe('parseIntegrity()', () => {
  for (const [what, text, expected] of [
    ['one hash', `sha512-${abc}`, [abc]],
    ['several hashes', ` sha512-${abc}\n sha512-${empty} `, [abc, empty]],
    ['options', `sha512-${abc}?foo?bar`, [abc]],
    ['weaker hashes beside one that counts', `sha1-qZk+NkcGgWq6PiVxeFDCbJzQ2J0= sha512-${abc} sha256-whatever`, [abc]],
  ] as const) {
    it(`reads ${what}`, () => assert.deepEqual(parseIntegrity(text).sha512, expected));
  }

  for (const [what, text, reason] of [
    ['nothing', '', 'malformed'],
    ['only spaces', ' \n', 'malformed'],
    ['only SHA-1', 'sha1-qZk+NkcGgWq6PiVxeFDCbJzQ2J0=', 'weak-integrity'],
    ['only SHA-384', `sha384-${abc}`, 'weak-integrity'],
    ['an algorithm in capitals', `SHA512-${abc}`, 'weak-integrity'],
    ['a hash that is cut off', `sha512-${abc.slice(0, 40)}`, 'malformed'],
    ['a hash without padding', `sha512-${abc.replaceAll('=', '')}`, 'malformed'],
    ['base64 for URLs', `sha512-${abc.replaceAll('+', '-')}`, 'malformed'],
    ['one bad hash beside a good one', `sha512-${abc} sha512-x`, 'malformed'],
    ['more than anybody writes', `sha512-${abc} `.repeat(100), 'malformed'],
  ] as const) {
    it(`refuses ${what}`, () => {
      throwsWith(() => parseIntegrity(text), { type: TrustError, reason });
    });
  }
});

describe('checkFile()', () => {
  const name = 'https://a.test/it.tgz';

  it('resolves for a file that has any of the hashes', async (t) => {
    await checkFile(fileOf(t, 'abc'), parseIntegrity(`sha512-${empty} sha512-${abc}`), { name });
    await checkFile(fileOf(t, ''), parseIntegrity(`sha512-${empty}`), { name });
  });

  it('names the file by where it came from, the hash that was expected and the one that was found', async (t) => {
    await rejectsWith(checkFile(fileOf(t, 'abd'), parseIntegrity(`sha512-${abc}`), { name }), {
      type: TrustError, reason: 'integrity-mismatch',
      message: /^https:\/\/a\.test\/it\.tgz is not the file that was promised: expected sha512-3a81o\S+==, found sha512-\S+==$/,
    });
  });

  it('leaves a file that is not there to the caller', async () => {
    await assert.rejects(checkFile('/nowhere/at/all', parseIntegrity(`sha512-${abc}`), { name }), { code: 'ENOENT' });
  });

  it('ends when the caller has left', async (t) => {
    const path = fileOf(t, 'abc');
    await assert.rejects(checkFile(path, parseIntegrity(`sha512-${abc}`), { name, signal: AbortSignal.abort() }), { name: 'AbortError' });
  });
});

describe('integrityOf()', () => {
  it('agrees with openssl on a file of many pieces', async (t) => {
    const path = fileOf(t, Buffer.alloc(3_000_001, 'piece'));
    const digest = execFileSync('openssl', ['dgst', '-sha512', '-binary', path]).toString('base64');
    assert.equal(await integrityOf(path), `sha512-${digest}`);
  });
});
