/**
 * Keeps the stdin of jobs open. A job reads the end of its input once no process has its stdin open for writing. So a
 * small bash, the holder, opens the FIFOs, with or without a server, and closes each on request. It lives as long as
 * the server that started it, or a launcher of that server with a job, lives.
 *
 * An open FIFO is named by a string, a lease, that a later server understands: `<name of the holder's FIFO>:<number of
 * its descriptor>`.
 * @module
 */
import { closeSync, readdirSync, unlinkSync, writeSync } from 'node:fs';
import { join, relative } from 'node:path';
import { errorCode } from '../../base/error-code.ts';
import { clearPlaceOf, makeFolder } from '../../base/files/make-folder.ts';
import { isUnreadable, openFifo } from '../../base/files/untrusted-file.ts';
import type { ForkServer } from './fork-server.ts';
import { isPidAlive } from '../identity.ts';
import { openFileLimit } from '../open-files.ts';

export interface StdinHolderOptions {
  readonly forkServer: ForkServer;
  /** Paths of FIFOs are sent relative to it. */
  readonly stateDir: string;
  /** How long the holder may take to answer, in milliseconds. Default: 30,000. */
  readonly answerMs?: number;
  readonly onWarning: (message: string, error?: unknown) => void;
}

interface Batch {
  readonly numbers: readonly number[];
  readonly resolve: (leases: readonly (string | undefined)[]) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/** Lower descriptors are left to bash. */
const lowestNumber = 64;
/** The names of holders' FIFOs, see `#make`; other files in the folder are not ours. */
const fifoName = /^\d+-\d+-[0-9a-z]+$/;
const checkMs = 1000;
const flushMs = 100;
const defaultAnswerMs = 30_000;

export class StdinHolder {
  readonly #options: StdinHolderOptions;
  readonly #folder: string;
  readonly #batches = new Map<number, Batch>();
  readonly #check: NodeJS.Timeout;
  #name = '';
  #fd: number | undefined;
  #pid: number | undefined;
  #free: number[] = [];
  #next = lowestNumber;
  #made = 0;
  #lastBatch = 0;
  readonly #limit = openFileLimit()?.hard ?? Number.POSITIVE_INFINITY;
  readonly #unneeded: string[] = [];
  #flushing: NodeJS.Timeout | undefined;
  #starting: Promise<void> | undefined;
  /** The FIFOs of earlier holders, as long as jobs of their servers run. */
  #others: readonly string[];
  #isClosed = false;

