/**
 * Runs jobs: starts them when there is room, learns how they end, and ends them at a limit or on request.
 * @module
 */
import { join } from 'node:path';
import type { Stats } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { defined } from '../../base/defined.ts';
import type { Log } from '../../base/log.ts';
import { longTimeout } from '../../base/long-timeout.ts';
import type { TimeSlicer } from '../../base/time-slicer.ts';
import type { JobId } from '../../protocol/ids.ts';
import { drainFifo } from '../../process/launcher/fifo.ts';
import { type Family, findLeader } from '../../process/descendants.ts';
import { isAliveNow, isGroupAlive } from '../../process/identity.ts';
import type { StdinHolder } from '../../process/launcher/stdin-holder.ts';
import { isStillLauncher } from '../../process/launcher/pool.ts';
import type { ShellEnded, ShellStarted } from '../../protocol/shells.ts';
import { isUnclaimed } from '../../process/launcher/process-note.ts';
import type { Starter, StarterEvents } from '../../process/launcher/starter.ts';
import { isGone } from '../../process/terminate.ts';
import type { TrackedJob } from '../tracked-job.ts';
import {
  cancelledOutcome, type EndingReason, type JobRecord, type JobState, lostOutcome, type Outcome, outcomeOf,
  spawnErrorOutcome, statusOf,
} from '../job.ts';
import { OrphanFinder } from './orphan-finder.ts';
import {
  type EndOptions, eventsFile, type JobEvents, type JobExit, type JobOperations, type RequestSummary, waitedForLabel,
} from '../kind.ts';
import type { JobKinds } from '../kinds.ts';
import type { JobStore } from '../store/store.ts';

