/**
 * The directories that an agent may work in: its workdir and the additional ones.
 * @module
 */
import { lstat, readlink, realpath } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { errorCode } from '../../base/error-code.ts';

/** path_resolution(7): the kernel itself follows at most this many symbolic links. */
const maxLinks = 40;
/** limits.h, PATH_MAX: the kernel opens no longer path, and resolving one could take very long. */
const maxPathBytes = 4096;

export class Sandbox {
  /** The base of relative paths. */
  readonly workdir: string;
  readonly #roots: readonly string[];

  private constructor(workdir: string, roots: readonly string[]) {
    this.workdir = workdir;
    this.#roots = roots;
  }

  /** @throws the system's error for a missing directory. */
  static async of(workdir: string, additionalDirectories: readonly string[] = []): Promise<Sandbox> {
    const roots = await Promise.all([workdir, ...additionalDirectories].map((path) => realpath(path)));
    return new Sandbox(resolve(workdir), roots);
  }

  /** Whether the path as it is written leads out of the sandbox, regardless of links. */
  isWrittenOutside(path: string): boolean {
    const written = resolve(this.workdir, path);
    return !isWithin(this.workdir, written) && !this.#roots.some((root) => isWithin(root, written));
  }

  /**
   * The real path: links and `..` are resolveLinks as far as the path exists. `undefined` if the path leads out of the
   * sandbox, or is ambiguous: to the kernel `link/..` is another directory than to a reader of the text.
   *
   * The path itself need not exist. On case-insensitive file systems the result has the case of the existing names.
   */
  async realPathOf(path: string): Promise<string | undefined> {
    if (path === '' || path.includes('\0') || Buffer.byteLength(path) > maxPathBytes) return undefined;
    try {
      const real = await realPathThroughLinks(resolve(this.workdir, path), maxLinks);
      if (!this.#roots.some((root) => isWithin(root, real))) return undefined;
      if (!path.split(sep).includes('..')) return real;
      const asWritten = await realPathThroughLinks(inDirectory(this.workdir, path), maxLinks);
      return asWritten === real ? real : undefined;
    } catch {
      // No permission to enter a directory, a cycle of links, or a name that is too long.
      return undefined;
    }
  }
}

/**
 * Like realpath(3), but the end of the path may be missing: a dangling link is resolveLinks to the path that it would
 * create.
 */
async function realPathThroughLinks(path: string, linksLeft: number): Promise<string> {
  return (await resolveLinks(path, linksLeft)).path;
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
  // Below a missing directory there is nothing to realPathThroughLinks.
  if (!parent.isThere || !await isLink(here)) return { path: here, isThere: false };
  if (linksLeft === 0) throw new Error(`too many symbolic links: ${path}`);
  return resolveLinks(inDirectory(dirname(here), await readlink(here)), linksLeft - 1);
}

/** Joins the paths and keeps any `..` in them. */
function inDirectory(directory: string, path: string): string {
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

function isWithin(root: string, path: string): boolean {
  const below = relative(root, path);
  return below === '' || (below !== '..' && !below.startsWith(`..${sep}`) && !isAbsolute(below));
}
