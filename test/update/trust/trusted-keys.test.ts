/** The file of the keys that the user trusts. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, readFileSync, readdirSync, renameSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, describe, it } from 'node:test';
import { ParseError } from '../../../src/base/parse.ts';
import { manifestKeyOf, npmRegistryKeys } from '../../../src/update/trust/signatures.ts';
import { distrustKey, readTrustedKeys, trustKey } from '../../../src/update/trust/trusted-keys.ts';
import { temporaryFolder } from '../../support/server.ts';

const one = manifestKeyOf(generateKeyPairSync('ed25519').privateKey);
const other = manifestKeyOf(generateKeyPairSync('ed25519').privateKey);
const [first, second] = npmRegistryKeys;
assert.ok(first !== undefined && second !== undefined);
const isPosix = process.platform !== 'win32';

/** A state directory that is not there yet. */
function setUp(t: TestContext): { stateDir: string; path: string } {
  const stateDir = join(temporaryFolder(t), 'state');
  return { stateDir, path: join(stateDir, 'update-keys.json') };
}

describe('trustKey()', () => {
  it('keeps keys of release signers', (t) => {
    const { stateDir } = setUp(t);
    assert.deepEqual(readTrustedKeys(stateDir), { manifest: [], registry: [] });
    assert.deepEqual(trustKey(stateDir, one), [one]);
    assert.deepEqual(trustKey(stateDir, ` ${other}\n`), [other]);
    assert.deepEqual(trustKey(stateDir, one), [one]);
    assert.deepEqual(readTrustedKeys(stateDir), { manifest: [other, one], registry: [] });
  });

  for (const [what, text, expected] of [
    ['its JSON', JSON.stringify(first), [first]],
    ['what the registry serves', JSON.stringify({ keys: npmRegistryKeys }), [first, second]],
    ['its name and bytes', `${second.keyid} ${second.key}`, [second]],
  ] as const) {
    it(`takes the key of a registry as ${what}`, (t) => {
      const { stateDir } = setUp(t);
      assert.deepEqual(trustKey(stateDir, text), expected.map(({ keyid }) => keyid));
      assert.deepEqual(readTrustedKeys(stateDir), { manifest: [], registry: expected });
    });
  }

  it('replaces a key whose end is known now', (t) => {
    const { stateDir } = setUp(t);
    trustKey(stateDir, JSON.stringify({ ...first, expires: null }));
    trustKey(stateDir, JSON.stringify(first));
    assert.deepEqual(readTrustedKeys(stateDir).registry, [first]);
  });

  it('leaves one file that only its owner reads', { skip: !isPosix }, (t) => {
    const { stateDir, path } = setUp(t);
    trustKey(stateDir, one);
    assert.deepEqual(readdirSync(stateDir), ['update-keys.json']);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.equal(statSync(stateDir).mode & 0o777, 0o700);
  });

  for (const [what, text] of [
    ['nothing', ''], ['a word', 'key'], ['the name of a key alone', first.keyid],
    ['a name and the bytes of another', `${first.keyid} ${second.key}`], ['a key that is cut off', one.slice(0, 30)],
    ['JSON that is cut off', JSON.stringify(first).slice(0, -5)], ['no keys', '{"keys":[]}'], ['another object', '{"key":1}'],
  ] as const) {
    it(`refuses ${what}, and changes nothing`, (t) => {
      const { stateDir } = setUp(t);
      trustKey(stateDir, other);
      assert.throws(() => trustKey(stateDir, text), ParseError);
      assert.deepEqual(readTrustedKeys(stateDir), { manifest: [other], registry: [] });
    });
  }

  it('keeps 100 keys at most, so that it can always read what it wrote', (t) => {
    const { stateDir } = setUp(t);
    const many = Array.from({ length: 100 }, () => manifestKeyOf(generateKeyPairSync('ed25519').privateKey));
    for (const key of many) trustKey(stateDir, key);
    assert.throws(() => trustKey(stateDir, one), /more than 100 keys/);
    assert.deepEqual(readTrustedKeys(stateDir).manifest, many);
  });
});

describe('distrustKey()', () => {
  it('forgets a key by its name, and says whether it was there', (t) => {
    const { stateDir } = setUp(t);
    trustKey(stateDir, one);
    trustKey(stateDir, JSON.stringify(first));
    assert.equal(distrustKey(stateDir, first.keyid), true);
    assert.deepEqual(readTrustedKeys(stateDir), { manifest: [one], registry: [] });
    assert.equal(distrustKey(stateDir, first.keyid), false);
    assert.equal(distrustKey(stateDir, one), true);
    assert.deepEqual(readTrustedKeys(stateDir), { manifest: [], registry: [] });
  });
});

describe('readTrustedKeys()', () => {
  for (const [what, spoil] of [
    ['torn', (content: string) => content.slice(0, content.length / 2)],
    ['empty', () => ''],
    ['of another shape', () => '{"manifest":[]}'],
    ['with a key that is none', () => '{"manifest":["ed25519:x"],"registry":[]}'],
    ['with more than keys', (content: string) => content.replace('{', '{"all":true,')],
  ] as const) {
    it(`says what to do with a file that is ${what}, and nobody writes over it`, (t) => {
      const { stateDir, path } = setUp(t);
      trustKey(stateDir, one);
      const spoiled = spoil(readFileSync(path, 'utf8'));
      writeFileSync(path, spoiled);
      assert.throws(() => readTrustedKeys(stateDir), /Cannot use .*update-keys\.json: it is damaged .*remove it, and trust the keys/);
      assert.throws(() => trustKey(stateDir, other), /it is damaged/);
      assert.throws(() => distrustKey(stateDir, one), /it is damaged/);
      assert.equal(readFileSync(path, 'utf8'), spoiled);
    });
  }

  it('refuses a file that others can write', { skip: !isPosix }, (t) => {
    const { stateDir, path } = setUp(t);
    trustKey(stateDir, one);
    chmodSync(path, 0o620);
    assert.throws(() => readTrustedKeys(stateDir), /others may have written it/);
    chmodSync(path, 0o644);
    assert.deepEqual(readTrustedKeys(stateDir).manifest, [one]);
  });

  it('refuses a file that is too long to be read at once', (t) => {
    const { stateDir, path } = setUp(t);
    trustKey(stateDir, one);
    writeFileSync(path, `[${'{},'.repeat(2 ** 20)}{}]`);
    assert.throws(() => readTrustedKeys(stateDir), /it is longer than 1048576 bytes; remove it/);
  });

  it('refuses a link', { skip: !isPosix }, (t) => {
    const { stateDir, path } = setUp(t);
    trustKey(stateDir, one);
    renameSync(path, `${path}.elsewhere`);
    symlinkSync(`${path}.elsewhere`, path);
    assert.throws(() => readTrustedKeys(stateDir), /it is a link/);
  });
});
