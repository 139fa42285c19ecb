/**
 * Hands a program variables that no shell can: by a file that a small program of ours reads, never by an argument, which `ps` shows to everyone.
 * @module
 */
import { resolve } from 'node:path';
import { checkFolder, writeRegular } from '../../base/untrusted-file.ts';
import { markName } from '../descendants.ts';
import type { Launch } from '../launch-script.ts';
import { ownProgram } from '../own-program.ts';
import type { Variables } from './secrets.ts';
import { byHandling } from './shell-variables.ts';

const program = ownProgram(import.meta.url, 'carrier-main');
const fileName = 'environment';

/** What {@link carriedArgv} writes. */
export interface Carried {
  readonly env: Variables;
}

/** Whether any of these is of no name for a shell. */
export function needsCarrier(variables: Variables): boolean {
  return Object.keys(byHandling(variables).foreign).length > 0;
}

/** What runs `argv` with exactly this environment. Writes a file into the directory, which goes once it was read. @throws the system's error. */
export function carriedArgv(argv: readonly string[], env: Variables, directory: string): readonly string[] {
  // The program starts in another directory than this one.
  checkFolder(directory);
  const path = resolve(directory, fileName);
  writeRegular(path, JSON.stringify({ env } satisfies Carried));
  return [program.file, ...program.loaders, program.path, path, ...argv];
}

/** The launch of a job by a launcher: as it is, or by the carrier where its variables need that. @throws the system's error. */
export function withCarrier(launch: Launch, inherited: Variables): Launch {
  if (launch.isOwnShell === true || !needsCarrier(launch.env)) return launch;
  const { id, directory, workdir, argv } = launch;
  const { OLDPWD: _, ...before } = inherited;
  const env = { ...before, PWD: workdir, ...launch.env, [markName]: id };
  return { ...launch, argv: carriedArgv(argv, env, directory), env: withoutNode(env) };
}

/** What is to be laid over an environment so that Node of ours obeys none of it. */
export function withoutNode(environment: Variables): Variables {
  return Object.fromEntries(Object.keys(environment).filter((name) => name.startsWith('NODE_')).map((name) => [name, '']));
}
