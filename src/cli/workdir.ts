/**
 * The workdir of a request, as a command line names it.
 * @module
 */
import { resolve } from 'node:path';
import { UsageError, isDirectoryDeleted } from './failure.ts';

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
    if (!isDirectoryDeleted(error)) throw error;
    throw new UsageError('The current directory has been deleted: change to another one, or name one by --workdir');
  }
}
