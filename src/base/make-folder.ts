/**
 * Makes a folder with the folders above it.
 * @module
 */
import { existsSync, lstatSync, mkdirSync, renameSync, type Stats, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/**
 * Makes a folder, and those above it that are missing; one that is there stays as it is. Unlike `mkdirSync` with `recursive` it returns on every
 * file system: that one tries for ever where the system says ENOENT of a new folder in one that is there, as procfs does (Node 20 to 26).
 *
 * @param options.mode Of the folders that are made.
 * @throws the system's error: ENOTDIR or EEXIST where something else stands there, EACCES, EROFS, ENOSPC, ENOENT where the file system takes no folder.
 */
export function makeFolder(path: string, options: { readonly mode?: number } = {}): void {
  const missing: string[] = [];
  let folder = resolve(path);
  while (!makeOne(folder, options)) {
    missing.push(folder);
    folder = dirname(folder);
  }
  for (const one of missing.reverse()) makeOne(one, options, { isParentThere: true });
}

/**
 * {@link makeFolder} for a folder of the state directory, for its owner only. What a job has put in its place, be it a link,
 * is set aside: nothing behind it is read, written or removed.
 *
 * @returns where that is now. @throws as {@link makeFolder}; what rename(2) says.
 */
export function makeOwnFolder(path: string): string | undefined {
  const aside = setAside(path, (stats) => !stats.isDirectory());
  makeFolder(path, { mode: 0o700 });
  return aside;
}

/** Gives what stands there another name, where `isStrange` says so. @returns the name. @throws what rename(2) says. */
export function setAside(path: string, isStrange: (stats: Stats) => boolean): string | undefined {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined || !isStrange(stats)) return undefined;
  const aside = `${path}.replaced-${Date.now().toString(36)}-${process.pid}`;
  renameSync(path, aside);
  return aside;
}

/** @returns `false` where the folder above is missing. */
function makeOne(folder: string, options: { readonly mode?: number }, { isParentThere = false } = {}): boolean {
  try {
    mkdirSync(folder, options);
    return true;
  } catch (error) {
    if (isFolder(folder)) return true;
    const isParentMissing = (error as NodeJS.ErrnoException).code === 'ENOENT' && !isParentThere;
    if (!isParentMissing || dirname(folder) === folder) throw error;
    // Another process may have made the folder above in between.
    return existsSync(dirname(folder)) ? makeOne(folder, options, { isParentThere: true }) : false;
  }
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    // Why there can be none, mkdir(2) has said.
    return false;
  }
}
