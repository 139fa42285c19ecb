/**
 * One stream about many jobs: changes of their status, across lost connections and restarts of the server.
 * @module
 */
import { followJobs } from '../protocol/endpoints/jobs.ts';
import { maxFeedJobs } from '../protocol/jobs/queries.ts';
import type { FeedEvent, Job } from '../protocol/jobs/job.ts';
import type { JobId } from '../protocol/ids.ts';
import { feedEventAnswer, isFinishedJob } from './job-events.ts';
import type { Transport } from './transport/transport.ts';
import { receivedEvents, resuming, type ResumeOptions } from './transport/event-stream.ts';

export interface WatchOptions extends ResumeOptions {
  /** Only these jobs, at most 200. Default: all that fit. */
  readonly jobs?: readonly JobId[];
  /** Only jobs with all of these labels. */
  readonly labels?: { readonly [name: string]: string };
  readonly name?: string;
  /** `finished`: ends, after an event `end`, once all jobs that fit have finished. Default: until the signal aborts. */
  readonly until?: 'finished';
}

/**
 * Yields `status` for each unfinished job that fits (of those that `jobs` names, for each), then `ready`, then `status`
 * at each change and `deleted` for a job that is deleted. After a lost connection no final status is missed, and none
 * is yielded twice.
 */
export async function* watchJobs(
  transport: Transport,
  options: WatchOptions = {},
): AsyncGenerator<FeedEvent, void, undefined> {
  const { jobs: job, labels, name, until, signal } = options;
  const label = Object.entries(labels ?? {}).map(([key, value]) => `${key}:${value}`);
  const query = { job, label, name, until };
  const told = new Told();
  let lastEventId: string | undefined;
  const connect = async function* (): AsyncGenerator<FeedEvent, void, undefined> {
    for await (const { event, data, id } of receivedEvents(
      transport, { path: followJobs.path, query, lastEventId }, signal,
    )) {
      const answer = feedEventAnswer(event, data, transport.base);
      lastEventId = id ?? lastEventId;
      if (answer && told.isNew(answer)) yield answer;
    }
  };
  yield* resuming(transport, options, connect, ({ type }) => type === 'end');
}

/**
 * Resolves once all these jobs have finished or were deleted.
 *
 * @returns the finished ones, in the order in which they finished.
 */
export async function waitForJobs(
  transport: Transport, ids: readonly JobId[], options: ResumeOptions & { readonly onFinished?: (job: Job) => void },
): Promise<Job[]> {
  const finished: Job[] = [];
  const groups = Array.from(
    { length: Math.ceil(ids.length / maxFeedJobs) },
    (_, index) => ids.slice(index * maxFeedJobs, (index + 1) * maxFeedJobs),
  );
  await Promise.all(groups.map(async (jobs) => {
    for await (const event of watchJobs(transport, { ...options, jobs, until: 'finished' })) {
      if (event.type !== 'status' || !isFinishedJob(event.job)) continue;
      finished.push(event.job);
      options.onFinished?.(event.job);
    }
  }));
  return finished;
}

/** Tells what was yielded already: after a restart the server reports all jobs, finished ones, too. */
class Told {
  readonly #states = new Map<JobId, string>();
  #isReady = false;

  isNew(event: FeedEvent): boolean {
    switch (event.type) {
      case 'ready': {
        const isFirst = !this.#isReady;
        this.#isReady = true;
        return isFirst;
      }
      case 'deleted': return this.#states.delete(event.jobId) || !this.#isReady;
      case 'status': {
        const {
          jobId, status, reason, agentPhase, turnCount, pendingPermissions = [], pendingElicitations = [],
        } = event.job;
        const state = JSON.stringify([
          status, reason, agentPhase, turnCount, pendingPermissions.map(({ permissionId }) => permissionId),
          pendingElicitations.map(({ elicitationId }) => elicitationId),
        ]);
        const isSame = this.#states.get(jobId) === state;
        this.#states.set(jobId, state);
        return !isSame;
      }
      case 'end': return true;
    }
  }
}
