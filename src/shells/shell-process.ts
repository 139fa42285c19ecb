/**
 * The process of a session: starts it, finds that of an earlier server again, and ends it.
 * @module
 */
import { closeSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Log } from '../base/log.ts';
import { makeFolder } from '../base/files/make-folder.ts';
import { createFile, isBehindLink, isExhaustion, statQuietly } from '../base/files/untrusted-file.ts';
import type { Variables } from '../process/environment/secrets.ts';
import { ownShellStart } from '../process/environment/shell-variables.ts';
import { type Identity, isAliveNow, type ProcessStat, ticksNow } from '../process/identity.ts';
import { hasOpen } from '../process/launcher/fifo.ts';
import type { Launch } from '../process/launcher/launch-script.ts';
import { parseProcessNote } from '../process/launcher/process-note.ts';
import type { Trash } from '../process/state/trash.ts';
import { terminate } from '../process/terminate.ts';
import type { ShellStarted } from '../protocol/shells.ts';
import { type JobCommand, readCommand } from './active-job.ts';
import { commandProcesses } from './command-processes.ts';
import type { Dialect } from './dialects/dialect.ts';
import { continueInterrupted } from './interrupt.ts';
import { leftGroups } from './left-groups.ts';
import {
  discardRunDirectory, hasHadJob, isReplaced, isUnfinished, openControl, readNotedJob, readQuietly, type ReadyShell,
  ReplacedError, type StartedShell, waitForProcess,
} from './run-directory.ts';
import { noteStarted, readStarted, startAfter } from './shell-end.ts';
import { runDirectory, type SessionRecord, shellMark, shellMarkPrefix, writeSession } from './session-record.ts';

export interface ShellProcessConnection {
  readonly launch: (launch: Launch) => void;
  /** The directory of a job of the session; `undefined`: the session has no such job. */
  readonly jobDirectory: (sessionKey: string, id: string) => string | undefined;
}

export interface ShellProcessOptions {
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
  readonly connection: () => ShellProcessConnection;
  readonly log: Log;
}

const hangUp = { signal: 'SIGHUP', graceMs: 1000 } as const;

export class ShellProcess {
  readonly #options: ShellProcessOptions;
  #record: SessionRecord;
  #running: StartedShell | undefined;
  /** Set while the process is being started: if the job is withdrawn meanwhile, the next job gets the process. */
  #starting: Promise<ReadyShell> | undefined;
  #lastJobDirectory: string | undefined;
  /** Set once the process is released or the session deleted: a start is not waited for any more. */
  #isGivenUp = false;
  /** A job has replaced the files by which the shell would be found again after a restart of the server. */
  #isUnusable = false;

  constructor(options: ShellProcessOptions) {
    this.#options = options;
    this.#record = options.record;
    if (options.record.starts > 0) this.#tryReattach();
  }

  get record(): SessionRecord {
    return this.#record;
  }

  /** The last process that was started or found again; it may have ended since. */
  get current(): StartedShell | undefined {
    return this.#running;
  }

  /** The directory of the last job that an earlier server gave to the process. */
  get lastJobDirectory(): string | undefined {
    return this.#lastJobDirectory;
  }

  /** The process, if it can be given a job. */
  get live(): ReadyShell | undefined {
    return this.#running && this.isAlive && mayRead(this.#running) ? this.#running : undefined;
  }

  get isAlive(): boolean {
    return this.#running !== undefined && isAliveNow(this.#running.identity);
  }

