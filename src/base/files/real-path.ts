/**
 * Real paths of files that need not exist, and whether one path is below another.
 * @module
 */
import { lstat, readlink, realpath } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative, sep } from 'node:path';
import { errorCode } from '../error-code.ts';

/** path_resolution(7): the kernel itself follows at most this many symbolic links. */
export const maxLinks = 40;
/** limits.h, PATH_MAX: the kernel opens no longer path, and resolving one could take very long. */
export const maxPathBytes = 4096;

/** Whether the system can open a path of these characters. */
export function isUsable(path: string): boolean {
  return path !== '' && !path.includes('\0') && Buffer.byteLength(path) <= maxPathBytes;
}

/**
 * Like realpath(3), but the end of the path may be missing: a dangling link is resolved to the path that it would
 * create.
 */
export async function realPathOf(path: string): Promise<string> {
  return (await resolveLinks(path, maxLinks)).path;
}

interface ResolvedPath {
  readonly path: string;
  readonly isThere: boolean;
}

async function resolveLinks(path: string, linksLeft: number): Promise<ResolvedPath> {
  try {
    return { path: await realpath(path), isThere: true };
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
  const parent = await resolveLinks(dirname(path), linksLeft);
  const here = join(parent.path, basename(path));
  // Below a missing directory there is nothing to resolve.
  if (!parent.isThere || !await isLink(here)) return { path: here, isThere: false };
  if (linksLeft === 0) throw new Error(`too many symbolic links: ${path}`);
  return resolveLinks(inDirectory(dirname(here), await readlink(here)), linksLeft - 1);
}

/** Joins the paths and keeps any `..` in them. */
export function inDirectory(directory: string, path: string): string {
  return isAbsolute(path) ? path : `${directory}${sep}${path}`;
}

async function isLink(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isSymbolicLink();
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw error;
  }
}

/** Whether a path is the root or below it. Both are absolute and without `..`. */
export function isWithin(root: string, path: string): boolean {
  const below = relative(root, path);
  return below === '' || (below !== '..' && !below.startsWith(`..${sep}`) && !isAbsolute(below));
}
