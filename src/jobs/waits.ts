/**
 * Waits for jobs: for their end, for a change, for output. All of them end when the server closes.
 * @module
 */
import type { TimeSlicer } from '../base/time-slicer.ts';
import { FileBudget } from '../process/open-files.ts';
import type { WaitFor } from '../protocol/jobs/queries.ts';
import type { FeedSources } from './feed/feed-stream.ts';
import { type FollowOptions, type OutputChunk, follow } from './output/follow.ts';
import type { Watches } from './output/watch.ts';
import type { JobReader } from './reader.ts';
import type { JobTracker } from './tracker.ts';
import { type TrackedJob, until } from './tracked-job.ts';
import { waitCondition } from './wait-condition.ts';

export interface JobWaitsOptions {
  readonly tracker: JobTracker;
  readonly reader: JobReader;
  readonly watches: Watches;
  readonly pace: TimeSlicer;
  /** Counts the files of output that clients read. Default: without a limit. */
  readonly readers?: FileBudget | undefined;
  /** Called when a job is about to be watched. */
  readonly onWatch: () => void;
}

/** What an answer is held back for, and for how long. */
export interface Hold {
  readonly waitSeconds: number;
  readonly waitFor: WaitFor;
  /** Remembers the job as it is now. @returns whether it is still the same. */
  readonly remember: () => () => boolean;
}

export class JobWaits {
  readonly #options: JobWaitsOptions;
  readonly readers: FileBudget;
  #isOver = false;

  constructor(options: JobWaitsOptions) {
    this.#options = options;
    this.readers = options.readers ?? new FileBudget();
  }

  /** Resolves once the awaited event has come, or at the end of the wait. */
  async hold(job: TrackedJob, { waitSeconds, waitFor, remember }: Hold, signal: AbortSignal): Promise<void> {
    const limitMs = waitSeconds * 1000;
    if (waitFor === 'end') {
      await until(job, () => job.isFinished || this.#isOver, { limitMs, signal });
      return;
    }
    const isThere = waitFor === 'change' ? undefined : waitCondition(waitFor, job, this.#options.reader);
    await this.changed(job, isThere ? () => !job.isFinished && !isThere() : remember(), limitMs, signal);
  }

  /** Resolves once the job has finished, or when the server closes. */
  async ended(job: TrackedJob): Promise<void> {
    await until(job, () => job.isFinished || this.#isOver, {});
  }

  /** Resolves when `ending` does, or when the server closes. */
  async orClosed(job: TrackedJob, ending: Promise<void>): Promise<void> {
    const over = new AbortController();
    const isOver = until(job, () => this.#isOver, { signal: over.signal }).catch(() => undefined);
    await Promise.race([ending, isOver]).finally(() => over.abort());
  }

  /**
   * Resolves once `isSame` returns `false` for the job, its output included, once nothing can change any more, or when
   * the limit or the signal ends the wait.
   */
  async changed(job: TrackedJob, isSame: () => boolean, limitMs: number, signal: AbortSignal): Promise<void> {
    const unwatch = this.#watch(job);
    try {
      const isOver = (): boolean => this.#isOver || (job.isFinished && !job.isSearching);
      await until(job, () => isOver() || !isSame(), { limitMs, signal });
    } finally {
      unwatch();
    }
  }

  /** The output from a position on, until the job has ended or the server closes. */
  async *follow(
    job: TrackedJob,
    options: Pick<FollowOptions, 'from' | 'signal' | 'limit' | 'wholeCharacters'>,
  ): AsyncGenerator<OutputChunk, void, undefined> {
    const unwatch = job.isFinished ? undefined : this.#watch(job);
    const { reader, pace } = this.#options;
    try {
      yield* follow(job, {
        ...options,
        directory: reader.directory(job),
        readers: this.readers,
        pace,
        isOver: () => this.#isOver,
      });
    } finally {
      unwatch?.();
    }
  }

  /** What the streams about many jobs read from. */
  get feedSources(): FeedSources {
    const { reader, tracker: { feed, index } } = this.#options;
    return {
      feed,
      all: () => index.all,
      unfinished: () => index.unfinished,
      find: (id) => index.get(id),
      summary: (job) => reader.summary(job),
      refresh: (job) => reader.refresh(job),
      follow: (job) => this.#watch(job),
      isOver: () => this.#isOver,
    };
  }

  /** Resolves every pending wait with the current state; later waits return at once. */
  end(): void {
    this.#isOver = true;
    const { index, feed } = this.#options.tracker;
    for (const job of index.all) job.changed();
    feed.wake();
  }

  /** Makes output of the job count as a change of it until the returned function is called. */
  #watch(job: TrackedJob): () => void {
    this.#options.onWatch();
    return this.#options.watches.follow(job);
  }
}
