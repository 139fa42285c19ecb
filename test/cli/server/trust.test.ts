import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { manifestKeyOf, npmRegistryKeys } from '../../../src/update/trust/signatures.ts';
import { setUp } from '../../support/cli.ts';

const release = manifestKeyOf(generateKeyPairSync('ed25519').privateKey);
const other = manifestKeyOf(generateKeyPairSync('ed25519').privateKey);
const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const registryKey = publicKey.export({ type: 'spki', format: 'der' }).toString('base64');

interface Row {
  readonly name: string;
  readonly of: string;
  readonly from: string;
}

describe('sidecar key', () => {
  it('trusts a key that it is given, in a file, or on stdin', async (t) => {
    const { run, folder } = await setUp(t);
    const given = await run(['key', 'trust', release]);
    assert.deepEqual([given.stdout, given.stderr, given.exitCode], [`${release}\n`, 'sidecar: it is trusted from now on\n', 0]);
    await writeFile(`${folder}/release-key.pub`, `${other}\n`);
    assert.deepEqual(JSON.parse((await run(['key', 'trust', 'release-key.pub', '--json'])).stdout), [other]);
    const served = await run(['key', 'trust', '-'], { stdin: JSON.stringify({ keys: npmRegistryKeys }) });
    assert.equal(served.stdout, npmRegistryKeys.map(({ keyid }) => `${keyid}\n`).join(''));
    const rows = JSON.parse((await run(['key', 'trusted', '--json'])).stdout) as Row[];
    assert.deepEqual(rows.map(({ name, of, from }) => [name, of, from]), [
      [release, 'release', 'user'], [other, 'release', 'user'], ...npmRegistryKeys.map(({ keyid }) => [keyid, 'registry', 'user']),
    ]);
  });

  it('lists the keys that hold, those of the program among them, and distrusts those of the user', async (t) => {
    const { run } = await setUp(t);
    await run(['key', 'trust', release]);
    const lines = (await run(['key', 'trusted'])).stdout.trimEnd().split('\n');
    assert.match(lines[0] ?? '', /^KEY +OF A +UNTIL +FROM$/);
    assert.equal(lines[1]?.split(/ {2,}/).join('|'), `${release}|release|-|user`);
    assert.match(lines[2] ?? '', /^SHA256:\S+ +registry +2025-01-29 +program$/);
    assert.equal(lines.length, 2 + npmRegistryKeys.length);

    const gone = await run(['key', 'distrust', release]);
    assert.deepEqual([gone.stdout, gone.stderr, gone.exitCode], ['', `sidecar: ${release} is no longer trusted\n`, 0]);
    const twice = await run(['key', 'distrust', release]);
    assert.equal(twice.exitCode, 1);
    assert.match(twice.stderr, /it is not trusted\n +See: sidecar key trusted/);
    const shipped = await run(['key', 'distrust', npmRegistryKeys[0]?.keyid ?? '']);
    assert.equal(shipped.exitCode, 1);
    assert.match(shipped.stderr, /it comes with this program/);
  });

  it('reports an unusable key, and trusts nothing of it', async (t) => {
    const { run, folder } = await setUp(t);
    await writeFile(`${folder}/endless`, Buffer.alloc(100_000, 'x'));
    for (const [args, exitCode, message] of [
      [['trust', 'ed25519:short'], 2, /Cannot read key: expected "ed25519:" and base64 of 32 bytes/],
      [['trust', `SHA256:${'A'.repeat(43)} ${registryKey}`], 2, /key\.keyid: the key is SHA256:/],
      [['trust', '{"keys":[]}'], 2, /key\.keys: expected 1 to/],
      [['trust', 'no-such-file'], 1, /Cannot read the key: ENOENT.*\n +Expected ed25519:BASE64/],
      [['trust', '.'], 1, /Cannot read the key: EISDIR/],
      [['trust', 'endless'], 1, /it is longer than 65536 bytes/],
      [['trust', '-'], 2, /Cannot read key: expected/],
      [['trust'], 2, /key trust needs a KEY, FILE or -/],
      [['distrust'], 2, /key distrust needs a NAME/],
      [['trusted', 'x'], 2, /Unexpected argument "x"/],
      [['trusted', '--grace', '1h'], 2, /--grace belongs to key rotate/],
      [['toString'], 2, /expected show, rotate, trust, trusted or distrust/],
    ] as const) {
      const ended = await run(['key', ...args]);
      assert.equal(ended.exitCode, exitCode, args.join(' '));
      assert.match(ended.stderr, message);
    }
    assert.ok((JSON.parse((await run(['key', 'trusted', '--json'])).stdout) as Row[]).every(({ from }) => from === 'program'));
  });
});