  /** The mark of its process, which is also the id of its launch. */
  get mark(): string {
    return shellMark(this.#options.directory, this.#record, this.#record.starts);
  }

  /** Sets the bootstrap command from the next start on. @throws the system's error. */
  setBootstrap(bootstrapCommand: string): void {
    if (bootstrapCommand !== this.#record.bootstrapCommand) this.#save({ ...this.#record, bootstrapCommand });
  }

  /** Starts the process, or waits for the start that was begun already. */
  async start(): Promise<ReadyShell> {
    this.#starting ??= this.#startProcess().finally(() => { this.#starting = undefined; });
    return await this.#starting;
  }

  /** Why the next process is started. */
  nextStart(): ShellStarted {
    const { starts } = this.#record;
    if (this.#running && this.isAlive && isReplaced(this.#running)) return { reason: 'unknown', start: starts + 1 };
    return startAfter(starts === 0 ? undefined : runDirectory(this.#options.directory, starts), starts + 1);
  }

  /** Ends the process of a deleted session and those before it, with all processes in their groups. */
  async terminate(): Promise<void> {
    this.#isGivenUp = true;
    // A process that is being started may have opened its control by now, and would then never end.
    this.#isUnusable ||= this.#starting !== undefined;
    const own = this.isAlive ? this.#running?.identity : undefined;
    const left = this.#findLeft().then((groups) => groups.filter(({ pid }) => pid !== own?.pid));
    if (own === undefined) await this.endUnusable();
    const ended = own === undefined ? [] : [own];
    await Promise.all([...ended, ...await left].map((leader) => terminate({ id: this.mark, leader }, hangUp)));
    this.#closeControl();
  }

  /** Ends a shell that may still run, but can be given no job any more. */
  async endUnusable(): Promise<void> {
    if (!this.#isUnusable) return;
    await terminate({ id: this.mark, leader: undefined }, hangUp);
    this.#isUnusable = false;
  }

  /** Releases the process, which keeps running. */
  close(): void {
    this.#isGivenUp = true;
    this.#closeControl();
  }

  /** The processes of the command; not the shell. @throws the system's error. */
  async findProcesses(command: JobCommand, shell: StartedShell): Promise<readonly ProcessStat[]> {
    const { launch: { id }, startedAtTicks } = command;
    return await commandProcesses({ jobId: id, shell: shell.identity, shellMark: this.mark, startedAtTicks });
  }

  /** Continues what an earlier server left stopped if it ended in the middle of an interrupt. */
  async continueCommand(command: JobCommand, shell: StartedShell): Promise<void> {
    try {
      await continueInterrupted({ shell: shell.identity, find: () => this.findProcesses(command, shell) });
    } catch (error) {
      this.#options.log.warn('cannot continue the job of a shell', { jobId: command.launch.id, error });
    }
  }

  /** Tolerates a failure to write the state of the shell, as a job can cause it. @returns `undefined`: it failed. */
  tryNote<T>(note: () => T): T | undefined {
    try {
      return note();
    } catch (error) {
      this.#options.log.warn('cannot write the state of a shell', { sessionKey: this.#record.sessionKey, error });
      return undefined;
    }
  }

  /** Makes sure that nothing is written or removed behind a link. @throws ReplacedError */
  checkFolder(): void {
    if (isBehindLink(this.#options.directory)) {
      throw new ReplacedError('a link has replaced the directory of the session; delete the session');
    }
  }

  async #startProcess(): Promise<ReadyShell> {
    const { directory, dialect, program, connection, takeFifo, inherited, trash } = this.#options;
    this.checkFolder();
    const started = this.nextStart();
    // The process runs, and cannot be used any more.
    this.#isUnusable ||= this.isAlive;
    this.#closeControl();
    await this.endUnusable();
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
    if (before > 0) discardRunDirectory(runDirectory(directory, before), trash);
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
      const { identity, parentPid: launcherPid } = await waitForProcess(runIn, () => this.#isGivenUp);
      const fresh = { isControlSure: true, isSeeded: false, jobDirectory: undefined };
      const shell = { directory: runIn, identity, launcherPid, control, started, ...fresh };
      this.#running = shell;
      return shell;
    } catch (error) {
      closeSync(control);
      throw error;
    }
  }

  /** Finds the process of an earlier server; on failure the session continues with another process. */
  #tryReattach(): void {
    try {
      this.#reattach();
    } catch (error) {
      if (isExhaustion(error)) throw error;
      this.#closeControl();
      this.#isUnusable = true;
      this.#options.log.warn('cannot use a shell any more', { sessionKey: this.#record.sessionKey, error });
    }
  }

  /** Finds the process that an earlier server started; it may have ended. */
  #reattach(): void {
    const { directory, record: { starts }, dialect } = this.#options;
    const runIn = runDirectory(directory, starts);
    const note = parseProcessNote(readQuietly(runIn, 'process'));
    this.#isUnusable = note === undefined;
    if (!note) return;
    const { identity, parentPid: launcherPid } = note;
    const noted = readNotedJob(runIn);
    this.#lastJobDirectory = noted.jobDirectory;
    const isAlive = isAliveNow(identity);
    const controlPath = join(runIn, 'control');
    const started = readStarted(runIn) ?? { reason: 'gone', start: starts };
    const control = isAlive ? this.#reopen(controlPath) : undefined;
    this.#running = { directory: runIn, identity, launcherPid, control, isControlSure: false, started, ...noted };
    if (!isAlive) return;
    // A FIFO that no process has open loses its content: the server may have ended before the shell had opened it.
    if (control !== undefined && !hasHadJob(this.#running)) {
      writeSync(control, `${dialect.begin(controlPath, join(runIn, 'environment'))}\n`);
    }
    if (noted.jobDirectory === undefined || !isUnfinished(noted.jobDirectory, identity)) {
      void this.continueCommand(readCommand(noted.jobDirectory ?? runIn), this.#running);
    }
  }

  /** @returns `undefined`: something has replaced the control. */
  #reopen(controlPath: string): number | undefined {
    try {
      return openControl(controlPath);
    } catch (error) {
      if (isExhaustion(error)) throw error;
      this.#options.log.warn('cannot give a shell jobs any more', { sessionKey: this.#record.sessionKey, error });
      return undefined;
    }
  }

  async #findLeft(): Promise<readonly Identity[]> {
    const { directory, connection, log } = this.#options;
    const { sessionKey } = this.#record;
    const prefix = shellMarkPrefix(directory, this.#record);
    try {
      return await leftGroups({
        isShellMark: (mark) => mark.startsWith(prefix),
        jobDirectory: (id) => connection().jobDirectory(sessionKey, id),
        before: ticksNow(),
      });
    } catch (error) {
      log.warn('cannot look for what the shells of a session have left', { sessionKey, error });
      return [];
    }
  }

  #save(record: SessionRecord): void {
    this.checkFolder();
    this.#record = record;
    writeSession(this.#options.directory, record);
  }

  #closeControl(): void {
    if (this.#running?.control !== undefined) closeSync(this.#running.control);
    this.#running = undefined;
  }
}

/** Whether the shell reads what is written to its control, and can be told of a job. It has opened it for its first. */
function mayRead(shell: StartedShell): shell is ReadyShell {
  const { control, identity } = shell;
  if (control === undefined || isReplaced(shell)) return false;
  if (shell.isControlSure || !hasHadJob(shell)) return true;
  shell.isControlSure = hasOpen(identity.pid, control) !== false;
  return shell.isControlSure;
}
