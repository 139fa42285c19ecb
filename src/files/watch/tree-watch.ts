/**
 * Watches a directory with all that is below it, by one watcher of the system for each directory: Node's own recursive
 * watch puts one on every file (Linux). The system names what has changed; what has become of it is looked up. Each
 * directory is held open while it is looked at, so that no link leads out of the tree.
 * @module
 */
import { type BigIntStats, type FSWatcher, watch } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { type HeldDirectory, holdDirectory } from '../../base/files/roots.ts';
import { errorCode } from '../../base/error-code.ts';
import type { FileType } from '../../protocol/files.ts';
import type { WatchChangeType } from '../../protocol/files/watch.ts';
import { ProblemError } from '../../protocol/problem.ts';
import { typeOf } from '../info.ts';

/** Changes that come within so many milliseconds are told together. */
const gatherMs = 50;
/** Between two looks at a directory for which the system has no watcher left, and at whether the topmost is there. */
const pollMs = 2_000;
/** The system's queue holds 16,384 events by default (inotify(7)), and loses others: after so many all is looked at. */
const manyEvents = 4_000;
const maxDirectories = 20_000;
const maxEntries = 1_000_000;
/** How many entries are looked at at once. */
const batchSize = 64;

/** Paths are bytes as Latin-1, from the directory on that is watched. */
export interface TreeChange {
  readonly type: WatchChangeType;
  readonly path: string;
  readonly fileType: FileType;
}

export interface TreeWatchOptions {
  /** Is closed with the watch. */
  readonly held: HeldDirectory;
  /** Only this name in the directory. */
  readonly only: string | undefined;
  /** Names that are left out, with all that is in them. */
  readonly leftOut: readonly string[];
  readonly onChanges: (changes: readonly TreeChange[]) => void;
  /** Nothing more is told. `undefined`: the directory has been deleted. */
  readonly onEnd: (error: unknown) => void;
}

interface Entry {
  readonly type: FileType;
  /** Differs after a change. */
  readonly mark: string;
}

interface Directory {
  /** `undefined`: it is looked at again and again. */
  readonly watcher: FSWatcher | undefined;
  readonly entries: Map<string, Entry>;
}

/** The names in a directory that may have changed; `all`: any of them. */
type Suspects = Set<string> | 'all';

export class TreeWatch {
  readonly #options: TreeWatchOptions;
  readonly #directories = new Map<string, Directory>();
  #entryCount = 0;
  #suspects = new Map<string, Suspects>();
  #eventCount = 0;
  #gathering: NodeJS.Timeout | undefined;
  #polling: NodeJS.Timeout | undefined;
  /** While it is held open, nothing tells that the directory itself is deleted. */
  readonly #checking: NodeJS.Timeout;
  #isLooking = false;
  #isClosed = false;

  constructor(options: TreeWatchOptions) {
    this.#options = options;
    this.#checking = setInterval(() => void this.#checkTop(), pollMs).unref();
  }

  /** How many directories are watched. */
  get directories(): number {
    return this.#directories.size;
  }

  /** Whether changes in some of them are seen only by looking. */
  get isPolled(): boolean {
    return this.#polling !== undefined;
  }

