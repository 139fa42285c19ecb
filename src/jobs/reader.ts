/**
 * Shows jobs as they are now: what can change without a notification is measured first.
 * @module
 */
import type { TimeSlicer } from '../base/time-slicer.ts';
import { type PendingAnywhere, waitsForInput } from '../protocol/agents/job-details.ts';
import type { Job } from '../protocol/jobs/job.ts';
import type { ListQuery } from '../protocol/jobs/queries.ts';
import { interactionOf, pendingRequests } from './interaction.ts';
import type { Runner } from './run/runner.ts';
import type { JobIndex, Page } from './store/job-index.ts';
import type { JobStore } from './store/store.ts';
import { type TrackedJob, isInteractive } from './tracked-job.ts';
import { type TextOptions, detailed, summary } from './view.ts';

export interface JobReaderSources {
  readonly index: JobIndex;
  readonly store: JobStore;
  readonly runner: Runner;
  readonly pace: TimeSlicer;
}

export class JobReader {
  readonly #sources: JobReaderSources;
  /** The jobs that {@link refresh} has measured; emptied in a microtask. */
  readonly #measured = new Set<TrackedJob>();

  constructor(sources: JobReaderSources) {
    this.#sources = sources;
  }

  /** Newest first. `hasMore`: there are older jobs that match. */
  list(query: ListQuery): Page {
    const { index } = this.#sources;
    if (query.waitsFor === undefined) return index.list(query);
    const { status = 'running' } = query;
    return index.list(
      { ...query, status },
      (job) => isInteractive(job) && waitsForInput(interactionOf(job, this.directory(job))),
    );
  }

  /** Measures what can change without a notification: output, the first process. Once for all calls of one moment. */
  refresh(job: TrackedJob): void {
    if (this.#measured.has(job) || (job.isFinished && job.lingering.length === 0)) return;
    if (this.#measured.size === 0) queueMicrotask(() => this.#measured.clear());
    this.#measured.add(job);
    const { runner, store } = this.#sources;
    runner.measure(job);
    if (job.state.is === 'running') job.pid ??= store.readProcess(job.id)?.identity.pid ?? null;
  }

  /** The requests that all running jobs wait for a person to answer. */
  pending(): Promise<PendingAnywhere> {
    const { runner, pace } = this.#sources;
    return pendingRequests(runner.running, (job) => this.directory(job), pace);
  }

  /**
   * Jobs as a list shows them, one after another; other work runs in between. Jobs deleted meanwhile are left out.
   *
   * @param options With the end of their output. Default: without.
   */
  async *shown(jobs: readonly TrackedJob[], options?: TextOptions): AsyncGenerator<Job> {
    const { index, pace } = this.#sources;
    for (const job of jobs) {
      await pace.turn();
      if (!index.has(job)) continue;
      yield options === undefined ? this.summary(job) : await this.detailed(job, options);
    }
  }

  /** The job without its output texts. */
  summary(job: TrackedJob): Job {
    this.refresh(job);
    return summary(job, this.#sources);
  }

  /** The job with the end of its output. */
  detailed(job: TrackedJob, options: TextOptions): Promise<Job> {
    this.refresh(job);
    return detailed(job, this.#sources, options);
  }

  directory(job: TrackedJob): string {
    return this.#sources.store.directory(job.id);
  }
}
