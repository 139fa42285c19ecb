/**
 * Runs jobs: starts them as there is room, hears how they end, ends them where it must.
 * @module
 */
import { join } from 'node:path';
import type { Stats } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../base/log.ts';
import { longTimeout } from '../base/long-timeout.ts';
import type { Pace } from '../base/pace.ts';
import type { JobId } from '../protocol/ids.ts';
import { drainFifo } from '../process/fifo.ts';
import { type Family, findLeader } from '../process/descendants.ts';
import { isAliveNow, isGroupAlive } from '../process/identity.ts';
import type { Keeper } from '../process/keeper.ts';
import { isStillLauncher } from '../process/launchers.ts';
import { agentFiles, type AgentHost, agentLabel } from '../process/agent-host.ts';
import type { Variables } from '../process/environment/secrets.ts';
import type { ShellStarted } from '../protocol/shells.ts';
import { defined } from '../base/parse.ts';
import type { JobShells } from '../process/job-shells.ts';
import { isUnclaimed } from '../process/process-note.ts';
import type { Exit, ShellHost, Starter, StarterEvents } from '../process/starter.ts';
import { isGone } from '../process/terminate.ts';
import type { Entry, RequestSummary } from './entry.ts';
import {
  cancelledOutcome, endingBy, type EndingReason, type JobRecord, type JobState, lostOutcome, type Outcome, outcomeOf,
  spawnErrorOutcome, statusOf,
} from './job.ts';
import { Lingering } from './lingering.ts';
import { type Ending, type Kind, kindsOf } from './kinds.ts';
import type { JobStore, StattedFile } from './store.ts';

export interface RunnerOptions {
  readonly store: JobStore;
  readonly createStarter: (events: StarterEvents) => Starter;
  /** Runs what goes into persistent shells. */
  readonly shells: ShellHost;
  readonly jobShells: JobShells;
  /** Knows how agents are run. */
  readonly agents: AgentHost;
  readonly inherited: Variables;
  /** Keeps the stdin of jobs open; `undefined`: nothing need. */
  readonly keeper: Keeper | undefined;
  readonly maxRunning: number;
  /** Whether there are files for one more job beside so many. Default: always. */
  readonly hasFiles?: ((running: number) => boolean) | undefined;
  readonly log: Log;
  /** Unix seconds. */
  readonly now: () => number;
  readonly pace: Pace;
  readonly onFinished: (entry: Entry) => void;
  /** A job that has finished has left processes that were not known. */
  readonly onLingering: (entry: Entry) => void;
}

/** The one that a job has. */
interface Timeout {
  readonly cancel: () => void;
  /** What is to run the job has it. */
  readonly isHandedOn: boolean;
}

/** How long a job's exit code may be on its way once its processes are gone. */
const exitReportMs = 10_000;
/** How long a launcher may take to start a job that was handed to it. */
const claimMs = 10_000;
/** How long one that is to be ended may take to begin, before it is taken from its launcher. */
const beginMs = 1000;
/** The same of a shell: it is ended with such a job. */
const shellBeginMs = 3000;

/** How long after a look through all processes for that of a job. */
const seekAgainMs = 200;

/** How long a job may wait for a launcher or its shell beyond its timeout. */
const waitSeconds = 10;
/** After a failure to end a job. */
const endAgainSeconds = 1;
/** After the stdin of a job could not be kept open. */
const holdAgainMs = 500;
/** After there were no files for a job. */
const startAgainMs = 100;

const fullWarning = 'the disk of the state directory was full when the job ended: some of its output may be missing';

type Running = Extract<JobState, { is: 'running' }>;

