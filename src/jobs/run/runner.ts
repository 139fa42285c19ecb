/**
 * Runs jobs: starts them when there is room, and passes on what is reported of them and asked of them.
 * @module
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { defined } from '../../base/defined.ts';
import type { Log } from '../../base/log.ts';
import type { TimeSlicer } from '../../base/time-slicer.ts';
import type { Family } from '../../process/descendants.ts';
import type { StdinHolder } from '../../process/launcher/stdin-holder.ts';
import type { Starter, StarterEvents } from '../../process/launcher/starter.ts';
import { cancelledOutcome, type EndingReason, type JobRecord, type Outcome, spawnErrorOutcome } from '../job.ts';
import { type EndOptions, type JobEvents, type JobOperations, type RequestSummary, waitedForLabel } from '../kind.ts';
import type { JobKinds } from '../kinds.ts';
import type { JobStore } from '../store/store.ts';
import type { TrackedJob } from '../tracked-job.ts';
import { claimUnstarted, defaultEnding, Execution, type ExecutionContext, readLeader } from './execution.ts';
import { Finisher } from './finisher.ts';
import { measureChange } from './measure.ts';
import { JobQueue } from './queue.ts';
import { RunningJobs } from './running-jobs.ts';

export interface RunnerOptions {
  readonly store: JobStore;
  readonly createStarter: (events: StarterEvents) => Starter;
  readonly kinds: JobKinds;
  /** Keeps the stdin of jobs open; `undefined`: not needed. */
  readonly stdinHolder: StdinHolder | undefined;
  readonly maxRunning: number;
  /** Whether the server has file descriptors for one more job beside `running` others. Default: always. */
  readonly hasFiles?: ((running: number) => boolean) | undefined;
  readonly log: Log;
  /** Unix seconds. */
  readonly now: () => number;
  readonly pace: TimeSlicer;
  readonly onFinished: (job: TrackedJob) => void;
  /** Called when a finished job has left processes that were not known. */
  readonly onLingering: (job: TrackedJob) => void;
}

/** The delay after a failure to keep the stdin of a job open. */
const leaseRetryMs = 500;
/** The delay after there were no files for a job. */
const startRetryMs = 100;

export class Runner {
  readonly #options: RunnerOptions;
  readonly #starter: Starter;
  readonly #events: JobEvents;
  readonly #finisher: Finisher;
  readonly #context: ExecutionContext;
  readonly #running = new RunningJobs();
  readonly #queue = new JobQueue();
  #retryTimer: NodeJS.Timeout | undefined;
  /** Another server may own the jobs by now: nothing is written about them, and none is started. */
  #isClosed = false;

