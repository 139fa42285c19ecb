/**
 * Passes variables to a program that no shell can pass: in a file that our carrier program reads, never in an argument,
 * which `ps` shows to every user.
 * @module
 */
import { resolve } from 'node:path';
import { checkFolder, writeRegular } from '../../base/files/untrusted-file.ts';
import { markName } from '../descendants.ts';
import type { Launch } from './launch-script.ts';
import { ownProgram } from '../own-program.ts';
import type { Variables } from '../environment/secrets.ts';
import { byHandling } from '../environment/shell-variables.ts';

const program = ownProgram(import.meta.url, 'carrier-main');
const fileName = 'environment';

/** The content of the file that {@link carriedArgv} writes. */
export interface Carried {
  readonly env: Variables;
}

/** Whether any of these variables has a name that no shell can have. */
export function needsCarrier(variables: Variables): boolean {
  return Object.keys(byHandling(variables).foreign).length > 0;
}

/**
 * The argv that runs `argv` with exactly this environment. Writes a file to the directory, which is deleted once it was
 * read.
 *
 * @throws the system's error.
 */
export function carriedArgv(argv: readonly string[], env: Variables, directory: string): readonly string[] {
  // The path must be absolute: the program starts in another directory.
  checkFolder(directory);
  const path = resolve(directory, fileName);
  writeRegular(path, JSON.stringify({ env } satisfies Carried));
  return [program.file, ...program.loaders, program.path, path, ...argv];
}

/**
 * The launch of a job by a launcher: unchanged, or by the carrier where its variables need that.
 *
 * @throws the system's error.
 */
export function withCarrier(launch: Launch, inherited: Variables): Launch {
  if (launch.isOwnShell === true || !needsCarrier(launch.env)) return launch;
  const { id, directory, workdir, argv } = launch;
  const { OLDPWD: _, ...before } = inherited;
  const env = { ...before, PWD: workdir, ...launch.env, [markName]: id };
  return { ...launch, argv: carriedArgv(argv, env, directory), env: withoutNode(env) };
}

/** Variables that, laid over an environment, keep our own Node from obeying it. */
export function withoutNode(environment: Variables): Variables {
  return Object.fromEntries(
    Object.keys(environment).filter((name) => name.startsWith('NODE_')).map((name) => [name, '']),
  );
}
