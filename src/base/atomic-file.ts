/**
 * Replaces a file in one step: whoever reads it sees the old content or the new, never half of one.
 * @module
 */
import { renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';

/** How many were written by this process: two writers of one file do not share the file beside it. */
let count = 0;

/**
 * Writes beside `path` and renames. Synchronous on purpose: a small write to a local disk takes 10 to 40 µs, which is less
 * than handing it to a thread and back (80 to 130 µs of CPU).
 *
 * @param options.mtimeMs When it is said to have been written. Default: now, to the tick of the file system's clock, which may be 10 ms long.
 * @throws what the file system says (ENOSPC, EACCES, …); the old content is then still there.
 */
export function replaceFile(path: string, content: string, { mtimeMs }: { readonly mtimeMs?: number } = {}): void {
  const beside = `${path}.${process.pid}.${count += 1}`;
  try {
    writeFileSync(beside, content, { mode: 0o600 });
    if (mtimeMs !== undefined) utimesSync(beside, mtimeMs / 1000, mtimeMs / 1000);
    renameSync(beside, path);
  } catch (error) {
    rmSync(beside, { force: true });
    throw error;
  }
}
