/**
 * Decides which signatures of an update are trusted.
 *
 * The parties
 * - The *registry* (npm's, or a mirror of it) serves packages. A party that controls a mirror, a proxy or the network
 *   in between controls every byte that arrives, so nothing is trusted because of where it came from.
 * - The *registry's signing key* is held by npm, not by mirrors. A mirror passes signatures on; it cannot make them.
 * - A *release signer* builds a release with `scripts/release.ts --sign` and serves it without a registry.
 * - The *user* of this machine decides which keys are trusted here.
 *
 * The keys are pinned: npm's public keys below come with the program, others are those that the user trusted by name
 * (`trusted-keys.ts`). A key is never taken from where the update comes from: a registry that serves its own keys
 * vouches for itself. No release signer's key comes with the program.
 *
 * What each signature covers
 * - A *registry signature* (ECDSA P-256 with SHA-256, https://docs.npmjs.com/about-registry-signatures) covers the text
 *   `name@version:integrity`. It states that npm accepted this tarball under this name and version. It does not state
 *   who published it, nor that it is harmless, nor when: the time of publishing is unsigned. A key's expiry is compared
 *   with that time, as npm does, so that old versions stay installable; this does not help against a thief of an
 *   expired key.
 * - A *manifest signature* (Ed25519, RFC 8032) covers version, URL, integrity and lowest Node version, as in
 *   {@link canonicalManifest}. It states that the signer released this.
 *
 * Neither covers the tarball itself: `checkFile` checks that, against the integrity that was signed. Neither states
 * that a version is the newest: an installer must refuse a downgrade unless the user requests it.
 *
 * Any doubt is a {@link TrustError}; there is no "probably".
 * @module
 */
import { type KeyObject, createHash, createPublicKey, sign, verify } from 'node:crypto';
import { type Parser, ParseError, nullable, object, oneOf, optional, parser, refuse, text } from '../../base/parse.ts';
import { decodeBase64 } from './base64.ts';
import { parseIntegrity } from './integrity.ts';
import { TrustError } from '../errors.ts';

/** A public key as a registry lists it under `/-/npm/v1/keys`. */
export interface RegistryKey {
  /** ISO 8601: a version that was published later is not trusted. */
  readonly expires: string | null;
  /** `SHA256:` and the fingerprint, as OpenSSH prints it. */
  readonly keyid: string;
  readonly keytype: 'ecdsa-sha2-nistp256';
  readonly scheme: 'ecdsa-sha2-nistp256';
  /** SPKI, DER, base64. */
  readonly key: string;
}

/** One of `dist.signatures` of a version. */
export interface RegistrySignature {
  readonly keyid: string;
  /** ECDSA in DER, base64. */
  readonly sig: string;
}

/** A version as a registry describes it. */
export interface SignedPackage {
  readonly name: string;
  readonly version: string;
  /** The text of `dist.integrity`, unchanged. */
  readonly integrity: string;
  readonly signatures?: readonly RegistrySignature[] | undefined;
  /** `time[version]`, ISO 8601. Without it, a key that expires is not trusted. */
  readonly publishedAt?: string | undefined;
}

/** A release that is served without a registry. */
export interface Manifest {
  readonly version: string;
  /** URL of the tarball: absolute, or relative to the manifest. */
  readonly url: string;
  /** One `sha512-…`. */
  readonly integrity: string;
  /** The lowest version of Node: `20.11`. */
  readonly minNode: string;
}

/**
 * npm's own keys, from https://registry.npmjs.org/-/npm/v1/keys as quoted on 2025-01-27 in
 * https://github.com/nodejs/corepack/pull/614. The first one signed versions until January 2025.
 */
export const npmRegistryKeys: readonly RegistryKey[] = [
  {
    expires: '2025-01-29T00:00:00.000Z',
    keyid: 'SHA256:jl3bwswu80PjjokCgh0o2w5c2U4LhQAE57gj9cz1kzA',
    keytype: 'ecdsa-sha2-nistp256',
    scheme: 'ecdsa-sha2-nistp256',
    key: 'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE'
      + '1Olb3zMAFFxXKHiIkQO5cJ3Yhl5i6UPp+IhuteBJbuHcA5UogKo0EWtlWwW6KSaKoTNEYL7JlCQiVnkhBktUgg==',
  },
  {
    expires: null,
    keyid: 'SHA256:DhQ8wR5APBvFHLF/+Tc+AYvPOdTpcIDqOhxsBHRwC7U',
    keytype: 'ecdsa-sha2-nistp256',
    scheme: 'ecdsa-sha2-nistp256',
    key: 'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE'
      + 'Y6Ya7W++7aUPzvMTrezH6Ycx3c+HOKYCcNGybJZSCJq/fd7Qa8uuAKtdIkUQtQiEKERhAmE5lMMJhP8OkDOa2g==',
  },
];

const versionPattern = /^\d{1,9}\.\d{1,9}\.\d{1,9}(-[0-9A-Za-z.-]{1,100})?(\+[0-9A-Za-z.-]{1,100})?$/;
const manifestKeyPrefix = 'ed25519:';

