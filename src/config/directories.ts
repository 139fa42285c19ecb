/**
 * Where the configuration and the state are, by the user's environment.
 * @module
 */
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import type { Environment } from '../process/environment/secrets.ts';

export function configHome(environment: Environment): string {
  return baseDirectory(environment, 'XDG_CONFIG_HOME', 'APPDATA', '.config');
}

export function defaultStateDir({ environment }: { environment: Environment }): string {
  return join(baseDirectory(environment, 'XDG_STATE_HOME', 'LOCALAPPDATA', join('.local', 'state')), 'machine-sidecar');
}

/** XDG Base Directory Specification: a relative path is invalid and ignored. */
function baseDirectory(environment: Environment, variable: string, windowsVariable: string, inHome: string): string {
  const given = environment[process.platform === 'win32' ? windowsVariable : variable];
  if (given !== undefined && isAbsolute(given)) return given;
  return join(environment['HOME'] || homedir(), inHome);
}
