/**
 * Replaces a file atomically: a reader sees the old content or the new, never a mixture.
 * @module
 */
import { renameSync, rmSync, utimesSync } from 'node:fs';
import { errorCode } from '../error-code.ts';
import { createFile } from './untrusted-file.ts';

/** Files written by this process: it keeps two writers of one file from sharing a temporary file. */
let count = 0;
/** How many taken names are skipped before giving up. */
const attempts = 100;

/**
 * Writes a temporary file beside `path` and renames it. Synchronous on purpose: a small write to a local disk takes 10
 * to 40 µs, which is less than a trip to the thread pool (80 to 130 µs of CPU).
 *
 * @param options.mtimeMs Modification time to set. Default: now, to the tick of the file system's clock, which may be
 * 10 ms long.
 * @throws The system's error (ENOSPC, EACCES, EISDIR where `path` is a directory, …); the old content is then still
 * there.
 */
export function replaceFile(
  path: string,
  content: string | Uint8Array,
  { mtimeMs }: { readonly mtimeMs?: number } = {},
): void {
  const beside = writeBeside(path, content);
  try {
    if (mtimeMs !== undefined) utimesSync(beside, mtimeMs / 1000, mtimeMs / 1000);
    renameSync(beside, path);
  } catch (error) {
    rmSync(beside, { force: true });
    throw error;
  }
}

/**
 * The temporary name may be taken: by an earlier process with the same pid, or by a job that wants this write to land
 * in another file.
 */
function writeBeside(path: string, content: string | Uint8Array): string {
  for (let attempt = 1; ; attempt += 1) {
    const beside = `${path}.${process.pid}.${count += 1}`;
    try {
      createFile(beside, content);
      return beside;
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') {
        rmSync(beside, { force: true });
        throw error;
      }
      if (attempt === attempts) throw error;
      removeQuietly(beside);
    }
  }
}

function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // It is a directory: the next name is tried.
  }
}
