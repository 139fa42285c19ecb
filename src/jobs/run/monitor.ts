/**
 * Checks running jobs at intervals: output beyond its limit, output that no watch reported, the end of adopted jobs,
 * states that could not be written. Stops while there is nothing to check.
 * @module
 */
import type { Log } from '../../base/log.ts';
import type { TrackedJob } from '../tracked-job.ts';
import type { Runner } from './runner.ts';
import type { Watches } from '../output/watch.ts';

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
  /** Jobs whose state is not on disk yet. */
  readonly unsaved: () => readonly TrackedJob[];
  readonly log: Log;
}

export class Monitor {
  readonly #options: MonitorOptions;
  readonly #nextCheck = new WeakMap<TrackedJob, number>();
  #timer: NodeJS.Timeout | undefined;
  #nextSave = 0;

  constructor(options: MonitorOptions) {
    this.#options = options;
  }

  /** Starts the checks: there is, or may be, something to look at. */
  wake(): void {
    this.#timer ??= setInterval(() => this.#check(), intervalMs);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #check(): void {
    const { runner, watches, unsaved } = this.#options;
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
      for (const job of unsaved()) runner.saveAgain(job);
    }
    if (runner.runningCount === 0 && watches.count === 0 && unsaved().length === 0) this.close();
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
