/**
 * The pool of launchers, which the first bash forks.
 * @module
 */
import { closeSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { checkFolder, openFifo, writeRegular } from '../base/untrusted-file.ts';
import { withCarrier } from './environment/carry.ts';
import { type FifoWrite, writeFifo } from './fifo.ts';
import { isExecutable } from './find-program.ts';
import { type Identity, isAliveNow, readStat, wordsOf } from './identity.ts';
import { type FirstBash, launcherName } from './first-bash.ts';
import type { Keeper } from './keeper.ts';
import { type Launch, launchLine, maxLinesBytes, quote, waitLine } from './launch-script.ts';
import { isUnclaimed } from './process-note.ts';
import type { Spares } from './spares.ts';
import type { Starter, StarterEvents } from './starter.ts';

export interface LaunchersOptions extends StarterEvents {
  readonly first: FirstBash;
  readonly keeper: Keeper;
  /** Of the kind `fifo`. */
  readonly fifos: Spares;
  /** The parent of the jobs' directories. */
  readonly jobsDirectory: string;
  /** How many are kept at most while there is no work for them. Default: 512. */
  readonly maxIdle?: number | undefined;
  readonly onWarning: (message: string, error?: unknown) => void;
}

interface Launcher {
  readonly number: number;
  /** Its FIFO, open for reading and writing: so opening it never waits, and it ends with the server. */
  readonly fd: number;
  identity: Identity | undefined;
}

/** A job on its way into a launcher. */
interface Work {
  readonly launch: Launch;
  /** What the process of the job and its launcher read, once it was made. */
  lines?: Buffer;
}

/** How many wait for work: some at once, more after a busy time. */
const spare = 2;
const maxIdle = 512;
/** For how many checks those that nobody needed are kept, and how many are let go at once. */
const keepChecks = 10;
const maxLetGo = 64;
/** How many may be on their way at once. */
const maxStarting = 32;
const checkMs = 1000;
/** After one could not be had. */
const pauseMs = 500;

export class Launchers implements Starter {
  readonly #options: LaunchersOptions;
  readonly #idle: Launcher[] = [];
  /** Since the last check, and before each of the last ones. */
  #fewestIdle = 0;
  #fewestBefore: readonly number[] = [];
  readonly #starting = new Map<number, { readonly launcher: Launcher; readonly taken: string }>();
  readonly #busy = new Map<string, { readonly launcher: Launcher; readonly work: Work }>();
  readonly #waiting: Work[] = [];
  /** FIFOs whose names are to be removed when there is time. */
  #unneeded: string[] = [];
  readonly #check: NodeJS.Timeout;
  #numbers = 0;
  #opening = 0;
  #pausedUntil = 0;
  #isClosed = false;

  constructor(options: LaunchersOptions) {
    this.#options = options;
    this.#check = setInterval(() => this.#try(() => this.#lookAfter()), checkMs);
    this.#check.unref();
    options.first.tell({
      onStart: () => this.#grow(),
      onEnd: (error) => this.#firstEnded(error),
      onLine: (line) => this.#try(() => this.#hear(line)),
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

  closeStdin(_id: string, hold: string | undefined): boolean {
    return hold !== undefined && this.#options.keeper.release(hold);
  }

  letGoOfStdin(hold: string | undefined): void {
    if (hold !== undefined) this.#options.keeper.releaseLater(hold);
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

  #start(work: Work): void {
    // The one that rests longest has surely forked ahead.
    const launcher = this.#idle.shift();
    this.#fewestIdle = Math.min(this.#fewestIdle, this.#idle.length);
    if (launcher === undefined) this.#waiting.push(work);
    else this.#give(launcher, work);
    this.#grow();
  }

  #firstEnded(error: Error | undefined): void {
    for (const { launcher, taken } of this.#starting.values()) {
      closeSync(launcher.fd);
      removeName(taken);
    }
    this.#starting.clear();
    if (error) this.#failWaiting(error);
  }

  /** What fails for one launcher, be it for want of file descriptors, must not keep the others from being heard. */
  #try(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#options.onWarning('cannot look after a launcher', error);
    }
  }

  #hear(line: string): void {
    const [word, subject = '', value = '', pid = '', left = ''] = line.split(' ');
    if (word === 'ready') this.#ready(Number(subject), Number(value));
    else if (word === 'exit') {
      // Below 0: its launcher lost sight of it, and nobody knows how it ended.
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
    this.#options.first.works();
    // Both ends of its FIFO are open: nothing needs the name any more.
    this.#unneeded.push(started.taken);
    started.launcher.identity = { pid, startTime: '' };
    this.#toWork(started.launcher);
    this.#grow();
  }

  #free(jobId: string, tell: () => void): void {
    const busy = this.#busy.get(jobId);
    if (!busy) return;
    this.#busy.delete(jobId);
    // The job first: it may free a place for one that waits, and the launcher is taken again at once.
    tell();
    this.#toWork(busy.launcher);
  }

  #toWork(launcher: Launcher): void {
    if (this.#isClosed) return;
    const next = this.#waiting.shift();
    // The end of its input ends it.
    if (!next && this.#idle.length >= (this.#options.maxIdle ?? maxIdle)) return closeSync(launcher.fd);
    if (next) this.#give(launcher, next);
    else this.#idle.push(launcher);
  }

  #give(launcher: Launcher, work: Work): void {
    const { launch } = work;
    try {
      work.lines ??= Buffer.from(this.#lines(withCarrier(launch, this.#options.first.inherited)));
      this.#busy.set(launch.id, { launcher, work });
      // At once: no job may run that its launcher does not wait for, should the server be killed here.
      writeSync(launcher.fd, work.lines);
      this.#options.onStarted(launch.id);
    } catch (error) {
      this.#busy.delete(launch.id);
      this.#options.onFailed(launch.id, error as Error);
      this.#toWork(launcher);
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
    if (!this.#options.first.isThere || this.#isClosed || performance.now() < this.#pausedUntil) return;
    const coming = this.#starting.size + this.#opening;
    const missing = this.#waiting.length + spare - this.#idle.length - coming;
    const room = maxStarting - coming;
    for (let index = Math.min(missing, room); index > 0; index -= 1) void this.#fork();
  }

  async #fork(): Promise<void> {
    this.#opening += 1;
    let taken: string | undefined;
    try {
      await this.#options.keeper.start();
      taken = (await this.#options.fifos.take()).path;
      if (!this.#options.first.isThere || this.#isClosed) return removeName(taken);
      const fd = openFifo(taken, 'both');
      const number = this.#numbers += 1;
      this.#starting.set(number, { launcher: { number, fd, identity: undefined }, taken });
      this.#options.first.fork(number, taken);
    } catch (error) {
      if (taken !== undefined) removeName(taken);
      this.#noLauncher(error as Error);
    } finally {
      this.#opening -= 1;
      this.#grow();
    }
  }

  /** No further launcher can be had (no file descriptors, no disk): jobs go on in the ones that there are, or fail. */
  #noLauncher(error: Error): void {
    if (this.#isClosed) return;
    this.#options.onWarning('cannot start a launcher', error);
    this.#pausedUntil = performance.now() + pauseMs;
    this.#failWaiting(error);
  }

  /** Unless there is a launcher that will be free again. */
  #failWaiting(error: Error): void {
    if (this.#busy.size + this.#idle.length + this.#starting.size > 0) return;
    for (const { launch } of this.#waiting.splice(0)) this.#options.onFailed(launch.id, error);
  }

  /** Bursts come in series: what the last one needed is there for the next, if it comes soon. */
  #letGoOfUnneeded(): void {
    this.#fewestBefore = [...this.#fewestBefore.slice(1 - keepChecks), this.#fewestIdle];
    const unneeded = this.#fewestBefore.length < keepChecks ? 0 : Math.min(...this.#fewestBefore) - spare;
    for (const launcher of this.#idle.splice(0, Math.max(0, Math.min(unneeded, maxLetGo)))) closeSync(launcher.fd);
    this.#fewestIdle = this.#idle.length;
  }

  #lookAfter(): void {
    if (this.#unneeded.length > 0) {
      // What is left of them goes with their folder.
      this.#options.first.chore(['rm', '-f', '--', ...this.#unneeded], { isUrgent: false }).catch(() => undefined);
      this.#unneeded = [];
    }
    this.#letGoOfUnneeded();
    for (const launcher of this.#idle.filter(hasEnded)) {
      this.#idle.splice(this.#idle.indexOf(launcher), 1);
      closeSync(launcher.fd);
    }
    for (const [jobId, { launcher, work }] of this.#busy) {
      if (!hasEnded(launcher)) continue;
      this.#busy.delete(jobId);
      closeSync(launcher.fd);
      // Whose line is the first in `process` has the job: should it yet begin where it was, no other launcher runs it.
      if (isUnclaimed(work.launch.directory)) this.#start(work);
      else this.#options.onOrphaned(jobId);
    }
    this.#grow();
  }
}

/** @throws the system's error where nobody can know. */
function hasEnded(launcher: Launcher): boolean {
  const { identity } = launcher;
  if (identity === undefined) return false;
  if (identity.startTime !== '') return !isAliveNow(identity);
  // Its start time was not asked for when it said that it is there: that can fail, and takes time.
  const stat = readStat(identity.pid);
  launcher.identity = { pid: identity.pid, startTime: stat?.startTime ?? 'none' };
  return stat === undefined || stat.state === 'Z';
}

/** Nothing opens it any more. */
function removeName(fifo: string): void {
  rmSync(fifo, { force: true });
}

/**
 * Whether the process is a launcher's still, and not yet the job that it is about to become: a signal that bash catches on its way there is
 * lost. Where there is no `/proc` nobody knows: `false`.
 */
export function isStillLauncher(pid: number): boolean {
  return wordsOf(pid).includes(launcherName, 1);
}

/** A bash for launchers; `undefined` where there is none. Every bash has job control unless it was built without. */
export function findBash(): string | undefined {
  return ['/bin/bash', '/usr/bin/bash', '/usr/local/bin/bash', '/opt/homebrew/bin/bash'].find(isExecutable);
}
