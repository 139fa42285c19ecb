/**
 * Tells whether a path leads to a directory.
 * @module
 */
import { statSync } from 'node:fs';

/** Whether the path, which may be a link, leads to a directory; `false` also where that cannot be told. */
export function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    // ENOENT, ENOTDIR, EACCES, ELOOP: what needs the directory reports the reason.
    return false;
  }
}
