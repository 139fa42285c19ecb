/**
 * The jobs that wait to be started, in the order in which they get their turn.
 * @module
 */
import { waitedForLabel } from '../kind.ts';
import type { TrackedJob } from '../tracked-job.ts';

export class JobQueue {
  readonly #jobs: TrackedJob[] = [];
  /** How many jobs at the front an agent waits for. */
  #waitedForCount = 0;

  get length(): number {
    return this.#jobs.length;
  }

  /** Jobs that an agent waits for come first, as they take no room. */
  add(job: TrackedJob): void {
    if (job.request.labels[waitedForLabel] === undefined) this.#jobs.push(job);
    else this.#jobs.splice((this.#waitedForCount += 1) - 1, 0, job);
  }

  /**
   * Removes and returns the first job that can start.
   *
   * @param options.isFull There is no room: only jobs that an agent waits for can start.
   */
  take(canStart: (job: TrackedJob) => boolean, options: { readonly isFull: boolean }): TrackedJob | undefined {
    const candidates = options.isFull ? this.#jobs.slice(0, this.#waitedForCount) : this.#jobs;
    return this.#removeAt(candidates.findIndex(canStart));
  }

  remove(job: TrackedJob): void {
    this.#removeAt(this.#jobs.indexOf(job));
  }

  #removeAt(index: number): TrackedJob | undefined {
    if (index < 0) return undefined;
    if (index < this.#waitedForCount) this.#waitedForCount -= 1;
    return this.#jobs.splice(index, 1)[0];
  }
}
