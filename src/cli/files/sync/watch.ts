/**
 * Tells when something in a tree of this machine changes.
 * @module
 */
import { type FSWatcher, watch } from 'node:fs';
import { join } from 'node:path';
import type { Tree } from './tree.ts';

/** Milliseconds between two looks where the system watches no more directories. */
const pollMs = 2000;
/** Elsewhere one watcher sees all that is below a directory; on Linux Node would watch each file by itself. */
const isRecursive = process.platform !== 'linux';

export class TreeWatcher {
  readonly #directory: string;
  readonly #watchers = new Map<string, FSWatcher>();
  #hasChanged = false;
  #isPolling = false;
  #wake: () => void = () => undefined;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /**
   * Watches the directories of this tree.
   *
   * @returns whether some of them were not watched before: what happened in them meanwhile was not seen.
   */
  follow(tree: Tree): boolean {
    const directories = [...tree].flatMap(([path, { type }]) => (type === 'directory' ? path : []));
    const wanted = new Set(['', ...isRecursive ? [] : directories]);
    for (const [path, watcher] of this.#watchers) {
      if (wanted.has(path)) continue;
      watcher.close();
      this.#watchers.delete(path);
    }
    const isNew = [...wanted].filter((path) => !this.#watchers.has(path));
    for (const path of isNew) this.#watch(path);
    return isNew.length > 0 && !this.#isPolling;
  }

  /** Resolves at the next change. */
  async changed(): Promise<void> {
    if (!this.#hasChanged) {
      await new Promise<void>((resolve) => {
        const poll = this.#isPolling ? setTimeout(resolve, pollMs) : undefined;
        this.#wake = () => {
          clearTimeout(poll);
          resolve();
        };
      });
    }
    this.#hasChanged = false;
  }

  close(): void {
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  #watch(path: string): void {
    try {
      const watcher = watch(join(this.#directory, path), { recursive: isRecursive }, () => this.#note());
      // The directory is gone: the one above it has told that.
      watcher.on('error', () => this.#note());
      this.#watchers.set(path, watcher);
    } catch {
      // ENOSPC, EMFILE: the limit of the system. ENOENT: it has gone again.
      this.#isPolling = true;
    }
  }

  #note(): void {
    this.#hasChanged = true;
    this.#wake();
  }
}
