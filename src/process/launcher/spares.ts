/**
 * Pools of job directories, made ahead with a FIFO for stdin and the empty files that a job needs, and of FIFOs for
 * launchers: making seven files takes 0.2 ms on a quiet disk and 3 ms on a busy one, for which no client that submits a
 * job should wait.
 * @module
 */
import type { Stats } from 'node:fs';
import { dirname, join } from 'node:path';
import { clearPlaceOf, makeFolder } from '../../base/files/make-folder.ts';
import { statFile } from '../../base/files/untrusted-file.ts';
import { settlesWithin } from '../../base/settles-within.ts';
import { type TaskError, TaskLostError, type ForkServer } from './fork-server.ts';
import type { StdinHolder } from './stdin-holder.ts';
import { removeFolder, Trash } from '../state/trash.ts';

/**
 * How many are made at once, and the number left at which more are made. A burst needs a launcher, and so a FIFO, for
 * each job.
 */
const stockOf = { directory: { batch: 128, low: 64 }, fifo: { batch: 256, low: 128 } } as const;

/** Limit on refills whose results are all useless, before an error is thrown. */
const mostDiscarded = 3;

// POSIX sh: $0 is the folder, the arguments are the names.
// chattr(1), T: ext4 spreads new directories over all its groups. Otherwise it steps over each inode of a group that
// was deleted in the last minutes, which costs up to 5 ms a directory where jobs come and go (fs/ext4/ialloc.c,
// recently_deleted). Other file systems refuse the flag, which does no harm.
const scripts = {
  directory: `umask 077; cd -- "$0" || exit
chattr +T . 2>/dev/null
mkdir -- "$@" || exit
for n do
  : >"$n/job.json" && : >"$n/stdout" && : >"$n/stderr" && : >"$n/process" && : >"$n/exit" || exit
  shift; set -- "$@" "$n/stdin"
done
mkfifo -- "$@"`,
  fifo: 'umask 077; cd -- "$0" && mkfifo -- "$@"',
} as const;

export interface Spare {
  readonly path: string;
  /** The lease that keeps its stdin open, see `StdinHolder`; absent for a FIFO. */
  readonly lease: string | undefined;
  /** Its inode and the time of its last change, as made. */
  readonly made: Made;
}

type Made = Pick<Stats, 'ino' | 'ctimeMs'>;

/**
 * How long `close` waits for a running script: the process that runs it may have been killed, and then reports nothing.
 */
const closeMs = 5000;

export class SparePool {
  readonly #forkServer: ForkServer;
  /** The folder of this server alone: a script of a killed server may still run, and uses the same names. */
  readonly #folder: string;
  readonly #parent: string;
  readonly #kind: keyof typeof scripts;
  readonly #stdinHolder: StdinHolder | undefined;
  readonly #batch: number;
  readonly #low: number;
  readonly #trash: Trash;
  readonly #ready: Spare[] = [];
  #made = 0;
  #isClosed = false;
  readonly #refilling = new Map<'ahead' | 'urgent', Promise<void>>();

  /**
   * @param forkServer Runs the scripts.
   * @param folder A path in the state directory. What an earlier server left there is removed.
   * @param stdinHolder Keeps the stdin of job directories open; without it, FIFOs are made instead.
   */
  constructor(forkServer: ForkServer, folder: string, stdinHolder?: StdinHolder) {
    const { batch, low } = stockOf[stdinHolder ? 'directory' : 'fifo'];
    // Most of the stdin holder's capacity is for the jobs that run.
    this.#batch = Math.min(batch, Math.max(1, Math.floor((stdinHolder?.capacity ?? Number.POSITIVE_INFINITY) / 4)));
    this.#low = Math.min(low, Math.ceil(this.#batch / 2));
    this.#forkServer = forkServer;
    this.#parent = folder;
    this.#folder = join(folder, `${process.pid}-${Date.now().toString(36)}`);
    this.#kind = stdinHolder ? 'directory' : 'fifo';
    this.#stdinHolder = stdinHolder;
    this.#trash = new Trash(dirname(folder));
    // The script of a killed server may still run for a moment and write to the folder, so it is moved to the trash.
    try {
      if (statFile(folder) !== undefined) void this.#trash.clear(this.#trash.put(folder));
    } catch {
      // A full disk. No name in the folder is used by this server.
    }
  }

