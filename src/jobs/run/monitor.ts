/**
 * Checks running jobs at intervals: output beyond its limit, output that no watch reported, the end of adopted jobs,
 * states that could not be written. Stops while there is nothing to check.
 * @module
 */
import type { Log } from '../../base/log.ts';
import type { TrackedJob } from '../tracked-job.ts';
import type { Runner } from './runner.ts';
import type { Watches } from '../output/watch.ts';
import { UnsavedJobs } from '../store/unsaved-jobs.ts';

const intervalMs = 100;
/** The longest time between two looks at a running job. */
const maxIntervalMs = 2000;
/** No job is assumed to write faster than this. */
const maxBytesPerMs = 2_000_000;
/** How long after a failure (to look, to end a job, to write a state) the next attempt is made. */
const retryMs = 1000;

export interface MonitorOptions {
  readonly runner: Runner;
  readonly watches: Watches;
  /** Whether the job was not deleted meanwhile. */
  readonly isKnown: (job: TrackedJob) => boolean;
  readonly log: Log;
}

export class Monitor {
  readonly #options: MonitorOptions;
  readonly #nextCheck = new WeakMap<TrackedJob, number>();
  readonly #unsaved: UnsavedJobs;
  #timer: NodeJS.Timeout | undefined;
  #nextSave = 0;

  constructor(options: MonitorOptions) {
    this.#options = options;
    this.#unsaved = new UnsavedJobs(options.isKnown);
  }

  /** Starts the checks: there is, or may be, something to look at. */
  wake(): void {
    this.#timer ??= setInterval(() => this.#check(), intervalMs);
    this.#timer.unref();
  }

  /** Writes the state of a job later, as it could not be written. */
  saveLater(job: TrackedJob): void {
    this.#unsaved.add(job);
    this.wake();
  }

  /** Tries once more to write the states that could not be written. */
  saveAgain(): void {
    for (const job of this.#unsaved.list()) this.#options.runner.saveAgain(job);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #check(): void {
    const { runner, watches } = this.#options;
    const now = performance.now();
    for (const execution of [...runner.executions]) {
      if (execution.isAdopted) this.#try(execution.job, () => execution.checkAdopted());
    }
    for (const job of watches.jobs) this.#try(job, () => { if (runner.measure(job)) job.changed(); });
    for (const { job } of runner.executions) {
      if ((this.#nextCheck.get(job) ?? 0) <= now) this.#try(job, () => this.#checkOutput(job, now));
    }
    if (now >= this.#nextSave) {
      this.#nextSave = now + retryMs;
      this.saveAgain();
    }
    if (runner.runningCount === 0 && watches.count === 0 && this.#unsaved.list().length === 0) this.close();
  }

  #checkOutput(job: TrackedJob, now: number): void {
    const { runner, log } = this.#options;
    runner.measure(job);
    const leftBytes = job.request.maxOutputBytes - job.outputBytes;
    this.#nextCheck.set(job, now + Math.min(leftBytes / maxBytesPerMs, maxIntervalMs));
    if (leftBytes >= 0) return;
    this.#nextCheck.set(job, Number.POSITIVE_INFINITY);
    runner.end(job, 'output_limit').catch((error: unknown) => {
      log.error('cannot end the job at its output limit, trying again', { jobId: job.id, error });
      this.#nextCheck.set(job, performance.now() + retryMs);
    });
  }

  /** A failure with one job must not keep the others from being looked at. */
  #try(job: TrackedJob, check: () => void): void {
    try {
      check();
    } catch (error) {
      this.#nextCheck.set(job, performance.now() + retryMs);
      this.#options.log.warn('cannot look at the job', { jobId: job.id, error });
    }
  }
}