const isoDate: Parser<string> = parser({ type: 'string', format: 'date-time' }, (value, path) => {
  const isDate = typeof value === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/.test(value);
  return isDate && !Number.isNaN(Date.parse(value))
    ? value
    : refuse(path, 'a date like "2025-01-29T00:00:00.000Z"', value);
});

const registryKeyFields = object({
  expires: nullable(isoDate),
  keyid: text({ max: 100, pattern: /^SHA256:[A-Za-z0-9+/]{43}$/, expected: '"SHA256:" and 43 characters of base64' }),
  keytype: oneOf('ecdsa-sha2-nistp256'),
  scheme: oneOf('ecdsa-sha2-nistp256'),
  key: text({ max: 1_000 }),
});

/** Parses a registry's key and checks that `keyid` is that of `key`. */
export const parseRegistryKey: Parser<RegistryKey> = parser(registryKeyFields.schema, (value, path) => {
  const fields = registryKeyFields(value, path);
  const actual = keyIdOf(fields.key, `${path}.key`);
  if (actual !== fields.keyid) throw new ParseError(`${path}.keyid`, `the key is ${actual}, not ${fields.keyid}`);
  return fields;
});

/** A release signer's public key: `ed25519:` and base64 of its 32 bytes. */
export const parseManifestKey: Parser<string> = parser({ type: 'string' }, (value, path) => {
  const isKey = typeof value === 'string' && value.startsWith(manifestKeyPrefix) &&
    decodeBase64(value.slice(manifestKeyPrefix.length))?.length === 32;
  return isKey ? value : refuse(path, '"ed25519:" and base64 of 32 bytes', value);
});

const manifestFields = {
  version: text({ pattern: versionPattern, expected: 'a version like "1.2.3"' }),
  url: text({
    min: 1, max: 2_000, pattern: /^(?:https?:\/\/|(?![A-Za-z][A-Za-z0-9+.-]*:|[/\\]{2}))[\x21-\x7e]+$/,
    expected: 'an http or https URL, or one relative to the manifest, without spaces',
  }),
  integrity: text({ pattern: /^sha512-[A-Za-z0-9+/]{86}==$/, expected: '"sha512-" and base64 of 64 bytes' }),
  minNode: text({ pattern: /^\d{1,4}(\.\d{1,4}){0,2}$/, expected: 'a version of Node like "20.11"' }),
};

const parseUnsigned = object(manifestFields);

/** The content of `manifest.json`; {@link verifyManifest} checks its signature. */
export const parseManifest: Parser<Manifest & { readonly signature?: string | undefined }> =
  object({ ...manifestFields, signature: optional(text({ max: 200 })) });

/**
 * Checks that a registry whose key is among `keys` signed this version. Signatures by other keys are ignored (a
 * registry that changes its key may sign with both), but each one by a known key must be right.
 *
 * @param keys Pinned ones: {@link npmRegistryKeys} and those that the user trusts. Never what the registry serves.
 * @throws TrustError `missing-signature`, `unknown-key`, `expired-key`, `wrong-signature`, or `malformed`.
 */
export function verifyRegistrySignature(signed: SignedPackage, keys: readonly RegistryKey[]): void {
  const what = `${signed.name}@${signed.version}`;
  const { signatures = [] } = signed;
  // Text that is not a version or a hash could split the signed text in another way.
  if (!versionPattern.test(signed.version)) {
    throw new TrustError('malformed', `Cannot trust ${what}: it has no proper version`);
  }
  parseIntegrity(signed.integrity);
  if (signatures.length === 0) {
    throw new TrustError('missing-signature', `Cannot trust ${what}: the registry did not sign it`);
  }
  const known = signatures.flatMap((signature) => {
    const key = keys.find(({ keyid }) => keyid === signature.keyid);
    return key === undefined ? [] : [{ key, signature }];
  });
  if (known.length === 0) {
    const by = signatures.map(({ keyid }) => keyid).join(', ');
    throw new TrustError('unknown-key', `Cannot trust ${what}: it is signed by ${by}, which is not trusted here`);
  }
  for (const { key, signature } of known) checkRegistrySignature(signed, signature, key);
  if (known.some(({ key }) => isValidAt(key, signed.publishedAt))) return;
  const ends = known.map(({ key }) => `${key.keyid} ended ${key.expires}`).join(', ');
  throw new TrustError(
    'expired-key',
    `Cannot trust ${what}: published ${signed.publishedAt ?? 'at an unknown time'}, ${ends}`,
  );
}

/**
 * The signed text of a manifest: UTF-8 lines, each ended by one line feed. No value can hold a line feed, so no two
 * manifests share a text, and the first line keeps the signature from meaning anything else.
 *
 *     machine-sidecar manifest v1
 *     version 1.2.3
 *     url https://example.org/machine-sidecar-1.2.3.tgz
 *     integrity sha512-…
 *     minNode 20.11
 *
 * @throws ParseError for a field that {@link parseManifest} would refuse.
 */
