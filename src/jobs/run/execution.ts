/**
 * One running job, from when it takes up room until it has finished: its timeout, its adoption, its ending, its exit.
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../../base/log.ts';
import { longTimeout } from '../../base/long-timeout.ts';
import { type Family, findLeader } from '../../process/descendants.ts';
import { isAliveNow, isGroupAlive } from '../../process/identity.ts';
import { isStillLauncher } from '../../process/launcher/pool.ts';
import { isUnclaimed } from '../../process/launcher/process-note.ts';
import { isGone } from '../../process/terminate.ts';
import {
  cancelledOutcome, type EndingReason, type JobRecord, type JobState, lostOutcome, type Outcome, outcomeOf,
  spawnErrorOutcome,
} from '../job.ts';
import type { ShellStarted } from '../../protocol/shells.ts';
import type { EndOptions, JobExit } from '../kind.ts';
import type { JobStore } from '../store/store.ts';
import type { TrackedJob } from '../tracked-job.ts';

/** What an execution needs of the runner. */
export interface ExecutionContext {
  readonly store: JobStore;
  readonly log: Log;
  /** Unix seconds. */
  readonly now: () => number;
  /** Whether another server may own the jobs by now. */
  readonly isClosed: () => boolean;
  /** Writes the state of the job. */
  readonly save: (job: TrackedJob) => void;
  /** Lists the processes that a job has left, whose first was `pid`. Never rejects. */
  readonly findOrphans: (job: TrackedJob, pid: number) => Promise<void>;
  /** Ends the execution. @param isOnDisk The exit file says how the job ended. */
  readonly finish: (job: TrackedJob, outcome: Outcome, options: { readonly isOnDisk: boolean }) => void;
}

/** The timeout of a job. */
interface Timeout {
  readonly cancel: () => void;
  /** The job has been handed to a launcher or a shell, and its time counts. */
  readonly isHandedOver: boolean;
}

/** A job that no launcher of this server waits for: only its files report its end. */
interface Adoption {
  readonly parentPid: number;
  /** When its process was first found to be gone, on the clock of `performance.now()`. */
  goneAt: number | undefined;
}

type Running = Extract<JobState, { is: 'running' }>;

/** How long a job's exit code may take to arrive once its processes are gone. */
const exitReportTimeoutMs = 10_000;
/** How long a launcher may take to start a job that was handed to it. */
const claimTimeoutMs = 10_000;
/** How long a job that is to be ended may take to begin before it is taken from its launcher. */
const beginTimeoutMs = 1000;
/** The same for a job in a persistent shell: the shell is ended with it. */
const shellBeginTimeoutMs = 3000;
/** The time between two looks through all processes for that of a job. */
const searchIntervalMs = 200;
/** How long a job may wait for a launcher or its shell beyond its timeout. */
const launchWaitSeconds = 10;
/** The delay after a failure to end a job. */
const endRetrySeconds = 1;

const fullWarning = 'the disk of the state directory was full when the job ended: some of its output may be missing';

export class Execution {
  readonly job: TrackedJob;
  readonly #context: ExecutionContext;
  #timeout: Timeout | undefined;
  #adoption: Adoption | undefined;
  #ending: Promise<void> | undefined;
  /** Set if the end of the job was reported while the rest of the tree was being ended. */
  #exit: { readonly code: number | undefined } | undefined;

  constructor(job: TrackedJob, context: ExecutionContext) {
    this.job = job;
    this.#context = context;
  }

  /** Whether only the job's files report its end. */
  get isAdopted(): boolean {
    return this.#adoption !== undefined;
  }