  constructor(options: RunnerOptions) {
    this.#options = options;
    const { store, log, now, pace, onLingering } = options;
    this.#events = this.#passOn();
    this.#starter = options.createStarter(this.#events);
    const finisher = new Finisher({ store, starter: this.#starter, log, pace, onLingering });
    this.#finisher = finisher;
    this.#context = {
      store, log, now,
      isClosed: () => this.#isClosed,
      save: (job) => finisher.save(job),
      findOrphans: (job, pid) => finisher.findOrphans(job, pid),
      finish: (job, outcome, isOnDisk) => this.#finish(job, outcome, isOnDisk),
    };
  }

  /** Lets the kinds act on jobs. Call it once, before a job is run. @param jobs What they may do with jobs. */
  attach(jobs: JobOperations): void {
    const { kinds } = this.#options;
    for (const kind of kinds.all) kind.attach({ starter: this.#starter, events: this.#events, jobs });
  }

  get executions(): Iterable<Execution> {
    return this.#running.all;
  }

  get running(): readonly TrackedJob[] {
    return [...this.#running.all].map(({ job }) => job);
  }

  get runningCount(): number {
    return this.#running.size;
  }

  get queuedCount(): number {
    return this.#queue.length;
  }

  /** Whether a job would be started at once. A job that is queued while there is room waits for its session. */
  hasRoom({ sessionKey, labels }: Pick<RequestSummary, 'sessionKey' | 'labels'>): boolean {
    // In this order, as the look for files takes longer.
    return (sessionKey === undefined || !this.#running.isBusy(sessionKey))
      && (labels[waitedForLabel] !== undefined || !this.#isFull);
  }

  /** Starts a job whose record on disk already says `running`. */
  start(job: TrackedJob, record: JobRecord): void {
    this.#occupy(job).start(record);
  }

  /** Queues a job. Jobs that an agent waits for come first, as they take no room. */
  enqueue(job: TrackedJob): void {
    this.#queue.add(job);
    this.#startNext();
  }

  /** Queues a job that an earlier server was about to start. Its launcher may still take it: its stdin stays open. */
  enqueueAgain(job: TrackedJob): void {
    if (job.state.is === 'running') job.mayBeClaimed = true;
    job.state = { is: 'pending' };
    this.enqueue(job);
  }

  /** Watches a running job by its files, as no launcher of this server waits for it. */
  adopt(job: TrackedJob): void {
    const parentPid = readLeader(job, this.#options);
    this.#occupy(job).adopt(parentPid);
  }

  /** Rearms the timeout of an adopted job. @param ageSeconds How long it has run. */
  rearm(job: TrackedJob, ageSeconds: number): void {
    this.#running.get(job.id)?.rearm(ageSeconds);
  }

  /** Records how a job of an earlier server ended. */
  finishRecovered(job: TrackedJob, outcome: Outcome, isOnDisk: boolean): void {
    this.#vacate(job);
    this.#finisher.finishRecovered(job, outcome, isOnDisk);
  }

  /**
   * Ends a job's whole tree. Resolves once it is ended, or, where a process hangs in the kernel, when nothing more can
   * be done. The first reason given stays.
   *
   * @param options Default: SIGTERM, and the grace that the job was submitted with.
   */
  async end(job: TrackedJob, reason: EndingReason, options: EndOptions = defaultEnding(job)): Promise<void> {
    const { store, now } = this.#options;
    if (job.state.is === 'pending') {
      this.#queue.remove(job);
      // A job that no launcher can have is cancelled also where the file is gone that would be claimed.
      const isUnstarted = claimUnstarted(job, store) || !job.mayBeClaimed;
      if (isUnstarted) return this.#finish(job, cancelledOutcome(now()), { isOnDisk: false });
      // A launcher of a server that was killed has claimed it.
      job.state = { is: 'running', startedAt: now() };
      this.adopt(job);
    }
    if (job.state.is === 'running') await this.#occupy(job).end(reason, options);
  }

  /** Writes to the job's stdin what fits. */
  writeStdin(job: TrackedJob, bytes: Uint8Array): ReturnType<Starter['writeStdin']> {
    job.hasInput = true;
    return this.#starter.writeStdin(job.id, this.#options.store.directory(job.id), bytes);
  }

  /** Closes the job's stdin: the job reads the end of its input. `false`: that cannot be done any more. */
  closeStdin(job: TrackedJob): boolean {
    job.isStdinClosed ||= this.#starter.closeStdin(job.id, job.stdinLease);
    return job.isStdinClosed;
  }

  /** The job's processes, once the first of them has begun to run the job, or after 10 s. */
  async family(job: TrackedJob): Promise<Family> {
    return await this.#running.get(job.id)?.family() ?? job.family;
  }

  /**
   * Sends a signal to the processes of the job. `false`: it has none.
   *
   * @param begin Called before the signal is sent.
   */
  async signal(job: TrackedJob, name: NodeJS.Signals, begin: () => void = () => undefined): Promise<boolean> {
    if (job.state.is !== 'running') return false;
    await this.family(job);
    begin();
    return await job.kind.signal(job, name);
  }

  saveAgain(job: TrackedJob): void {
    this.#finisher.save(job);
  }

  /** Measures a job's output now. @returns whether it, or the agent's state, has changed. */
  measure(job: TrackedJob): boolean {
    return measureChange(job, this.#options.store);
  }

  /** Releases the jobs: running ones keep running, and none is started any more. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#retryTimer);
    for (const execution of this.#running.all) execution.cancelTimeout();
    this.#finisher.close();
    this.#starter.close();
  }

  /** What the starter and the kinds report is passed on to the execution of the job. */
  #passOn(): JobEvents {
    const at = (id: string, act: (execution: Execution) => void): void => {
      const execution = this.#running.get(id);
      if (execution) act(execution);
    };
    return {
      onStarted: (id) => at(id, (execution) => execution.handedOver()),
      onShellStarted: (id, started) => at(id, (execution) => execution.shellStarted(started)),
      onExit: (id, exit) => this.#options.pace.run(() => at(id, (execution) => execution.handleExit(exit))),
      onClaimed: (id) => at(id, ({ job }) => this.adopt(job)),
      onOrphaned: (id) => at(id, ({ job }) => this.adopt(job)),
      onFailed: (id, error) => at(id, (execution) => execution.startFailed(error)),
    };
  }

  get #isFull(): boolean {
    const { maxRunning, hasFiles = () => true } = this.#options;
    return this.#running.size >= maxRunning || !hasFiles(this.#running.size);
  }

  /** The execution of the job, which takes up room from here on. */
  #occupy(job: TrackedJob): Execution {
    const execution = this.#running.get(job.id) ?? new Execution(job, this.#context);
    this.#running.add(execution);
    return execution;
  }

  #vacate(job: TrackedJob): void {
    this.#running.get(job.id)?.finished();
    this.#running.delete(job);
  }

  #finish(job: TrackedJob, outcome: Outcome, options: { readonly isOnDisk: boolean }): void {
    if (job.isFinished || this.#isClosed) return;
    this.#vacate(job);
    this.#finisher.finish(job, outcome, options);
    this.#options.onFinished(job);
    this.#startNext();
  }

  #startNext(): void {
    while (!this.#isClosed) {
      const job = this.#queue.take(({ request }) => this.hasRoom(request), { isFull: this.#isFull });
      if (job === undefined) return this.#startLater();
      const { stdinHolder } = this.#options;
      if (job.request.stdin !== 'fifo' || stdinHolder === undefined) this.#startQueued(job);
      else void this.#leaseStdinAndStart(job, stdinHolder);
    }
  }

  /** Tries again later: connections that end make room for jobs without a notification. */
  #startLater(): void {
    if (this.#options.hasFiles === undefined || this.#queue.length === 0) return;
    this.#retryTimer ??= setTimeout(() => {
      this.#retryTimer = undefined;
      this.#startNext();
    }, startRetryMs).unref();
  }

  #startQueued(job: TrackedJob): void {
    const { store, now } = this.#options;
    try {
      const state = { is: 'running', startedAt: now() } as const;
      const record: JobRecord = { ...store.read(job.id), ...defined({ hold: job.stdinLease }), state };
      store.write(record);
      job.state = state;
      this.start(job, record);
    } catch (error) {
      this.#finish(job, spawnErrorOutcome(now(), (error as Error).message), { isOnDisk: false });
    }
  }

