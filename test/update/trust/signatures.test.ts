/** Signatures of registries and of releases: npm's real ones, and those of keys made here and by openssl. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { type KeyObject, createPrivateKey, generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ParseError } from '../../../src/base/parse.ts';
import {
  type Manifest, type RegistryKey, type SignedPackage, canonicalManifest, keyIdOf, manifestKeyOf, npmRegistryKeys,
  parseManifest, parseManifestKey, parseRegistryKey, signManifest, verifyManifest, verifyRegistrySignature,
} from '../../../src/update/trust/signatures.ts';
import { TrustError, type TrustReason } from '../../../src/update/errors.ts';
import { temporaryFolder } from '../../support/server.ts';

const integrity = `sha512-${Buffer.alloc(64, 1).toString('base64')}`;
const otherIntegrity = `sha512-${Buffer.alloc(64, 2).toString('base64')}`;

function refusedFor(reason: TrustReason): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof TrustError, String(error));
    assert.equal(error.reason, reason, error.message);
    return true;
  };
}

interface Signer {
  readonly key: RegistryKey;
  readonly sign: (text: string) => string;
}

function makeRegistryKey(options: { expires?: string; curve?: string } = {}): { key: unknown; privateKey: KeyObject } {
  const { expires = null, curve = 'P-256' } = options;
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: curve });
  const der = publicKey.export({ format: 'der', type: 'spki' }).toString('base64');
  const keyid = curve === 'P-256' ? keyIdOf(der) : `SHA256:${'A'.repeat(43)}`;
  return { key: { expires, keyid, keytype: 'ecdsa-sha2-nistp256', scheme: 'ecdsa-sha2-nistp256', key: der }, privateKey };
}

function makeSigner(expires?: string): Signer {
  const { key, privateKey } = makeRegistryKey(expires === undefined ? {} : { expires });
  return { key: parseRegistryKey(key, 'key'), sign: (text) => sign('sha256', Buffer.from(text), privateKey).toString('base64') };
}

describe('the keys of npm', () => {
  it('are named by their fingerprints', () => {
    for (const key of npmRegistryKeys) assert.deepEqual(parseRegistryKey(key, 'key'), key);
  });

  // Integrity and signature as the registry serves them; the time is any before the first key's end.
  for (const [what, signed] of [
    ['the first', {
      name: 'venv', version: '0.1.0', publishedAt: '2017-07-01T00:00:00.000Z',
      integrity: 'sha512-RMdeiD0OJC+S2w4931iqdi5MB9xe2T/lXZbRrHxbsmQrSA+FwhPk2bIqIwbNDCmThPgNw841Q272O6EFSYhBjQ==',
      signatures: [{
        keyid: 'SHA256:jl3bwswu80PjjokCgh0o2w5c2U4LhQAE57gj9cz1kzA',
        sig: 'MEUCICKQJCEvvV3HdhCSj3TwH9qqIWLwc0GR1m/NED/s1bPIAiEAvkTmhIDIrD4MZoI2g27+HsuxoFJhC/evORT6T2UUwSc=',
      }],
    }],
    ['the second', {
      name: '@anthropic-ai/claude-code', version: '2.1.98',
      integrity: 'sha512-qecREauMWXHplkpjqsuDuUv4ww+NprMl71k9sMuLkZU7qwjLMkTPxRBjuKvZWWMrAPvZWdGZE9LljUTfCQ1lWQ==',
      signatures: [{
        keyid: 'SHA256:DhQ8wR5APBvFHLF/+Tc+AYvPOdTpcIDqOhxsBHRwC7U',
        sig: 'MEQCIGvolW/eLJuocfuN94cinl0Vz9arMrshmIhulXk/9JEBAiAW18CskQ+uEkWf90x4Dc0TqDoRBQ7lmCAXhpXpqbEJDA==',
      }],
    }],
  ] as const) {
    it(`verify a version that ${what} signed, and no other`, () => {
      verifyRegistrySignature(signed, npmRegistryKeys);
      assert.throws(() => verifyRegistrySignature({ ...signed, version: '9.9.9' }, npmRegistryKeys), refusedFor('wrong-signature'));
    });
  }
});

describe('verifyRegistrySignature()', () => {
  const signer = makeSigner();
  const other = makeSigner();
  const expired = makeSigner('2025-01-01T00:00:00.000Z');
  const text = `sidecar@1.2.3:${integrity}`;
  const by = ({ key, sign: signText }: Signer, content = text) => ({ keyid: key.keyid, sig: signText(content) });
  const signed: SignedPackage = {
    name: 'sidecar', version: '1.2.3', integrity, signatures: [by(signer)], publishedAt: '2024-12-31T23:59:59.999Z',
  };
  const keys = [signer.key, expired.key];
  const [{ keyid, sig }] = [by(signer)];

  const accepted: readonly (readonly [string, Partial<SignedPackage>])[] = [
    ['a signature by a trusted key', {}],
    ['a key without end, whenever published', { publishedAt: undefined }],
    ['a signature by another key beside it', { signatures: [by(other), by(signer)] }],
    ['a version from before the key expired', { signatures: [by(expired)] }],
    ['an expired key beside one that holds', { signatures: [by(expired), by(signer)], publishedAt: '2026-01-01T00:00:00.000Z' }],
  ];
  for (const [what, change] of accepted) {
    it(`accepts ${what}`, () => verifyRegistrySignature({ ...signed, ...change }, keys));
  }

  const refused: readonly (readonly [string, TrustReason, Partial<SignedPackage>])[] = [
    ['no signatures', 'missing-signature', { signatures: undefined }],
    ['an empty list of signatures', 'missing-signature', { signatures: [] }],
    ['a key that is not trusted', 'unknown-key', { signatures: [by(other)] }],
    ['the name of a trusted key over a signature by another', 'wrong-signature', { signatures: [{ ...by(other), keyid }] }],
    ['another name', 'wrong-signature', { name: 'sidecars' }],
    ['another version', 'wrong-signature', { version: '1.2.4' }],
    ['another integrity', 'wrong-signature', { integrity: otherIntegrity }],
    ['a second integrity', 'wrong-signature', { integrity: `${otherIntegrity} ${integrity}` }],
    ['no proper version', 'malformed', { version: `1.2.3:${integrity}` }],
    ['a weak integrity', 'weak-integrity', { integrity: 'sha1-qZk+NkcGgWq6PiVxeFDCbJzQ2J0=' }],
    ['a signature that is cut off', 'wrong-signature', { signatures: [{ keyid, sig: sig.slice(0, 48) }] }],
    ['a signature that is not base64', 'malformed', { signatures: [{ keyid, sig: `${sig.slice(0, -4)}!!!!` }] }],
    ['an empty signature', 'malformed', { signatures: [{ keyid, sig: '' }] }],
    ['a wrong signature beside a right one', 'wrong-signature', { signatures: [by(signer), by(expired, 'something else')] }],
    ['a version from after the key expired', 'expired-key', { signatures: [by(expired)], publishedAt: '2025-01-01T00:00:00.000Z' }],
    ['an unknown time with a key that expires', 'expired-key', { signatures: [by(expired)], publishedAt: undefined }],
    ['an unreadable time with a key that expires', 'expired-key', { signatures: [by(expired)], publishedAt: 'yesterday' }],
  ];
  for (const [what, reason, change] of refused) {
    it(`refuses ${what}`, () => {
      assert.throws(() => verifyRegistrySignature({ ...signed, ...change }, keys), refusedFor(reason));
    });
  }

  it('refuses everything where no key is trusted', () => {
    assert.throws(() => verifyRegistrySignature(signed, []), refusedFor('unknown-key'));
  });
});

describe('parseRegistryKey()', () => {
  const { key } = makeRegistryKey() as { key: RegistryKey };
  const refused: readonly (readonly [string, unknown])[] = [
    ['another curve', makeRegistryKey({ curve: 'P-384' }).key],
    ['another kind of key', { ...key, key: generateKeyPairSync('ed25519').publicKey.export({ format: 'der', type: 'spki' }).toString('base64') }],
    ['the name of another key', { ...key, keyid: (makeRegistryKey().key as RegistryKey).keyid }],
    ['a key that is cut off', { ...key, key: key.key.slice(0, 80) }],
    ['a key that is not base64', { ...key, key: `${key.key.slice(0, -4)}!!!!` }],
    ['a key in PEM', { ...key, key: `-----BEGIN PUBLIC KEY-----\n${key.key}\n-----END PUBLIC KEY-----` }],
    ['another scheme', { ...key, scheme: 'rsa' }],
    ['an end that is no date', { ...key, expires: '2025-13-01T00:00:00.000Z' }],
    ['no word about its end', { ...key, expires: undefined }],
    ['a field that nobody knows', { ...key, revoked: true }],
  ];
  for (const [what, value] of refused) it(`refuses ${what}`, () => assert.throws(() => parseRegistryKey(value, 'key'), ParseError));

  it('names a key as ssh-keygen does', (t) => {
    const { key: made } = makeRegistryKey() as { key: RegistryKey };
    const path = join(temporaryFolder(t), 'key.pem');
    writeFileSync(path, `-----BEGIN PUBLIC KEY-----\n${made.key.match(/.{1,64}/g)?.join('\n')}\n-----END PUBLIC KEY-----\n`);
    let printed: string;
    try {
      const inSsh = execFileSync('ssh-keygen', ['-i', '-m', 'PKCS8', '-f', path]);
      printed = execFileSync('ssh-keygen', ['-l', '-f', '-'], { input: inSsh, encoding: 'utf8' });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      return t.skip('there is no ssh-keygen');
    }
    assert.ok(printed.includes(` ${made.keyid} `), printed);
  });
});

describe('a signed manifest', () => {
  const { privateKey } = generateKeyPairSync('ed25519');
  const key = manifestKeyOf(privateKey);
  const otherKey = manifestKeyOf(generateKeyPairSync('ed25519').privateKey);
  const manifest: Manifest = { version: '1.2.3', url: 'https://example.org/sidecar-1.2.3.tgz', integrity, minNode: '20.11' };
  const signature = signManifest(manifest, privateKey);

  it('is signed as these bytes', () => {
    assert.equal(canonicalManifest(manifest).toString(), [
      'machine-sidecar manifest v1', 'version 1.2.3', 'url https://example.org/sidecar-1.2.3.tgz',
      `integrity ${integrity}`, 'minNode 20.11', '',
    ].join('\n'));
  });

  it('holds by any of the trusted keys', () => {
    verifyManifest(manifest, signature, [key]);
    verifyManifest(manifest, signature, [otherKey, key]);
    verifyManifest(parseManifest({ ...manifest, signature }, 'manifest'), signature, [key]);
  });

  const refused: readonly (readonly [string, TrustReason, Partial<Manifest>, string | undefined, readonly string[]])[] = [
    ['no signature', 'missing-signature', {}, undefined, [key]],
    ['an empty signature', 'missing-signature', {}, '', [key]],
    ['a signature where no key is trusted', 'unknown-key', {}, signature, []],
    ['a signature by another key', 'wrong-signature', {}, signature, [otherKey]],
    ['another version', 'wrong-signature', { version: '1.2.4' }, signature, [key]],
    ['another URL', 'wrong-signature', { url: 'https://example.com/sidecar-1.2.3.tgz' }, signature, [key]],
    ['another integrity', 'wrong-signature', { integrity: otherIntegrity }, signature, [key]],
    ['another least Node', 'wrong-signature', { minNode: '18' }, signature, [key]],
    ['a signature that is cut off', 'malformed', {}, signature.slice(0, 44), [key]],
    ['a signature that is not base64', 'malformed', {}, `!${signature.slice(1)}`, [key]],
    ['a signature in base64 without padding', 'malformed', {}, signature.replaceAll('=', ''), [key]],
    ['a signature of 64 other bytes', 'wrong-signature', {}, Buffer.alloc(64).toString('base64'), [key]],
  ];
  for (const [what, reason, change, given, keys] of refused) {
    it(`is refused for ${what}`, () => {
      assert.throws(() => verifyManifest({ ...manifest, ...change }, given, keys), refusedFor(reason));
    });
  }

  for (const [what, change] of [
    ['a line feed in the URL', { url: 'https://example.org/x\nintegrity y' }],
    ['a URL that is neither http nor https', { url: 'file:///etc/passwd' }],
    ['a URL on whatever host', { url: '//example.com/x.tgz' }],
    ['two hashes', { integrity: `${integrity} ${otherIntegrity}` }],
    ['no proper version', { version: 'latest' }],
    ['a range of Node', { minNode: '>=20' }],
  ] as const) {
    it(`has no ${what}`, () => {
      assert.throws(() => signManifest({ ...manifest, ...change }, privateKey), ParseError);
      assert.throws(() => parseManifest({ ...manifest, ...change }, 'manifest'), ParseError);
    });
  }

  it('may name a tarball beside it', () => {
    const beside = { ...manifest, url: 'sidecar-1.2.3.tgz' };
    verifyManifest(beside, signManifest(beside, privateKey), [key]);
  });

  it('agrees with openssl on key and signature', (t) => {
    const folder = temporaryFolder(t);
    const at = (name: string): string => join(folder, name);
    execFileSync('openssl', ['genpkey', '-algorithm', 'ed25519', '-out', at('key.pem')]);
    const made = createPrivateKey(readFileSync(at('key.pem')));
    writeFileSync(at('manifest'), canonicalManifest(manifest));
    execFileSync('openssl', ['pkeyutl', '-sign', '-rawin', '-inkey', at('key.pem'), '-in', at('manifest'), '-out', at('signature')]);
    assert.equal(signManifest(manifest, made), readFileSync(at('signature')).toString('base64'));
    const der = execFileSync('openssl', ['pkey', '-in', at('key.pem'), '-pubout', '-outform', 'DER']);
    assert.equal(manifestKeyOf(made), `ed25519:${der.subarray(-32).toString('base64')}`);
  });

  it('is not signed by a key of another kind', () => {
    const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    assert.throws(() => signManifest(manifest, ec), refusedFor('malformed'));
  });

  for (const [what, text] of [
    ['no prefix', key.slice('ed25519:'.length)], ['31 bytes', `ed25519:${Buffer.alloc(31).toString('base64')}`],
    ['no padding', key.replace('=', '')], ['a space', `${key} `], ['nothing', 'ed25519:'],
  ] as const) {
    it(`has no key with ${what}`, () => assert.throws(() => parseManifestKey(text, 'key'), ParseError));
  }
});
