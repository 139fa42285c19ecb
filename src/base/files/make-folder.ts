/**
 * Makes a folder and its missing parents, and clears its place of anything else.
 * @module
 */
import { existsSync, lstatSync, mkdirSync, renameSync, type Stats, unlinkSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { errorCode } from '../error-code.ts';
import { isDirectory } from './is-directory.ts';
import { statFile } from './untrusted-file.ts';

/**
 * Makes a folder and its missing parents; an existing folder stays as it is. Unlike `mkdirSync` with `recursive` it
 * returns on every file system: that one loops forever where the system reports ENOENT for a new folder in an existing
 * one, as procfs does (Node 20 to 26).
 *
 * @param options.mode Mode of the folders that are made.
 * @throws The system's error: ENOTDIR or EEXIST where something else has that name, EACCES, EROFS, ENOSPC, ENOENT where
 * the file system accepts no folder.
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
 * {@link makeFolder} for a folder of the state directory, accessible to its owner only. Anything else that a job has
 * put in its place, also a link, is renamed: nothing behind it is read, written or removed.
 *
 * @returns The new name of what was there.
 * @throws As {@link makeFolder}; the error of rename(2).
 */
export function makeOwnFolder(path: string): string | undefined {
  const aside = setAside(path, (stats) => !stats.isDirectory());
  makeFolder(path, { mode: 0o700 });
  return aside;
}

/** Renames what exists at `path` if `isStrange` says so. @returns The new name. @throws The error of rename(2). */
export function setAside(path: string, isStrange: (stats: Stats) => boolean): string | undefined {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined || !isStrange(stats)) return undefined;
  const aside = `${path}.replaced-${Date.now().toString(36)}-${process.pid}`;
  renameSync(path, aside);
  return aside;
}

/**
 * Removes a file or link that stands where a folder belongs; the target of a link stays. Unlike {@link makeOwnFolder}
 * it keeps nothing: for folders that hold only what can be made again.
 *
 * @throws The system's error.
 */
export function clearPlaceOf(folder: string): void {
  const stats = statFile(folder);
  if (stats !== undefined && !stats.isDirectory()) unlinkSync(folder);
}

/** @returns `false` where the parent is missing. */
function makeOne(folder: string, options: { readonly mode?: number }, { isParentThere = false } = {}): boolean {
  try {
    mkdirSync(folder, options);
    return true;
  } catch (error) {
    if (isDirectory(folder)) return true;
    const isParentMissing = errorCode(error) === 'ENOENT' && !isParentThere;
    if (!isParentMissing || dirname(folder) === folder) throw error;
    // Another process may have made the parent in between.
    return existsSync(dirname(folder)) ? makeOne(folder, options, { isParentThere: true }) : false;
  }
}
