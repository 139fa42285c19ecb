/**
 * The jobs that the server knows, and what has to be told of each change of one: the index, the feed, the cache.
 * @module
 */
import { type JobId, isJobId } from '../protocol/ids.ts';
import { ProblemError } from '../protocol/problem.ts';
import { JobFeed } from './feed/feed.ts';
import { type JobRecord, statusOf } from './job.ts';
import type { JobKinds } from './kinds.ts';
import { AnswerCache } from './store/answer-cache.ts';
import { JobIndex } from './store/job-index.ts';
import { TrackedJob } from './tracked-job.ts';

export class JobTracker {
  readonly index: JobIndex = new JobIndex();
  readonly feed: JobFeed = new JobFeed(Date.now());
  readonly cache: AnswerCache = new AnswerCache();
  readonly #kinds: Pick<JobKinds, 'of'>;

  constructor(kinds: Pick<JobKinds, 'of'>) {
    this.#kinds = kinds;
  }

  /** @throws ProblemError job_not_found. */
  get(id: string): TrackedJob {
    const job = this.index.get(id);
    if (job) return job;
    const hint = isJobId(id) ? 'it never existed, or was deleted' : 'this is not a job id';
    throw new ProblemError('job_not_found', `Cannot find job ${JSON.stringify(id.slice(0, 64))}: ${hint}`);
  }

  /** Makes a job known that is on disk. */
  track(record: JobRecord): TrackedJob {
    const job = new TrackedJob(record, this.#kinds.of(record.request.program), (changed, before) => {
      this.index.stateChanged(changed, before);
      if (statusOf(before) !== statusOf(changed.state)) this.feed.record(changed);
    });
    this.index.add(job);
    this.#setContinuedBy(job, job.id);
    this.feed.record(job);
    return job;
  }

  /** Call it once a job has left the index. */
  noteDeleted(job: TrackedJob): void {
    this.#setContinuedBy(job, undefined);
    this.feed.record(job);
  }

  /** Call it once a finished job is found to have left processes. */
  noteLingering(job: TrackedJob): void {
    if (this.index.has(job)) this.feed.record(job);
  }

  /** Updates `continuedBy` of the job that this one continues. @param by Its new value. */
  #setContinuedBy({ continues }: TrackedJob, by: JobId | undefined): void {
    const before = continues === undefined ? undefined : this.index.get(continues);
    if (!before) return;
    before.continuedBy = by;
    this.cache.delete(before);
    before.changed();
  }
}
