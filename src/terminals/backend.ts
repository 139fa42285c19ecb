/**
 * Which pseudo-terminals this machine has.
 * @module
 */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { findProgram } from '../process/find-program.ts';
import type { TerminalBackend } from '../protocol/terminals.ts';

/** What opens terminals; `modulePath` where that is a package, which may yet fail to load. */
export interface Backend {
  readonly name: TerminalBackend;
  readonly modulePath?: string;
}

/** Tried in this order: the first is a prebuilt fork of the second. */
const packages = ['@lydell/node-pty', 'node-pty'] as const;

/**
 * The best there is; `undefined`: none.
 *
 * @param options.path The PATH that programs are looked for on.
 * @param options.from Where packages are looked for: beside this one, then where `npm install -g` puts them.
 */
export function findBackend(options: { readonly path: string | undefined; readonly from?: readonly string[] }): Backend | undefined {
  // Without FIFOs and sessions nobody could keep a terminal beyond the server.
  if (process.platform === 'win32') return undefined;
  const places = options.from ?? [import.meta.url, join(dirname(process.execPath), '..', 'lib', 'node_modules', 'of-npm.js')];
  for (const name of packages) {
    const modulePath = places.map((place) => resolveFrom(place, name)).find((path) => path !== undefined);
    if (modulePath !== undefined) return { name, modulePath };
  }
  return scriptBackend(options.path);
}

/** What there is without any package. */
export function scriptBackend(path = '/usr/local/bin:/usr/bin:/bin'): Backend | undefined {
  return ['script', 'stty'].every((program) => findProgram(program, path) !== undefined) ? { name: 'script' } : undefined;
}

function resolveFrom(place: string, name: string): string | undefined {
  try {
    return createRequire(place).resolve(name);
  } catch {
    // It is not installed.
    return undefined;
  }
}
