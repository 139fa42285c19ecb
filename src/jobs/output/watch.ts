/**
 * Watches the files of jobs for changes: one watch per job, however many clients follow it.
 * @module
 */
import { type FSWatcher, watch } from 'node:fs';
import type { TrackedJob } from '../tracked-job.ts';

export class Watches {
  readonly #directoryOf: (entry: TrackedJob) => string;
  readonly #watched = new Map<TrackedJob, { followers: number; watcher: FSWatcher | undefined }>();

  constructor(directoryOf: (entry: TrackedJob) => string) {
    this.#directoryOf = directoryOf;
  }

  /** The followed jobs. The monitor measures these more often, as a watch can fail. */
  get entries(): Iterable<TrackedJob> {
    return this.#watched.keys();
  }

  get count(): number {
    return this.#watched.size;
  }

  /** Makes output of the job count as a change of it until the returned function is called. */
  follow(entry: TrackedJob): () => void {
    const watched = this.#watched.get(entry) ?? { followers: 0, watcher: this.#start(entry) };
    this.#watched.set(entry, watched);
    watched.followers += 1;
    let isFollowing = true;
    return () => {
      if (!isFollowing) return;
      isFollowing = false;
      watched.followers -= 1;
      if (watched.followers > 0) return;
      watched.watcher?.close();
      this.#watched.delete(entry);
    };
  }

  close(): void {
    for (const { watcher } of this.#watched.values()) watcher?.close();
    this.#watched.clear();
  }

  #start(entry: TrackedJob): FSWatcher | undefined {
    try {
      const watcher = watch(this.#directoryOf(entry), { persistent: false }, () => entry.changed());
      // The directory is gone, or a limit was reached: the monitor still measures the job.
      watcher.on('error', () => watcher.close());
      return watcher;
    } catch {
      return undefined;
    }
  }
}
