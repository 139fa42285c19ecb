/**
 * One event stream about many jobs: which jobs it begins with, which events each change yields, and when it ends.
 * @module
 */
import type { FeedQuery } from '../../protocol/jobs/queries.ts';
import type { FeedEvent, Job } from '../../protocol/jobs/job.ts';
import type { JobId } from '../../protocol/ids.ts';
import { matcher } from '../store/job-index.ts';
import { type TrackedJob, isInteractive } from '../tracked-job.ts';
import { type FeedChange, type FeedPosition, formatFeedPosition, type JobFeed } from './feed.ts';

/** What a stream needs of the jobs of a server. */
export interface FeedSources {
  readonly feed: JobFeed;
  /** Oldest first. */
  readonly all: () => readonly TrackedJob[];
  /** In no order. */
  readonly unfinished: () => readonly TrackedJob[];
  readonly find: (id: string) => TrackedJob | undefined;
  readonly summary: (job: TrackedJob) => Job;
  /** Measures what can change without a notification. */
  readonly refresh: (job: TrackedJob) => void;
  /** Watches the job's files until the returned function is called. */
  readonly follow: (job: TrackedJob) => () => void;
  /** Whether the server is closing. */
  readonly isOver: () => boolean;
}

/** An event, and the id after which a follower resumes. */
export interface IdentifiedEvent {
  readonly id: string;
  readonly event: FeedEvent;
}

export class FeedStream {
  readonly #sources: FeedSources;
  readonly #query: FeedQuery;
  readonly #isWanted: (job: TrackedJob) => boolean;
  /** Running agents whose files are watched, each with the function that stops the watch. */
  readonly #watched = new Map<TrackedJob, () => void>();
  #isReady = false;

  constructor(sources: FeedSources, query: FeedQuery) {
    this.#sources = sources;
    this.#query = query;
    const named = query.job && new Set<string>(query.job);
    const fits = matcher(query);
    this.#isWanted = (job) => (named === undefined || named.has(job.id)) && fits(job);
  }

  /** @param after The last position that the follower knows. Default: none. */
  async *events(
    after: FeedPosition | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<IdentifiedEvent, void, undefined> {
    const { feed, isOver } = this.#sources;
    const initial = this.#candidates(after).filter((job) => this.#isWanted(job) && this.#isNew(job, after));
    try {
      // The feed is followed from here on: no change is missed in between.
      for await (const change of feed.follow({ initial, isWanted: this.#isWanted, signal, isOver })) {
        const id = formatFeedPosition({ epoch: feed.epoch, change: change.change });
        for (const event of this.#eventsOf(change)) yield { id, event };
        if (this.#isComplete(change)) return yield { id, event: { type: 'end' } };
      }
    } finally {
      for (const stop of this.#watched.values()) stop();
    }
  }

  /** A superset of the jobs that the stream begins with. */
  #candidates(after: FeedPosition | undefined): readonly TrackedJob[] {
    const { all, unfinished, find } = this.#sources;
    const { job } = this.#query;
    if (job !== undefined) return [...new Set(job)].flatMap((id) => find(id) ?? []);
    return after === undefined ? unfinished() : all();
  }

  #isNew(job: TrackedJob, after: FeedPosition | undefined): boolean {
    if (after === undefined) return this.#query.job !== undefined || !job.isFinished;
    // Another server counted differently; changes of an agent's state are counted only while the agent is followed.
    return after.epoch !== this.#sources.feed.epoch || job.lastChange > after.change || isInteractive(job);
  }

  #eventsOf(change: FeedChange): readonly FeedEvent[] {
    const { find, summary } = this.#sources;
    if (change.type === 'ready') {
      const deleted = (this.#query.job ?? []).filter((id) => find(id) === undefined);
      return [...deleted.map((jobId): FeedEvent => ({ type: 'deleted', jobId })), { type: 'ready' }];
    }
    const { job } = change;
    if (find(job.id) !== job) return [{ type: 'deleted', jobId: job.id as JobId }];
    this.#watchAgent(job);
    return [{ type: 'status', job: summary(job) }];
  }

  /** Whether all changes have been sent and all matching jobs have finished. */
  #isComplete({ type, isLatest }: FeedChange): boolean {
    this.#isReady ||= type === 'ready';
    if (this.#query.until === undefined || !this.#isReady || !isLatest()) return false;
    return !this.#sources.unfinished().some((job) => this.#isWanted(job));
  }

  /** While an agent's job runs, a change of the agent's state counts as a change of the job. */
  #watchAgent(job: TrackedJob): void {
    const { feed, refresh, follow } = this.#sources;
    if (!isInteractive(job)) {
      this.#watched.get(job)?.();
      this.#watched.delete(job);
    } else if (!this.#watched.has(job)) {
      const unfollow = follow(job);
      const stop = job.onChange(() => {
        const { stateWrittenAt } = job;
        refresh(job);
        if (job.stateWrittenAt !== stateWrittenAt) feed.record(job);
      });
      this.#watched.set(job, () => { stop(); unfollow(); });
    }
  }
}
