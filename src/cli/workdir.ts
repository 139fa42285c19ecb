/**
 * The workdir of a request, from the command line.
 * @module
 */
import { resolve } from 'node:path';
import { UsageError, isDirectoryDeleted } from './failure.ts';

/**
 * For the local server an absolute path: the current directory, or `given` relative to it. Another server resolves the
 * path itself, and every server resolves `~` itself.
 *
 * @throws UsageError when the current directory has been deleted and is needed.
 */
export function workdirOf(given: string | undefined, isLocal: boolean): string | undefined {
  if (!isLocal || (given !== undefined && /^~([/\\]|$)/.test(given))) return given;
  try {
    return resolve(given ?? '.');
  } catch (error) {
    if (!isDirectoryDeleted(error)) throw error;
    throw new UsageError('The current directory has been deleted: change to another one, or name one by --workdir');
  }
}
