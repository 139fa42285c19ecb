/**
 * Walks over a directory in the order of the bytes of names, each directory before what is in it. Every directory is
 * held open while it is walked, so no link that comes into it meanwhile leads out. Runs in a thread that may wait.
 * @module
 */
import { closeSync, constants, type Dirent, fstatSync, openSync, readdirSync, readSync } from 'node:fs';
import { errorCode } from '../../base/error-code.ts';
import { holdDirectorySync } from '../../base/files/roots.ts';
import { guard } from '../../base/files/untrusted-file.ts';
import type { FileType } from '../../protocol/files.ts';
import { typeOf } from '../info.ts';
import { ignoreFiles, IgnoreRules, type IgnoreTexts } from './ignore.ts';
import { NameFilter, type NameFilterOptions } from './name-filter.ts';

/** Each level holds a descriptor. */
const maxDepth = 256;
export const maxIgnoreBytes = 2 ** 20;
/** Left out as if it were ignored. */
export const repositories: readonly string[] = ['.git', '.hg', '.svn', '.jj'];

export interface WalkOptions {
  /** The directory: `HeldDirectory.path`. */
  readonly directory: string;
  /** Only what has this name in it, whatever else would leave it out; bytes as Latin-1. */
  readonly only: string | undefined;
  readonly names: NameFilterOptions;
  readonly isIgnoredFound: boolean;
  readonly isHiddenFound: boolean;
  /** The parts of the directory's own path, as Latin-1. */
  readonly base: readonly string[];
  /** Of the directories above it, the topmost first. */
  readonly ignored: readonly IgnoreTexts[];
}

export interface WalkEntry {
  /** The parts of its path from the directory on, as Latin-1. */
  readonly path: readonly string[];
  readonly type: FileType;
  /** For a call that follows no link. Valid until the next entry. */
  readonly place: Buffer;
}

export interface Walk {
  /** Directories that could not be read. */
  unreadable: number;
  entries(): Generator<WalkEntry, void>;
}

interface Level {
  readonly place: string;
  readonly path: readonly string[];
  readonly rules: IgnoreRules | undefined;
}

export class Walker implements Walk {
  unreadable = 0;
  readonly #options: WalkOptions;
  readonly #filter: NameFilter;

  constructor(options: WalkOptions) {
    this.#options = options;
    this.#filter = new NameFilter(options.names);
  }

  *entries(): Generator<WalkEntry, void> {
    const { directory, only, ignored } = this.#options;
    const above = ignored.reduce<IgnoreRules | undefined>((rules, texts) => new IgnoreRules(texts, rules), undefined);
    if (only !== undefined) {
      return yield { path: [only], type: 'file', place: placeOf(directory, Buffer.from(only, 'latin1')) };
    }
    try {
      yield* this.#inside({ place: directory, path: [], rules: above });
    } catch (error) {
      // It has been deleted.
      if (errorCode(error) === '') throw error;
      this.unreadable += 1;
    }
  }

  *#inside({ place, path, rules }: Level): Generator<WalkEntry, void> {
    const entries = namesIn(place);
    const own = this.#options.isIgnoredFound ? undefined : this.#rulesOf(place, path, entries, rules);
    for (const entry of entries) {
      const name = entry.name.toString('latin1');
      const below = [...path, name];
      const isDirectory = entry.isDirectory();
      const shown = below.map(decoded);
      if (this.#leavesOut(name, below, isDirectory, own) || this.#filter.leavesOut(shown, isDirectory)) continue;
      const at = placeOf(place, entry.name);
      if (this.#filter.takes(shown, isDirectory)) yield { path: below, type: typeOf(entry), place: at };
      if (isDirectory) yield* this.#directory(at, below, own);
    }
  }

  *#directory(place: Buffer, path: readonly string[], rules: IgnoreRules | undefined): Generator<WalkEntry, void> {
    let held: ReturnType<typeof holdDirectorySync> | undefined;
    try {
      if (path.length >= maxDepth) throw Object.assign(new Error('too deep'), { code: 'ELOOP' });
      held = holdDirectorySync(place);
      yield* this.#inside({ place: held.path, path, rules });
    } catch (error) {
      // It has vanished, is something else by now, or may not be read.
      if (errorCode(error) === '') throw error;
      this.unreadable += 1;
    } finally {
      held?.close();
    }
  }

  #leavesOut(name: string, path: readonly string[], isDirectory: boolean, rules: IgnoreRules | undefined): boolean {
    const { isHiddenFound, isIgnoredFound, base } = this.#options;
    if (!isHiddenFound && name.startsWith('.')) return true;
    if (isIgnoredFound) return false;
    return repositories.includes(name) || rules?.leavesOut([...base, ...path], isDirectory) === true;
  }

  #rulesOf(
    place: string, path: readonly string[], entries: readonly Dirent<Buffer>[], above: IgnoreRules | undefined,
  ): IgnoreRules | undefined {
    const has = (name: string): boolean => entries.some((entry) => entry.name.toString('latin1') === name);
    const texts = ignoreFiles.map((name) => (has(name) ? textOf(placeOf(place, Buffer.from(name))) : undefined));
    const hasGit = has('.git');
    if (!hasGit && texts.every((text) => text === undefined)) return above;
    return new IgnoreRules({ depth: this.#options.base.length + path.length, texts, hasGit }, above);
  }
}

/** Opens a regular file. @throws the system's error; one with the code ELOOP for anything else. */
export function openFileAt(place: Buffer): number {
  const descriptor = openSync(place, constants.O_RDONLY | guard);
  if (fstatSync(descriptor).isFile()) return descriptor;
  closeSync(descriptor);
  throw Object.assign(new Error('it is no regular file'), { code: 'ELOOP' });
}

/** As UTF-8; what is none becomes U+FFFD. */
function decoded(name: string): string {
  return /^[\0-\x7f]*$/.test(name) ? name : Buffer.from(name, 'latin1').toString();
}

function namesIn(directory: string): readonly Dirent<Buffer>[] {
  const entries = readdirSync(directory, { withFileTypes: true, encoding: 'buffer' }) as unknown as Dirent<Buffer>[];
  return entries.sort((a, b) => Buffer.compare(a.name, b.name));
}

function placeOf(directory: string, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${directory}/`), name]);
}

/** Of an ignore file, as Latin-1. */
function textOf(place: Buffer): string | undefined {
  try {
    const descriptor = openFileAt(place);
    try {
      const buffer = Buffer.alloc(Math.min(maxIgnoreBytes, fstatSync(descriptor).size));
      return buffer.toString('latin1', 0, readSync(descriptor, buffer, 0, buffer.length, 0));
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    if (errorCode(error) === '') throw error;
    return undefined;
  }
}