  /**
   * Has the stdin of a queued job kept open, then starts the job. While there are no files for that, the job keeps its
   * slot and waits. A job whose stdin was replaced is started as it is: its launcher finds out.
   *
   * The former lease is released last: a launcher of a server that was killed may have claimed the job meanwhile, and
   * the job would read the end of its input. Never rejects.
   */
  async #leaseStdinAndStart(job: TrackedJob, stdinHolder: StdinHolder): Promise<void> {
    this.#occupy(job);
    const former = job.stdinLease;
    const lease = await this.#leaseStdin(job, stdinHolder);
    if (this.#isClosed || job.state.is !== 'pending') {
      if (lease !== undefined) stdinHolder.releaseLater(lease);
      return;
    }
    job.stdinLease = lease;
    this.#startQueued(job);
    if (former !== undefined) stdinHolder.releaseLater(former);
  }

  /** `undefined`: the job must not start any more, or something has replaced its stdin. */
  async #leaseStdin(job: TrackedJob, stdinHolder: StdinHolder): Promise<string | undefined> {
    const path = join(this.#options.store.directory(job.id), 'stdin');
    let hasWarned = false;
    while (!this.#isClosed && job.state.is === 'pending') {
      const [lease, error] = await stdinHolder.lease([path]).then(
        (leases) => [leases[0], undefined] as const,
        (failure: unknown) => [undefined, failure] as const,
      );
      if (lease !== undefined || this.#isClosed || !this.#options.store.mayOpenStdin(job.id)) return lease;
      if (!hasWarned) {
        this.#options.log.warn('cannot keep the stdin of the job open, trying again', { jobId: job.id, error });
      }
      hasWarned = true;
      await sleep(leaseRetryMs, undefined, { ref: false });
    }
    return undefined;
  }
}