export function canonicalManifest(manifest: Manifest): Buffer {
  const { version, url, integrity, minNode } = manifest;
  const fields = parseUnsigned({ version, url, integrity, minNode }, 'manifest');
  const lines = ['machine-sidecar manifest v1', `version ${fields.version}`, `url ${fields.url}`,
    `integrity ${fields.integrity}`, `minNode ${fields.minNode}`];
  return Buffer.from(`${lines.join('\n')}\n`);
}

/**
 * Checks that one of the keys signed the manifest.
 *
 * @param signature Base64 of 64 bytes. It names no key: each is tried.
 * @param keys In the form of {@link parseManifestKey}.
 * @throws TrustError `missing-signature`, `unknown-key` (no key is trusted at all), `wrong-signature`, or `malformed`.
 */
export function verifyManifest(manifest: Manifest, signature: string | undefined, keys: readonly string[]): void {
  const what = `the manifest of ${manifest.version}`;
  if (signature === undefined || signature === '') {
    throw new TrustError('missing-signature', `Cannot trust ${what}: it is not signed`);
  }
  if (keys.length === 0) {
    throw new TrustError('unknown-key', `Cannot trust ${what}: no key of a release signer is trusted here`);
  }
  const bytes = decodeBase64(signature);
  if (bytes?.length !== 64) {
    throw new TrustError('malformed', `Cannot trust ${what}: its signature is not base64 of 64 bytes`);
  }
  const signed = canonicalManifest(manifest);
  if (keys.some((key) => verify(null, signed, manifestPublicKey(key), bytes))) return;
  throw new TrustError(
    'wrong-signature',
    `Cannot trust ${what}: it was changed, or signed by none of ${keys.join(', ')}`,
  );
}

/** Signs a manifest. @param privateKey Ed25519. @returns Base64, for {@link verifyManifest}. */
export function signManifest(manifest: Manifest, privateKey: KeyObject): string {
  return sign(null, canonicalManifest(manifest), ed25519(privateKey)).toString('base64');
}

/** The public half of a private Ed25519 key, as users trust it. */
export function manifestKeyOf(privateKey: KeyObject): string {
  const { x = '' } = createPublicKey(ed25519(privateKey)).export({ format: 'jwk' });
  return `${manifestKeyPrefix}${Buffer.from(x, 'base64url').toString('base64')}`;
}

/**
 * The id of a registry's key: SHA-256 over the key as SSH encodes it (RFC 5656 §3.1), in base64 without padding. npm
 * documents only "sha256 fingerprint of the public key"; its own keys have ids of this form.
 *
 * @param key SPKI, DER, base64.
 * @throws ParseError when it is not a key on P-256.
 */
export function keyIdOf(key: string, path = 'key'): string {
  const { x = '', y = '' } = registryPublicKey(key, path).export({ format: 'jwk' });
  const point = Buffer.concat([Buffer.of(4), Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')]);
  const wire = [Buffer.from('ecdsa-sha2-nistp256'), Buffer.from('nistp256'), point].flatMap((part) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(part.length);
    return [length, part];
  });
  return `SHA256:${createHash('sha256').update(Buffer.concat(wire)).digest('base64').replace('=', '')}`;
}

function checkRegistrySignature(signed: SignedPackage, { sig }: RegistrySignature, key: RegistryKey): void {
  const what = `${signed.name}@${signed.version}`;
  const bytes = decodeBase64(sig);
  if (bytes === undefined) throw new TrustError('malformed', `Cannot trust ${what}: its signature is not base64`);
  const content = Buffer.from(`${what}:${signed.integrity}`);
  if (verify('sha256', content, registryPublicKey(key.key, 'key'), bytes)) return;
  throw new TrustError(
    'wrong-signature',
    `Cannot trust ${what} with ${signed.integrity}: ${key.keyid} did not sign this`,
  );
}

function isValidAt({ expires }: RegistryKey, publishedAt: string | undefined): boolean {
  // An invalid date is NaN, which is not before any date.
  return expires === null || Date.parse(publishedAt ?? '') < Date.parse(expires);
}

function registryPublicKey(key: string, path: string): KeyObject {
  const expected = 'an ECDSA public key on P-256 (SPKI, DER, base64)';
  const der = decodeBase64(key);
  let read: KeyObject | undefined;
  try {
    if (der !== undefined) read = createPublicKey({ key: der, format: 'der', type: 'spki' });
  } catch {
    // The message below says more than OpenSSL's (unsupported, wrong tag, …).
  }
  return read?.asymmetricKeyDetails?.namedCurve === 'prime256v1' ? read : refuse(path, expected, key);
}

function manifestPublicKey(key: string): KeyObject {
  const raw = Buffer.from(parseManifestKey(key, 'key').slice(manifestKeyPrefix.length), 'base64');
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: raw.toString('base64url') }, format: 'jwk' });
}

function ed25519(key: KeyObject): KeyObject {
  if (key.asymmetricKeyType === 'ed25519') return key;
  const type = key.asymmetricKeyType ?? key.type;
  throw new TrustError('malformed', `Cannot sign a manifest with a key of type ${type}: expected ed25519`);
}
