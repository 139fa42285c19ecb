/**
 * One persistent shell: starts its process when a job needs it, gives it one job at a time, and reports how each ends.
 * @module
 */
import { closeSync, type FSWatcher, renameSync, watch, writeSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { defined } from '../base/defined.ts';
import type { Log } from '../base/log.ts';
import { makeFolder } from '../base/make-folder.ts';
import {
  appendRegular, checkFolder, createFile, isBehindLink, isExhaustion, statQuietly, writeRegular,
} from '../base/untrusted-file.ts';
import type { JobEvents } from '../jobs/kind.ts';
import type { JobId } from '../protocol/ids.ts';
import type { ProblemError } from '../protocol/problem.ts';
import type { Session, SessionStatus, ShellEnded, ShellStarted } from '../protocol/shells.ts';
import { hasOpen } from '../process/launcher/fifo.ts';
import { isAliveNow, type ProcessStat, sendSignal, ticksNow } from '../process/identity.ts';
import type { Variables } from '../process/environment/secrets.ts';
import { ownShellStart } from '../process/environment/shell-variables.ts';
import type { Launch } from '../process/launcher/launch-script.ts';
import { claimLine, isUnclaimed, parseProcessNote } from '../process/launcher/process-note.ts';
import { terminate } from '../process/terminate.ts';
import type { Trash } from '../process/state/trash.ts';
import { commandProcesses } from './command-processes.ts';
import type { Dialect } from './dialect.ts';
import { continueInterrupted, interruptCommand, isAsleep } from './interrupt.ts';
import type { ShellLaunch } from './request.ts';
import {
  checkUntouched, discard, exitIn, hasClaimed, hasHadJob, hasLaterJob, identityIn, interruptsIn, isReplaced,
  isUnfinished, lastExit, noteExit, noteJob, noteLast, noteLastExit, noteSleep, openControl, readNotedJob, readQuietly,
  ReplacedError, type Running, toldExit,
} from './run-directory.ts';
import {
  noteEnded, noteKilled, noteStarted, readEnded, readStarted, shellGone, startAfter, startInWords,
} from './shell-end.ts';
import { runDirectory, type SessionRecord, shellMark, writeSession } from './session-record.ts';

export interface ShellOptions {
  /** The directory of the session. */
  readonly directory: string;
  readonly record: SessionRecord;
  readonly dialect: Dialect;
  /** The path of the shell. */
  readonly program: string;
  /** The environment that jobs inherit. */
  readonly inherited: Variables;
  /** Takes a FIFO that was made ahead. */
  readonly takeFifo: () => Promise<string>;
  readonly trash: Trash;
  readonly connection: () => { readonly launch: (launch: Launch) => void; readonly events: JobEvents };
  readonly log: Log;
  /** Unix seconds. */
  readonly now: () => number;
}

interface Active {
  readonly launch: Pick<ShellLaunch, 'id' | 'directory'> & Partial<ShellLaunch>;
  readonly startedAtTicks: number;
  /** The shell that was given the job; `undefined`: none yet. */
  shell: Running | undefined;
  /** How often its shell ended before the job could begin. */
  attempts: number;
  goneAt: number | undefined;
  readonly stopWatching: (() => void)[];
}

type Command = Pick<Active, 'launch' | 'startedAtTicks'>;

/** How often a job is looked at, in case a change of its files was not reported. */
const lookMs = 100;
/** How long the exit code of a shell may take to arrive once the shell is gone. */
const exitReportMs = 10_000;
const maxAttempts = 3;
/** A command without any process for so long runs in the shell itself. */
const noProcessMs = 1_500;
/** How long after SIGKILL a command may take to vanish, and its shell to continue, before the shell is killed, too. */
const killMs = 2_000;
const killLookMs = 2;
/** How long a shell may take to notice SIGINT. */
const interruptMs = 2_000;
const slowestLookMs = 100;

export class Shell {
  readonly #options: ShellOptions;
  readonly #createdAt: number;
  #record: SessionRecord;
  #running: Running | undefined;
  /** Set while its process is being started: if the job is withdrawn meanwhile, the next job gets the process. */
  #starting: Promise<Running> | undefined;
  #active: Active | undefined;
  #lastUsedAt: number;
  #lastJobDirectory: string | undefined;
  #isClosed = false;
  #isDeleted = false;
  /** A job has replaced the files by which the shell would be found again after a restart of the server. */
  #isLost = false;

  constructor(options: ShellOptions) {
    this.#options = options;
    this.#record = options.record;
    this.#createdAt = options.record.createdAt;
    this.#lastUsedAt = options.now();
    if (options.record.starts > 0) this.#tryFindAgain();
  }

  get record(): SessionRecord {
    return this.#record;
  }

  get isIdle(): boolean {
    return this.#active === undefined;
  }

  /** Unix seconds. */
  get lastUsedAt(): number {
    return this.#lastUsedAt;
  }

  show(): Session {
    const { sessionKey, shell, workdir, bootstrapCommand, starts } = this.#record;
    const isAlive = this.#isAlive();
    const status: SessionStatus = this.#active ? 'running' : isAlive ? 'idle' : 'stopped';
    return {
      sessionKey, shell, status, createdAt: this.#createdAt, lastUsedAt: this.#lastUsedAt,
      lastOutputAt: this.#lastOutputAt(), processAlive: isAlive,
      activeCommand: this.#active !== undefined, activeJobId: (this.#active?.launch.id ?? null) as JobId | null,
      pid: isAlive ? this.#running?.identity.pid ?? null : null, starts, workdir,
      bootstrapCommand: bootstrapCommand ?? null,
    };
  }

  /** Sets the bootstrap command from the next start on. @throws the system's error. */
  setBootstrap(bootstrapCommand: string): void {
    if (bootstrapCommand !== this.#record.bootstrapCommand) this.#save({ ...this.#record, bootstrapCommand });
  }

  /** Whether its process runs, with what earlier jobs have left in it. */
  get hasState(): boolean {
    return this.#live !== undefined && hasHadJob(this.#live);
  }

  /** The refusal of a request that requires the shell that earlier jobs have used. */
  gone(): ProblemError {
    return shellGone(this.#record.sessionKey, startInWords(this.#nextStart()));
  }

  /** How the shell ended with a job of an earlier server. */
  endedWith(jobDirectory: string): ShellEnded | undefined {
    return readEnded(runDirectory(this.#options.directory, this.#record.starts), jobDirectory);
  }

  start(launch: ShellLaunch): void {
    const active: Active = {
      launch, startedAtTicks: ticksNow(), shell: undefined, attempts: 0, goneAt: undefined, stopWatching: [],
    };
    this.#active = active;
    this.#lastUsedAt = this.#options.now();
    this.#lastJobDirectory = launch.directory;
    void this.#run(active, launch);
  }

  adopt(launch: Pick<ShellLaunch, 'id' | 'directory'>): void {
    const active: Active = {
      ...commandIn(launch.directory),
      launch, shell: this.#running, attempts: maxAttempts, goneAt: undefined, stopWatching: [],
    };
    if (active.shell && hasLaterJob(active.shell, launch.directory)) {
      const { shell } = active;
      return void setImmediate(() => this.#ended(active, exitIn(launch.directory) ?? toldExit(shell, launch.id)));
    }
    this.#active = active;
    this.#lastJobDirectory = launch.directory;
    this.#watch(active);
    setImmediate(() => this.#look(active));
    if (active.shell) void this.#continue(active, active.shell);
  }

  has(id: string): boolean {
    return this.#active?.launch.id === id;
  }

  withdraw(): boolean {
    if (this.#active === undefined || this.#active.shell) return false;
    this.#settle(this.#active);
    return true;
  }

  /** Ends what the job runs and, if the job still runs then, the shell. `false`: a process hangs in the kernel. */
  async end({ signal, graceMs }: { signal: NodeJS.Signals; graceMs: number }): Promise<boolean> {
    const active = this.#active;
    const shell = active?.shell;
    if (!active || !shell) return true;
    if (graceMs > 0 && signal !== 'SIGKILL') {
      const begunAt = performance.now();
      await this.#stopByInterrupt(active, shell, graceMs / 2);
      await this.#stopBySignal(active, shell, signal, graceMs - (performance.now() - begunAt));
      await this.#endLeft(active, shell, { signal, limitMs: graceMs - (performance.now() - begunAt) });
    }
    await this.#stopBySignal(active, shell, 'SIGKILL', killMs);
    await this.#endLeft(active, shell, { signal: 'SIGKILL', limitMs: killMs });
    if (this.#active !== active) return true;
    this.#options.log.info('shell ended, as its command could not be', {
      sessionKey: this.#record.sessionKey, jobId: active.launch.id,
    });
    return await this.#kill(shell, active);
  }

  /** Sends a signal to what the job runs. `false`: only the shell itself runs. */
  async signal(name: NodeJS.Signals): Promise<boolean> {
    const active = this.#active;
    if (!active?.shell) return false;
    if (name === 'SIGINT') return await this.#interrupt(active, active.shell, interruptMs);
    const processes = await this.#processesOf(active, active.shell);
    return processes.map(({ pid }) => sendSignal(pid, name)).includes(true);
  }

  /** Ends the process of a deleted session, and all processes in its group. */
  async terminate(): Promise<void> {
    this.#isDeleted = true;
    // A process that is being started may have opened its control by now, and would then never end.
    this.#isLost ||= this.#starting !== undefined;
    const running = this.#running;
    if (running && this.#isAlive()) await terminate(
      { id: this.mark, leader: running.identity }, { signal: 'SIGHUP', graceMs: 1000 },
    );
    else await this.#endLost();
    this.#closeControl();
  }

  /** Ends a shell that may still run, but can be given no job any more. */
  async #endLost(): Promise<void> {
    if (!this.#isLost) return;
    await terminate({ id: this.mark, leader: undefined }, { signal: 'SIGHUP', graceMs: 1000 });
    this.#isLost = false;
  }

  /** Releases the shell, which keeps running, with its job. */
  close(): void {
    this.#isClosed = true;
    if (this.#active) this.#settle(this.#active);
    this.#closeControl();
  }

  async #run(active: Active, launch: ShellLaunch): Promise<void> {
    try {
      const live = this.#live;
      if (launch.requireShell === true && !this.hasState) throw this.gone();
      const shell = live ?? await this.#startOnce();
      if (this.#active !== active || this.#isClosed) return;
      this.#give(active, launch, shell);
    } catch (error) {
      if (this.#active !== active || this.#isClosed) return;
      this.#settle(active);
      if (error instanceof ReplacedError) this.#refuse(launch, error);
      else this.#options.connection().events.onFailed(launch.id, error as Error);
    }
  }

  /** Fails the job as a launcher does: a replaced file cannot tell whether another process has the job. */
  #refuse({ id, directory }: ShellLaunch, { message }: ReplacedError): void {
    try {
      checkFolder(directory);
      appendRegular(join(directory, 'stderr'), `sidecar: ${message}\n`);
    } catch {
      // The job's directory was replaced, or the disk is full.
    }
    this.#options.connection().events.onExit(id, { code: 126, pid: 0, hasLeft: false });
  }

  #give(active: Active, launch: ShellLaunch, shell: Running): void {
    const { directory, id, stdin, command, isBootstrap } = launch;
    const { dialect, connection } = this.#options;
    const { bootstrapCommand } = this.#record;
    this.#checkFolder();
    shell.isSeeded = hasHadJob(shell);
    checkUntouched(directory, stdin);
    shell.jobDirectory = directory;
    const bootstrap = shell.isSeeded || isBootstrap || bootstrapCommand === undefined
      ? undefined
      : join(shell.directory, 'bootstrap');
    if (bootstrap !== undefined) writeRegular(bootstrap, `${bootstrapCommand}\n`);
    const claim = claimLine(shell.identity);
    // A name of its own: the shell may still read a line of an earlier server, and must find the run file of that line.
    const runFile = join(directory, `run-${claim.slice(claim.indexOf('#') + 1)}`);
    writeRegular(join(directory, 'command'), `${command}\n`);
    createFile(runFile, dialect.run({
      id, directory, stdin, claim, shell: shell.directory, ...defined({ bootstrap }),
    }));
    noteJob(shell);
    if (!shell.isSeeded) connection().events.onShellStarted(id, shell.started);
    active.shell = shell;
    this.#watch(active);
    writeSync(shell.control, `${dialect.source(runFile)}\n`);
    connection().events.onStarted(id);
  }

  async #startOnce(): Promise<Running> {
    this.#starting ??= this.#startProcess().finally(() => { this.#starting = undefined; });
    return await this.#starting;
  }

  async #startProcess(): Promise<Running> {
    const { directory, dialect, program, connection, takeFifo, inherited, trash } = this.#options;
    this.#checkFolder();
    const started = this.#nextStart();
    // The process runs, and cannot be used any more.
    this.#isLost ||= this.#isAlive();
    this.#closeControl();
    await this.#endLost();
    const before = this.#record.starts;
    const starts = before + 1;
    const runIn = runDirectory(directory, starts);
    // A job may have created the directory, with anything in it.
    if (statQuietly(runIn) !== undefined) void trash.clear(trash.put(runIn));
    makeFolder(runIn, { mode: 0o700 });
    const controlPath = join(runIn, 'control');
    renameSync(await takeFifo(), controlPath);
    noteStarted(runIn, started);
    this.#save({ ...this.#record, starts });
    if (before > 0) discard(runDirectory(directory, before), trash);
    const control = openControl(controlPath);
    try {
      const { workdir, env } = this.#record;
      const start = ownShellStart(inherited, env);
      const environment = join(runIn, 'environment');
      createFile(environment, dialect.exports?.(start.obeyed) ?? '');
      writeSync(control, `${dialect.begin(controlPath, environment)}\n`);
      const argv = [...start.prefix, ...dialect.argv(program, controlPath)];
      const launch = { id: this.mark, directory: runIn, stdin: 'null', workdir, env, argv } as const;
      connection().launch(dialect.exports === undefined ? launch : { ...launch, env: start.env, isOwnShell: true });
      const identity = await identityIn(runIn, () => this.#isClosed || this.#isDeleted);
      this.#running = { directory: runIn, identity, control, started, isSeeded: false, jobDirectory: undefined };
      return this.#running;
    } catch (error) {
      closeSync(control);
      throw error;
    }
  }

  /** Why the next process is started. */
  #nextStart(): ShellStarted {
    const { starts } = this.#record;
    if (this.#isAlive() && this.#live === undefined) return { reason: 'unknown', start: starts + 1 };
    return startAfter(starts === 0 ? undefined : runDirectory(this.#options.directory, starts), starts + 1);
  }

  /** Finds the process of an earlier server; on failure the session continues with another process. */
  #tryFindAgain(): void {
    try {
      this.#findAgain();
    } catch (error) {
      if (isExhaustion(error)) throw error;
      this.#closeControl();
      this.#isLost = true;
      this.#options.log.warn('cannot use a shell any more', { sessionKey: this.#record.sessionKey, error });
    }
  }

  /** Finds the process that an earlier server started, or how it ended. */
  #findAgain(): void {
    const { directory, record: { starts }, dialect } = this.#options;
    const runIn = runDirectory(directory, starts);
    const note = parseProcessNote(readQuietly(runIn, 'process'));
    this.#isLost = note === undefined;
    if (!note) return;
    const noted = readNotedJob(runIn);
    this.#lastJobDirectory = noted.jobDirectory;
    if (isAliveNow(note.identity)) {
      const controlPath = join(runIn, 'control');
      const isBegun = hasHadJob({ ...noted, identity: note.identity });
      const control = this.#reopen(controlPath, isBegun ? note.identity.pid : undefined);
      if (control === undefined) return;
      const started = readStarted(runIn) ?? { reason: 'gone', start: starts };
      this.#running = { directory: runIn, identity: note.identity, control, started, ...noted };
      // A FIFO that no process has open loses its content: the server may have ended before the shell had opened it.
      if (!isBegun) writeSync(control, `${dialect.begin(controlPath, join(runIn, 'environment'))}\n`);
      if (noted.jobDirectory === undefined || !isUnfinished(noted.jobDirectory, note.identity)) {
        void this.#continue(commandIn(noted.jobDirectory ?? runIn), this.#running);
      }
      return;
    }
    const code = exitIn(runIn);
    if (this.#lastJobDirectory === undefined) return;
    if (isUnfinished(this.#lastJobDirectory, note.identity)) this.#noteEnded(runIn, this.#lastJobDirectory, code);
    if (code !== undefined) noteExit(this.#lastJobDirectory, note.identity, code);
  }

  /** @param reader The pid of the shell, if it has opened the control. @returns `undefined`: a job has replaced it. */
  #reopen(controlPath: string, reader: number | undefined): number | undefined {
    try {
      const control = openControl(controlPath);
      if (reader === undefined || hasOpen(reader, control) !== false) return control;
      closeSync(control);
      throw new ReplacedError(`a job has replaced ${controlPath}`);
    } catch (error) {
      this.#isLost = true;
      this.#options.log.warn('cannot use a shell any more', { sessionKey: this.#record.sessionKey, error });
      return undefined;
    }
  }

  #watch(active: Active): void {
    const look = (_event: string, name: string | null): void => {
      if (name === 'exit') this.#look(active);
    };
    const folders = [active.launch.directory, ...(active.shell ? [active.shell.directory] : [])];
    for (const watcher of folders.map((folder) => watchQuietly(folder, look)))
      if (watcher) active.stopWatching.push(() => watcher.close());
    const timer = setInterval(() => this.#look(active), lookMs);
    timer.unref();
    active.stopWatching.push(() => clearInterval(timer));
  }

  #look(active: Active): void {
    if (this.#active !== active || this.#isClosed) return;
    try {
      const code = this.#exitOf(active);
      if (code !== undefined) this.#ended(active, code);
      else if (!active.shell || !isAliveNow(active.shell.identity)) this.#lookAtDead(active);
    } catch (error) {
      this.#options.log.warn('cannot look at the job of a shell', { jobId: active.launch.id, error });
    }
  }

  /** The exit code that the shell has written for the job. */
  #exitOf({ shell, launch: { id, directory } }: Active): number | undefined {
    return exitIn(directory) ?? (shell && (toldExit(shell, id) ?? lastExit(shell, id)));
  }

  /** Handles the end of a shell that has ended with its job. */
  #lookAtDead(active: Active): void {
    const { shell, launch: { directory } } = active;
    active.goneAt ??= performance.now();
    const code = shell && exitIn(shell.directory);
    if (shell && code === undefined && !isReplaced(shell) && performance.now() - active.goneAt < exitReportMs) return;
    // Read again: both may have ended since the first look.
    const own = this.#exitOf(active);
    if (own !== undefined) return this.#ended(active, own);
    if (shell && isUnclaimed(directory)) return this.#again(active);
    // The shell may be in the middle of the job.
    if (!shell) void this.#endLost();
    const ended = shell ? this.#noteEnded(shell.directory, directory, code) : this.endedWith(directory);
    if (shell && code !== undefined) noteExit(directory, shell.identity, code);
    this.#ended(active, code, ended);
  }

  /** Gives the job to a new shell, as the last one ended before it had read of the job; fails after `maxAttempts`. */
  #again(active: Active): void {
    const { launch } = active;
    for (const stop of active.stopWatching.splice(0)) stop();
    if (launch.command === undefined || (active.attempts += 1) >= maxAttempts) {
      this.#settle(active);
      this.#options.connection().events.onFailed(
        launch.id, new Error('the shell ended before it could run the command'),
      );
      return;
    }
    active.shell = undefined;
    active.goneAt = undefined;
    void this.#run(active, launch as ShellLaunch);
  }

  #ended(active: Active, code: number | undefined, shellEnded?: ShellEnded): void {
    const { shell, launch: { id } } = active;
    this.#settle(active);
    if (shell && shell === this.#running && !shell.isSeeded) this.#noteSeeded(shell, code !== undefined);
    if (shell && shell === this.#running && code !== undefined) this.#noteLastExit(shell, id, code);
    this.#options.connection().events.onExit(id, { code, pid: shell?.identity.pid ?? 0, hasLeft: false, shellEnded });
  }

  #noteEnded(runIn: string, jobDirectory: string, code: number | undefined): ShellEnded {
    try {
      return noteEnded(runIn, jobDirectory, code);
    } catch (error) {
      this.#warnUnwritten(error);
      return { reason: 'unknown' };
    }
  }

  #noteKilled(shell: Running, active: Active): void {
    try {
      noteKilled(shell.directory, active.launch.directory);
    } catch (error) {
      this.#warnUnwritten(error);
    }
  }

  #warnUnwritten(error: unknown): void {
    this.#options.log.warn('cannot write the state of a shell', { sessionKey: this.#record.sessionKey, error });
  }

  #noteLastExit(shell: Running, id: string, code: number): void {
    try {
      noteLastExit(shell, id, code);
    } catch (error) {
      this.#warnUnwritten(error);
    }
  }

  /** Notes that the shell has had a job, which may be forgotten. @param hasTold Whether the shell reported its end. */
  #noteSeeded(shell: Running, hasTold: boolean): void {
    shell.isSeeded = hasTold || hasHadJob(shell);
    try {
      noteJob(shell);
    } catch (error) {
      this.#warnUnwritten(error);
    }
  }

  #settle(active: Active): void {
    for (const stop of active.stopWatching.splice(0)) stop();
    if (this.#active === active) this.#active = undefined;
    this.#lastUsedAt = this.#options.now();
  }

  /** Interrupts what the shell runs, and the shell. `false`: there was nothing to interrupt. */
  async #interrupt(active: Active, shell: Running, limitMs: number): Promise<boolean> {
    return await interruptCommand({
      shell: shell.identity, find: () => this.#processesOf(active, shell), limitMs,
      tellShell: (isAsleep) => this.#tellShell(active, shell, isAsleep),
    });
  }

  /** Continues what an earlier server left stopped if it ended in the middle of an interrupt. */
  async #continue(active: Command, shell: Running): Promise<void> {
    try {
      await continueInterrupted({ shell: shell.identity, find: () => this.#processesOf(active, shell) });
    } catch (error) {
      this.#options.log.warn('cannot continue the job of a shell', { jobId: active.launch.id, error });
    }
  }

  /**
   * Makes the shell leave the command of the job.
   *
   * @returns whether the shell has received it by now; `undefined`: it has not begun the command, or has no interrupt.
   */
  #tellShell(active: Active, shell: Running, isAsleep: boolean): (() => boolean) | undefined {
    const { interrupt } = this.#options.dialect;
    const { directory } = active.launch;
    if (interrupt === undefined || this.#active !== active || !hasClaimed(directory, shell.identity)) return undefined;
    const before = interruptsIn(directory);
    this.#noteForShell(() => noteSleep(directory, isAsleep));
    if (!isAliveNow(shell.identity) || !sendSignal(shell.identity.pid, interrupt)) return undefined;
    return () => this.#active !== active || interruptsIn(directory) !== before || !isAliveNow(shell.identity);
  }

  /** Tolerates a failure: the shell is interrupted without the note, and killed if that is not enough. */
  #noteForShell(note: () => void): void {
    try {
      note();
    } catch (error) {
      this.#warnUnwritten(error);
    }
  }

  /** Interrupts the job once, and waits, as a SIGINT trap of the command may be running. */
  async #stopByInterrupt(active: Active, shell: Running, limitMs: number): Promise<void> {
    let isTold = false;
    await this.#stop(active, shell, limitMs, async () => {
      isTold ||= await this.#interrupt(active, shell, limitMs);
    });
  }

  async #stopBySignal(active: Active, shell: Running, signal: NodeJS.Signals, limitMs: number): Promise<void> {
    const told = new Set<number>();
    this.#noteForShell(() => noteLast(active.launch.directory));
    await this.#stop(active, shell, limitMs, (processes) => {
      this.#tellShell(active, shell, isAsleep(shell.identity));
      for (const { pid } of processes) signalOnce(pid, signal, told);
    });
  }

  /** Acts repeatedly until the job has ended, nothing is left to be signalled, or the time is over. */
  async #stop(
    active: Active, shell: Running, limitMs: number, act: (processes: readonly ProcessStat[]) => Promise<void> | void,
  ): Promise<void> {
    const begunAt = performance.now();
    let seenAt = begunAt;
    for (let waitMs = 5; this.#active === active; waitMs = nextLookMs(waitMs)) {
      const processes = await this.#processesOf(active, shell);
      const now = performance.now();
      if (processes.length > 0) seenAt = now;
      if (now - seenAt >= noProcessMs || now - begunAt >= limitMs) return;
      await act(processes);
      await sleep(waitMs);
      this.#look(active);
    }
  }

  /** Ends what a stopped job has left running in the background. No other job of the session runs meanwhile. */
  async #endLeft(active: Active, shell: Running, how: { signal: NodeJS.Signals; limitMs: number }): Promise<void> {
    // A shell starts background processes with SIGINT ignored (POSIX, Shell Command Language 2.11).
    const signal = how.signal === 'SIGINT' ? 'SIGTERM' : how.signal;
    const told = new Set<number>();
    const begunAt = performance.now();
    for (
      let waitMs = 5;
      this.#active !== active && performance.now() - begunAt < how.limitMs;
      waitMs = nextLookMs(waitMs)
    ) {
      const processes = await this.#processesOf(active, shell);
      if (processes.length === 0) return;
      for (const { pid } of processes) signalOnce(pid, signal, told);
      await sleep(waitMs);
    }
  }

  async #kill(shell: Running, active: Active): Promise<boolean> {
    this.#noteKilled(shell, active);
    const deadline = performance.now() + killMs;
    do {
      if (isAliveNow(shell.identity)) sendSignal(shell.identity.pid, 'SIGKILL');
      for (const { pid } of await this.#processesOf(active, shell)) sendSignal(pid, 'SIGKILL');
      await sleep(killLookMs);
      this.#look(active);
      if (this.#active !== active) return true;
    } while (performance.now() < deadline);
    return !isAliveNow(shell.identity);
  }

  async #processesOf(active: Command, shell: Running): Promise<readonly ProcessStat[]> {
    const { launch: { id }, startedAtTicks } = active;
    return await commandProcesses({ jobId: id, shell: shell.identity, shellMark: this.mark, startedAtTicks });
  }

  /** The process, if it can be given a job. */
  get #live(): Running | undefined {
    return this.#running && this.#isAlive() && !isReplaced(this.#running) ? this.#running : undefined;
  }

  #isAlive(): boolean {
    return this.#running !== undefined && isAliveNow(this.#running.identity);
  }

  #lastOutputAt(): number | null {
    if (this.#lastJobDirectory === undefined) return null;
    const times = ['stdout', 'stderr'].flatMap((name) => {
      const stat = statQuietly(join(this.#lastJobDirectory ?? '', name));
      return stat?.isFile() === true && stat.size > 0 ? [stat.mtimeMs / 1000] : [];
    });
    return times.length === 0 ? null : Math.max(...times);
  }

  /** The mark of its process, which is also the id of its launch. */
  get mark(): string {
    return shellMark(this.#options.directory, this.#record, this.#record.starts);
  }

  #save(record: SessionRecord): void {
    this.#checkFolder();
    this.#record = record;
    writeSession(this.#options.directory, record);
  }

  /** Makes sure that nothing is written or removed behind a link. @throws ReplacedError */
  #checkFolder(): void {
    if (isBehindLink(this.#options.directory)) throw new ReplacedError(
      'a link has replaced the directory of the session; delete the session',
    );
  }

  #closeControl(): void {
    if (this.#running) closeSync(this.#running.control);
    this.#running = undefined;
  }
}

/** The command of a job of an earlier server. */
function commandIn(directory: string): Command {
  const claimed = statQuietly(join(directory, 'process'));
  const ageTicks = claimed ? Math.ceil((Date.now() - claimed.mtimeMs) / 10) : 0;
  return { launch: { id: basename(directory), directory }, startedAtTicks: ticksNow() - ageTicks - 1 };
}

function nextLookMs(waitMs: number): number {
  return Math.min(waitMs * 1.5, slowestLookMs);
}

/** Signals a process only once, except with SIGKILL. */
function signalOnce(pid: number, signal: NodeJS.Signals, told: Set<number>): void {
  if (told.has(pid) && signal !== 'SIGKILL') return;
  told.add(pid);
  sendSignal(pid, signal);
  // A stopped process acts on a signal only once it continues.
  if (signal !== 'SIGKILL') sendSignal(pid, 'SIGCONT');
}

function watchQuietly(folder: string, listener: (event: string, name: string | null) => void): FSWatcher | undefined {
  try {
    const watcher = watch(folder, { persistent: false }, listener);
    // The directory is gone, or a limit was reached: the looks at intervals are enough.
    watcher.on('error', () => watcher.close());
    return watcher;
  } catch {
    return undefined;
  }
}