export class Runner {
  readonly #options: RunnerOptions;
  readonly #starter: Starter;
  readonly #kindOf: (entry: Entry) => Kind;
  readonly #running = new Map<string, Entry>();
  /** Sessions that have a job. */
  readonly #busySessions = new Set<string>();
  readonly #queue: Entry[] = [];
  #starting: NodeJS.Timeout | undefined;
  /** Those in the queue that an earlier server was about to start: a launcher of its own may have them. */
  readonly #perhapsTaken = new Set<Entry>();
  /** How many at the beginning of the queue an agent waits for. */
  #waitedFor = 0;
  readonly #timeouts = new Map<Entry, Timeout>();
  readonly #endings = new Map<Entry, Promise<void>>();
  /** Exit codes heard while the rest of the tree is being ended. */
  readonly #exits = new Map<Entry, number>();
  /** Jobs that no launcher of this server waits for: their files tell. */
  readonly #adopted = new Map<Entry, { parentPid: number; goneAt: number | undefined }>();
  readonly #lingering: Lingering;
  /** The jobs may be another server's by now: nothing is written of them, and none is started. */
  #isClosed = false;

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.#lingering = new Lingering({ log: options.log, onFound: options.onLingering });
    this.#starter = options.createStarter({
      onStarted: (id) => this.#heard(id, (entry) => this.#handedOn(entry)),
      onShellStarted: (id, started) => this.#heard(id, (entry) => this.#shellStarted(entry, started)),
      onExit: (id, exit) => options.pace.run(() => this.#heard(id, (entry) => this.exited(entry, exit))),
      onClaimed: (id) => this.#heard(id, (entry) => this.adopt(entry)),
      onOrphaned: (id) => this.#heard(id, (entry) => this.adopt(entry)),
      onFailed: (id, error) => this.#heard(id, (entry) => {
        if (this.#isNobodys(entry)) this.#finish(entry, spawnErrorOutcome(options.now(), error.message), { isOnDisk: false });
        else this.adopt(entry);
      }),
    });
    const { shells, jobShells, agents, store, inherited } = options;
    this.#kindOf = kindsOf({ starter: this.#starter, shells, jobShells, agents, store, inherited });
  }

  get running(): Iterable<Entry> {
    return this.#running.values();
  }

  get runningCount(): number {
    return this.#running.size;
  }

  get queuedCount(): number {
    return this.#queue.length;
  }

  /** Whether a job would be started at once. Whoever waits while others run waits for a session. */
  hasRoom({ sessionKey, labels }: Pick<RequestSummary, 'sessionKey' | 'labels'>): boolean {
    // In this order: a look for files takes longer.
    return (sessionKey === undefined || !this.#busySessions.has(sessionKey)) && (labels[agentLabel] !== undefined || !this.#isFull);
  }

  /** Jobs whose end only their files tell. */
  get adopted(): Iterable<Entry> {
    return this.#adopted.keys();
  }

  /** Starts a job whose record, on disk, says `running` already. */
  start(entry: Entry, record: JobRecord): void {
    this.#occupy(entry);
    const { limitSeconds } = entry.request;
    if (limitSeconds !== null) this.#armTimeout(entry, limitSeconds + waitSeconds, { isHandedOn: false });
    try {
      this.#kindOf(entry).start(entry, record.request, this.#options.store.directory(entry.id));
    } catch (error) {
      this.#finish(entry, spawnErrorOutcome(this.#options.now(), (error as Error).message), { isOnDisk: false });
    }
  }

  /** Waits for its turn; what an agent waits for comes first, as that takes no room. */
  enqueue(entry: Entry): void {
    if (entry.request.labels[agentLabel] === undefined) this.#queue.push(entry);
    else this.#queue.splice((this.#waitedFor += 1) - 1, 0, entry);
    this.#startNext();
  }

  /** What an earlier server left to start waits for its turn again. Its launcher may still take it: its stdin stays open meanwhile. */
  enqueueAgain(entry: Entry): void {
    if (entry.state.is === 'running') this.#perhapsTaken.add(entry);
    entry.state = { is: 'pending' };
    this.enqueue(entry);
  }

  get #isFull(): boolean {
    const { maxRunning, hasFiles = () => true } = this.#options;
    return this.#running.size >= maxRunning || !hasFiles(this.#running.size);
  }

  #dequeue(index: number): Entry | undefined {
    if (index < 0) return undefined;
    if (index < this.#waitedFor) this.#waitedFor -= 1;
    return this.#queue.splice(index, 1)[0];
  }

  /** Watches a running job by its files, as no launcher of this server waits for it. */
  adopt(entry: Entry): void {
    const note = this.#options.store.readProcess(entry.id);
    entry.leader = note?.identity ?? entry.leader;
    entry.pid = entry.leader?.pid ?? null;
    // Only a record that was replaced says so of a job that somebody has.
    if (entry.state.is === 'pending') entry.state = { is: 'running', startedAt: this.#options.now() };
    this.#occupy(entry);
    const isWatched = this.#kindOf(entry).adopt(entry, this.#options.store.directory(entry.id));
    if (isWatched) this.#adopted.set(entry, { parentPid: note?.parentPid ?? 0, goneAt: undefined });
    if (isWatched && this.#options.store.isProcessLost(entry.id)) void this.#seekLeader(entry);
    entry.changed();
  }

  /** Arms the timeout of an adopted job anew. @param ageSeconds For how long it has run. */
  rearm(entry: Entry, ageSeconds: number): void {
    const { limitSeconds } = entry.request;
    this.#armTimeout(entry, limitSeconds === null ? null : Math.max(0, limitSeconds - ageSeconds));
  }

  /** Remembers how a job of an earlier server ended. */
  recovered(entry: Entry, outcome: Outcome, isOnDisk: boolean): void {
    const { state } = entry;
    this.#vacate(entry);
    if (state.is !== 'finished') this.#explain(entry, outcome);
    const { sessionKey } = entry.request;
    const directory = this.#options.store.directory(entry.id);
    if (state.is !== 'finished' && sessionKey !== undefined) entry.shellEnded = this.#options.shells.endedWith({ directory, sessionKey });
    this.#measure(entry);
    if (entry.request.stdin === 'fifo' && state.is !== 'finished') this.#letGoOfStdin(entry);
    entry.state = { is: 'finished', startedAt: state.is === 'pending' ? null : state.startedAt, outcome };
    if (!isOnDisk || (state.is !== 'finished' && entry.shellEnded !== undefined)) this.#save(entry);
    if (state.is !== 'finished') this.#leaveNobody(entry);
    this.#lingering.lookLater(entry);
  }

  /** Looks whether an adopted job has ended. */
  lookAtAdopted(entry: Entry): void {
    const adopted = this.#adopted.get(entry);
    if (!adopted) return;
    entry.leader ??= this.#options.store.readProcess(entry.id)?.identity;
    // Before the exit file: the job itself may have written that.
    if (entry.leader && isAliveNow(entry.leader)) {
      adopted.goneAt = undefined;
      return;
    }
    const exit = this.#options.store.readExit(entry.id);
    if (exit) return this.exited(entry, this.#exitOf(entry, exit.code));
    adopted.goneAt ??= performance.now();
    // Its launcher, if there still is one, is about to write the exit code.
    const mayReport = adopted.parentPid === 0 || isGroupAlive(adopted.parentPid);
    if (mayReport && performance.now() - adopted.goneAt < exitReportMs) return;
    // Once more: the job, its exit file and its launcher may have come to their end since the first look.
    this.exited(entry, this.#exitOf(entry, this.#options.store.readExit(entry.id)?.code));
  }

  /** The process has ended; without a code nobody knows how. */
  exited(entry: Entry, exit: Exit): void {
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

  /** Lists the processes that a job has left, once those that wait for its end know of that. Never rejects. */
  async #search(entry: Entry, pid: number): Promise<void> {
    entry.isSearching = true;
    await this.#lingering.look(entry, pid);
    entry.isSearching = false;
    if (!this.#isClosed) {
      this.#drainStdin(entry);
      this.#releaseStdin(entry);
    }
    entry.changed();
  }

  /**
   * Ends a job's whole tree. Resolves once it is ended, or, where a process hangs in the kernel, when nothing more can be done.
   * The first reason given is the one that stays.
   *
   * @param options Default: SIGTERM, and the grace that the job was submitted with.
   */
  async end(entry: Entry, reason: EndingReason, options: Ending = endingOf(entry)): Promise<void> {
    if (entry.state.is === 'pending') {
      this.#dequeue(this.#queue.indexOf(entry));
      // Also where the job has no file any more to take it by.
      const isNobodys = this.#isNobodys(entry) || !this.#perhapsTaken.has(entry);
      if (isNobodys) return this.#finish(entry, cancelledOutcome(this.#options.now()), { isOnDisk: false });
      // A launcher of a server that was killed has taken it.
      entry.state = { is: 'running', startedAt: this.#options.now() };
      this.adopt(entry);
    }
    const { state } = entry;
    if (state.is !== 'running') return;
    const before = this.#endings.get(entry);
    if (before) {
      // A second call may be more impatient than the first.
      if (entry.leader) await this.#kindOf(entry).terminate(entry, options);
      return before;
    }
    const ending = this.#end(entry, state, reason, options).finally(() => this.#endings.delete(entry));
    this.#endings.set(entry, ending);
    return ending;
  }

  /** Writes what fits into the job's stdin. */
  writeStdin(entry: Entry, bytes: Uint8Array): ReturnType<Starter['writeStdin']> {
    entry.hasInput = true;
    return this.#starter.writeStdin(entry.id, this.#options.store.directory(entry.id), bytes);
  }

  /** The job reads the end of its input. `false`: nobody holds it open. */
  closeStdin(entry: Entry): boolean {
    entry.isStdinClosed ||= this.#starter.closeStdin(entry.id, entry.hold);
    return entry.isStdinClosed;
  }

  /** The first process of the job, as soon as it has become the job. */
  async leaderOf(entry: Entry, limitMs: number = claimMs): Promise<Family> {
    const deadline = performance.now() + limitMs;
    while (!this.#hasBegun(entry) && performance.now() < deadline) {
      const isLost = this.#options.store.isProcessLost(entry.id);
      // A shell knows its job without it.
      if (isLost && (entry.request.sessionKey !== undefined || await this.#seekLeader(entry))) break;
      await sleep(isLost ? seekAgainMs : 5);
    }
    entry.pid ??= entry.leader?.pid ?? null;
    return entry.family;
  }

  /** Finds the first process of a job that has replaced the file which names it. @returns whether it is known now. */
  async #seekLeader(entry: Entry): Promise<boolean> {
    try {
      entry.leader ??= await findLeader(entry.id);
    } catch (error) {
      this.#options.log.warn('cannot look for the process of the job', { jobId: entry.id, error });
    }
    return entry.leader !== undefined;
  }

  #hasBegun(entry: Entry): boolean {
    if (entry.isFinished || this.#exits.has(entry)) return true;
    entry.leader ??= this.#options.store.readProcess(entry.id)?.identity;
    return entry.leader !== undefined && !isStillLauncher(entry.leader.pid);
  }

  /** Running jobs go on; nothing is started any more. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#starting);
    for (const { cancel } of this.#timeouts.values()) cancel();
    this.#lingering.close();
    this.#starter.close();
  }

  /** Sends a signal to the processes of the job. `false`: there is none to send it to. @param begin Is called before it is sent. */
  async signal(entry: Entry, name: NodeJS.Signals, begin: () => void = () => undefined): Promise<boolean> {
    if (entry.state.is !== 'running') return false;
    await this.leaderOf(entry);
    begin();
    return await this.#kindOf(entry).signal(entry, name);
  }

  /** Ends what must not outlive the job. */
  #leaveNobody(entry: Entry): void {
    this.#kindOf(entry).ended(entry, endingOf(entry))
      .catch((error: unknown) => this.#options.log.warn('cannot end what is left of the job', { jobId: entry.id, error }));
  }

  #occupy(entry: Entry): void {
    this.#running.set(entry.id, entry);
    if (entry.request.sessionKey !== undefined) this.#busySessions.add(entry.request.sessionKey);
  }

  #vacate(entry: Entry): void {
    if (this.#running.delete(entry.id) && entry.request.sessionKey !== undefined) this.#busySessions.delete(entry.request.sessionKey);
  }

  #exitOf(entry: Entry, code: number | undefined): Exit {
    const pid = entry.pid ?? 0;
    return { code, pid, hasLeft: isGroupAlive(pid) };
  }

  async #end(entry: Entry, state: Running, reason: EndingReason, options: Ending): Promise<void> {
    // Nothing may come between: whoever asks from here on sees that it is being ended.
    await Promise.resolve();
    const { log } = this.#options;
    if (this.#kindOf(entry).withdraw(entry)) {
      if (this.#isNobodys(entry)) return this.#finish(entry, { ...cancelledOutcome(this.#options.now()), reason }, { isOnDisk: false });
      this.adopt(entry);
    }
    entry.state = { ...state, ending: reason };
    this.#save(entry);
    if (await this.#isTakenBack(entry)) return this.#finish(entry, { ...cancelledOutcome(this.#options.now()), reason }, { isOnDisk: false });
    const wasAdopted = this.#adopted.has(entry);
    const hasEnded = await this.#kindOf(entry).terminate(entry, options);
    if (!hasEnded) log.warn('a process of the job hangs in the kernel', { jobId: entry.id });
    const deadline = performance.now() + exitReportMs;
    let exit = this.#exits.get(entry);
    while (exit === undefined && performance.now() < deadline && !this.#isClosed) {
      await sleep(5);
      exit = this.#exits.get(entry) ?? (this.#adopted.has(entry) ? this.#options.store.readExit(entry.id)?.code : undefined);
      // It was looked at for the last time, or what the job has put in the place of its exit file will never say.
      if (exit === undefined && wasAdopted && (!this.#adopted.has(entry) || this.#options.store.isExitLost(entry.id))) break;
    }
    this.#exits.delete(entry);
    this.#finishExited(entry, exit);
  }

  /**
   * Waits until a job that is to be ended has begun. What does not begin it in time will not: the job is taken from it.
   *
   * @returns whether nothing of it was run. A shell may be at work for it all the same.
   */
  async #isTakenBack(entry: Entry): Promise<boolean> {
    const isInShell = entry.request.sessionKey !== undefined;
    await this.leaderOf(entry, isInShell ? shellBeginMs : beginMs);
    if (this.#hasBegun(entry)) return false;
    if (isUnclaimed(this.#options.store.directory(entry.id)) && this.#isNobodys(entry)) return !isInShell && await isGone(entry.family);
    await this.leaderOf(entry);
    return false;
  }

  /** Whether no launcher has a job that this server did not give to one: that of a server that was killed may still take it. */
  #isNobodys(entry: Entry): boolean {
    const { store } = this.#options;
    try {
      return store.claim(entry.id);
    } catch {
      // A disk that is full, say.
      return !store.isClaimed(entry.id);
    }
  }

  #finishExited(entry: Entry, code: number | undefined): void {
    const { state } = entry;
    if (state.is !== 'running') return;
    const { store, now } = this.#options;
    const written = store.stat(entry.id, 'exit');
    const isOnDisk = code !== undefined && typeof written === 'object' && written.size > 0;
    if (code !== undefined && !isOnDisk && store.isFull) entry.warn(fullWarning);
    const finishedAt = isOnDisk ? Math.max(written.mtimeMs / 1000, state.startedAt) : now();
    const ending = state.ending ?? endingBy(code, entry.request.mode);
    const outcome = code === undefined ? lostOutcome(finishedAt, ending)
      : outcomeOf({ code, finishedAt, isStarted: this.#wasStarted(entry, code) }, ending);
    this.#finish(entry, outcome, { isOnDisk });
  }

  /** Only these two codes can mean that it was not (POSIX, Shell Command Language 2.8.2). */
  #wasStarted(entry: Entry, code: number): boolean {
    if (code !== 126 && code !== 127) return true;
    try {
      return this.#options.store.readProcess(entry.id)?.isStarted ?? false;
    } catch {
      // No file descriptor to look with: what starts nothing here would not have started it either.
      return false;
    }
  }

  #finish(entry: Entry, outcome: Outcome, options: { isOnDisk: boolean }): void {
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
    // The exit file says it all; what it does not say must be written.
    if (!options.isOnDisk || entry.warnings.length > 0 || entry.shellEnded !== undefined) this.#save(entry);
    const { reason, exitCode } = outcome;
    this.#options.log.info('job finished', { jobId: entry.id, status: statusOf(entry.state), reason, exitCode });
    this.#leaveNobody(entry);
    this.#lingering.lookLater(entry);
    if (!entry.isSearching) this.#releaseStdin(entry);
    this.#options.onFinished(entry);
    this.#startNext();
  }

  /** On disk before the shell knows of the job: no server forgets it. */
  #shellStarted(entry: Entry, started: ShellStarted): void {
    entry.shellStarted = started;
    this.#save(entry);
    entry.changed();
  }

  /** Before the last bytes of its output are counted. */
  #explain(entry: Entry, outcome: Outcome): void {
    try {
      this.#kindOf(entry).explain(entry, outcome);
    } catch (error) {
      // A disk that is full, or a file that the job has replaced: acpError says the same.
      this.#options.log.warn('cannot write into the output of the job how it ended', { jobId: entry.id, error });
    }
  }

  /** Reads away what the job has not read; a process that outlived it may still read that. */
  #drainStdin(entry: Entry): void {
    if (entry.hasInput && entry.lingering.length === 0) entry.stdinUnreadBytes = drainFifo(join(this.#options.store.directory(entry.id), 'stdin'));
  }

  /** In a later turn: an answer that waits for the job comes first. */
  #releaseStdin(entry: Entry): void {
    if (entry.request.stdin !== 'fifo') return;
    setImmediate(() => this.#options.pace.run(() => this.#letGoOfStdin(entry)));
  }

  #letGoOfStdin(entry: Entry): void {
    this.#options.store.removeStdin(entry.id);
    if (!entry.isStdinClosed) this.#starter.letGoOfStdin(entry.hold);
    entry.isStdinClosed = true;
  }

  /** Writes the state of a job that only the server knows; where that fails it is tried again, see {@link saveAgain}. */
  #save(entry: Entry): void {
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

  saveAgain(entry: Entry): void {
    this.#save(entry);
  }

  #measure(entry: Entry): void {
    const replaced: string[] = [];
    const look = (file: StattedFile): Stats | undefined => {
      const stats = this.#options.store.stat(entry.id, file);
      if (stats !== 'replaced') return stats;
      replaced.push(file);
      return undefined;
    };
    const stdout = look('stdout');
    const stderr = look('stderr');
    // A file that was replaced is told of by itself.
    for (const [name, before, now] of [['stdout', entry.stdoutBytes, stdout], ['stderr', entry.stderrBytes, stderr]] as const) {
      if ((now?.size ?? 0) < before && !replaced.includes(name)) entry.markCut(name);
    }
    entry.stdoutBytes = stdout?.size ?? 0;
    entry.stderrBytes = stderr?.size ?? 0;
    const isAgent = entry.request.mode === 'acp';
    const events = isAgent ? look(agentFiles.events) : undefined;
    entry.eventsBytes = events?.size ?? 0;
    entry.storedBytes = [stdout, stderr, events].reduce((sum, stats) => sum + storedBytesOf(stats), 0);
    if (isAgent) entry.agentStateAt = look(agentFiles.state)?.mtimeMs ?? 0;
    entry.replacedFiles = replaced;
    const times = [stdout, stderr, events].flatMap((stat) => (stat && stat.size > 0 ? [stat.mtimeMs / 1000] : []));
    // The clock of the file system ticks a few milliseconds apart.
    const startedAt = entry.state.is === 'pending' ? null : entry.state.startedAt;
    entry.lastOutputAt = times.length === 0 ? null : Math.max(...times, startedAt ?? 0);
  }

  /** Looks at a job's output now. @returns whether there is more than before. */
  measure(entry: Entry): boolean {
    const { outputBytes, agentStateAt } = entry;
    this.#measure(entry);
    return entry.outputBytes !== outputBytes || entry.agentStateAt !== agentStateAt;
  }

  /** It counts from here on, also where another launcher or shell gets the job later. */
  #handedOn(entry: Entry): void {
    if (this.#timeouts.get(entry)?.isHandedOn !== true) this.#armTimeout(entry, entry.request.limitSeconds);
  }

  #armTimeout(entry: Entry, seconds: number | null, { isHandedOn = true }: { isHandedOn?: boolean } = {}): void {
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
      // Behind these none can begin.
      const able = this.#isFull ? this.#queue.slice(0, this.#waitedFor) : this.#queue;
      const entry = this.#dequeue(able.findIndex(({ request }) => this.hasRoom(request)));
      if (entry === undefined) return this.#startLater();
      const { keeper } = this.#options;
      if (entry.request.stdin !== 'fifo' || keeper === undefined) this.#startQueued(entry);
      else void this.#holdAndStart(entry, keeper);
    }
  }

  /** Connections that end make room for jobs without a word. */
  #startLater(): void {
    if (this.#options.hasFiles === undefined || this.#queue.length === 0) return;
    this.#starting ??= setTimeout(() => {
      this.#starting = undefined;
      this.#startNext();
    }, startAgainMs).unref();
  }

  #startQueued(entry: Entry): void {
    try {
      const { hold } = entry;
      const state = { is: 'running', startedAt: this.#options.now() } as const;
      const record: JobRecord = { ...this.#options.store.read(entry.id), ...(hold === undefined ? {} : { hold }), state };
      this.#options.store.write(record);
      entry.state = state;
      this.start(entry, record);
    } catch (error) {
      this.#finish(entry, spawnErrorOutcome(this.#options.now(), (error as Error).message), { isOnDisk: false });
    }
  }

  /**
   * Has the stdin of a job kept open, then starts it; where that cannot be, for want of files, the job waits on in its place. One whose
   * stdin was replaced is started as it is: its launcher finds out.
   *
   * What kept its stdin open before is released last: a launcher of a server that was killed may have taken the job meanwhile, and it would
   * read the end of its input. Never rejects.
   */
  async #holdAndStart(entry: Entry, keeper: Keeper): Promise<void> {
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

  /** `undefined`: it must not start any more, or something else stands in the place of its stdin. */
  async #holdStdin(entry: Entry, keeper: Keeper): Promise<string | undefined> {
    const path = join(this.#options.store.directory(entry.id), 'stdin');
    let hasWarned = false;
    while (!this.#isClosed && entry.state.is === 'pending') {
      const [hold, error] = await keeper.hold([path]).then((holds) => [holds[0], undefined] as const, (failure: unknown) => [undefined, failure] as const);
      if (hold !== undefined || this.#isClosed || !this.#options.store.hasStdin(entry.id)) return hold;
      if (!hasWarned) this.#options.log.warn('cannot keep the stdin of the job open, trying again', { jobId: entry.id, error });
      hasWarned = true;
      await sleep(holdAgainMs, undefined, { ref: false });
    }
    return undefined;
  }

  #heard(id: string, tell: (entry: Entry) => void): void {
    const entry = this.#running.get(id as JobId);
    if (entry) tell(entry);
  }
}

/** What a file takes on disk: one with holes takes less than its size (stat(2), st_blocks). */
function storedBytesOf(stats: Stats | undefined): number {
  return stats === undefined ? 0 : Math.min(stats.size, stats.blocks * 512);
}

function endingOf(entry: Entry): Ending {
  return { signal: 'SIGTERM', graceMs: entry.request.killGraceSeconds * 1000 };
}
