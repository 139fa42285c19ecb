/**
 * The directories that an agent may work in: its workdir and those that were added.
 * @module
 */
import { lstat, readlink, realpath } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';

/** path_resolution(7): as many symbolic links as the kernel itself follows. */
const maxLinks = 40;
/** limits.h, PATH_MAX: the kernel opens nothing longer, and following it would take for ever. */
const maxPathBytes = 4096;

export class Jail {
  /** What relative paths are relative to. */
  readonly workdir: string;
  readonly #roots: readonly string[];

  private constructor(workdir: string, roots: readonly string[]) {
    this.workdir = workdir;
    this.#roots = roots;
  }

  /** @throws the system's error where a directory is not there. */
  static async of(workdir: string, additionalDirectories: readonly string[] = []): Promise<Jail> {
    const roots = await Promise.all([workdir, ...additionalDirectories].map((path) => realpath(path)));
    return new Jail(resolve(workdir), roots);
  }

  /** Whether the path, read as it is written, leads out: without a look at what links there are. */
  isWrittenOutside(path: string): boolean {
    const written = resolve(this.workdir, path);
    return !isWithin(this.workdir, written) && !this.#roots.some((root) => isWithin(root, written));
  }

  /**
   * Where a path really leads, links and `..` followed as far as there is something; `undefined`: outside, or nobody can say, as where `link/..` is
   * one thing to the kernel and another to who reads it as it is written.
   *
   * What it names need not be there. On file systems that do not tell upper from lower case the answer is in the case of what is there.
   */
  async realPathOf(path: string): Promise<string | undefined> {
    if (path === '' || path.includes('\0') || Buffer.byteLength(path) > maxPathBytes) return undefined;
    try {
      const real = await follow(resolve(this.workdir, path), maxLinks);
      if (!this.#roots.some((root) => isWithin(root, real))) return undefined;
      return path.split(sep).includes('..') && await follow(inDirectory(this.workdir, path), maxLinks) !== real ? undefined : real;
    } catch {
      // A directory that may not be entered, a circle of links, a name that is too long.
      return undefined;
    }
  }
}

/** Like realpath(3), but the end of the path may be missing: a link to nowhere is followed to where it would create something. */
async function follow(path: string, linksLeft: number): Promise<string> {
  return (await followed(path, linksLeft)).path;
}

interface Followed {
  readonly path: string;
  readonly isThere: boolean;
}

async function followed(path: string, linksLeft: number): Promise<Followed> {
  try {
    return { path: await realpath(path), isThere: true };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const parent = await followed(dirname(path), linksLeft);
  const here = join(parent.path, basename(path));
  // Nothing is below what is missing.
  if (!parent.isThere || !await isLink(here)) return { path: here, isThere: false };
  if (linksLeft === 0) throw new Error(`too many symbolic links: ${path}`);
  return followed(inDirectory(dirname(here), await readlink(here)), linksLeft - 1);
}

/** With its `..` as they are. */
function inDirectory(directory: string, path: string): string {
  return isAbsolute(path) ? path : `${directory}${sep}${path}`;
}

async function isLink(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isSymbolicLink();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

function isWithin(root: string, path: string): boolean {
  const below = relative(root, path);
  return below === '' || (below !== '..' && !below.startsWith(`..${sep}`) && !isAbsolute(below));
}
