/**
 * One persistent shell: gives it one job at a time, and reports how each ends.
 * @module
 */
import { writeSync } from 'node:fs';
import { join } from 'node:path';
import { defined } from '../base/defined.ts';
import { appendRegular, checkFolder, createFile, statQuietly, writeRegular } from '../base/files/untrusted-file.ts';
import type { JobEvents } from '../jobs/kind.ts';
import type { JobId } from '../protocol/ids.ts';
import type { ProblemError } from '../protocol/problem.ts';
import type { Session, SessionStatus, ShellEnded } from '../protocol/shells.ts';
import { isAliveNow, ticksNow } from '../process/identity.ts';
import { claimLine, isUnclaimed } from '../process/launcher/process-note.ts';
import { type ActiveJob, readCommand, stopWatching, watchJob } from './active-job.ts';
import { JobStopper } from './job-stopper.ts';
import type { ShellLaunch } from './request.ts';
import {
  checkUntouched, hasHadJob, hasLaterJob, noteExit, noteJob, noteLastExit, readExit, readFallbackExit,
  readLastExit, type ReadyShell, ReplacedError, type StartedShell,
} from './run-directory.ts';
import { isExitAwaited, noteEnded, readEnded, shellGone, startInWords } from './shell-end.ts';
import { ShellProcess, type ShellProcessConnection, type ShellProcessOptions } from './shell-process.ts';
import { runDirectory, type SessionRecord } from './session-record.ts';

export interface ShellOptions extends ShellProcessOptions {
  readonly connection: () => ShellProcessConnection & { readonly events: JobEvents };
  /** Unix seconds. */
  readonly now: () => number;
}

/** How long the exit code of a shell may take to arrive once the shell is gone. */
const exitReportMs = 10_000;
const maxAttempts = 3;

export class Shell {
  readonly #options: ShellOptions;
  readonly #createdAt: number;
  readonly #process: ShellProcess;
  readonly #stopper: JobStopper;
  #activeJob: ActiveJob | undefined;
  #lastUsedAt: number;
  #lastJobDirectory: string | undefined;
  #isClosed = false;