  /** Starts the job, whose record on disk already says `running`. */
  start({ request }: JobRecord): void {
    const { job } = this;
    const { limitSeconds } = job.request;
    if (limitSeconds !== null) this.#armTimeout(limitSeconds + launchWaitSeconds, { isHandedOver: false });
    try {
      job.kind.start(job, request, this.#directory);
    } catch (error) {
      const outcome = spawnErrorOutcome(this.#context.now(), (error as Error).message);
      this.#context.finish(job, outcome, { isOnDisk: false });
    }
  }

  /** The timeout counts from the first hand-over, also where another launcher or shell gets the job later. */
  handedOver(): void {
    if (this.#timeout?.isHandedOver !== true) this.#armTimeout(this.job.request.limitSeconds);
  }

  /** Saves that the job is the first of its shell, before the shell knows of the job: every later server knows it. */
  shellStarted(started: ShellStarted): void {
    this.job.shellStarted = started;
    this.#context.save(this.job);
    this.job.changed();
  }

  /** The start of the job has failed, unless a launcher has claimed it nevertheless. */
  startFailed(error: Error): void {
    const { now, finish } = this.#context;
    if (!this.#claimUnstarted()) return this.#adoptClaimed();
    finish(this.job, spawnErrorOutcome(now(), error.message), { isOnDisk: false });
  }

  /**
   * Watches the job by its files, as no launcher of this server waits for it.
   *
   * @param parentPid Its launcher, see {@link readLeader}.
   */
  adopt(parentPid: number): void {
    const { job } = this;
    const isWatched = job.kind.adopt?.(job, this.#directory) ?? true;
    if (isWatched) this.#adoption = { parentPid, goneAt: undefined };
    if (isWatched && this.#context.store.isProcessLost(job.id)) void this.#findLeader();
    job.changed();
  }

  /** Rearms the timeout of an adopted job. @param ageSeconds How long it has run. */
  rearm(ageSeconds: number): void {
    const { limitSeconds } = this.job.request;
    this.#armTimeout(limitSeconds === null ? null : Math.max(0, limitSeconds - ageSeconds));
  }

  /** Checks whether the job, if adopted, has ended. */
  checkAdopted(): void {
    const { job } = this;
    const { store } = this.#context;
    const adoption = this.#adoption;
    if (!adoption) return;
    job.leader ??= store.readProcess(job.id)?.identity;
    // Before the exit file, which the job itself may have written.
    if (job.leader && isAliveNow(job.leader)) {
      adoption.goneAt = undefined;
      return;
    }
    const exit = store.readExit(job.id);
    if (exit) return this.handleExit(exitOf(job, exit.code));
    adoption.goneAt ??= performance.now();
    // Its launcher, if it still runs, is about to write the exit code.
    const mayReport = adoption.parentPid === 0 || isGroupAlive(adoption.parentPid);
    if (mayReport && performance.now() - adoption.goneAt < exitReportTimeoutMs) return;
    // Read again: the launcher may have written the exit code and ended since the first look.
    this.handleExit(exitOf(job, store.readExit(job.id)?.code));
  }

  /** Handles the end of the job's process; without a code it is unknown how the process ended. */
  handleExit({ code, pid, hasLeft, shellEnded }: JobExit): void {
    const { job } = this;
    if (job.isFinished) return;
    this.#adoption = undefined;
    job.shellEnded ??= shellEnded;
    job.pid = pid || job.pid;
    if (this.#ending) {
      this.#exit = { code: code ?? this.#exit?.code };
      job.changed();
      return;
    }
    if (hasLeft) void this.#context.findOrphans(job, pid);
    this.#finishExited(code);
  }

  /** Ends the job's whole tree, see `Runner.end`. */
  async end(reason: EndingReason, options: EndOptions): Promise<void> {
    const { job } = this;
    const { state } = job;
    if (state.is !== 'running') return;
    const before = this.#ending;
    if (before) {
      // A second call may have a shorter grace than the first.
      if (job.leader) await job.kind.terminate(job, options);
      return before;
    }
    this.#ending = this.#end(state, reason, options).finally(() => { this.#ending = undefined; });
    return this.#ending;
  }

  /** The job's processes, once the first of them has begun to run the job, or after `limitMs`. */
  async family(limitMs: number = claimTimeoutMs): Promise<Family> {
    const { job } = this;
    const deadline = performance.now() + limitMs;
    while (!this.#hasBegun() && performance.now() < deadline) {
      const isLost = this.#context.store.isProcessLost(job.id);
      // A persistent shell knows its job without the file.
      if (isLost && (!job.kind.hasOwnProcess || await this.#findLeader())) break;
      await sleep(isLost ? searchIntervalMs : 5);
    }
    job.pid ??= job.leader?.pid ?? null;
    return job.family;
  }

  /** Called once the job has finished. */
  finished(): void {
    this.#adoption = undefined;
    this.cancelTimeout();
  }

  cancelTimeout(): void {
    this.#timeout?.cancel();
    this.#timeout = undefined;
  }

  get #directory(): string {
    return this.#context.store.directory(this.job.id);
  }

  async #end(state: Running, reason: EndingReason, options: EndOptions): Promise<void> {
    // The caller registers this ending before anything happens, so that later calls find it.
    await Promise.resolve();
    const { job } = this;
    const { log, save } = this.#context;
    if (job.kind.cancelPending(job)) {
      if (this.#claimUnstarted()) return this.#finishUnstarted(reason);
      this.#adoptClaimed();
    }
    job.state = { ...state, ending: reason };
    save(job);
    if (await this.#isWithdrawn()) return this.#finishUnstarted(reason);
    const wasAdopted = this.isAdopted;
    const hasEnded = await job.kind.terminate(job, options);
    if (!hasEnded) log.warn('a process of the job hangs in the kernel', { jobId: job.id });
    const code = await this.#awaitExitCode(wasAdopted);
    this.#exit = undefined;
    this.#finishExited(code);
  }

  /** The exit code of the job, whose processes have been ended; `undefined`: none came in time, or none will come. */
  async #awaitExitCode(wasAdopted: boolean): Promise<number | undefined> {
    const { store, isClosed } = this.#context;
    const deadline = performance.now() + exitReportTimeoutMs;
    while (this.#exit === undefined && performance.now() < deadline && !isClosed()) {
      await sleep(5);
      const code = this.isAdopted ? store.readExit(this.job.id)?.code : undefined;
      if (code !== undefined) return code;
      // The job has replaced its exit file: no code will come.
      if (wasAdopted && store.isExitLost(this.job.id)) break;
    }
    return this.#exit?.code;
  }

  #finishUnstarted(reason: EndingReason): void {
    const { now, finish } = this.#context;
    finish(this.job, { ...cancelledOutcome(now()), reason }, { isOnDisk: false });
  }

  /**
   * Waits until a job that is to be ended has begun. If it does not begin in time, it is claimed so that it never does.
   *
   * @returns whether nothing of the job was run. A persistent shell may have begun with it nevertheless.
   */
  async #isWithdrawn(): Promise<boolean> {
    const { hasOwnProcess } = this.job.kind;
    await this.family(hasOwnProcess ? beginTimeoutMs : shellBeginTimeoutMs);
    if (this.#hasBegun()) return false;
    if (isUnclaimed(this.#directory) && this.#claimUnstarted()) {
      return hasOwnProcess && await isGone(this.job.family);
    }
    await this.family();
    return false;
  }

  #claimUnstarted(): boolean {
    return claimUnstarted(this.job, this.#context.store);
  }

  #adoptClaimed(): void {
    this.adopt(readLeader(this.job, this.#context));
  }

  /** Finds the first process of a job that has replaced the file which names it. @returns whether it is known now. */
  async #findLeader(): Promise<boolean> {
    const { job } = this;
    try {
      job.leader ??= await findLeader(job.id);
    } catch (error) {
      this.#context.log.warn('cannot look for the process of the job', { jobId: job.id, error });
    }
    return job.leader !== undefined;
  }

  #hasBegun(): boolean {
    const { job } = this;
    if (job.isFinished || this.#exit !== undefined) return true;
    job.leader ??= this.#context.store.readProcess(job.id)?.identity;
    return job.leader !== undefined && !isStillLauncher(job.leader.pid);
  }

  #finishExited(code: number | undefined): void {
    const { job } = this;
    const { state } = job;
    if (state.is !== 'running') return;
    const { store, now, finish } = this.#context;
    const written = store.stat(job.id, 'exit');
    const isOnDisk = code !== undefined && typeof written === 'object' && written.size > 0;
    if (code !== undefined && !isOnDisk && store.isFull) job.warn(fullWarning);
    const finishedAt = isOnDisk ? Math.max(written.mtimeMs / 1000, state.startedAt) : now();
    const ending = state.ending ?? job.kind.endingBy?.(code);
    const outcome = code === undefined ? lostOutcome(finishedAt, ending)
      : outcomeOf({ code, finishedAt, isStarted: this.#wasStarted(code) }, ending);
    finish(job, outcome, { isOnDisk });
  }

  /** Only these two codes can mean that the program was not started (POSIX, Shell Command Language 2.8.2). */
  #wasStarted(code: number): boolean {
    if (code !== 126 && code !== 127) return true;
    try {
      return this.#context.store.readProcess(this.job.id)?.isStarted ?? false;
    } catch {
      // Without a file descriptor to read the file with, the program could not have been started either.
      return false;
    }
  }

  #armTimeout(seconds: number | null, { isHandedOver = true }: { isHandedOver?: boolean } = {}): void {
    if (seconds === null) return;
    this.#timeout?.cancel();
    const cancel = longTimeout(() => {
      this.end('timeout', defaultEnding(this.job)).catch((error: unknown) => {
        this.#context.log.error('cannot end the job at its timeout, trying again', { jobId: this.job.id, error });
        this.#armTimeout(endRetrySeconds);
      });
    }, seconds * 1000);
    this.#timeout = { cancel, isHandedOver };
  }
}

/** SIGTERM, and the grace that the job was submitted with. */
export function defaultEnding({ request }: TrackedJob): EndOptions {
  return { signal: 'SIGTERM', graceMs: request.killGraceSeconds * 1000 };
}

/**
 * Claims an unstarted job so that no launcher can run it, not even one of a server that was killed.
 * `false`: a launcher claimed it first.
 */
export function claimUnstarted({ id }: TrackedJob, store: JobStore): boolean {
  try {
    return store.claim(id);
  } catch {
    // A full disk, for example.
    return !store.isClaimed(id);
  }
}

/** Reads which process runs a claimed job, before its adoption. @returns the pid of its launcher; 0: not known. */
export function readLeader(job: TrackedJob, { store, now }: Pick<ExecutionContext, 'store' | 'now'>): number {
  const note = store.readProcess(job.id);
  job.leader = note?.identity ?? job.leader;
  job.pid = job.leader?.pid ?? null;
  // Only a replaced record says `pending` of a claimed job.
  if (job.state.is === 'pending') job.state = { is: 'running', startedAt: now() };
  return note?.parentPid ?? 0;
}

function exitOf({ pid }: TrackedJob, code: number | undefined): JobExit {
  return { code, pid: pid ?? 0, hasLeft: isGroupAlive(pid ?? 0) };
}