  /**
   * Gives a FIFO or a directory to the caller. The directory, which the caller renames, holds a FIFO `stdin` and,
   * empty, `job.json stdout stderr process exit`. Waits only where none is ready.
   *
   * @throws the system's error, such as ENOSPC, where none can be made.
   */
  async take(): Promise<Spare> {
    let spare = this.#ready.pop();
    for (let discarded = 0; spare === undefined || !this.#isGood(spare); spare = this.#ready.pop()) {
      if (spare !== undefined) {
        this.#discard(spare);
        discarded += 1;
      }
      if (discarded > mostDiscarded) throw new Error('Cannot make job directories: something replaces them at once');
      await this.#refill('urgent');
    }
    // A failure is reported to the next caller that finds the pool empty.
    if (this.#ready.length < this.#low) this.#refill('ahead').catch(() => undefined);
    return spare;
  }

  /**
   * Whether nothing replaced it, or a file in it: that changes the inode or the time of change, which cannot be set
   * back (inode(7)).
   */
  #isGood({ path, lease: lease, made }: Spare): boolean {
    const now = statFile(path);
    return now?.ino === made.ino && now.ctimeMs === made.ctimeMs
      && (lease === undefined || this.#stdinHolder?.isCurrent(lease) === true);
  }

  /**
   * Discards all that are ready: where the state directory was removed, or the stdin holder ended, all are useless. The
   * files stay where they are, as a folder above them may be a link by now.
   */
  #discard(useless: Spare): void {
    for (const { lease: lease } of [useless, ...this.#ready.splice(0)])
      if (lease !== undefined) this.#stdinHolder?.releaseLater(lease);
  }

  /** Returns an unused one to the pool. */
  release(spare: Spare): void {
    this.#ready.push(spare);
  }

  async close(): Promise<void> {
    // No new refill may start: it would fill the folder that is being removed.
    this.#isClosed = true;
    await settlesWithin(Promise.allSettled(this.#refilling.values()), closeMs);
    if (statFile(this.#parent) === undefined) return;
    // Renamed first: a launcher forked a moment ago may still open its FIFO, and would create a file where there is no
    // FIFO.
    await removeFolder(this.#trash.put(this.#parent));
  }

  /** Background refills run at low priority; a caller that waits starts an urgent one of its own. */
  #refill(kind: 'ahead' | 'urgent'): Promise<void> {
    if (this.#isClosed) return Promise.reject(new Error('Cannot make job directories: they are closed'));
    const running = this.#refilling.get('urgent') ?? (kind === 'ahead' ? this.#refilling.get('ahead') : undefined);
    if (running) return running;
    const refilling = this.#make(kind === 'urgent').finally(() => this.#refilling.delete(kind));
    this.#refilling.set(kind, refilling);
    return refilling;
  }

  async #make(isUrgent: boolean, isAgain = false): Promise<void> {
    clearPlaceOf(this.#parent);
    clearPlaceOf(this.#folder);
    makeFolder(this.#folder, { mode: 0o700 });
    const names = Array.from({ length: this.#batch }, () => String(this.#made += 1));
    const paths = names.map((name) => join(this.#folder, name));
    try {
      await this.#forkServer.runTask(['/bin/sh', '-c', scripts[this.#kind], this.#folder, ...names], { isUrgent });
      this.#ready.push(...await this.#lease(paths));
    } catch (error) {
      await remove(paths);
      if (error instanceof TaskLostError && !isAgain) return this.#make(isUrgent, true);
      throw systemError(error as Error & Partial<TaskError>);
    }
  }

  async #lease(paths: readonly string[]): Promise<readonly Spare[]> {
    const leases = await this.#stdinHolder?.lease(paths.map((path) => join(path, 'stdin')));
    const spares: Spare[] = [];
    for (const [index, path] of paths.entries()) {
      const [lease, made] = [leases?.[index], statFile(path)];
      if (made !== undefined && (leases === undefined || lease !== undefined))
        spares.push({ path, lease: lease, made: { ino: made.ino, ctimeMs: made.ctimeMs } });
      else await remove([path]);
    }
    if (spares.length === 0)
      throw Object.assign(new Error('Cannot keep the stdin of jobs open: too many open files'), { code: 'EMFILE' });
    return spares;
  }
}

async function remove(paths: readonly string[]): Promise<void> {
  for (const path of paths) await removeFolder(path).catch(() => undefined);
}

const reasons: { readonly [words: string]: string } = {
  'No space left on device': 'ENOSPC',
  'Disk quota exceeded': 'EDQUOT',
  'Read-only file system': 'EROFS',
  'Permission denied': 'EACCES',
  'Too many open files': 'EMFILE',
  'Cannot fork': 'EAGAIN',
};

/** Finds the system's error in the output of the script's programs (strerror(3), in the C locale). */
function systemError(error: Error & Partial<TaskError>): Error {
  const { stderr = '' } = error;
  const words = Object.keys(reasons).find((reason) => stderr.includes(reason));
  if (words === undefined) return error;
  return Object.assign(new Error(`Cannot make job directories: ${words}`, { cause: error }), { code: reasons[words] });
}
