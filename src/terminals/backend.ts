/**
 * Finds a way to open pseudo-terminals on this machine.
 * @module
 */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { findProgram } from '../process/find-program.ts';
import type { TerminalBackend } from '../protocol/terminals.ts';

/** A way to open terminals; `modulePath` where it is a package, which may still fail to load. */
export interface Backend {
  readonly name: TerminalBackend;
  readonly modulePath?: string;
}

/** Tried in this order: the first is a prebuilt fork of the second. */
const packages = ['@lydell/node-pty', 'node-pty'] as const;

/**
 * Finds the best backend; `undefined` if there is none.
 *
 * @param options.path The PATH to search for programs.
 * @param options.from Where to search for packages. Default: from this package, then where `npm install -g` puts them.
 */
export function findBackend(
  options: { readonly path: string | undefined; readonly from?: readonly string[] },
): Backend | undefined {
  // Without FIFOs and sessions, terminals cannot outlive the server.
  if (process.platform === 'win32') return undefined;
  const places = options.from
    ?? [import.meta.url, join(dirname(process.execPath), '..', 'lib', 'node_modules', 'of-npm.js')];
  for (const name of packages) {
    const modulePath = places.map((place) => resolveFrom(place, name)).find((path) => path !== undefined);
    if (modulePath !== undefined) return { name, modulePath };
  }
  return scriptBackend(options.path);
}

/** The backend that needs no package. */
export function scriptBackend(path = '/usr/local/bin:/usr/bin:/bin'): Backend | undefined {
  return ['script', 'stty'].every((program) => findProgram(program, path) !== undefined)
    ? { name: 'script' }
    : undefined;
}

function resolveFrom(place: string, name: string): string | undefined {
  try {
    return createRequire(place).resolve(name);
  } catch {
    // It is not installed.
    return undefined;
  }
}
