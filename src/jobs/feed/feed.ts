/**
 * The changes of all jobs in one order, so that one stream can report many jobs and resume where it broke off.
 * @module
 */
import { Emitter } from '../../base/emitter.ts';
import { parser, refuse, type Parser } from '../../base/parse.ts';
import type { TrackedJob } from '../tracked-job.ts';

/** A position in the feed: a follower knows every change up to it. */
export interface FeedPosition {
  /** Names the server that numbered the changes. */
  readonly epoch: string;
  readonly change: number;
}

/** The id of an event of the feed: `<epoch>-<change>`. */
export function formatFeedPosition({ epoch, change }: FeedPosition): string {
  return `${epoch}-${change}`;
}

export const feedPosition: Parser<FeedPosition> = parser({ type: 'string' }, (value, at) => {
  const match = /^([0-9a-z]{1,16})-(\d{1,15})$/.exec(String(value));
  if (!match) refuse(at, 'the id of an event of this stream', value);
  return { epoch: match[1] ?? '', change: Number(match[2]) };
});

/** What a follower of the feed receives. `ready`: all jobs that existed at its start have been sent. */
export type FeedChange = {
  readonly change: number;
  /** Whether no further change waits to be sent. */
  readonly isLatest: () => boolean;
} & ({ readonly type: 'changed'; readonly job: TrackedJob } | { readonly type: 'ready' });

export interface FollowFeedOptions {
  /** The jobs to send first, in their current state. */
  readonly initial: readonly TrackedJob[];
  readonly isWanted: (job: TrackedJob) => boolean;
  readonly signal: AbortSignal;
  /** Whether the server is closing: that ends the following, too. */
  readonly isOver: () => boolean;
}

/**
 * The feed of a server. It numbers each change of a job's status, each deletion, each growth of `lingering` and, while
 * followed, each change of an agent's state; output is not a change here.
 */
export class JobFeed {
  /** Differs from the epoch of every earlier server. */
  readonly epoch: string;
  readonly #listeners = new Emitter<TrackedJob | undefined>();
  #lastChange = 0;

  /** @param startedAtMs Milliseconds since 1970. */
  constructor(startedAtMs: number) {
    this.epoch = `${startedAtMs.toString(36)}${process.pid.toString(36)}`;
  }

  /** Numbers a change of the job and notifies the followers. */
  record(job: TrackedJob): void {
    this.#lastChange += 1;
    job.lastChange = this.#lastChange;
    this.#listeners.emit(job);
  }

  /** Makes each follower check whether it has to end. */
  wake(): void {
    this.#listeners.emit(undefined);
  }

  /**
   * Yields each wanted job whenever it has changed, in the order of the changes. A job that changes again before it was
   * taken is yielded once, in its latest state: a slow reader costs no memory and misses no final state.
   */
  async *follow({ initial, isWanted, signal, isOver }: FollowFeedOptions): AsyncGenerator<FeedChange, void, undefined> {
    const changed = new Set(initial.toSorted((a, b) => a.lastChange - b.lastChange));
    let wake = (): void => undefined;
    const stop = this.#listeners.listen((job) => {
      // The last change decides the order.
      if (job !== undefined && (changed.delete(job) || isWanted(job))) changed.add(job);
      wake();
    });
    const onAbort = (): void => wake();
    signal.addEventListener('abort', onAbort, { once: true });
    const isLatest = (): boolean => changed.size === 0;
    let isReady = false;
    try {
      while (!signal.aborted && !isOver()) {
        const [job] = changed;
        if (job !== undefined) {
          changed.delete(job);
          yield { type: 'changed', job, change: job.lastChange, isLatest };
        } else if (!isReady) {
          isReady = true;
          yield { type: 'ready', change: this.#lastChange, isLatest };
        } else {
          await new Promise<void>((resolve) => { wake = resolve; });
        }
      }
    } finally {
      stop();
      signal.removeEventListener('abort', onAbort);
    }
  }
}
