/**
 * Finds the shells of this machine.
 * @module
 */
import { findProgram } from '../../process/find-program.ts';
import { type ShellKind, shellKinds } from '../../protocol/shells.ts';
import { dialects } from './registry.ts';

/** The shells that can persist here, and their paths. @param path The search path, as in the environment. */
export function findShells(path: string): ReadonlyMap<ShellKind, string> {
  const found = new Map<ShellKind, string>();
  for (const kind of shellKinds) {
    const file = dialects[kind] && findProgram(kind, path);
    if (file !== undefined) found.set(kind, file);
  }
  return found;
}
