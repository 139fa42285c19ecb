/**
 * The jobs whose state could not be written, until it was.
 * @module
 */
import type { TrackedJob } from '../tracked-job.ts';

export class UnsavedJobs {
  readonly #jobs = new Set<TrackedJob>();
  readonly #isKnown: (job: TrackedJob) => boolean;

  /** @param isKnown Whether the job was not deleted meanwhile. */
  constructor(isKnown: (job: TrackedJob) => boolean) {
    this.#isKnown = isKnown;
  }

  add(job: TrackedJob): void {
    this.#jobs.add(job);
  }

  /** Those that still have to be written. */
  list(): readonly TrackedJob[] {
    for (const job of this.#jobs) {
      if (!job.isUnsaved || !this.#isKnown(job)) this.#jobs.delete(job);
    }
    return [...this.#jobs];
  }
}