  constructor(options: StdinHolderOptions) {
    this.#options = options;
    this.#folder = join(options.stateDir, 'keepers');
    this.#check = setInterval(() => this.#checkProcess(), checkMs);
    this.#check.unref();
    options.forkServer.listen({
      // Launchers of a new fork server must have the holder's FIFO open, too.
      onStart: () => {
        if (this.#pid !== undefined) options.forkServer.send('sc_join', join(this.#folder, this.#name));
      },
      // The command to fork the holder may be lost with the fork server.
      onEnd: () => {
        if (this.#pid === undefined)
          this.#end(new Error('Cannot keep FIFOs open: the bash that forks the holder has ended'));
      },
      onLine: (line) => this.#handleLine(line),
    });
    clearPlaceOf(this.#folder);
    this.#others = removeEndedHolders(this.#folder, namesIn(this.#folder));
  }

  /**
   * Resolves once the holder is being started: launchers forked from then on keep it alive.
   *
   * @throws as {@link lease}.
   */
  start(): Promise<void> {
    if (this.#isClosed) return Promise.reject(new Error('Cannot keep FIFOs open: the server is closing'));
    if (this.#fd !== undefined) return Promise.resolve();
    this.#starting ??= this.#make().finally(() => { this.#starting = undefined; });
    return this.#starting;
  }

  /** How many FIFOs the holder can hold at once. */
  get capacity(): number {
    return Math.max(1, this.#limit - lowestNumber);
  }

  /** Whether the lease belongs to the current holder. */
  isCurrent(lease: string): boolean {
    return this.#fd !== undefined && nameOf(lease) === this.#name;
  }

  /**
   * Opens FIFOs for writing. Resolves with a lease for each, in the same order; `undefined` where the FIFO is gone, or
   * the holder has too many files open.
   *
   * @throws Error where no holder can be started.
   */
  async lease(paths: readonly string[]): Promise<readonly (string | undefined)[]> {
    await this.start();
    const batch = this.#lastBatch += 1;
    const numbers = paths.flatMap(() => this.#free.pop() ?? this.#nextNumber() ?? []);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#replaceSilent(), this.#options.answerMs ?? defaultAnswerMs);
      timer.unref();
      this.#batches.set(batch, { numbers, resolve, reject, timer });
      const lines = numbers
        .map((number, index) => `hold ${number} ${relative(this.#options.stateDir, paths[index] ?? '')}\n`);
      this.#write([...lines, `ack ${batch}\n`].join(''));
    });
  }

  /** Closes the FIFO of a lease. `false`: its holder is gone, and its FIFOs are closed. */
  release(lease: string): boolean {
    const number = numberOf(lease);
    if (!this.isCurrent(lease)) return writeToOther(join(this.#folder, nameOf(lease)), `drop ${number}\n`);
    this.#write(`drop ${number}\n`);
    this.#free.push(number);
    return true;
  }

  /** {@link release} of a FIFO that is not read any more: batched, as each line wakes the holder. */
  releaseLater(lease: string): void {
    this.#unneeded.push(lease);
    this.#flushing ??= setTimeout(() => this.#flush(), flushMs);
    this.#flushing.unref();
  }

  /** Closes the connection to the holder, which keeps its FIFOs open as long as launchers have jobs. */
  close(): void {
    this.#isClosed = true;
    clearInterval(this.#check);
    this.#flush();
    this.#end(new Error('Cannot keep FIFOs open: the server is closing'));
  }

  #flush(): void {
    clearTimeout(this.#flushing);
    this.#flushing = undefined;
    const leases = this.#unneeded.splice(0);
    for (const lease of leases.filter((one) => !this.isCurrent(one))) this.release(lease);
    const numbers = leases.filter((lease) => this.isCurrent(lease)).map(numberOf);
    this.#write(numbers.map((number) => `drop ${number}\n`).join(''));
    this.#free.push(...numbers);
  }

  /** Replaces a holder that does not answer. The old one keeps its FIFOs open. */
  #replaceSilent(): void {
    const why = 'what keeps stdin open does not answer';
    this.#options.onWarning(`${why}, starting another`);
    this.#end(new Error(`Cannot keep FIFOs open: ${why}; it may be tried again`));
  }

  /** `undefined`: the holder has reached its limit of open files. */
  #nextNumber(): number | undefined {
    return this.#next >= this.#limit ? undefined : (this.#next += 1) - 1;
  }

  async #make(): Promise<void> {
    clearPlaceOf(this.#folder);
    makeFolder(this.#folder, { mode: 0o700 });
    const name = `${process.pid}-${this.#made += 1}-${Date.now().toString(36)}`;
    const path = join(this.#folder, name);
    await this.#options.forkServer.runTask(['mkfifo', '-m', '600', '--', path], { isUrgent: true });
    if (this.#isClosed) throw new Error('Cannot keep FIFOs open: the server is closing');
    this.#name = name;
    this.#free = [];
    this.#next = lowestNumber;
    // Opened for reading as well, so that neither the open nor a write waits or fails without a reader.
    this.#fd = openFifo(path, 'both');
    this.#options.forkServer.send('sc_fork_holder', path, this.#options.stateDir);
  }

  #handleLine(line: string): void {
    const [word, name, value = '', ...failed] = line.split(' ');
    if (name !== this.#name) return;
    if (word === 'keeper') this.#pid = Number(value);
    if (word !== 'kept') return;
    this.#free.push(...failed.map(Number));
    this.#settle(Number(value), ({ numbers, resolve }) =>
      resolve(numbers.map((number) => failed.includes(String(number)) ? undefined : `${name}:${number}`)));
  }

  #settle(batch: number, act: (batch: Batch) => void): void {
    const found = this.#batches.get(batch);
    if (!found) return;
    this.#batches.delete(batch);
    clearTimeout(found.timer);
    act(found);
  }

  #write(lines: string): void {
    if (this.#fd === undefined || lines === '') return;
    try {
      writeSync(this.#fd, lines);
    } catch (error) {
      // EAGAIN: the holder has stopped reading.
      this.#options.onWarning('cannot write to what keeps stdin open, starting another', error);
      this.#end(error as Error);
    }
  }

  #checkProcess(): void {
    if (this.#others.length > 0) this.#others = removeEndedHolders(this.#folder, this.#others);
    if (this.#pid === undefined || isPidAlive(this.#pid)) return;
    this.#options.onWarning(
      'what keeps stdin open has ended, starting another: jobs that run have come to the end of their input',
    );
    this.#end(new Error('Cannot keep FIFOs open: the holder has ended'));
  }

  #end(error: Error): void {
    for (const batch of [...this.#batches.keys()]) this.#settle(batch, ({ reject }) => reject(error));
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
    this.#pid = undefined;
  }
}

function nameOf(lease: string): string {
  return lease.slice(0, lease.indexOf(':'));
}

function numberOf(lease: string): number {
  return Number(lease.slice(lease.indexOf(':') + 1));
}

/** Writes to the holder of an earlier server. `false`: it is gone. */
function writeToOther(path: string, line: string): boolean {
  try {
    const fd = openFifo(path, 'write');
    try {
      writeSync(fd, line);
    } finally {
      closeSync(fd);
    }
    return true;
  } catch (error) {
    // ENXIO: the FIFO has no reader (open(2)). EAGAIN: the holder hangs, and its FIFO is full.
    const isGone = ['ENXIO', 'EAGAIN'].includes(errorCode(error));
    if (!isGone && !isUnreadable(error)) throw error;
    return false;
  }
}

/** Removes the FIFOs of holders that have ended. @returns the names of those that have not. */
function removeEndedHolders(folder: string, names: readonly string[]): readonly string[] {
  return names.filter((name) => {
    try {
      if (writeToOther(join(folder, name), '')) return true;
      unlinkSync(join(folder, name));
    } catch {
      // The file is not ours: it stays.
    }
    return false;
  });
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder).filter((name) => fifoName.test(name));
  } catch {
    return [];
  }
}
