/**
 * Checks a file against its Subresource Integrity as npm writes it, `sha512-<base64>`. Only SHA-512 counts: npm has
 * written it since 2017, and an attacker would offer a weaker hash.
 * @module
 */
import { createHash } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import { openRegularLater } from '../../base/files/untrusted-file.ts';
import { decodeBase64 } from './base64.ts';
import { TrustError } from '../errors.ts';

/** A file is accepted when it has one of these hashes. */
export interface Integrity {
  /** Base64, at least one. */
  readonly sha512: readonly string[];
}

const sha512Bytes = 64;
const maxLength = 4_096;

/**
 * Reads one or several hashes separated by white space (https://www.w3.org/TR/SRI/ §3.5). Other algorithms and the
 * options after `?` are ignored.
 *
 * @throws TrustError `malformed`, or `weak-integrity` where there is no SHA-512.
 */
export function parseIntegrity(text: string): Integrity {
  if (text.length > maxLength) {
    throw new TrustError('malformed', `Cannot read an integrity of ${text.length} characters`);
  }
  const hashes = text.split(/[ \t\r\n]+/).filter((hash) => hash !== '');
  if (hashes.length === 0) throw new TrustError('malformed', 'Cannot read the integrity: it is empty');
  const sha512 = hashes.flatMap((hash) => {
    const [, digest] = /^sha512-([^?]*)/.exec(hash) ?? [];
    return digest === undefined ? [] : [digest];
  });
  const wrong = sha512.find((digest) => decodeBase64(digest)?.length !== sha512Bytes);
  if (wrong !== undefined) {
    throw new TrustError('malformed', `Cannot read the integrity: "${wrong}" is not base64 of ${sha512Bytes} bytes`);
  }
  if (sha512.length === 0) {
    throw new TrustError('weak-integrity', `Cannot use the integrity "${text}": it has no sha512`);
  }
  return { sha512 };
}

/**
 * Checks that the file has one of the hashes. Reads it in chunks, so its size does not matter.
 *
 * @param options.name Name of the file in messages: where it came from, not where it is stored now.
 * @throws TrustError `integrity-mismatch`; errors of the file system.
 */
export async function checkFile(
  path: string,
  integrity: Integrity,
  { name, signal }: { name: string; signal?: AbortSignal | undefined },
): Promise<void> {
  const actual = await digestOf(path, { signal });
  if (integrity.sha512.includes(actual)) return;
  const expected = integrity.sha512.map((digest) => `sha512-${digest}`).join(' or ');
  throw new TrustError(
    'integrity-mismatch',
    `${name} is not the file that was promised: expected ${expected}, found sha512-${actual}`,
  );
}

/** The integrity of a file as text: `sha512-<base64>`. */
export async function integrityOf(path: string, options: { signal?: AbortSignal | undefined } = {}): Promise<string> {
  return `sha512-${await digestOf(path, options)}`;
}

async function digestOf(path: string, options: { signal?: AbortSignal | undefined }): Promise<string> {
  const hash = createHash('sha512');
  // The user may have named a link to the file.
  const file = await openRegularLater(await realpath(path), { owner: 'anyone' });
  for await (const chunk of file.createReadStream(options.signal ? { signal: options.signal } : {})) {
    hash.update(chunk as Buffer);
  }
  return hash.digest('base64');
}
