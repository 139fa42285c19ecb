/**
 * Deletes finished jobs and their files: every 10 s those beyond the limits of `retention.ts`, and any job on request.
 * @module
 */
import type { Log } from '../../base/log.ts';
import type { TimeSlicer } from '../../base/time-slicer.ts';
import type { AnswerCache } from './answer-cache.ts';
import type { JobIndex } from './job-index.ts';
import type { TrackedJob } from '../tracked-job.ts';
import { countExpired, type RetentionLimits } from './retention.ts';
import type { JobStore } from './store.ts';

export interface RetentionSweeperOptions {
  readonly index: JobIndex;
  readonly store: JobStore;
  readonly cache: AnswerCache;
  readonly limits: RetentionLimits;
  readonly pace: TimeSlicer;
  readonly log: Log;
  /** Unix seconds. */
  readonly now: () => number;
  /** Called once a job has been removed from the index. */
  readonly onDeleted: (job: TrackedJob) => void;
}

const intervalMs = 10_000;

export class RetentionSweeper {
  readonly #options: RetentionSweeperOptions;
  readonly #timer: NodeJS.Timeout;
  #emptying: Promise<void> | undefined;

  constructor(options: RetentionSweeperOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#deleteExpired(), intervalMs);
    this.#timer.unref();
  }

  /** Deletes a job; its files are removed later. @returns where they are; `undefined`: nothing to remove. */
  delete(job: TrackedJob): string | undefined {
    const { index, store, cache, onDeleted } = this.#options;
    if (!index.has(job)) return undefined;
    const place = store.remove(job.id);
    index.delete(job);
    cache.delete(job);
    onDeleted(job);
    return place;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #deleteExpired(): void {
    const { index, limits, now, pace, log } = this.#options;
    const finished = index.all.filter(({ isFinished }) => isFinished);
    const old = finished.slice(0, countExpired(finished, limits, now()));
    for (const job of old) pace.run(() => this.#tryDelete(job));
    if (old.length > 0) log.info('old jobs deleted', { count: old.length, first: old[0]?.id, last: old.at(-1)?.id });
    pace.run(() => this.#emptyTrash());
  }

  #tryDelete(job: TrackedJob): void {
    try {
      this.delete(job);
    } catch (error) {
      this.#options.log.warn('cannot delete an old job', { jobId: job.id, error });
    }
  }

  #emptyTrash(): void {
    this.#emptying ??= this.#options.store.emptyTrash().finally(() => { this.#emptying = undefined; });
  }
}