export interface RunnerOptions {
  readonly store: JobStore;
  readonly createStarter: (events: StarterEvents) => Starter;
  readonly kinds: JobKinds;
  /** What the kinds may do with jobs. */
  readonly operations: JobOperations;
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

/** The timeout of a job. */
interface Timeout {
  readonly cancel: () => void;
  /** The job has been handed to a launcher or a shell, and its time counts. */
  readonly isHandedOver: boolean;
}

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
/** The delay after a failure to keep the stdin of a job open. */
const leaseRetryMs = 500;
/** The delay after there were no files for a job. */
const startRetryMs = 100;

const fullWarning = 'the disk of the state directory was full when the job ended: some of its output may be missing';

type Running = Extract<JobState, { is: 'running' }>;

export class Runner {
  readonly #options: RunnerOptions;
  readonly #starter: Starter;
  readonly #running = new Map<string, TrackedJob>();
  /** Sessions that have a running job. */
  readonly #busySessions = new Set<string>();
  readonly #queue: TrackedJob[] = [];
  #retryTimer: NodeJS.Timeout | undefined;
  /** Queued jobs that an earlier server was about to start: a launcher of that server may have them. */
  readonly #maybeClaimed = new Set<TrackedJob>();
  /** How many jobs at the front of the queue an agent waits for. */
  #waitedForCount = 0;
  readonly #timeouts = new Map<TrackedJob, Timeout>();
  readonly #endings = new Map<TrackedJob, Promise<void>>();
  /** Exit codes that arrived while the rest of the tree was being ended. */
  readonly #exits = new Map<TrackedJob, number>();
  /** Jobs that no launcher of this server waits for: only their files report their end. */
  readonly #adopted = new Map<TrackedJob, { parentPid: number; goneAt: number | undefined }>();
  readonly #orphans: OrphanFinder;
  /** Another server may own the jobs by now: nothing is written about them, and none is started. */
  #isClosed = false;

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.#orphans = new OrphanFinder({ log: options.log, onFound: options.onLingering });
    const events: JobEvents = {
      onStarted: (id) => this.#withRunning(id, (job) => this.#onHandedOver(job)),
      onShellStarted: (id, started) => this.#withRunning(id, (job) => this.#shellStarted(job, started)),
      onExit: (id, exit) => options.pace.run(() => this.#withRunning(id, (job) => this.handleExit(job, exit))),
      onClaimed: (id) => this.#withRunning(id, (job) => this.adopt(job)),
      onOrphaned: (id) => this.#withRunning(id, (job) => this.adopt(job)),
      onFailed: (id, error) => this.#withRunning(id, (job) => {
        if (this.#claimUnstarted(job)) this.#finish(
          job, spawnErrorOutcome(options.now(), error.message), { isOnDisk: false },
        );
        else this.adopt(job);
      }),
    };
    this.#starter = options.createStarter(events);
    for (const kind of options.kinds.all) kind.attach({ starter: this.#starter, events, jobs: options.operations });
  }

  get running(): Iterable<TrackedJob> {
    return this.#running.values();
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
    return (sessionKey === undefined || !this.#busySessions.has(sessionKey))
      && (labels[waitedForLabel] !== undefined || !this.#isFull);
  }

  /** Jobs whose end only their files report. */
  get adopted(): Iterable<TrackedJob> {
    return this.#adopted.keys();
  }

  /** Starts a job whose record on disk already says `running`. */
  start(job: TrackedJob, record: JobRecord): void {
    this.#occupy(job);
    const { limitSeconds } = job.request;
    if (limitSeconds !== null) this.#armTimeout(job, limitSeconds + launchWaitSeconds, { isHandedOver: false });
    try {
      job.kind.start(job, record.request, this.#options.store.directory(job.id));
    } catch (error) {
      this.#finish(job, spawnErrorOutcome(this.#options.now(), (error as Error).message), { isOnDisk: false });
    }
  }

  /** Queues a job. Jobs that an agent waits for come first, as they take no room. */
  enqueue(job: TrackedJob): void {
    if (job.request.labels[waitedForLabel] === undefined) this.#queue.push(job);
    else this.#queue.splice((this.#waitedForCount += 1) - 1, 0, job);
    this.#startNext();
  }

  /** Queues a job that an earlier server was about to start. Its launcher may still take it: its stdin stays open. */
  enqueueAgain(job: TrackedJob): void {
    if (job.state.is === 'running') this.#maybeClaimed.add(job);
    job.state = { is: 'pending' };
    this.enqueue(job);
  }

  get #isFull(): boolean {
    const { maxRunning, hasFiles = () => true } = this.#options;
    return this.#running.size >= maxRunning || !hasFiles(this.#running.size);
  }

  #dequeue(index: number): TrackedJob | undefined {
    if (index < 0) return undefined;
    if (index < this.#waitedForCount) this.#waitedForCount -= 1;
    return this.#queue.splice(index, 1)[0];
  }

  /** Watches a running job by its files, as no launcher of this server waits for it. */
  adopt(job: TrackedJob): void {
    const note = this.#options.store.readProcess(job.id);
    job.leader = note?.identity ?? job.leader;
    job.pid = job.leader?.pid ?? null;
    // Only a replaced record says `pending` of a claimed job.
    if (job.state.is === 'pending') job.state = { is: 'running', startedAt: this.#options.now() };
    this.#occupy(job);
    const isWatched = job.kind.adopt?.(job, this.#options.store.directory(job.id)) ?? true;
    if (isWatched) this.#adopted.set(job, { parentPid: note?.parentPid ?? 0, goneAt: undefined });
    if (isWatched && this.#options.store.isProcessLost(job.id)) void this.#findLeader(job);
    job.changed();
  }

  /** Rearms the timeout of an adopted job. @param ageSeconds How long it has run. */
  rearm(job: TrackedJob, ageSeconds: number): void {
    const { limitSeconds } = job.request;
    this.#armTimeout(job, limitSeconds === null ? null : Math.max(0, limitSeconds - ageSeconds));
  }

  /** Records how a job of an earlier server ended. */
  finishRecovered(job: TrackedJob, outcome: Outcome, isOnDisk: boolean): void {
    const { state } = job;
    this.#vacate(job);
    if (state.is !== 'finished') this.#explain(job, outcome);
    if (state.is !== 'finished') job.shellEnded = this.#shellEndedWith(job);
    this.#measure(job);
    if (job.request.stdin === 'fifo' && state.is !== 'finished') this.#removeStdin(job);
    job.state = { is: 'finished', startedAt: state.is === 'pending' ? null : state.startedAt, outcome };
    if (!isOnDisk || (state.is !== 'finished' && job.shellEnded !== undefined)) this.#save(job);
    if (state.is !== 'finished') this.#cleanUpProcesses(job);
    this.#orphans.lookLater(job);
  }

  /** How the persistent shell of a job of an earlier server ended with it. */
  #shellEndedWith(job: TrackedJob): ShellEnded | undefined {
    return job.kind.shellEndedWith?.(job, this.#options.store.directory(job.id));
  }

  /** Checks whether an adopted job has ended. */
  checkAdopted(job: TrackedJob): void {
    const adopted = this.#adopted.get(job);
    if (!adopted) return;
    job.leader ??= this.#options.store.readProcess(job.id)?.identity;
    // Before the exit file, which the job itself may have written.
    if (job.leader && isAliveNow(job.leader)) {
      adopted.goneAt = undefined;
      return;
    }
    const exit = this.#options.store.readExit(job.id);
    if (exit) return this.handleExit(job, this.#exitOf(job, exit.code));
    adopted.goneAt ??= performance.now();
    // Its launcher, if it still runs, is about to write the exit code.
    const mayReport = adopted.parentPid === 0 || isGroupAlive(adopted.parentPid);
    if (mayReport && performance.now() - adopted.goneAt < exitReportTimeoutMs) return;
    // Read again: the launcher may have written the exit code and ended since the first look.
    this.handleExit(job, this.#exitOf(job, this.#options.store.readExit(job.id)?.code));
  }

  /** Handles the end of a job's process; without a code it is unknown how the process ended. */
  handleExit(job: TrackedJob, exit: JobExit): void {
    if (job.isFinished) return;
    const { code, pid, hasLeft } = exit;
    this.#adopted.delete(job);
    job.shellEnded ??= exit.shellEnded;
    job.pid = pid || job.pid;
    if (this.#endings.has(job)) {
      if (code !== undefined) this.#exits.set(job, code);
      job.changed();
      return;
    }
    if (hasLeft) void this.#findOrphans(job, pid);
    this.#finishExited(job, code);
  }

  /** Lists the processes that a job has left; the job finishes before that. Never rejects. */
  async #findOrphans(job: TrackedJob, pid: number): Promise<void> {
    job.isSearching = true;
    await this.#orphans.look(job, pid);
    job.isSearching = false;
    if (!this.#isClosed) {
      this.#drainStdin(job);
      this.#releaseStdin(job);
    }
    job.changed();
  }

  /**
   * Ends a job's whole tree. Resolves once it is ended, or, where a process hangs in the kernel, when nothing more can
   * be done. The first reason given stays.
   *
   * @param options Default: SIGTERM, and the grace that the job was submitted with.
   */
  async end(job: TrackedJob, reason: EndingReason, options: EndOptions = defaultEnding(job)): Promise<void> {
    if (job.state.is === 'pending') {
      this.#dequeue(this.#queue.indexOf(job));
      // A job that no launcher can have is cancelled also where the file is gone that would be claimed.
      const isUnstarted = this.#claimUnstarted(job) || !this.#maybeClaimed.has(job);
      if (isUnstarted) return this.#finish(job, cancelledOutcome(this.#options.now()), { isOnDisk: false });
      // A launcher of a server that was killed has claimed it.
      job.state = { is: 'running', startedAt: this.#options.now() };
      this.adopt(job);
    }
    const { state } = job;
    if (state.is !== 'running') return;
    const before = this.#endings.get(job);
    if (before) {
      // A second call may have a shorter grace than the first.
      if (job.leader) await job.kind.terminate(job, options);
      return before;
    }
    const ending = this.#end(job, state, reason, options).finally(() => this.#endings.delete(job));
    this.#endings.set(job, ending);
    return ending;
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

  /** The job's processes, once the first of them has begun to run the job, or after `limitMs`. */
  async leaderOf(job: TrackedJob, limitMs: number = claimTimeoutMs): Promise<Family> {
    const deadline = performance.now() + limitMs;
    while (!this.#hasBegun(job) && performance.now() < deadline) {
      const isLost = this.#options.store.isProcessLost(job.id);
      // A persistent shell knows its job without the file.
      if (isLost && (!job.kind.hasOwnProcess || await this.#findLeader(job))) break;
      await sleep(isLost ? searchIntervalMs : 5);
    }
    job.pid ??= job.leader?.pid ?? null;
    return job.family;
  }

  /** Finds the first process of a job that has replaced the file which names it. @returns whether it is known now. */
  async #findLeader(job: TrackedJob): Promise<boolean> {
    try {
      job.leader ??= await findLeader(job.id);
    } catch (error) {
      this.#options.log.warn('cannot look for the process of the job', { jobId: job.id, error });
    }
    return job.leader !== undefined;
  }

  #hasBegun(job: TrackedJob): boolean {
    if (job.isFinished || this.#exits.has(job)) return true;
    job.leader ??= this.#options.store.readProcess(job.id)?.identity;
    return job.leader !== undefined && !isStillLauncher(job.leader.pid);
  }

  /** Releases the jobs: running ones keep running, and none is started any more. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#retryTimer);
    for (const { cancel } of this.#timeouts.values()) cancel();
    this.#orphans.close();
    this.#starter.close();
  }

  /**
   * Sends a signal to the processes of the job. `false`: it has none.
   *
   * @param begin Called before the signal is sent.
   */
  async signal(job: TrackedJob, name: NodeJS.Signals, begin: () => void = () => undefined): Promise<boolean> {
    if (job.state.is !== 'running') return false;
    await this.leaderOf(job);
    begin();
    return await job.kind.signal(job, name);
  }

  /** Ends what must not outlive the job. */
  #cleanUpProcesses(job: TrackedJob): void {
    job.kind.cleanUp?.(job, defaultEnding(job)).catch((error: unknown) =>
      this.#options.log.warn('cannot end what is left of the job', { jobId: job.id, error }));
  }

  #occupy(job: TrackedJob): void {
    this.#running.set(job.id, job);
    if (job.request.sessionKey !== undefined) this.#busySessions.add(job.request.sessionKey);
  }

  #vacate(job: TrackedJob): void {
    if (this.#running.delete(job.id) && job.request.sessionKey !== undefined)
      this.#busySessions.delete(job.request.sessionKey);
  }

  #exitOf(job: TrackedJob, code: number | undefined): JobExit {
    const pid = job.pid ?? 0;
    return { code, pid, hasLeft: isGroupAlive(pid) };
  }

  async #end(job: TrackedJob, state: Running, reason: EndingReason, options: EndOptions): Promise<void> {
    // The caller registers this ending before anything happens, so that later calls find it.
    await Promise.resolve();
    const { log } = this.#options;
    if (job.kind.cancelPending(job)) {
      if (this.#claimUnstarted(job)) return this.#finish(
        job, { ...cancelledOutcome(this.#options.now()), reason }, { isOnDisk: false },
      );
      this.adopt(job);
    }
    job.state = { ...state, ending: reason };
    this.#save(job);
    if (await this.#isWithdrawn(job)) return this.#finish(
      job, { ...cancelledOutcome(this.#options.now()), reason }, { isOnDisk: false },
    );
    const wasAdopted = this.#adopted.has(job);
    const hasEnded = await job.kind.terminate(job, options);
    if (!hasEnded) log.warn('a process of the job hangs in the kernel', { jobId: job.id });
    const deadline = performance.now() + exitReportTimeoutMs;
    let exit = this.#exits.get(job);
    while (exit === undefined && performance.now() < deadline && !this.#isClosed) {
      await sleep(5);
      exit = this.#exits.get(job)
        ?? (this.#adopted.has(job) ? this.#options.store.readExit(job.id)?.code : undefined);
      // No exit code will come: the last look at the job is done, or the job has replaced its exit file.
      if (
        exit === undefined && wasAdopted
        && (!this.#adopted.has(job) || this.#options.store.isExitLost(job.id))
      ) break;
    }
    this.#exits.delete(job);
    this.#finishExited(job, exit);
  }

  /**
   * Waits until a job that is to be ended has begun. If it does not begin in time, it is claimed so that it never does.
   *
   * @returns whether nothing of the job was run. A persistent shell may have begun with it nevertheless.
   */
  async #isWithdrawn(job: TrackedJob): Promise<boolean> {
    const { hasOwnProcess } = job.kind;
    await this.leaderOf(job, hasOwnProcess ? beginTimeoutMs : shellBeginTimeoutMs);
    if (this.#hasBegun(job)) return false;
    if (isUnclaimed(this.#options.store.directory(job.id)) && this.#claimUnstarted(job))
      return hasOwnProcess && await isGone(job.family);
    await this.leaderOf(job);
    return false;
  }

  /**
   * Claims an unstarted job so that no launcher can run it, not even one of a server that was killed.
   * `false`: a launcher claimed it first.
   */
  #claimUnstarted(job: TrackedJob): boolean {
    const { store } = this.#options;
    try {
      return store.claim(job.id);
    } catch {
      // A full disk, for example.
      return !store.isClaimed(job.id);
    }
  }

  #finishExited(job: TrackedJob, code: number | undefined): void {
    const { state } = job;
    if (state.is !== 'running') return;
    const { store, now } = this.#options;
    const written = store.stat(job.id, 'exit');
    const isOnDisk = code !== undefined && typeof written === 'object' && written.size > 0;
    if (code !== undefined && !isOnDisk && store.isFull) job.warn(fullWarning);
    const finishedAt = isOnDisk ? Math.max(written.mtimeMs / 1000, state.startedAt) : now();
    const ending = state.ending ?? job.kind.endingBy?.(code);
    const outcome = code === undefined ? lostOutcome(finishedAt, ending)
      : outcomeOf({ code, finishedAt, isStarted: this.#wasStarted(job, code) }, ending);
    this.#finish(job, outcome, { isOnDisk });
  }

  /** Only these two codes can mean that the program was not started (POSIX, Shell Command Language 2.8.2). */
  #wasStarted(job: TrackedJob, code: number): boolean {
    if (code !== 126 && code !== 127) return true;
    try {
      return this.#options.store.readProcess(job.id)?.isStarted ?? false;
    } catch {
      // Without a file descriptor to read the file with, the program could not have been started either.
      return false;
    }
  }

  #finish(job: TrackedJob, outcome: Outcome, options: { isOnDisk: boolean }): void {
    const { state } = job;
    if (state.is === 'finished' || this.#isClosed) return;
    this.#vacate(job);
    this.#adopted.delete(job);
    this.#maybeClaimed.delete(job);
    this.#timeouts.get(job)?.cancel();
    this.#timeouts.delete(job);
    this.#explain(job, outcome);
    this.#measure(job);
    if (!job.isSearching) this.#drainStdin(job);
    job.state = { is: 'finished', startedAt: state.is === 'running' ? state.startedAt : null, outcome };
    // The exit file is enough, except for what it does not hold.
    if (!options.isOnDisk || job.warnings.length > 0 || job.shellEnded !== undefined) this.#save(job);
    const { reason, exitCode } = outcome;
    this.#options.log.info('job finished', { jobId: job.id, status: statusOf(job.state), reason, exitCode });
    this.#cleanUpProcesses(job);
    this.#orphans.lookLater(job);
    if (!job.isSearching) this.#releaseStdin(job);
    this.#options.onFinished(job);
    this.#startNext();
  }

  /** Saves that the job is the first of its shell, before the shell knows of the job: every later server knows it. */
  #shellStarted(job: TrackedJob, started: ShellStarted): void {
    job.shellStarted = started;
    this.#save(job);
    job.changed();
  }

  /** Called before the job's output is measured for the last time. */
  #explain(job: TrackedJob, outcome: Outcome): void {
    try {
      job.kind.explain?.(job, outcome, this.#options.store.directory(job.id));
    } catch (error) {
      // A full disk, or a file that the job has replaced: acpError says the same.
      this.#options.log.warn('cannot write into the output of the job how it ended', { jobId: job.id, error });
    }
  }

  /** Discards and counts the input that the job has not read, unless a process that outlived it may still read it. */
  #drainStdin(job: TrackedJob): void {
    if (job.hasInput && job.lingering.length === 0)
      job.stdinUnreadBytes = drainFifo(join(this.#options.store.directory(job.id), 'stdin'));
  }

  /** Releases the stdin in a later turn: an answer that waits for the job comes first. */
  #releaseStdin(job: TrackedJob): void {
    if (job.request.stdin !== 'fifo') return;
    setImmediate(() => this.#options.pace.run(() => this.#removeStdin(job)));
  }

  #removeStdin(job: TrackedJob): void {
    this.#options.store.removeStdin(job.id);
    if (!job.isStdinClosed) this.#starter.releaseStdin(job.stdinLease);
    job.isStdinClosed = true;
  }

  /** Writes a state that only the server knows; a failed write is tried again, see {@link saveAgain}. */
  #save(job: TrackedJob): void {
    try {
      const { warnings, cut, shellStarted, shellEnded } = job;
      const said = warnings.length === 0 ? {} : { warnings, cut: [...cut] };
      this.#options.store.writeState(job.id, job.state, { ...said, ...defined({ shellStarted, shellEnded }) });
      job.isUnsaved = false;
    } catch (error) {
      if (!job.isUnsaved) this.#options.log.warn('cannot write the state of the job', { jobId: job.id, error });
      job.isUnsaved = true;
    }
  }

  saveAgain(job: TrackedJob): void {
    this.#save(job);
  }

  #measure(job: TrackedJob): void {
    const replaced: string[] = [];
    const look = (file: string): Stats | undefined => {
      const stats = this.#options.store.stat(job.id, file);
      if (stats !== 'replaced') return stats;
      replaced.push(file);
      return undefined;
    };
    const stdout = look('stdout');
    const stderr = look('stderr');
    // A replaced file is reported as that, not as truncated.
    for (const [name, before, now] of [
      ['stdout', job.stdoutBytes, stdout],
      ['stderr', job.stderrBytes, stderr],
    ] as const) {
      if ((now?.size ?? 0) < before && !replaced.includes(name)) job.markCut(name);
    }
    job.stdoutBytes = stdout?.size ?? 0;
    job.stderrBytes = stderr?.size ?? 0;
    const { interaction } = job.kind;
    const events = interaction && look(eventsFile);
    job.eventsBytes = events?.size ?? 0;
    job.storedBytes = [stdout, stderr, events].reduce((sum, stats) => sum + storedBytesOf(stats), 0);
    if (interaction) job.stateWrittenAt = look(interaction.stateFile)?.mtimeMs ?? 0;
    job.replacedFiles = replaced;
    const times = [stdout, stderr, events].flatMap((stat) => (stat && stat.size > 0 ? [stat.mtimeMs / 1000] : []));
    // The clock of the file system has a resolution of a few milliseconds.
    const startedAt = job.state.is === 'pending' ? null : job.state.startedAt;
    job.lastOutputAt = times.length === 0 ? null : Math.max(...times, startedAt ?? 0);
  }

  /** Measures a job's output now. @returns whether it, or the agent's state, has changed. */
  measure(job: TrackedJob): boolean {
    const { outputBytes, stateWrittenAt } = job;
    this.#measure(job);
    return job.outputBytes !== outputBytes || job.stateWrittenAt !== stateWrittenAt;
  }

  /** The timeout counts from the first hand-over, also where another launcher or shell gets the job later. */
  #onHandedOver(job: TrackedJob): void {
    if (this.#timeouts.get(job)?.isHandedOver !== true) this.#armTimeout(job, job.request.limitSeconds);
  }

  #armTimeout(job: TrackedJob, seconds: number | null, { isHandedOver = true }: { isHandedOver?: boolean } = {}): void {
    if (seconds === null) return;
    this.#timeouts.get(job)?.cancel();
    const cancel = longTimeout(() => {
      this.end(job, 'timeout').catch((error: unknown) => {
        this.#options.log.error('cannot end the job at its timeout, trying again', { jobId: job.id, error });
        this.#armTimeout(job, endRetrySeconds);
      });
    }, seconds * 1000);
    this.#timeouts.set(job, { cancel, isHandedOver });
  }

  #startNext(): void {
    while (!this.#isClosed) {
      // While there is no room, only jobs that an agent waits for can start.
      const able = this.#isFull ? this.#queue.slice(0, this.#waitedForCount) : this.#queue;
      const job = this.#dequeue(able.findIndex(({ request }) => this.hasRoom(request)));
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
    try {
      const { stdinLease: hold } = job;
      const state = { is: 'running', startedAt: this.#options.now() } as const;
      const record: JobRecord = {
        ...this.#options.store.read(job.id), ...defined({ hold }), state,
      };
      this.#options.store.write(record);
      job.state = state;
      this.start(job, record);
    } catch (error) {
      this.#finish(job, spawnErrorOutcome(this.#options.now(), (error as Error).message), { isOnDisk: false });
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
      if (lease !== undefined || this.#isClosed || !this.#options.store.hasStdin(job.id)) return lease;
      if (!hasWarned) this.#options.log.warn('cannot keep the stdin of the job open, trying again', {
        jobId: job.id, error,
      });
      hasWarned = true;
      await sleep(leaseRetryMs, undefined, { ref: false });
    }
    return undefined;
  }

  #withRunning(id: string, act: (job: TrackedJob) => void): void {
    const job = this.#running.get(id as JobId);
    if (job) act(job);
  }
}

/** Bytes that a file takes on disk: a sparse file takes less than its size (stat(2), st_blocks). */
function storedBytesOf(stats: Stats | undefined): number {
  return stats === undefined ? 0 : Math.min(stats.size, stats.blocks * 512);
}

function defaultEnding(job: TrackedJob): EndOptions {
  return { signal: 'SIGTERM', graceMs: job.request.killGraceSeconds * 1000 };
}
