/**
 * The keys that the user of this machine trusts for updates, besides those that come with the program: the file
 * `update-keys.json` in the state directory. The keys are public, so reading them is harmless; writing them is not.
 * @module
 */
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFile } from '../../base/files/atomic-file.ts';
import { errorCode } from '../../base/error-code.ts';
import { makeFolder } from '../../base/files/make-folder.ts';
import { ParseError, array, object, refuse } from '../../base/parse.ts';
import { type RegistryKey, parseManifestKey, parseRegistryKey } from './signatures.ts';

export interface TrustedKeys {
  /** Keys of release signers: `ed25519:…`. */
  readonly manifest: readonly string[];
  /** Keys of registries. */
  readonly registry: readonly RegistryKey[];
}

const maxKeys = 100;
const none: TrustedKeys = { manifest: [], registry: [] };

const parseFile = object({
  manifest: array(parseManifestKey, { max: maxKeys }),
  registry: array(parseRegistryKey, { max: maxKeys }),
});
const parseServed = object({ keys: array(parseRegistryKey, { min: 1, max: maxKeys }) });

/**
 * The user's keys; no keys where there is no file.
 *
 * @throws Error that says what to do: the file is damaged, a link, not owned by this user, or writable by others.
 */
export function readTrustedKeys(stateDir: string): TrustedKeys {
  const path = keysPath(stateDir);
  const content = readOwn(path);
  if (content === undefined) return none;
  try {
    return parseFile(JSON.parse(content), 'update-keys.json');
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof ParseError)) throw error;
    const message =
      `Cannot use ${path}: it is damaged (${error.message}); remove it, and trust the keys that you want again`;
    throw new Error(message, { cause: error });
  }
}

/**
 * Adds a trusted key: `ed25519:BASE64` of a release signer, or a registry's as `SHA256:ID BASE64`, as its JSON, or as
 * the `{"keys": […]}` that the registry serves. An existing key is replaced.
 *
 * @returns The names of the keys, as {@link distrustKey} takes them.
 * @throws ParseError when it is not a key.
 */
export function trustKey(stateDir: string, text: string): readonly string[] {
  const added = readKeys(text.trim());
  const names = namesOf(added);
  const kept = without(readTrustedKeys(stateDir), names);
  const all = { manifest: [...kept.manifest, ...added.manifest], registry: [...kept.registry, ...added.registry] };
  if (namesOf(all).length > maxKeys) throw new Error(`Cannot trust more than ${maxKeys} keys: distrust some first`);
  write(stateDir, all);
  return names;
}

/** Removes a trusted key. @param name `ed25519:…` or `SHA256:…`. @returns Whether it was trusted. */
export function distrustKey(stateDir: string, name: string): boolean {
  const before = readTrustedKeys(stateDir);
  const after = without(before, [name]);
  const wasTrusted = namesOf(after).length < namesOf(before).length;
  if (wasTrusted) write(stateDir, after);
  return wasTrusted;
}

function keysPath(stateDir: string): string {
  return join(stateDir, 'update-keys.json');
}

/** Room for thousands of keys; the costliest JSON of this size takes 0.1 s to parse. */
const maxBytes = 2 ** 20;

/** Reads the file, if no other user could have written it. */
function readOwn(path: string): string | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0));
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT') return undefined;
    // ELOOP, on FreeBSD EMLINK: a link, where the system has O_NOFOLLOW.
    if (code === 'ELOOP' || code === 'EMLINK') {
      throw new Error(`Cannot use ${path}: it is a link; put the file itself there`);
    }
    throw error;
  }
  try {
    const { mode, uid, size } = fstatSync(fd);
    if ((mode & constants.S_IFMT) !== constants.S_IFREG) {
      throw new Error(`Cannot use ${path}: it is no file; remove it`);
    }
    const isOurs = process.getuid === undefined || (uid === process.getuid() && (mode & 0o022) === 0);
    if (!isOurs) {
      throw new Error(
        `Cannot use ${path}: others may have written it; look at it, then make it yours (chown, chmod 600)`,
      );
    }
    if (size > maxBytes) throw new Error(`Cannot use ${path}: it is longer than ${maxBytes} bytes; remove it`);
    return readFileSync(fd, 'utf8');
  } finally {
    closeSync(fd);
  }
}

function readKeys(text: string): TrustedKeys {
  if (text.startsWith('ed25519:')) return { manifest: [parseManifestKey(text, 'key')], registry: [] };
  if (text.startsWith('SHA256:')) return { manifest: [], registry: [readNamed(text)] };
  if (!text.startsWith('{')) {
    refuse('key', '"ed25519:BASE64", "SHA256:ID BASE64", or the JSON of a registry\'s key', text);
  }
  const value = readJson(text);
  return {
    manifest: [],
    registry: Object.hasOwn(value, 'keys') ? parseServed(value, 'key').keys : [parseRegistryKey(value, 'key')],
  };
}

function readNamed(text: string): RegistryKey {
  const [keyid = '', key, ...rest] = text.split(/\s+/);
  if (key === undefined || rest.length > 0) {
    throw new ParseError('key', 'expected "SHA256:ID BASE64": the name alone is no key');
  }
  return parseRegistryKey(
    { expires: null, keyid, keytype: 'ecdsa-sha2-nistp256', scheme: 'ecdsa-sha2-nistp256', key }, 'key');
}

function readJson(text: string): object {
  try {
    return JSON.parse(text) as object;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new ParseError('key', `expected JSON: ${error.message}`);
  }
}

function namesOf(keys: TrustedKeys): string[] {
  return [...keys.manifest, ...keys.registry.map(({ keyid }) => keyid)];
}

function without(keys: TrustedKeys, names: readonly string[]): TrustedKeys {
  return {
    manifest: keys.manifest.filter((key) => !names.includes(key)),
    registry: keys.registry.filter(({ keyid }) => !names.includes(keyid)),
  };
}

function write(stateDir: string, keys: TrustedKeys): void {
  makeFolder(stateDir, { mode: 0o700 });
  replaceFile(keysPath(stateDir), `${JSON.stringify(keys, null, 2)}\n`);
}
