/**
 * Forgets finished jobs and their files: every 10 s those beyond the limits of `retention.ts`, and any job on request.
 * @module
 */
import type { Log } from '../../base/log.ts';
import type { TimeSlicer } from '../../base/time-slicer.ts';
import type { AnswerCache } from './answer-cache.ts';
import type { JobIndex } from './job-index.ts';
import type { TrackedJob } from '../tracked-job.ts';
import { countExpired, type Limits } from './retention.ts';
import type { JobStore } from './store.ts';

export interface RetentionSweeperOptions {
  readonly index: JobIndex;
  readonly store: JobStore;
  readonly cache: AnswerCache;
  readonly limits: Limits;
  readonly pace: TimeSlicer;
  readonly log: Log;
  /** Unix seconds. */
  readonly now: () => number;
  /** Called once a job has been removed from the index. */
  readonly onForgotten: (entry: TrackedJob) => void;
}

const everyMs = 10_000;

export class RetentionSweeper {
  readonly #options: RetentionSweeperOptions;
  readonly #timer: NodeJS.Timeout;
  #emptying: Promise<void> | undefined;

  constructor(options: RetentionSweeperOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#forgetOld(), everyMs);
    this.#timer.unref();
  }

  /** Forgets a job; its files are removed later. @returns where they are; `undefined`: nothing to remove. */
  forget(entry: TrackedJob): string | undefined {
    const { index, store, cache, onForgotten } = this.#options;
    if (!index.has(entry)) return undefined;
    const place = store.remove(entry.id);
    index.delete(entry);
    cache.delete(entry);
    onForgotten(entry);
    return place;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #forgetOld(): void {
    const { index, limits, now, pace, log } = this.#options;
    const finished = index.all.filter(({ isFinished }) => isFinished);
    const old = finished.slice(0, countExpired(finished, limits, now()));
    for (const entry of old) pace.run(() => this.#tryForget(entry));
    if (old.length > 0) log.info('old jobs forgotten', { count: old.length, first: old[0]?.id, last: old.at(-1)?.id });
    pace.run(() => this.#emptyTrash());
  }

  #tryForget(entry: TrackedJob): void {
    try {
      this.forget(entry);
    } catch (error) {
      this.#options.log.warn('cannot forget an old job', { jobId: entry.id, error });
    }
  }

  #emptyTrash(): void {
    this.#emptying ??= this.#options.store.emptyTrash().finally(() => { this.#emptying = undefined; });
  }
}
