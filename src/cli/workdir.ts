/**
 * The workdir of a request, as a command line names it.
 * @module
 */
import { resolve } from 'node:path';
import { UsageError } from './failure.ts';

/**
 * For the local server the directory where the command was given, or what is relative to it; another server reads the path itself, as any does `~`.
 *
 * @throws UsageError where the directory of this program has been deleted and none is named.
 */
export function workdirOf(given: string | undefined, isLocal: boolean): string | undefined {
  if (!isLocal || (given !== undefined && /^~([/\\]|$)/.test(given))) return given;
  try {
    return resolve(given ?? '.');
  } catch (error) {
    // getcwd(3).
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new UsageError('The current directory has been deleted: name another as the workdir, or go elsewhere first');
  }
}