  constructor(options: ShellOptions) {
    this.#options = options;
    this.#createdAt = options.record.createdAt;
    this.#lastUsedAt = options.now();
    const { dialect, log } = options;
    this.#process = new ShellProcess(options);
    this.#lastJobDirectory = this.#process.lastJobDirectory;
    this.#stopper = new JobStopper({
      process: this.#process, dialect, log,
      isActive: (job) => this.#activeJob === job, check: (job) => this.#check(job),
    });
  }

  get record(): SessionRecord {
    return this.#process.record;
  }

  get isIdle(): boolean {
    return this.#activeJob === undefined;
  }

  /** Unix seconds. */
  get lastUsedAt(): number {
    return this.#lastUsedAt;
  }

  /** The mark of its process, which is also the id of its launch. */
  get mark(): string {
    return this.#process.mark;
  }

  show(): Session {
    const { sessionKey, shell, workdir, bootstrapCommand, starts } = this.record;
    const isAlive = this.#process.isAlive;
    const idleStatus: SessionStatus = isAlive ? 'idle' : 'stopped';
    const status = this.#activeJob ? 'running' : idleStatus;
    return {
      sessionKey, shell, status, createdAt: this.#createdAt, lastUsedAt: this.#lastUsedAt,
      lastOutputAt: this.#lastOutputAt(), processAlive: isAlive,
      activeCommand: this.#activeJob !== undefined, activeJobId: (this.#activeJob?.launch.id ?? null) as JobId | null,
      pid: isAlive ? this.#process.current?.identity.pid ?? null : null, starts, workdir,
      bootstrapCommand: bootstrapCommand ?? null,
    };
  }

  /** Sets the bootstrap command from the next start on. @throws the system's error. */
  setBootstrap(bootstrapCommand: string): void {
    this.#process.setBootstrap(bootstrapCommand);
  }

  /** Whether its process runs, with what earlier jobs have left in it. */
  get hasState(): boolean {
    const { live } = this.#process;
    return live !== undefined && hasHadJob(live);
  }

  /** The refusal of a request that requires the shell that earlier jobs have used. */
  goneError(): ProblemError {
    return shellGone(this.record.sessionKey, startInWords(this.#process.nextStart()));
  }

  /** How the shell ended with a job of an earlier server. */
  endedWith(jobDirectory: string): ShellEnded | undefined {
    return readEnded(runDirectory(this.#options.directory, this.record.starts), jobDirectory);
  }

  start(launch: ShellLaunch): void {
    const job: ActiveJob = {
      launch, startedAtTicks: ticksNow(), shell: undefined, attempts: 0, goneAt: undefined, stopWatching: [],
    };
    this.#activeJob = job;
    this.#lastUsedAt = this.#options.now();
    this.#lastJobDirectory = launch.directory;
    void this.#run(job, launch);
  }

  adopt(launch: Pick<ShellLaunch, 'id' | 'directory'>): void {
    const job: ActiveJob = {
      ...readCommand(launch.directory),
      launch, shell: this.#process.current, attempts: maxAttempts, goneAt: undefined, stopWatching: [],
    };
    if (job.shell && hasLaterJob(job.shell, launch.directory)) {
      return void setImmediate(() => this.#reportExit(job, this.#exitOf(job)));
    }
    this.#activeJob = job;
    this.#lastJobDirectory = launch.directory;
    watchJob(job, () => this.#check(job));
    setImmediate(() => this.#check(job));
    if (job.shell) void this.#process.continueCommand(job, job.shell);
  }

  hasJob(id: string): boolean {
    return this.#activeJob?.launch.id === id;
  }

  withdraw(): boolean {
    if (this.#activeJob === undefined || this.#activeJob.shell) return false;
    this.#release(this.#activeJob);
    return true;
  }

  /** Ends what the job runs and, if the job still runs then, the shell. `false`: a process hangs in the kernel. */
  async end(how: { signal: NodeJS.Signals; graceMs: number }): Promise<boolean> {
    const job = this.#activeJob;
    return job?.shell ? await this.#stopper.end(job, job.shell, how) : true;
  }

  /** Sends a signal to what the job runs. `false`: only the shell itself runs. */
  async signal(name: NodeJS.Signals): Promise<boolean> {
    const job = this.#activeJob;
    return job?.shell ? await this.#stopper.signal(job, job.shell, name) : false;
  }

  /** As {@link ShellProcess.terminate}. */
  async terminate(): Promise<void> {
    await this.#process.terminate();
  }

  /** Releases the shell, which keeps running, with its job. */
  close(): void {
    this.#isClosed = true;
    if (this.#activeJob) this.#release(this.#activeJob);
    this.#process.close();
  }

  async #run(job: ActiveJob, launch: ShellLaunch): Promise<void> {
    try {
      const { live } = this.#process;
      if (launch.requireShell === true && !this.hasState) throw this.goneError();
      const shell = live ?? await this.#process.start();
      if (this.#activeJob !== job || this.#isClosed) return;
      this.#assign(job, launch, shell);
    } catch (error) {
      if (this.#activeJob !== job || this.#isClosed) return;
      this.#release(job);
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

  #assign(job: ActiveJob, launch: ShellLaunch, shell: ReadyShell): void {
    const { directory, id, stdin, command, isBootstrap } = launch;
    const { dialect, connection } = this.#options;
    const { bootstrapCommand } = this.record;
    this.#process.checkFolder();
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
    job.shell = shell;
    watchJob(job, () => this.#check(job));
    writeSync(shell.control, `${dialect.source(runFile)}\n`);
    connection().events.onStarted(id);
  }

  #check(job: ActiveJob): void {
    if (this.#activeJob !== job || this.#isClosed) return;
    try {
      const code = this.#exitOf(job);
      if (code !== undefined) this.#reportExit(job, code);
      else if (!job.shell || !isAliveNow(job.shell.identity)) this.#checkEndedShell(job);
    } catch (error) {
      this.#options.log.warn('cannot look at the job of a shell', { jobId: job.launch.id, error });
    }
  }

  /** The exit code that the shell has written for the job. */
  #exitOf({ shell, launch: { id, directory } }: ActiveJob): number | undefined {
    return readExit(directory) ?? (shell && (readFallbackExit(shell, id) ?? readLastExit(shell, id)));
  }

  /** Handles the end of a shell that has ended with its job. */
  #checkEndedShell(job: ActiveJob): void {
    const { shell, launch: { directory } } = job;
    job.goneAt ??= performance.now();
    // In this order, as the launcher ends once it has noted the exit code.
    const isAwaited = shell !== undefined && isExitAwaited(shell);
    const code = shell && readExit(shell.directory);
    if (isAwaited && code === undefined && performance.now() - job.goneAt < exitReportMs) return;
    // Read again: both may have ended since the first check.
    const own = this.#exitOf(job);
    if (own !== undefined) return this.#reportExit(job, own);
    if (shell && isUnclaimed(directory)) return this.#retry(job);
    // The shell may be in the middle of the job.
    if (!shell) void this.#process.endUnusable();
    const ended = shell ? this.#noteEnded(shell.directory, directory, code) : this.endedWith(directory);
    if (shell && code !== undefined) noteExit(directory, shell.identity, code);
    this.#reportExit(job, code, ended);
  }

  /** Gives the job to a new shell, as the last one ended before it had read of the job; fails after `maxAttempts`. */
  #retry(job: ActiveJob): void {
    const { launch } = job;
    stopWatching(job);
    if (launch.command === undefined || (job.attempts += 1) >= maxAttempts) {
      this.#release(job);
      this.#options.connection().events.onFailed(
        launch.id, new Error('the shell ended before it could run the command'),
      );
      return;
    }
    job.shell = undefined;
    job.goneAt = undefined;
    void this.#run(job, launch as ShellLaunch);
  }

  #reportExit(job: ActiveJob, code: number | undefined, shellEnded?: ShellEnded): void {
    const { shell, launch: { id } } = job;
    this.#release(job);
    if (shell && shell === this.#process.current) {
      if (!shell.isSeeded) this.#noteSeeded(shell, code !== undefined);
      if (code !== undefined) this.#process.tryNote(() => noteLastExit(shell, id, code));
    }
    this.#options.connection().events.onExit(id, { code, pid: shell?.identity.pid ?? 0, hasLeft: false, shellEnded });
  }

  #noteEnded(runIn: string, jobDirectory: string, code: number | undefined): ShellEnded {
    return this.#process.tryNote(() => noteEnded(runIn, jobDirectory, code)) ?? { reason: 'unknown' };
  }

  /** Notes that the shell has had a job. @param hasReported Whether the shell has reported the end of that job. */
  #noteSeeded(shell: StartedShell, hasReported: boolean): void {
    shell.isSeeded = hasReported || hasHadJob(shell);
    this.#process.tryNote(() => noteJob(shell));
  }

  #release(job: ActiveJob): void {
    stopWatching(job);
    if (this.#activeJob === job) this.#activeJob = undefined;
    this.#lastUsedAt = this.#options.now();
  }

  #lastOutputAt(): number | null {
    if (this.#lastJobDirectory === undefined) return null;
    const times = ['stdout', 'stderr'].flatMap((name) => {
      const stat = statQuietly(join(this.#lastJobDirectory ?? '', name));
      return stat?.isFile() === true && stat.size > 0 ? [stat.mtimeMs / 1000] : [];
    });
    return times.length === 0 ? null : Math.max(...times);
  }
}
