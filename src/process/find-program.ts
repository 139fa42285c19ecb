/**
 * Programs on this machine.
 * @module
 */
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** The path of a program; `undefined` where there is none of that name. @param path The search path, as in the environment. */
export function findProgram(name: string, path: string): string | undefined {
  return path.split(delimiter).filter((folder) => folder !== '').map((folder) => join(folder, name)).find(isExecutable);
}

/** Whether a program stands there: a directory may be entered, which access(2) calls by the same name. */
export function isExecutable(path: string): boolean {
  try {
    // Most places of a search path have none; an error takes ten times as long as an answer.
    if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true) return false;
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
