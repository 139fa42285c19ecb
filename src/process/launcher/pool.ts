/**
 * The pool of launchers, which the fork server forks.
 * @module
 */
import { closeSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { checkFolder, openFifo, writeRegular } from '../../base/files/untrusted-file.ts';
import { withCarrier } from './carry.ts';
import { type FifoWrite, writeFifo } from './fifo.ts';
import { isExecutable } from '../find-program.ts';
import { type Identity, isAliveNow, readStat, wordsOf } from '../identity.ts';
import { type ForkServer, launcherName } from './fork-server.ts';
import type { StdinHolder } from './stdin-holder.ts';
import { type Launch, launchLine, maxLinesBytes, quote, waitLine } from './launch-script.ts';
import { isUnclaimed } from './process-note.ts';
import type { SparePool } from './spares.ts';
import type { Starter, StarterEvents } from './starter.ts';

export interface LauncherPoolOptions extends StarterEvents {
  readonly forkServer: ForkServer;
  readonly stdinHolder: StdinHolder;
  /** Pool of the kind `fifo`. */
  readonly fifos: SparePool;
  /** The parent of the jobs' directories. */
  readonly jobsDirectory: string;
  /** Limit on idle launchers. Default: 512. */
  readonly maxIdle?: number | undefined;
  readonly onWarning: (message: string, error?: unknown) => void;
}

interface Launcher {
  readonly number: number;
  /**
   * Its FIFO, open for reading and writing, so that the open never waits; the launcher ends once the server closes it
   * or ends.
   */
  readonly fd: number;
  identity: Identity | undefined;
}

/** A job that is to be given to a launcher. */
interface PendingLaunch {
  readonly launch: Launch;
  /** The lines for the job's process and its launcher, once they were made. */
  lines?: Buffer;
}

/** `spare` idle launchers are started ahead; after a busy time there are up to `maxIdle`. */
const idleTarget = 2;
const maxIdle = 512;
/** After how many checks unused launchers are closed, and how many of them at once. */
const keepChecks = 10;
const maxClosedAtOnce = 64;
/** How many launchers may be starting at once. */
const maxStarting = 32;
const checkMs = 1000;
/** Pause after a launcher could not be started. */
const pauseMs = 500;

export class LauncherPool implements Starter {
  readonly #options: LauncherPoolOptions;
  readonly #idle: Launcher[] = [];
  /** Fewest idle launchers since the last check, and before each of the last checks. */
  #fewestIdle = 0;
  #fewestBefore: readonly number[] = [];
  readonly #starting = new Map<number, { readonly launcher: Launcher; readonly taken: string }>();
  readonly #busy = new Map<string, { readonly launcher: Launcher; readonly work: PendingLaunch }>();
  readonly #waiting: PendingLaunch[] = [];
  /** FIFOs whose names are to be removed at the next check. */
  #unneeded: string[] = [];
  readonly #check: NodeJS.Timeout;
  #numbers = 0;
  #opening = 0;
  #pausedUntil = 0;
  #isClosed = false;

  constructor(options: LauncherPoolOptions) {
    this.#options = options;
    this.#check = setInterval(() => this.#try(() => this.#checkLaunchers()), checkMs);
    this.#check.unref();
    options.forkServer.listen({
      onStart: () => this.#grow(),
      onEnd: (error) => this.#handleForkServerExit(error),
      onLine: (line) => this.#try(() => this.#handleLine(line)),
    });
  }

  start(launch: Launch): void {
    this.#start({ launch });
  }

  withdraw(id: string): boolean {
    const index = this.#waiting.findIndex(({ launch }) => launch.id === id);
    if (index >= 0) this.#waiting.splice(index, 1);
    return index >= 0;
  }

  writeStdin(_id: string, directory: string, bytes: Uint8Array): FifoWrite {
    return writeFifo(join(directory, 'stdin'), bytes);
  }

  closeStdin(_id: string, lease: string | undefined): boolean {
    return lease !== undefined && this.#options.stdinHolder.release(lease);
  }

  releaseStdin(lease: string | undefined): void {
    if (lease !== undefined) this.#options.stdinHolder.releaseLater(lease);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#check);
    for (const launcher of this.#idle) closeSync(launcher.fd);
    for (const { launcher } of this.#busy.values()) closeSync(launcher.fd);
    for (const { launcher, taken } of this.#starting.values()) {
      closeSync(launcher.fd);
      removeName(taken);
    }
  }

  #start(work: PendingLaunch): void {
    // The launcher that was idle longest has most likely forked ahead.
    const launcher = this.#idle.shift();
    this.#fewestIdle = Math.min(this.#fewestIdle, this.#idle.length);
    if (launcher === undefined) this.#waiting.push(work);
    else this.#give(launcher, work);
    this.#grow();
  }

  #handleForkServerExit(error: Error | undefined): void {
    for (const { launcher, taken } of this.#starting.values()) {
      closeSync(launcher.fd);
      removeName(taken);
    }
    this.#starting.clear();
    if (error) this.#failWaiting(error);
  }

  /** Warns of a failure with one launcher, such as no file descriptors left, and keeps serving the others. */
  #try(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#options.onWarning('cannot look after a launcher', error);
    }
  }

  #handleLine(line: string): void {
    const [word, subject = '', value = '', pid = '', left = ''] = line.split(' ');
    if (word === 'ready') this.#ready(Number(subject), Number(value));
    else if (word === 'exit') {
      // Below 0: its launcher lost track of the job, and the exit code is unknown.
      const code = Number(value) < 0 ? undefined : Number(value);
      const exit = { code, pid: Number(pid), hasLeft: left === 'left' };
      this.#free(subject, () => this.#options.onExit(subject, exit));
    }
    else if (word === 'claimed') this.#free(subject, () => this.#options.onClaimed(subject));
  }

  #ready(number: number, pid: number): void {
    const started = this.#starting.get(number);
    if (!started) return;
    this.#starting.delete(number);
    this.#options.forkServer.markHealthy();
    // Both ends of its FIFO are open: the name is no longer needed.
    this.#unneeded.push(started.taken);
    started.launcher.identity = { pid, startTime: '' };
    this.#makeAvailable(started.launcher);
    this.#grow();
  }

  #free(jobId: string, tell: () => void): void {
    const busy = this.#busy.get(jobId);
    if (!busy) return;
    this.#busy.delete(jobId);
    // The listener first: the exit may free room for a waiting job, which then takes this launcher at once.
    tell();
    this.#makeAvailable(busy.launcher);
  }

  #makeAvailable(launcher: Launcher): void {
    if (this.#isClosed) return;
    const next = this.#waiting.shift();
    // Closing its input ends the launcher.
    if (!next && this.#idle.length >= (this.#options.maxIdle ?? maxIdle)) return closeSync(launcher.fd);
    if (next) this.#give(launcher, next);
    else this.#idle.push(launcher);
  }

  #give(launcher: Launcher, work: PendingLaunch): void {
    const { launch } = work;
    try {
      work.lines ??= Buffer.from(this.#lines(withCarrier(launch, this.#options.forkServer.inherited)));
      this.#busy.set(launch.id, { launcher, work });
      // Both lines in one write: if the server is killed here, no job may run without a launcher that waits for it.
      writeSync(launcher.fd, work.lines);
      this.#options.onStarted(launch.id);
    } catch (error) {
      this.#busy.delete(launch.id);
      this.#options.onFailed(launch.id, error as Error);
      this.#makeAvailable(launcher);
    }
  }

  #lines(launch: Launch): string {
    const { jobsDirectory } = this.#options;
    const second = `${waitLine(launch, jobsDirectory)}\n`;
    const lines = `${launchLine(launch, jobsDirectory)}\n${second}`;
    if (Buffer.byteLength(lines) <= maxLinesBytes) return lines;
    checkFolder(launch.directory);
    const path = join(launch.directory, 'launch');
    writeRegular(path, lines.slice(0, -second.length));
    return `sc_source ${quote(path)}\n${second}`;
  }

  #grow(): void {
    if (!this.#options.forkServer.isRunning || this.#isClosed || performance.now() < this.#pausedUntil) return;
    const coming = this.#starting.size + this.#opening;
    const missing = this.#waiting.length + idleTarget - this.#idle.length - coming;
    const room = maxStarting - coming;
    for (let index = Math.min(missing, room); index > 0; index -= 1) void this.#fork();
  }

  async #fork(): Promise<void> {
    this.#opening += 1;
    let taken: string | undefined;
    try {
      await this.#options.stdinHolder.start();
      taken = (await this.#options.fifos.take()).path;
      if (!this.#options.forkServer.isRunning || this.#isClosed) return removeName(taken);
      const fd = openFifo(taken, 'both');
      const number = this.#numbers += 1;
      this.#starting.set(number, { launcher: { number, fd, identity: undefined }, taken });
      this.#options.forkServer.fork(number, taken);
    } catch (error) {
      if (taken !== undefined) removeName(taken);
      this.#handleForkFailure(error as Error);
    } finally {
      this.#opening -= 1;
      this.#grow();
    }
  }

  /** No more launchers can be started (no file descriptors, no disk): jobs use the existing ones, or fail. */
  #handleForkFailure(error: Error): void {
    if (this.#isClosed) return;
    this.#options.onWarning('cannot start a launcher', error);
    this.#pausedUntil = performance.now() + pauseMs;
    this.#failWaiting(error);
  }

  /** Fails the waiting jobs, unless there is a launcher that will be free again. */
  #failWaiting(error: Error): void {
    if (this.#busy.size + this.#idle.length + this.#starting.size > 0) return;
    for (const { launch } of this.#waiting.splice(0)) this.#options.onFailed(launch.id, error);
  }

  /** Closes launchers that stayed idle through several checks. Bursts come in series, so they are kept for a while. */
  #closeUnneeded(): void {
    this.#fewestBefore = [...this.#fewestBefore.slice(1 - keepChecks), this.#fewestIdle];
    const unneeded = this.#fewestBefore.length < keepChecks ? 0 : Math.min(...this.#fewestBefore) - idleTarget;
    const closed = this.#idle.splice(0, Math.max(0, Math.min(unneeded, maxClosedAtOnce)));
    for (const launcher of closed) closeSync(launcher.fd);
    this.#fewestIdle = this.#idle.length;
  }

  #checkLaunchers(): void {
    if (this.#unneeded.length > 0) {
      // Names that remain are deleted with their folder.
      this.#options.forkServer.runTask(['rm', '-f', '--', ...this.#unneeded], { isUrgent: false })
        .catch(() => undefined);
      this.#unneeded = [];
    }
    this.#closeUnneeded();
    for (const launcher of this.#idle.filter(hasEnded)) {
      this.#idle.splice(this.#idle.indexOf(launcher), 1);
      closeSync(launcher.fd);
    }
    for (const [jobId, { launcher, work }] of this.#busy) {
      if (!hasEnded(launcher)) continue;
      this.#busy.delete(jobId);
      closeSync(launcher.fd);
      // The process on the first line of `process` has the job: even if that of the ended launcher still starts, only
      // one process runs the job.
      if (isUnclaimed(work.launch.directory)) this.#start(work);
      else this.#options.onOrphaned(jobId);
    }
    this.#grow();
  }
}

/** @throws the system's error where that cannot be determined. */
function hasEnded(launcher: Launcher): boolean {
  const { identity } = launcher;
  if (identity === undefined) return false;
  if (identity.startTime !== '') return !isAliveNow(identity);
  // The start time is read here and not when the launcher reports ready: reading can fail, and takes time.
  const stat = readStat(identity.pid);
  launcher.identity = { pid: identity.pid, startTime: stat?.startTime ?? 'none' };
  return stat === undefined || stat.state === 'Z';
}

/** Removes the name of a FIFO that will not be opened again. */
function removeName(fifo: string): void {
  rmSync(fifo, { force: true });
}

/**
 * Whether the process is still a launcher's bash, and not yet the job that it is about to become: a signal that bash
 * catches on its way there is lost. `false` where there is no `/proc`, and it is unknown.
 */
export function isStillLauncher(pid: number): boolean {
  return wordsOf(pid).includes(launcherName, 1);
}

/** A bash for launchers; `undefined` where none is found. Every bash has job control unless it was built without. */
export function findBash(): string | undefined {
  return ['/bin/bash', '/usr/bin/bash', '/usr/local/bin/bash', '/opt/homebrew/bin/bash'].find(isExecutable);
}
