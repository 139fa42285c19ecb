/**
 * Holds paths within directories, against links that other processes change meanwhile.
 *
 * A check of the real path before the call leaves a gap: between the two a process may replace a directory by a link.
 * On Linux a path is walked part by part instead, each opened from the descriptor of the one before: openat(2), which
 * Node lacks, is `/proc/self/fd/N/NAME` (proc(5)). Links are followed by the walk, never by the kernel; the last part
 * is left to the call, which is made below the descriptor of its directory. Elsewhere the real path is checked, and the
 * gap remains.
 *
 * @module
 */
import { closeSync, constants, openSync } from 'node:fs';
import { type FileHandle, lstat, mkdir, open, readlink, realpath } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, resolve, sep } from 'node:path';
import { asSystemError, errorCode } from '../error-code.ts';
import { makeFolder } from './make-folder.ts';
import { inDirectory, isUsable, isWithin, maxLinks, maxPathBytes, realPathOf } from './real-path.ts';

const { O_DIRECTORY, O_NOFOLLOW } = constants;
/** open(2): a descriptor that only names a place. Node has no name for it; the value is that of all of Linux' ports. */
const O_PATH = 0x20_0000;
/** A place that changes under each walk is a race that is meant. */
const maxWalks = 20;
const descriptors = '/proc/self/fd/';
const canWalk = process.platform === 'linux';

/** The path leads out of the directories. */
export class OutsideError extends Error {
  override readonly name = 'OutsideError';
}

/** Where a file is, or is to be: a name in a directory that is held open. Valid only within {@link Roots.at}. */
export interface Place {
  /**
   * The path for one call of `node:fs` that follows no link: open with O_NOFOLLOW, lstat, mkdir, rename, unlink, rmdir,
   * readlink. An `ELOOP` of that call begins another walk.
   */
  readonly path: string;
  /** The real path, for people. */
  readonly realPath: string;
  /** The path of another name in the same directory. */
  readonly beside: (name: string) => string;
}

export interface PlaceOptions {
  /** Whether missing directories above the last part are made, with the usual mode. Default false. */
  readonly makeParents?: boolean;
  /** Whether a link in the last part is followed. Default true. */
  readonly isFollowed?: boolean;
}

interface Root {
  readonly realPath: string;
  /** Other spellings: as it was given. */
  readonly names: readonly string[];
}

export class Roots {
  /** The base of relative paths. */
  readonly base: string;
  readonly #roots: readonly Root[];

  private constructor(base: string, roots: readonly Root[]) {
    this.base = base;
    this.#roots = roots;
  }

  /**
   * @param base The base of the relative paths that are looked for; it is no root by itself.
   * @throws the system's error for a directory that is missing.
   */
  static async of(base: string, directories: readonly string[]): Promise<Roots> {
    const roots = await Promise.all(directories.map(async (directory) => {
      const given = resolve(directory);
      const realPath = await realpath(given);
      return { realPath, names: [...new Set([realPath, given])] };
    }));
    return new Roots(resolve(base), roots);
  }

  /** All that this process reaches. */
  static everywhere(base: string): Roots {
    return new Roots(resolve(base), [{ realPath: sep, names: [sep] }]);
  }

  /** Whether a path without links and `..` is one of the directories or below it. */
  contains(path: string): boolean {
    return isBelow(this.#roots, path);
  }

  /** Whether a real path is one of the directories. */
  isRoot(path: string): boolean {
    return this.#roots.some(({ realPath }) => realPath === path);
  }

  /**
   * Calls `use` with the place of a path. A link that changes meanwhile begins another walk, so `use` may be called
   * again after an `ELOOP`: it must have changed nothing before.
   *
   * @throws OutsideError; the system's error for a part that is missing, is no directory, or may not be entered.
   */
  async at<T>(path: string, use: (place: Place) => Promise<T>, options: PlaceOptions = {}): Promise<T> {
    if (!isUsable(path)) throw new OutsideError(path);
    for (let walks = 1; ; walks += 1) {
      const walk = new Walk(this.#roots, options);
      try {
        return await use(await walk.to(inDirectory(this.base, path)));
      } catch (error) {
        if (errorCode(error) !== 'ELOOP' || walks === maxWalks || walk.hasTooManyLinks) throw named(error, path);
      } finally {
        await walk.close();
      }
    }
  }
}

/** A directory that is held open: the paths below it stay in it, whatever its own path leads to meanwhile. */
export interface HeldDirectory {
  /** For calls of `node:fs` on the directory itself, and with a name behind it. */
  readonly path: string;
  close(): Promise<void>;
}

/** Holds a directory open. @param path Of a {@link Place}, or a name below a held one. @throws the system's error. */
export async function holdDirectory(path: string | Buffer): Promise<HeldDirectory> {
  if (!canWalk) return { path: path.toString(), close: async () => undefined };
  const handle = await open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW);
  return { path: `${descriptors}${handle.fd}`, close: () => handle.close() };
}

/** {@link holdDirectory} for a thread that may wait. */
export function holdDirectorySync(path: string | Buffer): { readonly path: string; readonly close: () => void } {
  if (!canWalk) return { path: path.toString(), close: () => undefined };
  const descriptor = openSync(path, O_PATH | O_DIRECTORY | O_NOFOLLOW);
  return { path: `${descriptors}${descriptor}`, close: () => closeSync(descriptor) };
}

/** An error of the system with the path that was asked for, instead of one that only this process can use. */
function named(error: unknown, path: string): unknown {
  const { path: used } = asSystemError(error);
  if (!(error instanceof Error) || used?.startsWith(descriptors) !== true) return error;
  const message = error.message.replaceAll(new RegExp(`'${descriptors}[^']*'`, 'g'), `'${path}'`);
  return Object.assign(new Error(message, { cause: error }), { code: errorCode(error), path });
}

/** One directory of the walk, held open. */
interface Step {
  readonly handle: FileHandle;
  readonly realPath: string;
}

class Walk {
  readonly #roots: readonly Root[];
  readonly #options: PlaceOptions;
  /** From the root to the directory that was reached. */
  #steps: Step[] = [];
  #parts: string[] = [];
  #links = 0;
  #changes = 0;