  /** From its end on all changes are told. @throws ProblemError payload_too_large; the system's error. */
  async start(): Promise<void> {
    await this.#enter('', undefined);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#gathering);
    clearInterval(this.#polling);
    clearInterval(this.#checking);
    for (const { watcher } of this.#directories.values()) watcher?.close();
    this.#directories.clear();
    void this.#options.held.close();
  }

  /**
   * Watches a directory and those in it, and remembers what is there.
   *
   * @param changes Gets what is in it, as created.
   */
  async #enter(top: string, changes: TreeChange[] | undefined): Promise<void> {
    for (const queue = [top]; queue.length > 0 && !this.#isClosed;) {
      const path = queue.pop() ?? '';
      const held = path === '' ? this.#options.held : await this.#hold(path);
      if (held === undefined) continue;
      try {
        const directory = { watcher: this.#watcherOf(path, held), entries: new Map<string, Entry>() };
        this.#directories.set(path, directory);
        if (this.#directories.size > maxDirectories) throw tooLarge(`more than ${maxDirectories} directories`);
        const names = path === '' && this.#options.only !== undefined ? [this.#options.only] : await namesIn(held.path);
        await this.#look(directory, held, names, (name, entry) => {
          if (entry === undefined) return;
          changes?.push({ type: 'created', path: below(path, name), fileType: entry.type });
          if (entry.type === 'directory') queue.push(below(path, name));
        });
      } catch (error) {
        // It has vanished, or may not be read; what is told of the directory above it says so.
        if (path === '' || errorCode(error) === '') throw error;
      } finally {
        if (path !== '') await held.close();
      }
    }
  }

  #watcherOf(path: string, { path: place }: HeldDirectory): FSWatcher | undefined {
    try {
      const watcher = watch(place, { encoding: 'buffer' }, (_, name) => this.#suspect(path, name?.toString('latin1')));
      watcher.on('error', () => this.#suspect(path, undefined));
      return watcher;
    } catch (error) {
      // The limits of the system: of watches (ENOSPC), and of instances (EMFILE).
      if (!['ENOSPC', 'EMFILE', 'ENFILE', 'ENOSYS'].includes(errorCode(error))) throw error;
      this.#polling ??= setInterval(() => this.#poll(), pollMs).unref();
      return undefined;
    }
  }

  #poll(): void {
    for (const [path, { watcher }] of this.#directories) if (watcher === undefined) this.#suspect(path, undefined);
  }

  #suspect(path: string, name: string | undefined): void {
    if (this.#isClosed) return;
    const known = this.#suspects.get(path);
    this.#eventCount += 1;
    if (name === undefined) this.#suspects.set(path, 'all');
    else if (known === undefined) this.#suspects.set(path, new Set([name]));
    else if (known !== 'all') known.add(name);
    this.#gather();
  }

  #gather(): void {
    if (this.#isLooking || this.#gathering !== undefined) return;
    this.#gathering = setTimeout(() => {
      this.#gathering = undefined;
      this.#isLooking = true;
      this.#tell().catch((error: unknown) => this.#end(error)).finally(() => {
        this.#isLooking = false;
        if (this.#suspects.size > 0 && !this.#isClosed) this.#gather();
      });
    }, gatherMs);
  }

