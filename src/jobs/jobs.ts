/**
 * The jobs of this machine: puts together what accepts, runs, shows and deletes them. All of its state can be read back
 * from disk.
 * @module
 */
import { TimeSlicer } from '../base/time-slicer.ts';
import { unixSeconds } from '../base/unix-seconds.ts';
import type { Idempotency } from '../process/state/idempotency.ts';
import type { JobRequest } from '../protocol/jobs/exec.ts';
import { JobActions } from './actions.ts';
import { Admission, type AdmissionOptions } from './admission.ts';
import type { JobKind, SubmitOptions } from './kind.ts';
import { JobKinds } from './kinds.ts';
import { KindOperations } from './operations.ts';
import { Watches } from './output/watch.ts';
import { JobReader } from './reader.ts';
import { Monitor } from './run/monitor.ts';
import { readBack } from './run/read-back.ts';
import { Runner, type RunnerOptions } from './run/runner.ts';
import { RetentionSweeper } from './store/retention-sweeper.ts';
import { JobStore } from './store/store.ts';
import { JobTracker } from './tracker.ts';
import { type TrackedJob, isInteractive } from './tracked-job.ts';
import { JobWaits, type JobWaitsOptions } from './waits.ts';

export interface JobsOptions
  extends AdmissionOptions, Pick<RunnerOptions, 'createStarter' | 'maxRunning' | 'hasFiles'>,
  Pick<JobWaitsOptions, 'readers'> {
  readonly stateDir: string;
  /** What runs the jobs, by the mode of their requests. */
  readonly kinds: readonly JobKind[];
  readonly keepJobs: number;
  readonly keepDays: number;
  readonly keepBytes: number;
  /** Spreads bursts of work over the turns of the event loop. Default: one of its own. */
  readonly pace?: TimeSlicer;
}

export class Jobs {
  readonly #options: JobsOptions;
  readonly #store: JobStore;
  readonly #runner: Runner;
  readonly #admission: Admission;
  readonly #watches: Watches;
  readonly #monitor: Monitor;
  readonly #retention: RetentionSweeper;
  readonly tracker: JobTracker;
  readonly reader: JobReader;
  readonly waits: JobWaits;
  readonly actions: JobActions;

  private constructor(options: JobsOptions) {
    const { log, pace = new TimeSlicer() } = options;
    const kinds = new JobKinds(options.kinds);
    const store = new JobStore(options.stateDir, (value, path) => kinds.parse(value, path));
    const tracker = new JobTracker(kinds);
    const { index } = tracker;
    const { createStarter, maxRunning, hasFiles } = options;
    const runner = new Runner({
      store, kinds, createStarter, maxRunning, hasFiles, log, pace, now: unixSeconds,
      stdinHolder: options.ahead?.stdinHolder,
      onFinished: (job) => { if (job.isUnsaved) this.#monitor.saveLater(job); },
      onLingering: (job) => tracker.noteLingering(job),
    });
    this.#options = options;
    this.#store = store;
    this.#runner = runner;
    this.#watches = new Watches(({ id }) => store.directory(id));
    this.#monitor = new Monitor({ runner, watches: this.#watches, isKnown: (job) => index.has(job), log });
    this.#admission = new Admission(options, {
      kinds, store, runner, index, pace, now: unixSeconds,
      track: (record) => tracker.track(record), onAccepted: () => this.#monitor.wake(),
    });
    this.#retention = this.#sweep(tracker, pace);
    this.tracker = tracker;
    this.reader = new JobReader({ index, store, runner, pace });
    this.waits = new JobWaits({
      tracker, reader: this.reader, watches: this.#watches, pace, readers: options.readers,
      onWatch: () => this.#monitor.wake(),
    });
    this.actions = new JobActions({ tracker, store, runner, waits: this.waits, retention: this.#retention, log });
    const { waits, actions } = this;
    runner.attach(new KindOperations({ tracker, store, admission: this.#admission, waits, actions }));
  }

  /** Reads back what an earlier server left, and continues its jobs. */
  static async open(options: JobsOptions): Promise<Jobs> {
    const jobs = new Jobs(options);
    await jobs.#readBack();
    for (const kind of options.kinds) kind.reconciled?.();
    return jobs;
  }

  get counts(): { readonly jobs: number; readonly running: number; readonly queued: number } {
    return {
      jobs: this.tracker.index.size, running: this.#runner.runningCount, queued: this.#runner.queuedCount,
    };
  }

  /** How many jobs run that keep a state which people may have to act on. */
  get runningInteractive(): number {
    return [...this.#runner.running].filter(isInteractive).length;
  }

  /**
   * Accepts a job; it is on disk when this resolves. With the Idempotency-Key of an earlier job it returns that job.
   *
   * @throws ParseError where the workdir or the shell cannot be used; ProblemError not_supported, too_many_jobs,
   * idempotency_mismatch, session_conflict, shell_gone, storage_full, unavailable, shutting_down.
   */
  submit(request: JobRequest, options?: SubmitOptions): Promise<TrackedJob> {
    return this.#admission.submit(request, options);
  }

  /** Submits the same request again. @throws as {@link submit}; ProblemError job_not_found. */
  async rerun(id: string, idempotency: Idempotency | undefined): Promise<TrackedJob> {
    const { jobId, request } = this.#store.read(this.tracker.get(id).id);
    return this.submit(request, { idempotency, rerunOf: jobId });
  }

  /** Refuses new jobs, and ends every wait for a job. */
  beginClose(): void {
    this.#admission.close();
    this.actions.close();
    this.waits.end();
  }

  /** Releases the jobs: running ones keep running without a server. */
  close(): void {
    this.beginClose();
    this.#retention.close();
    this.#monitor.close();
    this.#watches.close();
    this.#runner.close();
    this.#monitor.saveAgain();
  }

  #sweep(tracker: JobTracker, pace: TimeSlicer): RetentionSweeper {
    const { keepJobs, keepDays, keepBytes, log } = this.#options;
    const { index, cache } = tracker;
    return new RetentionSweeper({
      index, cache, store: this.#store, limits: { keepJobs, keepBytes, keepSeconds: keepDays * 86_400 },
      pace, log, now: unixSeconds, onDeleted: (job) => tracker.noteDeleted(job),
    });
  }

  async #readBack(): Promise<void> {
    const { stateDir, log } = this.#options;
    await readBack({
      stateDir, store: this.#store, tracker: this.tracker, runner: this.#runner, log, now: unixSeconds,
      onRead: (last) => this.#admission.continueAfter(last),
    });
    this.#monitor.wake();
  }
}
