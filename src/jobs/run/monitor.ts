/**
 * Checks running jobs at intervals: output beyond its limit, output that no watch reported, the end of adopted jobs,
 * states that could not be written. Stops while there is nothing to check.
 * @module
 */
import type { Log } from '../../base/log.ts';
import type { TrackedJob } from '../tracked-job.ts';
import type { Runner } from './runner.ts';
import type { Watches } from '../output/watch.ts';

const tickMs = 100;
/** The longest time between two looks at a running job. */
const slowestLookMs = 2000;
/** No job is assumed to write faster than this. */
const fastestBytesPerMs = 2_000_000;
/** How long after a failure (to look, to end a job, to write a state) the next attempt is made. */
const againMs = 1000;

export interface MonitorOptions {
  readonly runner: Runner;
  readonly watches: Watches;
  /** Jobs whose state is not on disk yet. */
  readonly unsaved: () => readonly TrackedJob[];
  readonly log: Log;
}

export class Monitor {
  readonly #options: MonitorOptions;
  readonly #nextLook = new WeakMap<TrackedJob, number>();
  #timer: NodeJS.Timeout | undefined;
  #nextSave = 0;

  constructor(options: MonitorOptions) {
    this.#options = options;
  }

  /** Starts the checks: there is, or may be, something to look at. */
  wake(): void {
    this.#timer ??= setInterval(() => this.#look(), tickMs);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #look(): void {
    const { runner, watches, unsaved } = this.#options;
    const now = performance.now();
    for (const entry of [...runner.adopted]) this.#try(entry, () => runner.lookAtAdopted(entry));
    for (const entry of watches.entries) this.#try(entry, () => { if (runner.measure(entry)) entry.changed(); });
    for (const entry of runner.running) {
      if ((this.#nextLook.get(entry) ?? 0) <= now) this.#try(entry, () => this.#lookAt(entry, now));
    }
    if (now >= this.#nextSave) {
      this.#nextSave = now + againMs;
      for (const entry of unsaved()) runner.saveAgain(entry);
    }
    if (runner.runningCount === 0 && watches.count === 0 && unsaved().length === 0) this.close();
  }

  #lookAt(entry: TrackedJob, now: number): void {
    const { runner, log } = this.#options;
    runner.measure(entry);
    const leftBytes = entry.request.maxOutputBytes - entry.outputBytes;
    this.#nextLook.set(entry, now + Math.min(leftBytes / fastestBytesPerMs, slowestLookMs));
    if (leftBytes >= 0) return;
    this.#nextLook.set(entry, Number.POSITIVE_INFINITY);
    runner.end(entry, 'output_limit').catch((error: unknown) => {
      log.error('cannot end the job at its output limit, trying again', { jobId: entry.id, error });
      this.#nextLook.set(entry, performance.now() + againMs);
    });
  }

  /** A failure with one job must not keep the others from being looked at. */
  #try(entry: TrackedJob, look: () => void): void {
    try {
      look();
    } catch (error) {
      this.#nextLook.set(entry, performance.now() + againMs);
      this.#options.log.warn('cannot look at the job', { jobId: entry.id, error });
    }
  }
}
