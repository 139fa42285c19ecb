/**
 * FIFOs: a job's stdin that outlives the server, made ahead so that `mkfifo` is never waited for.
 * @module
 */
import { execFile } from 'node:child_process';
import { closeSync, constants, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** How many one `mkfifo` makes, and the rest at which more are made. */
const batch = 128;
const low = 64;
const run = promisify(execFile);

/** Ready-made FIFOs in a directory of their own. */
export class FifoPool {
  readonly #directory: string;
  readonly #ready: string[] = [];
  #made = 0;
  #refilling: Promise<void> | undefined;

  /** @param directory Emptied: what is left in it from an earlier server has no reader. */
  constructor(directory: string) {
    this.#directory = directory;
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  /** The path of a FIFO that is the caller's from now on. Waits only when the pool is dry. */
  async take(): Promise<string> {
    let path = this.#ready.pop();
    while (path === undefined) {
      await this.refill();
      path = this.#ready.pop();
    }
    this.#refillLater();
    return path;
  }

  /** {@link take}, moved to `path`, if there is one ready; `false` if not. */
  takeNow(path: string): boolean {
    const ready = this.#ready.at(-1);
    if (ready === undefined) return false;
    renameSync(ready, path);
    this.#ready.pop();
    this.#refillLater();
    return true;
  }

  /** Makes sure that there are FIFOs. @throws what `mkfifo` says. */
  async refill(): Promise<void> {
    this.#refilling ??= this.#make().finally(() => { this.#refilling = undefined; });
    await this.#refilling;
  }

  async close(): Promise<void> {
    // A mkfifo on its way would fill what is being removed.
    while (this.#refilling) await this.#refilling.catch(() => undefined);
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #refillLater(): void {
    // A failure is seen, and told, by the next who finds the pool dry.
    if (this.#ready.length < low) this.refill().catch(() => undefined);
  }

  async #make(): Promise<void> {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    const paths = Array.from({ length: batch }, () => join(this.#directory, String(this.#made += 1)));
    try {
      await run('mkfifo', ['-m', '600', '--', ...paths], { timeout: 30_000 });
    } catch (error) {
      for (const path of paths) rmSync(path, { force: true });
      throw error;
    }
    this.#ready.push(...paths);
  }
}

/** How a write into a FIFO went; it never waits. */
export type FifoWrite = { readonly writtenBytes: number } | 'closed' | 'full';

/**
 * Writes what fits. `closed`: nobody has it open for reading. `full`: not even one byte fits.
 * Up to 4096 bytes (PIPE_BUF, pipe(7)) go in whole or not at all.
 */
export function writeFifo(path: string, bytes: Uint8Array): FifoWrite {
  let fd: number;
  try {
    fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch (error) {
    // ENXIO: no reader (open(2)). ENOENT: the job has ended.
    if (['ENXIO', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) return 'closed';
    throw error;
  }
  try {
    return { writtenBytes: writeSync(fd, bytes) };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EAGAIN') return 'full';
    if (code === 'EPIPE') return 'closed';
    throw error;
  } finally {
    closeSync(fd);
  }
}
