/**
 * Job directories made ahead, with a FIFO for stdin and the empty files that a job needs, and FIFOs alone, for launchers: making seven
 * files takes 0.2 ms on a quiet disk and 3 ms on a busy one, which nobody who submits a job should wait for.
 * @module
 */
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type ChoreError, ChoreLost, type FirstBash } from './first-bash.ts';

/** How many are made at once, and the rest at which more are made. */
const batch = 128;
const low = 64;

// POSIX sh: $0 is the folder, the arguments are the names.
const scripts = {
  directory: `umask 077; cd -- "$0" && mkdir -- "$@" || exit
for n do
  : >"$n/job.json" && : >"$n/stdout" && : >"$n/stderr" && : >"$n/process" && : >"$n/exit" || exit
  shift; set -- "$@" "$n/stdin"
done
mkfifo -- "$@"`,
  fifo: 'umask 077; cd -- "$0" && mkfifo -- "$@"',
} as const;

export class Spares {
  readonly #first: FirstBash;
  readonly #folder: string;
  readonly #kind: keyof typeof scripts;
  readonly #ready: string[] = [];
  #made = 0;
  #isClosed = false;
  #refilling: Promise<void> | undefined;

  /**
   * @param first Makes them.
   * @param folder Begun anew: what is left in it from an earlier server goes.
   */
  constructor(first: FirstBash, folder: string, kind: keyof typeof scripts = 'directory') {
    this.#first = first;
    this.#folder = folder;
    this.#kind = kind;
    const old = `${folder}.${process.pid}.old`;
    if (existsSync(folder)) renameSync(folder, old);
    // Again where it fills meanwhile: the script of a server that was killed outlives it for a moment.
    rm(old, { recursive: true, force: true, maxRetries: 20, retryDelay: 10 }).catch(() => undefined);
  }

  /**
   * What is the caller's from now on: a FIFO, or a directory, to be renamed, that holds `stdin`, a FIFO, and, empty, `job.json stdout stderr process exit`.
   * Waits only where none is ready.
   *
   * @throws the system's error, such as ENOSPC, where none can be made.
   */
  async take(): Promise<string> {
    let path = this.#ready.pop();
    while (path === undefined || !this.#isThere(path)) {
      await this.#refill();
      path = this.#ready.pop();
    }
    // A failure is seen, and told, by the next who finds none.
    if (this.#ready.length < low) this.#refill().catch(() => undefined);
    return path;
  }

  /** Where somebody removed the state directory while the server runs, none of them is there any more. */
  #isThere(path: string): boolean {
    if (existsSync(path)) return true;
    this.#ready.length = 0;
    return false;
  }

  /** It was not needed after all. */
  giveBack(path: string): void {
    this.#ready.push(path);
  }

  async close(): Promise<void> {
    // A script on its way would fill what is being removed.
    this.#isClosed = true;
    while (this.#refilling) await this.#refilling.catch(() => undefined);
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 10 });
  }

  #refill(): Promise<void> {
    if (this.#isClosed) return Promise.reject(new Error('Cannot make job directories: they are closed'));
    this.#refilling ??= this.#make().finally(() => { this.#refilling = undefined; });
    return this.#refilling;
  }

  async #make(isAgain = false): Promise<void> {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    const names = Array.from({ length: batch }, () => String(this.#made += 1));
    const paths = names.map((name) => join(this.#folder, name));
    try {
      await this.#first.chore(['/bin/sh', '-c', scripts[this.#kind], this.#folder, ...names]);
    } catch (error) {
      await Promise.all(paths.map((path) => rm(path, { recursive: true, force: true }).catch(() => undefined)));
      if (error instanceof ChoreLost && !isAgain) return this.#make(true);
      throw systemError(error as Error & Partial<ChoreError>);
    }
    this.#ready.push(...paths);
  }
}

const reasons: { readonly [words: string]: string } = {
  'No space left on device': 'ENOSPC',
  'Disk quota exceeded': 'EDQUOT',
  'Read-only file system': 'EROFS',
  'Permission denied': 'EACCES',
  'Too many open files': 'EMFILE',
  'Cannot fork': 'EAGAIN',
};

/** What the programs of the script wrote says what the system said (strerror(3), in the C locale). */
function systemError(error: Error & Partial<ChoreError>): Error {
  const { stderr = '' } = error;
  const words = Object.keys(reasons).find((reason) => stderr.includes(reason));
  if (words === undefined) return error;
  return Object.assign(new Error(`Cannot make job directories: ${words}`, { cause: error }), { code: reasons[words] });
}