  async #tell(): Promise<void> {
    const suspects = this.#eventCount < manyEvents
      ? this.#suspects
      : new Map([...this.#directories.keys()].map((path): [string, Suspects] => [path, 'all']));
    this.#suspects = new Map();
    this.#eventCount = 0;
    const changes: TreeChange[] = [];
    for (const [path, names] of suspects) await this.#compare(path, names, changes);
    if (this.#isClosed) return;
    if (changes.length > 0) this.#options.onChanges(changes);
  }

  async #checkTop(): Promise<void> {
    try {
      if ((await lstat(`${this.#options.held.path}/.`)).nlink === 0) this.#end(undefined);
    } catch (error) {
      this.#end(error);
    }
  }

  #end(error: unknown): void {
    if (this.#isClosed) return;
    this.close();
    this.#options.onEnd(errorCode(error) === 'ENOENT' ? undefined : error);
  }

  async #compare(path: string, suspects: Suspects, changes: TreeChange[]): Promise<void> {
    const directory = this.#directories.get(path);
    const held = path === '' ? this.#options.held : await this.#hold(path);
    // It is gone: the directory above it says so.
    if (directory === undefined || held === undefined) return;
    try {
      const entered: string[] = [];
      const names = suspects === 'all'
        ? new Set([...directory.entries.keys(), ...await namesIn(held.path)])
        : suspects;
      await this.#look(directory, held, [...names], (name, entry, before) => {
        const whole = below(path, name);
        const isAnother = before !== undefined && (entry === undefined || !isSame(before, entry));
        if (before !== undefined && isAnother) {
          if (before.type === 'directory') this.#leave(whole);
          changes.push({ type: 'deleted', path: whole, fileType: before.type });
        }
        if (entry === undefined) return;
        const type = before === undefined || isAnother ? 'created' : 'changed';
        changes.push({ type, path: whole, fileType: entry.type });
        if (type === 'created' && entry.type === 'directory') entered.push(whole);
      });
      for (const one of entered) await this.#enter(one, changes);
    } catch (error) {
      if (path === '' || errorCode(error) === '') throw error;
    } finally {
      if (path !== '') await held.close();
    }
  }

  /** @param onChange Called for each entry that is not as it was before. */
  async #look(
    { entries }: Directory, { path: place }: HeldDirectory, names: readonly string[],
    onChange: (name: string, entry: Entry | undefined, before: Entry | undefined) => void,
  ): Promise<void> {
    const { only, leftOut } = this.#options;
    const wanted = names.filter((name) => (only === undefined || name === only) && !leftOut.includes(name));
    for (let at = 0; at < wanted.length && !this.#isClosed; at += batchSize) {
      await Promise.all(wanted.slice(at, at + batchSize).map(async (name) => {
        const stats = await statIfThere(place, name);
        const before = entries.get(name);
        const entry = stats && entryOf(stats);
        if (entry?.mark === before?.mark) return;
        if (entry === undefined) entries.delete(name);
        else entries.set(name, entry);
        this.#entryCount += (entry === undefined ? 0 : 1) - (before === undefined ? 0 : 1);
        onChange(name, entry, before);
      }));
      if (this.#entryCount > maxEntries) throw tooLarge(`more than ${maxEntries} files`);
    }
  }

  /** Forgets a directory with all that was in it. */
  #leave(top: string): void {
    for (const queue = [top]; queue.length > 0;) {
      const path = queue.pop() ?? '';
      const directory = this.#directories.get(path);
      if (directory === undefined) continue;
      directory.watcher?.close();
      this.#directories.delete(path);
      this.#entryCount -= directory.entries.size;
      for (const [name, { type }] of directory.entries) if (type === 'directory') queue.push(below(path, name));
    }
  }

  /** Opens a directory of the tree, part by part; `undefined`: there is none. */
  async #hold(path: string): Promise<HeldDirectory | undefined> {
    let held: HeldDirectory | undefined;
    for (const part of path.split('/')) {
      const above = held;
      try {
        held = await holdDirectory(placeOf(above?.path ?? this.#options.held.path, part));
      } catch (error) {
        if (!['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES'].includes(errorCode(error))) throw error;
        return undefined;
      } finally {
        await above?.close();
      }
    }
    return held;
  }
}

function tooLarge(what: string): ProblemError {
  return new ProblemError('payload_too_large', `Cannot watch: there are ${what}`);
}

function entryOf(stats: BigIntStats): Entry {
  const type = typeOf(stats);
  const { ino, mode, size, mtimeNs, ctimeNs } = stats;
  // What is in a directory is told by itself.
  return { type, mark: type === 'directory' ? `${ino} ${mode}` : `${ino} ${mode} ${size} ${mtimeNs} ${ctimeNs}` };
}

/** Whether it is the same directory, or another version of a file. */
function isSame(before: Entry, entry: Entry): boolean {
  if (before.type !== entry.type) return false;
  return entry.type !== 'directory' || before.mark.split(' ')[0] === entry.mark.split(' ')[0];
}

function below(path: string, name: string): string {
  return path === '' ? name : `${path}/${name}`;
}

function placeOf(directory: string, name: string): Buffer {
  return Buffer.concat([Buffer.from(`${directory}/`), Buffer.from(name, 'latin1')]);
}

async function namesIn(directory: string): Promise<readonly string[]> {
  return (await readdir(directory, { encoding: 'buffer' })).map((name) => name.toString('latin1'));
}

async function statIfThere(directory: string, name: string): Promise<BigIntStats | undefined> {
  try {
    return await lstat(placeOf(directory, name), { bigint: true });
  } catch (error) {
    if (!['ENOENT', 'ENOTDIR', 'EACCES', 'ENAMETOOLONG'].includes(errorCode(error))) throw error;
    return undefined;
  }
}
