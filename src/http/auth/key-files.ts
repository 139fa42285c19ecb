/**
 * The files of the key: read only if no other user can read them, replaced atomically, changed by one process at a
 * time.
 * @module
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync, constants, fstatSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, statSync, writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { errorCode } from '../../base/error-code.ts';
import { makeFolder } from '../../base/files/make-folder.ts';

/** Pattern of keys from any source: they can be sent in a header unchanged. */
export const keyPattern: RegExp = /^[\x21-\x7e]{16,1024}$/;
const staleLockMs = 10_000;
const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL } = constants;
// Absent on Windows.
const O_NOFOLLOW = (constants.O_NOFOLLOW as number | undefined) ?? 0;
const O_NONBLOCK = (constants.O_NONBLOCK as number | undefined) ?? 0;

export function keyPath(stateDir: string): string {
  return join(stateDir, 'api-key');
}

/** The file of earlier keys, which are valid until they expire. */
export function previousPath(stateDir: string): string {
  return join(stateDir, 'api-key.previous');
}

/**
 * @returns the text of a file that only we can read; `undefined` where it does not exist.
 * @throws Error that says what to do.
 */
export function readPrivate(path: string): string | undefined {
  const fd = openPrivate(path);
  if (fd === undefined) return undefined;
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile()) throw new Error(`Cannot use ${path}: it is not a regular file; move it away`);
    const self = process.geteuid?.();
    if (self !== undefined && stats.uid !== self) {
      throw new Error(
        `Cannot use ${path}: it belongs to user ${stats.uid}, not to us (${self}); chown it or move it away`,
      );
    }
    if (self !== undefined && (stats.mode & 0o077) !== 0) {
      throw new Error(`Cannot use ${path}: others can read it (mode ${(stats.mode & 0o777).toString(8)}); `
        + `run "chmod 600 ${path}" and, if another user may have seen the key, "sidecar key rotate"`);
    }
    if (stats.size > 65_536) throw new Error(`Cannot use ${path}: it is too large; move it away`);
    return readFileSync(fd, 'utf8');
  } finally {
    closeSync(fd);
  }
}

/**
 * Replaces a file atomically, readable by us only: written beside it, synced, renamed. A link at `path` is replaced,
 * not followed.
 */
export function writePrivate(path: string, text: string): void {
  const beside = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  const fd = openSync(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    try {
      writeSync(fd, text);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(beside, path);
  } catch (error) {
    rmSync(beside, { force: true });
    throw error;
  }
}

/** A value that changes whenever the file is replaced or written; empty where it does not exist. */
export function fileMark(path: string): string {
  const stats = statSync(path, { throwIfNoEntry: false, bigint: true });
  return stats ? `${stats.ino} ${stats.mtimeNs} ${stats.ctimeNs} ${stats.size}` : '';
}

/** Runs `change` while no other process changes the files of this directory. */
export async function withKeyLock<T>(stateDir: string, change: () => T): Promise<T> {
  makeFolder(stateDir, { mode: 0o700 });
  const path = join(stateDir, 'api-key.lock');
  while (!tryLock(path)) await delay(10);
  try {
    return change();
  } finally {
    rmSync(path, { force: true });
  }
}

function tryLock(path: string): boolean {
  try {
    closeSync(openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600));
    return true;
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
    const stats = statSync(path, { throwIfNoEntry: false });
    // A holder needs only milliseconds: this one has died.
    if (stats && Date.now() - stats.mtimeMs > staleLockMs) rmSync(path, { force: true });
    return false;
  }
}

function openPrivate(path: string): number | undefined {
  try {
    return openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT') return undefined;
    if (code === 'ELOOP')
      throw new Error(`Cannot use ${path}: it is a symbolic link; replace it by the file itself`, { cause: error });
    if (code === 'EACCES')
      throw new Error(`Cannot use ${path}: we may not read it; see to ${dirname(path)}`, { cause: error });
    throw error;
  }
}