  constructor(roots: readonly Root[], options: PlaceOptions) {
    this.#roots = roots;
    this.#options = options;
  }

  get hasTooManyLinks(): boolean {
    return this.#links > maxLinks;
  }

  async close(): Promise<void> {
    await Promise.all(this.#steps.splice(0).map(({ handle }) => handle.close()));
  }

  async to(path: string): Promise<Place> {
    if (!canWalk) return await checkedPlace(this.#roots, path, this.#options);
    await this.#begin(path);
    for (;;) {
      const part = this.#parts.shift();
      if (part === undefined) return await this.#here();
      if (part === '' || part === '.') continue;
      if (part === '..') {
        await this.#up();
        continue;
      }
      const isLast = this.#parts.every((next) => next === '');
      if (isLast && (this.#options.isFollowed === false || !await this.#follow(part))) return this.#place(part);
      if (!isLast) await this.#enter(part);
    }
  }

  get #current(): Step {
    const step = this.#steps.at(-1);
    if (step === undefined) throw new Error('the walk has not begun');
    return step;
  }

  /** Begins at the root that the path is below. */
  async #begin(path: string): Promise<void> {
    for (const { realPath, names } of this.#roots) {
      const name = names.find((one) => path === one || path.startsWith(one.endsWith(sep) ? one : one + sep));
      if (name === undefined) continue;
      await this.close();
      // The root itself may be renamed or replaced while the server runs; it is looked up as it is called.
      this.#steps = [{ handle: await open(realPath, O_PATH | O_DIRECTORY | O_NOFOLLOW), realPath }];
      this.#parts = path.slice(name.length).split(sep);
      return;
    }
    throw new OutsideError(path);
  }

  /** By the descriptors, never by the text: `link/..` is the directory above the target. */
  async #up(): Promise<void> {
    if (this.#steps.length === 1) {
      const above = [dirname(this.#current.realPath), ...this.#parts].join(sep);
      return await this.#begin(above);
    }
    await this.#steps.pop()?.handle.close();
  }

  async #enter(part: string): Promise<void> {
    const { realPath } = this.#current;
    const path = this.#pathOf(part);
    try {
      const handle = await open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW);
      this.#steps.push({ handle, realPath: join(realPath, part) });
    } catch (error) {
      const code = errorCode(error);
      if (code === 'ENOENT' && this.#options.makeParents === true) {
        await mkdir(path).catch((failure: unknown) => { if (errorCode(failure) !== 'EEXIST') throw failure; });
        this.#again(part);
      } else if (code !== 'ENOTDIR' && code !== 'ELOOP') {
        throw error;
      } else if (!await this.#follow(part)) {
        // What was a link a moment ago may be a directory now.
        const stats = await lstat(path).catch(() => undefined);
        if (stats?.isDirectory() === false && !stats.isSymbolicLink()) throw error;
        this.#again(part);
      }
    }
  }

  /** Tries a part that has changed once more: not for ever, as it may change each time. */
  #again(part: string): void {
    this.#changes += 1;
    if (this.#changes > maxPathBytes) throw new Error(`it changes all the time: ${part}`);
    this.#parts.unshift(part);
  }

  /** Puts the target of a link before the rest of the path. @returns `false` where it is no link. */
  async #follow(part: string): Promise<boolean> {
    let target: string;
    try {
      target = await readlink(this.#pathOf(part));
    } catch (error) {
      // EINVAL: it is no link.
      if (['EINVAL', 'ENOENT'].includes(errorCode(error))) return false;
      throw error;
    }
    this.#links += 1;
    if (this.hasTooManyLinks) throw Object.assign(new Error('too many symbolic links'), { code: 'ELOOP' });
    if (isAbsolute(target)) await this.#begin([target, ...this.#parts].join(sep));
    else this.#parts.unshift(...target.split(sep));
    return true;
  }

  /** The place of the directory that was reached, by its name in the one above. */
  async #here(): Promise<Place> {
    const { realPath } = this.#current;
    if (this.#steps.length > 1) {
      const last = this.#steps.pop();
      await last?.handle.close();
      return this.#place(basename(realPath));
    }
    return { path: this.#pathOf('.'), realPath, beside: () => { throw new OutsideError(realPath); } };
  }

  #place(part: string): Place {
    return {
      path: this.#pathOf(part), realPath: join(this.#current.realPath, part), beside: (name) => this.#pathOf(name),
    };
  }

  #pathOf(part: string): string {
    return `${descriptors}${this.#current.handle.fd}/${part}`;
  }
}

/** Where there is no `/proc/self/fd`: between the check and the call the place may change. */
async function checkedPlace(roots: readonly Root[], path: string, options: PlaceOptions): Promise<Place> {
  const realPath = options.isFollowed === false
    ? join(await realPathOf(dirname(path)), basename(path))
    : await realPathOf(path);
  if (!isBelow(roots, realPath)) throw new OutsideError(path);
  if (options.makeParents === true) makeFolder(dirname(realPath));
  return { path: realPath, realPath, beside: (name) => join(dirname(realPath), name) };
}

function isBelow(roots: readonly Root[], path: string): boolean {
  return roots.some(({ realPath }) => realPath === sep || isWithin(realPath, path));
}
