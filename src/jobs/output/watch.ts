/**
 * Watches the files of jobs for changes: one watch per job, however many clients follow it.
 * @module
 */
import type { FSWatcher } from 'node:fs';
import { watchFolder } from '../../base/watch-folder.ts';
import type { TrackedJob } from '../tracked-job.ts';

export class Watches {
  readonly #directoryOf: (job: TrackedJob) => string;
  readonly #watched = new Map<TrackedJob, { followers: number; watcher: FSWatcher | undefined }>();

  constructor(directoryOf: (job: TrackedJob) => string) {
    this.#directoryOf = directoryOf;
  }

  /** The followed jobs. The monitor measures these more often, as a watch can fail. */
  get jobs(): Iterable<TrackedJob> {
    return this.#watched.keys();
  }

  get count(): number {
    return this.#watched.size;
  }

  /** Makes output of the job count as a change of it until the returned function is called. */
  follow(job: TrackedJob): () => void {
    const watched = this.#watched.get(job) ?? { followers: 0, watcher: this.#watch(job) };
    this.#watched.set(job, watched);
    watched.followers += 1;
    let isFollowing = true;
    return () => {
      if (!isFollowing) return;
      isFollowing = false;
      watched.followers -= 1;
      if (watched.followers > 0) return;
      watched.watcher?.close();
      this.#watched.delete(job);
    };
  }

  close(): void {
    for (const { watcher } of this.#watched.values()) watcher?.close();
    this.#watched.clear();
  }

  /** `undefined`: the monitor alone measures the job. */
  #watch(job: TrackedJob): FSWatcher | undefined {
    return watchFolder(this.#directoryOf(job), () => job.changed());
  }
}
