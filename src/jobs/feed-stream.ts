/**
 * One stream about many jobs: which of them it begins with, what it tells of each change, when it ends.
 * @module
 */
import type { FeedEvent, FeedQuery, Job } from '../protocol/jobs.ts';
import type { JobId } from '../protocol/ids.ts';
import { matcher } from './catalogue.ts';
import { type Entry, isRunningAgent } from './entry.ts';
import { type FeedChange, type FeedPosition, formatFeedPosition, type JobFeed } from './feed.ts';

/** What the jobs of a server give to its streams. */
export interface FeedSources {
  readonly feed: JobFeed;
  /** Oldest first. */
  readonly all: () => readonly Entry[];
  /** In no order. */
  readonly unfinished: () => readonly Entry[];
  readonly find: (id: string) => Entry | undefined;
  readonly summary: (entry: Entry) => Job;
  /** Measures what can have changed without a word. */
  readonly refresh: (entry: Entry) => void;
  /** Watches the job's files until the returned function is called. */
  readonly follow: (entry: Entry) => () => void;
  /** The server closes. */
  readonly isOver: () => boolean;
}

/** An event and the id behind which a follower resumes. */
export interface IdentifiedEvent {
  readonly id: string;
  readonly event: FeedEvent;
}

export class FeedStream {
  readonly #sources: FeedSources;
  readonly #query: FeedQuery;
  readonly #isWanted: (entry: Entry) => boolean;
  /** Running agents, whose files are watched, and how the watch ends. */
  readonly #watched = new Map<Entry, () => void>();
  #isReady = false;

  constructor(sources: FeedSources, query: FeedQuery) {
    this.#sources = sources;
    this.#query = query;
    const named = query.job && new Set<string>(query.job);
    const fits = matcher(query);
    this.#isWanted = (entry) => (named === undefined || named.has(entry.id)) && fits(entry);
  }

  /** @param after What the follower knows. Default: nothing. */
  async *events(after: FeedPosition | undefined, signal: AbortSignal): AsyncGenerator<IdentifiedEvent, void, undefined> {
    const { feed, isOver } = this.#sources;
    const initial = this.#candidates(after).filter((entry) => this.#isWanted(entry) && this.#isNew(entry, after));
    try {
      // Followed from this moment on: no change is missed in between.
      for await (const change of feed.follow({ initial, isWanted: this.#isWanted, signal, isOver })) {
        const id = formatFeedPosition({ epoch: feed.epoch, change: change.change });
        for (const event of this.#eventsOf(change)) yield { id, event };
        if (this.#isComplete(change)) return yield { id, event: { type: 'end' } };
      }
    } finally {
      for (const stop of this.#watched.values()) stop();
    }
  }

  /** A part of the jobs that has all those that are told of at first. */
  #candidates(after: FeedPosition | undefined): readonly Entry[] {
    const { all, unfinished, find } = this.#sources;
    const { job } = this.#query;
    if (job !== undefined) return [...new Set(job)].flatMap((id) => find(id) ?? []);
    return after === undefined ? unfinished() : all();
  }

  #isNew(entry: Entry, after: FeedPosition | undefined): boolean {
    if (after === undefined) return this.#query.job !== undefined || !entry.isFinished;
    // Another server counted otherwise; what an agent does counts only while it is followed.
    return after.epoch !== this.#sources.feed.epoch || entry.lastChange > after.change || isRunningAgent(entry);
  }

  #eventsOf(change: FeedChange): readonly FeedEvent[] {
    const { find, summary } = this.#sources;
    if (change.type === 'ready') {
      const deleted = (this.#query.job ?? []).filter((id) => find(id) === undefined);
      return [...deleted.map((jobId): FeedEvent => ({ type: 'deleted', jobId })), { type: 'ready' }];
    }
    const { entry } = change;
    if (find(entry.id) !== entry) return [{ type: 'deleted', jobId: entry.id as JobId }];
    this.#watchAgent(entry);
    return [{ type: 'status', job: summary(entry) }];
  }

  /** All changes have been told, and none that fits is unfinished. */
  #isComplete({ type, isLatest }: FeedChange): boolean {
    this.#isReady ||= type === 'ready';
    if (this.#query.until === undefined || !this.#isReady || !isLatest()) return false;
    return !this.#sources.unfinished().some((entry) => this.#isWanted(entry));
  }

  /** While an agent's job runs, a change of the agent's state counts as one of its job. */
  #watchAgent(entry: Entry): void {
    const { feed, refresh, follow } = this.#sources;
    if (!isRunningAgent(entry)) {
      this.#watched.get(entry)?.();
      this.#watched.delete(entry);
    } else if (!this.#watched.has(entry)) {
      const unfollow = follow(entry);
      const stop = entry.onChange(() => {
        const { agentStateAt } = entry;
        refresh(entry);
        if (entry.agentStateAt !== agentStateAt) feed.record(entry);
      });
      this.#watched.set(entry, () => { stop(); unfollow(); });
    }
  }
}
