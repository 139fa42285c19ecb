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
  readonly keeper: StdinHolder | undefined;
  readonly maxRunning: number;
  /** Whether the server has file descriptors for one more job beside `running` others. Default: always. */
  readonly hasFiles?: ((running: number) => boolean) | undefined;
  readonly log: Log;
  /** Unix seconds. */
  readonly now: () => number;
  readonly pace: TimeSlicer;
  readonly onFinished: (entry: TrackedJob) => void;
  /** Called when a finished job has left processes that were not known. */
  readonly onLingering: (entry: TrackedJob) => void;
}

/** The timeout of a job. */
interface Timeout {
  readonly cancel: () => void;
  /** The job has been handed to a launcher or a shell, and its time counts. */
  readonly isHandedOn: boolean;
}

/** How long a job's exit code may take to arrive once its processes are gone. */
const exitReportMs = 10_000;
/** How long a launcher may take to start a job that was handed to it. */
const claimMs = 10_000;
/** How long a job that is to be ended may take to begin before it is taken from its launcher. */
const beginMs = 1000;
/** The same for a job in a persistent shell: the shell is ended with it. */
const shellBeginMs = 3000;

/** The time between two looks through all processes for that of a job. */
const seekAgainMs = 200;

/** How long a job may wait for a launcher or its shell beyond its timeout. */
const waitSeconds = 10;
/** The delay after a failure to end a job. */
const endAgainSeconds = 1;
/** The delay after a failure to keep the stdin of a job open. */
const holdAgainMs = 500;
/** The delay after there were no files for a job. */
const startAgainMs = 100;

const fullWarning = 'the disk of the state directory was full when the job ended: some of its output may be missing';

type Running = Extract<JobState, { is: 'running' }>;

