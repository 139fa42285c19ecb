/**
 * Reads the fields that every request for a process has from the command line.
 * @module
 */
import { resolve } from 'node:path';
import { defined } from '../base/defined.ts';
import { UsageError, isDirectoryDeleted } from './failure.ts';
import { pairs, variables } from './values.ts';

interface ProcessOptions {
  readonly workdir?: string | undefined;
  readonly env?: readonly string[] | undefined;
  readonly name?: string | undefined;
  readonly label?: readonly string[] | undefined;
}

interface ProcessFields {
  readonly workdir?: string;
  readonly env?: { readonly [name: string]: string };
  readonly name?: string;
  readonly labels?: { readonly [name: string]: string };
}

/**
 * @param options.environment Gives the values of `--env NAME`.
 * @throws UsageError
 */
export function processFields(
  { workdir, env, name, label }: ProcessOptions,
  { isLocal, environment }: { readonly isLocal: boolean; readonly environment: { readonly [name: string]: string } },
): ProcessFields {
  return defined({
    workdir: workdirOf(workdir, isLocal), env: variables(env, environment), name, labels: pairs(label, 'label'),
  });
}

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
