/**
 * Replaces a file in one step: a reader sees the old content or the new, never half of one.
 * @module
 */
import { renameSync, rmSync, utimesSync } from 'node:fs';
import { createFile } from './untrusted-file.ts';

/** How many were written by this process: two writers of one file do not share the file beside it. */
let count = 0;
/** How many names that are taken are passed over. */
const attempts = 100;

/**
 * Writes beside `path` and renames. Synchronous on purpose: a small write to a local disk takes 10 to 40 µs, which is less
 * than handing it to a thread and back (80 to 130 µs of CPU).
 *
 * @param options.mtimeMs When it is said to have been written. Default: now, to the tick of the file system's clock, which may be 10 ms long.
 * @throws what the file system says (ENOSPC, EACCES, EISDIR where `path` is a directory, …); the old content is then still there.
 */
export function replaceFile(path: string, content: string | Uint8Array, { mtimeMs }: { readonly mtimeMs?: number } = {}): void {
  const beside = writeBeside(path, content);
  try {
    if (mtimeMs !== undefined) utimesSync(beside, mtimeMs / 1000, mtimeMs / 1000);
    renameSync(beside, path);
  } catch (error) {
    rmSync(beside, { force: true });
    throw error;
  }
}

/** A name may be taken: by an earlier process of the same pid, or by a job that wants this one to write into something else. */
function writeBeside(path: string, content: string | Uint8Array): string {
  for (let attempt = 1; ; attempt += 1) {
    const beside = `${path}.${process.pid}.${count += 1}`;
    try {
      createFile(beside, content);
      return beside;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
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
    // A directory: the next name will do.
  }
}