export class Runner {
  readonly #options: RunnerOptions;
  readonly #starter: Starter;
  readonly #running = new Map<string, TrackedJob>();
  /** Sessions that have a running job. */
  readonly #busySessions = new Set<string>();
  readonly #queue: TrackedJob[] = [];
  #starting: NodeJS.Timeout | undefined;
  /** Queued jobs that an earlier server was about to start: a launcher of that server may have them. */
  readonly #perhapsTaken = new Set<TrackedJob>();
  /** How many jobs at the front of the queue an agent waits for. */
  #waitedFor = 0;
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
      onStarted: (id) => this.#heard(id, (entry) => this.#handedOn(entry)),
      onShellStarted: (id, started) => this.#heard(id, (entry) => this.#shellStarted(entry, started)),
      onExit: (id, exit) => options.pace.run(() => this.#heard(id, (entry) => this.exited(entry, exit))),
      onClaimed: (id) => this.#heard(id, (entry) => this.adopt(entry)),
      onOrphaned: (id) => this.#heard(id, (entry) => this.adopt(entry)),
      onFailed: (id, error) => this.#heard(id, (entry) => {
        if (this.#isNobodys(entry)) this.#finish(
          entry, spawnErrorOutcome(options.now(), error.message), { isOnDisk: false },
        );
        else this.adopt(entry);
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
  start(entry: TrackedJob, record: JobRecord): void {
    this.#occupy(entry);
    const { limitSeconds } = entry.request;
    if (limitSeconds !== null) this.#armTimeout(entry, limitSeconds + waitSeconds, { isHandedOn: false });
    try {
      entry.kind.start(entry, record.request, this.#options.store.directory(entry.id));
    } catch (error) {
      this.#finish(entry, spawnErrorOutcome(this.#options.now(), (error as Error).message), { isOnDisk: false });
    }
  }

  /** Queues a job. Jobs that an agent waits for come first, as they take no room. */
  enqueue(entry: TrackedJob): void {
    if (entry.request.labels[waitedForLabel] === undefined) this.#queue.push(entry);
    else this.#queue.splice((this.#waitedFor += 1) - 1, 0, entry);
    this.#startNext();
  }

  /** Queues a job that an earlier server was about to start. Its launcher may still take it: its stdin stays open. */
  enqueueAgain(entry: TrackedJob): void {
    if (entry.state.is === 'running') this.#perhapsTaken.add(entry);
    entry.state = { is: 'pending' };
    this.enqueue(entry);
  }

  get #isFull(): boolean {
    const { maxRunning, hasFiles = () => true } = this.#options;
    return this.#running.size >= maxRunning || !hasFiles(this.#running.size);
  }

  #dequeue(index: number): TrackedJob | undefined {
    if (index < 0) return undefined;
    if (index < this.#waitedFor) this.#waitedFor -= 1;
    return this.#queue.splice(index, 1)[0];
  }

  /** Watches a running job by its files, as no launcher of this server waits for it. */
  adopt(entry: TrackedJob): void {
    const note = this.#options.store.readProcess(entry.id);
    entry.leader = note?.identity ?? entry.leader;
    entry.pid = entry.leader?.pid ?? null;
    // Only a replaced record says `pending` of a claimed job.
    if (entry.state.is === 'pending') entry.state = { is: 'running', startedAt: this.#options.now() };
    this.#occupy(entry);
    const isWatched = entry.kind.adopt?.(entry, this.#options.store.directory(entry.id)) ?? true;
    if (isWatched) this.#adopted.set(entry, { parentPid: note?.parentPid ?? 0, goneAt: undefined });
    if (isWatched && this.#options.store.isProcessLost(entry.id)) void this.#seekLeader(entry);
    entry.changed();
  }

  /** Rearms the timeout of an adopted job. @param ageSeconds How long it has run. */
  rearm(entry: TrackedJob, ageSeconds: number): void {
    const { limitSeconds } = entry.request;
    this.#armTimeout(entry, limitSeconds === null ? null : Math.max(0, limitSeconds - ageSeconds));
  }

  /** Records how a job of an earlier server ended. */
  recovered(entry: TrackedJob, outcome: Outcome, isOnDisk: boolean): void {
    const { state } = entry;
    this.#vacate(entry);
    if (state.is !== 'finished') this.#explain(entry, outcome);
    if (state.is !== 'finished') entry.shellEnded = this.#shellEndedWith(entry);
    this.#measure(entry);
    if (entry.request.stdin === 'fifo' && state.is !== 'finished') this.#letGoOfStdin(entry);
    entry.state = { is: 'finished', startedAt: state.is === 'pending' ? null : state.startedAt, outcome };
    if (!isOnDisk || (state.is !== 'finished' && entry.shellEnded !== undefined)) this.#save(entry);
    if (state.is !== 'finished') this.#leaveNobody(entry);
    this.#orphans.lookLater(entry);
  }

  /** How the persistent shell of a job of an earlier server ended with it. */
  #shellEndedWith(entry: TrackedJob): ShellEnded | undefined {
    return entry.kind.shellEndedWith?.(entry, this.#options.store.directory(entry.id));
  }

  /** Checks whether an adopted job has ended. */
  lookAtAdopted(entry: TrackedJob): void {
    const adopted = this.#adopted.get(entry);
    if (!adopted) return;
    entry.leader ??= this.#options.store.readProcess(entry.id)?.identity;
    // Before the exit file, which the job itself may have written.
    if (entry.leader && isAliveNow(entry.leader)) {
      adopted.goneAt = undefined;
      return;
    }
    const exit = this.#options.store.readExit(entry.id);
    if (exit) return this.exited(entry, this.#exitOf(entry, exit.code));
    adopted.goneAt ??= performance.now();
    // Its launcher, if it still runs, is about to write the exit code.
    const mayReport = adopted.parentPid === 0 || isGroupAlive(adopted.parentPid);
    if (mayReport && performance.now() - adopted.goneAt < exitReportMs) return;
    // Read again: the launcher may have written the exit code and ended since the first look.
    this.exited(entry, this.#exitOf(entry, this.#options.store.readExit(entry.id)?.code));
  }

  /** Handles the end of a job's process; without a code it is unknown how the process ended. */
  exited(entry: TrackedJob, exit: JobExit): void {
    if (entry.isFinished) return;
    const { code, pid, hasLeft } = exit;
    this.#adopted.delete(entry);
    entry.shellEnded ??= exit.shellEnded;
    entry.pid = pid || entry.pid;
    if (this.#endings.has(entry)) {
      if (code !== undefined) this.#exits.set(entry, code);
      entry.changed();
      return;
    }
    if (hasLeft) void this.#search(entry, pid);
    this.#finishExited(entry, code);
  }

  /** Lists the processes that a job has left; the job finishes before that. Never rejects. */
  async #search(entry: TrackedJob, pid: number): Promise<void> {
    entry.isSearching = true;
    await this.#orphans.look(entry, pid);
    entry.isSearching = false;
    if (!this.#isClosed) {
      this.#drainStdin(entry);
      this.#releaseStdin(entry);
    }
    entry.changed();
  }

  /**
   * Ends a job's whole tree. Resolves once it is ended, or, where a process hangs in the kernel, when nothing more can
   * be done. The first reason given stays.
   *
   * @param options Default: SIGTERM, and the grace that the job was submitted with.
   */
  async end(entry: TrackedJob, reason: EndingReason, options: EndOptions = endingOf(entry)): Promise<void> {
    if (entry.state.is === 'pending') {
      this.#dequeue(this.#queue.indexOf(entry));
      // A job that no launcher can have is cancelled also where the file is gone that would be claimed.
      const isNobodys = this.#isNobodys(entry) || !this.#perhapsTaken.has(entry);
      if (isNobodys) return this.#finish(entry, cancelledOutcome(this.#options.now()), { isOnDisk: false });
      // A launcher of a server that was killed has claimed it.
      entry.state = { is: 'running', startedAt: this.#options.now() };
      this.adopt(entry);
    }
    const { state } = entry;
    if (state.is !== 'running') return;
    const before = this.#endings.get(entry);
    if (before) {
      // A second call may have a shorter grace than the first.
      if (entry.leader) await entry.kind.terminate(entry, options);
      return before;
    }
    const ending = this.#end(entry, state, reason, options).finally(() => this.#endings.delete(entry));
    this.#endings.set(entry, ending);
    return ending;
  }

  /** Writes to the job's stdin what fits. */
  writeStdin(entry: TrackedJob, bytes: Uint8Array): ReturnType<Starter['writeStdin']> {
    entry.hasInput = true;
    return this.#starter.writeStdin(entry.id, this.#options.store.directory(entry.id), bytes);
  }

  /** Closes the job's stdin: the job reads the end of its input. `false`: that cannot be done any more. */
  closeStdin(entry: TrackedJob): boolean {
    entry.isStdinClosed ||= this.#starter.closeStdin(entry.id, entry.hold);
    return entry.isStdinClosed;
  }

  /** The job's processes, once the first of them has begun to run the job, or after `limitMs`. */
  async leaderOf(entry: TrackedJob, limitMs: number = claimMs): Promise<Family> {
    const deadline = performance.now() + limitMs;
    while (!this.#hasBegun(entry) && performance.now() < deadline) {
      const isLost = this.#options.store.isProcessLost(entry.id);
      // A persistent shell knows its job without the file.
      if (isLost && (!entry.kind.hasOwnProcess || await this.#seekLeader(entry))) break;
      await sleep(isLost ? seekAgainMs : 5);
    }
    entry.pid ??= entry.leader?.pid ?? null;
    return entry.family;
  }

  /** Finds the first process of a job that has replaced the file which names it. @returns whether it is known now. */
  async #seekLeader(entry: TrackedJob): Promise<boolean> {
    try {
      entry.leader ??= await findLeader(entry.id);
    } catch (error) {
      this.#options.log.warn('cannot look for the process of the job', { jobId: entry.id, error });
    }
    return entry.leader !== undefined;
  }

  #hasBegun(entry: TrackedJob): boolean {
    if (entry.isFinished || this.#exits.has(entry)) return true;
    entry.leader ??= this.#options.store.readProcess(entry.id)?.identity;
    return entry.leader !== undefined && !isStillLauncher(entry.leader.pid);
  }

  /** Releases the jobs: running ones keep running, and none is started any more. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#starting);
    for (const { cancel } of this.#timeouts.values()) cancel();
    this.#orphans.close();
    this.#starter.close();
  }

  /**
   * Sends a signal to the processes of the job. `false`: it has none.
   *
   * @param begin Called before the signal is sent.
   */
  async signal(entry: TrackedJob, name: NodeJS.Signals, begin: () => void = () => undefined): Promise<boolean> {
    if (entry.state.is !== 'running') return false;
    await this.leaderOf(entry);
    begin();
    return await entry.kind.signal(entry, name);
  }

  /** Ends what must not outlive the job. */
  #leaveNobody(entry: TrackedJob): void {
    entry.kind.cleanUp?.(entry, endingOf(entry)).catch((error: unknown) =>
      this.#options.log.warn('cannot end what is left of the job', { jobId: entry.id, error }));
  }

  #occupy(entry: TrackedJob): void {
    this.#running.set(entry.id, entry);
    if (entry.request.sessionKey !== undefined) this.#busySessions.add(entry.request.sessionKey);
  }

  #vacate(entry: TrackedJob): void {
    if (this.#running.delete(entry.id) && entry.request.sessionKey !== undefined)
      this.#busySessions.delete(entry.request.sessionKey);
  }

  #exitOf(entry: TrackedJob, code: number | undefined): JobExit {
    const pid = entry.pid ?? 0;
    return { code, pid, hasLeft: isGroupAlive(pid) };
  }

  async #end(entry: TrackedJob, state: Running, reason: EndingReason, options: EndOptions): Promise<void> {
    // The caller registers this ending before anything happens, so that later calls find it.
    await Promise.resolve();
    const { log } = this.#options;
    if (entry.kind.cancelPending(entry)) {
      if (this.#isNobodys(entry)) return this.#finish(
        entry, { ...cancelledOutcome(this.#options.now()), reason }, { isOnDisk: false },
      );
      this.adopt(entry);
    }
    entry.state = { ...state, ending: reason };
    this.#save(entry);
    if (await this.#isTakenBack(entry)) return this.#finish(
      entry, { ...cancelledOutcome(this.#options.now()), reason }, { isOnDisk: false },
    );
    const wasAdopted = this.#adopted.has(entry);
    const hasEnded = await entry.kind.terminate(entry, options);
    if (!hasEnded) log.warn('a process of the job hangs in the kernel', { jobId: entry.id });
    const deadline = performance.now() + exitReportMs;
    let exit = this.#exits.get(entry);
    while (exit === undefined && performance.now() < deadline && !this.#isClosed) {
      await sleep(5);
      exit = this.#exits.get(entry)
        ?? (this.#adopted.has(entry) ? this.#options.store.readExit(entry.id)?.code : undefined);
      // No exit code will come: the last look at the job is done, or the job has replaced its exit file.
      if (
        exit === undefined && wasAdopted
        && (!this.#adopted.has(entry) || this.#options.store.isExitLost(entry.id))
      ) break;
    }
    this.#exits.delete(entry);
    this.#finishExited(entry, exit);
  }

  /**
   * Waits until a job that is to be ended has begun. If it does not begin in time, it is claimed so that it never does.
   *
   * @returns whether nothing of the job was run. A persistent shell may have begun with it nevertheless.
   */
  async #isTakenBack(entry: TrackedJob): Promise<boolean> {
    const { hasOwnProcess } = entry.kind;
    await this.leaderOf(entry, hasOwnProcess ? beginMs : shellBeginMs);
    if (this.#hasBegun(entry)) return false;
    if (isUnclaimed(this.#options.store.directory(entry.id)) && this.#isNobodys(entry))
      return hasOwnProcess && await isGone(entry.family);
    await this.leaderOf(entry);
    return false;
  }

  /**
   * Claims an unstarted job so that no launcher can run it, not even one of a server that was killed.
   * `false`: a launcher claimed it first.
   */
  #isNobodys(entry: TrackedJob): boolean {
    const { store } = this.#options;
    try {
      return store.claim(entry.id);
    } catch {
      // A full disk, for example.
      return !store.isClaimed(entry.id);
    }
  }

  #finishExited(entry: TrackedJob, code: number | undefined): void {
    const { state } = entry;
    if (state.is !== 'running') return;
    const { store, now } = this.#options;
    const written = store.stat(entry.id, 'exit');
    const isOnDisk = code !== undefined && typeof written === 'object' && written.size > 0;
    if (code !== undefined && !isOnDisk && store.isFull) entry.warn(fullWarning);
    const finishedAt = isOnDisk ? Math.max(written.mtimeMs / 1000, state.startedAt) : now();
    const ending = state.ending ?? entry.kind.endingBy?.(code);
    const outcome = code === undefined ? lostOutcome(finishedAt, ending)
      : outcomeOf({ code, finishedAt, isStarted: this.#wasStarted(entry, code) }, ending);
    this.#finish(entry, outcome, { isOnDisk });
  }

  /** Only these two codes can mean that the program was not started (POSIX, Shell Command Language 2.8.2). */
  #wasStarted(entry: TrackedJob, code: number): boolean {
    if (code !== 126 && code !== 127) return true;
    try {
      return this.#options.store.readProcess(entry.id)?.isStarted ?? false;
    } catch {
      // Without a file descriptor to read the file with, the program could not have been started either.
      return false;
    }
  }

  #finish(entry: TrackedJob, outcome: Outcome, options: { isOnDisk: boolean }): void {
    const { state } = entry;
    if (state.is === 'finished' || this.#isClosed) return;
    this.#vacate(entry);
    this.#adopted.delete(entry);
    this.#perhapsTaken.delete(entry);
    this.#timeouts.get(entry)?.cancel();
    this.#timeouts.delete(entry);
    this.#explain(entry, outcome);
    this.#measure(entry);
    if (!entry.isSearching) this.#drainStdin(entry);
    entry.state = { is: 'finished', startedAt: state.is === 'running' ? state.startedAt : null, outcome };
    // The exit file is enough, except for what it does not hold.
    if (!options.isOnDisk || entry.warnings.length > 0 || entry.shellEnded !== undefined) this.#save(entry);
    const { reason, exitCode } = outcome;
    this.#options.log.info('job finished', { jobId: entry.id, status: statusOf(entry.state), reason, exitCode });
    this.#leaveNobody(entry);
    this.#orphans.lookLater(entry);
    if (!entry.isSearching) this.#releaseStdin(entry);
    this.#options.onFinished(entry);
    this.#startNext();
  }

  /** Saves that the job is the first of its shell, before the shell knows of the job: no later server forgets it. */
  #shellStarted(entry: TrackedJob, started: ShellStarted): void {
    entry.shellStarted = started;
    this.#save(entry);
    entry.changed();
  }

  /** Called before the job's output is measured for the last time. */
  #explain(entry: TrackedJob, outcome: Outcome): void {
    try {
      entry.kind.explain?.(entry, outcome, this.#options.store.directory(entry.id));
    } catch (error) {
      // A full disk, or a file that the job has replaced: acpError says the same.
      this.#options.log.warn('cannot write into the output of the job how it ended', { jobId: entry.id, error });
    }
  }

  /** Discards and counts the input that the job has not read, unless a process that outlived it may still read it. */
  #drainStdin(entry: TrackedJob): void {
    if (entry.hasInput && entry.lingering.length === 0)
      entry.stdinUnreadBytes = drainFifo(join(this.#options.store.directory(entry.id), 'stdin'));
  }

  /** Releases the stdin in a later turn: an answer that waits for the job comes first. */
  #releaseStdin(entry: TrackedJob): void {
    if (entry.request.stdin !== 'fifo') return;
    setImmediate(() => this.#options.pace.run(() => this.#letGoOfStdin(entry)));
  }

  #letGoOfStdin(entry: TrackedJob): void {
    this.#options.store.removeStdin(entry.id);
    if (!entry.isStdinClosed) this.#starter.releaseStdin(entry.hold);
    entry.isStdinClosed = true;
  }

  /** Writes a state that only the server knows; a failed write is tried again, see {@link saveAgain}. */
  #save(entry: TrackedJob): void {
    try {
      const { warnings, cut, shellStarted, shellEnded } = entry;
      const said = warnings.length === 0 ? {} : { warnings, cut: [...cut] };
      this.#options.store.writeState(entry.id, entry.state, { ...said, ...defined({ shellStarted, shellEnded }) });
      entry.isUnsaved = false;
    } catch (error) {
      if (!entry.isUnsaved) this.#options.log.warn('cannot write the state of the job', { jobId: entry.id, error });
      entry.isUnsaved = true;
    }
  }

  saveAgain(entry: TrackedJob): void {
    this.#save(entry);
  }

  #measure(entry: TrackedJob): void {
    const replaced: string[] = [];
    const look = (file: string): Stats | undefined => {
      const stats = this.#options.store.stat(entry.id, file);
      if (stats !== 'replaced') return stats;
      replaced.push(file);
      return undefined;
    };
    const stdout = look('stdout');
    const stderr = look('stderr');
    // A replaced file is reported as that, not as truncated.
    for (const [name, before, now] of [
      ['stdout', entry.stdoutBytes, stdout],
      ['stderr', entry.stderrBytes, stderr],
    ] as const) {
      if ((now?.size ?? 0) < before && !replaced.includes(name)) entry.markCut(name);
    }
    entry.stdoutBytes = stdout?.size ?? 0;
    entry.stderrBytes = stderr?.size ?? 0;
    const { interaction } = entry.kind;
    const events = interaction && look(eventsFile);
    entry.eventsBytes = events?.size ?? 0;
    entry.storedBytes = [stdout, stderr, events].reduce((sum, stats) => sum + storedBytesOf(stats), 0);
    if (interaction) entry.stateWrittenAt = look(interaction.stateFile)?.mtimeMs ?? 0;
    entry.replacedFiles = replaced;
    const times = [stdout, stderr, events].flatMap((stat) => (stat && stat.size > 0 ? [stat.mtimeMs / 1000] : []));
    // The clock of the file system has a resolution of a few milliseconds.
    const startedAt = entry.state.is === 'pending' ? null : entry.state.startedAt;
    entry.lastOutputAt = times.length === 0 ? null : Math.max(...times, startedAt ?? 0);
  }

  /** Measures a job's output now. @returns whether it, or the agent's state, has changed. */
  measure(entry: TrackedJob): boolean {
    const { outputBytes, stateWrittenAt } = entry;
    this.#measure(entry);
    return entry.outputBytes !== outputBytes || entry.stateWrittenAt !== stateWrittenAt;
  }

  /** The timeout counts from the first hand-over, also where another launcher or shell gets the job later. */
  #handedOn(entry: TrackedJob): void {
    if (this.#timeouts.get(entry)?.isHandedOn !== true) this.#armTimeout(entry, entry.request.limitSeconds);
  }

  #armTimeout(entry: TrackedJob, seconds: number | null, { isHandedOn = true }: { isHandedOn?: boolean } = {}): void {
    if (seconds === null) return;
    this.#timeouts.get(entry)?.cancel();
    const cancel = longTimeout(() => {
      this.end(entry, 'timeout').catch((error: unknown) => {
        this.#options.log.error('cannot end the job at its timeout, trying again', { jobId: entry.id, error });
        this.#armTimeout(entry, endAgainSeconds);
      });
    }, seconds * 1000);
    this.#timeouts.set(entry, { cancel, isHandedOn });
  }

  #startNext(): void {
    while (!this.#isClosed) {
      // While there is no room, only jobs that an agent waits for can start.
      const able = this.#isFull ? this.#queue.slice(0, this.#waitedFor) : this.#queue;
      const entry = this.#dequeue(able.findIndex(({ request }) => this.hasRoom(request)));
      if (entry === undefined) return this.#startLater();
      const { keeper } = this.#options;
      if (entry.request.stdin !== 'fifo' || keeper === undefined) this.#startQueued(entry);
      else void this.#holdAndStart(entry, keeper);
    }
  }

  /** Tries again later: connections that end make room for jobs without a notification. */
  #startLater(): void {
    if (this.#options.hasFiles === undefined || this.#queue.length === 0) return;
    this.#starting ??= setTimeout(() => {
      this.#starting = undefined;
      this.#startNext();
    }, startAgainMs).unref();
  }

  #startQueued(entry: TrackedJob): void {
    try {
      const { hold } = entry;
      const state = { is: 'running', startedAt: this.#options.now() } as const;
      const record: JobRecord = {
        ...this.#options.store.read(entry.id), ...defined({ hold }), state,
      };
      this.#options.store.write(record);
      entry.state = state;
      this.start(entry, record);
    } catch (error) {
      this.#finish(entry, spawnErrorOutcome(this.#options.now(), (error as Error).message), { isOnDisk: false });
    }
  }

  /**
   * Has the stdin of a queued job kept open, then starts the job. While there are no files for that, the job keeps its
   * slot and waits. A job whose stdin was replaced is started as it is: its launcher finds out.
   *
   * The former hold is released last: a launcher of a server that was killed may have claimed the job meanwhile, and
   * the job would read the end of its input. Never rejects.
   */
  async #holdAndStart(entry: TrackedJob, keeper: StdinHolder): Promise<void> {
    this.#occupy(entry);
    const former = entry.hold;
    const hold = await this.#holdStdin(entry, keeper);
    if (this.#isClosed || entry.state.is !== 'pending') {
      if (hold !== undefined) keeper.releaseLater(hold);
      return;
    }
    entry.hold = hold;
    this.#startQueued(entry);
    if (former !== undefined) keeper.releaseLater(former);
  }

  /** `undefined`: the job must not start any more, or something has replaced its stdin. */
  async #holdStdin(entry: TrackedJob, keeper: StdinHolder): Promise<string | undefined> {
    const path = join(this.#options.store.directory(entry.id), 'stdin');
    let hasWarned = false;
    while (!this.#isClosed && entry.state.is === 'pending') {
      const [hold, error] = await keeper.lease([path]).then(
        (holds) => [holds[0], undefined] as const,
        (failure: unknown) => [undefined, failure] as const,
      );
      if (hold !== undefined || this.#isClosed || !this.#options.store.hasStdin(entry.id)) return hold;
      if (!hasWarned) this.#options.log.warn('cannot keep the stdin of the job open, trying again', {
        jobId: entry.id, error,
      });
      hasWarned = true;
      await sleep(holdAgainMs, undefined, { ref: false });
    }
    return undefined;
  }

  #heard(id: string, tell: (entry: TrackedJob) => void): void {
    const entry = this.#running.get(id as JobId);
    if (entry) tell(entry);
  }
}

/** Bytes that a file takes on disk: a sparse file takes less than its size (stat(2), st_blocks). */
function storedBytesOf(stats: Stats | undefined): number {
  return stats === undefined ? 0 : Math.min(stats.size, stats.blocks * 512);
}

function endingOf(entry: TrackedJob): EndOptions {
  return { signal: 'SIGTERM', graceMs: entry.request.killGraceSeconds * 1000 };
}
