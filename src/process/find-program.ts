/**
 * Programs on this machine.
 * @module
 */
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** The path of a program; `undefined` where none is found. @param path The search path, as in the environment. */
export function findProgram(name: string, path: string): string | undefined {
  return path.split(delimiter).filter((folder) => folder !== '').map((folder) => join(folder, name)).find(isExecutable);
}

/** Whether the path is a program and not a directory, for which access(2) reports the same permission. */
export function isExecutable(path: string): boolean {
  try {
    // Most folders of a search path do not have it; an exception takes ten times as long as a result.
    if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true) return false;
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
