/**
 * Writes into the stdin of running jobs, one write of a job after another. Every wait has a limit.
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Nudged } from '../../protocol/jobs/job.ts';
import { ProblemError } from '../../protocol/problem.ts';
import { type TrackedJob, until } from '../tracked-job.ts';
import type { Runner } from './runner.ts';
import type { JobStore } from '../store/store.ts';

/** How long a job may read nothing before a write fails. */
const stalledMs = 10_000;
/** How long a write waits for a launcher to claim the job. */
const startMs = 10_000;
/** How many writes to one job may be in progress or wait for each other. */
const maxWaiting = 16;
/** PIPE_BUF (pipe(7)): a write of up to so many bytes is atomic. */
const atomicBytes = 4096;

export interface StdinOptions {
  /** Whether the job reads the end of its input afterwards. */
  readonly eof: boolean;
  /** Milliseconds for which the job may read nothing. Default: 10 s. */
  readonly stalledMs?: number;
  /** Called before the first byte is written. */
  readonly begin?: (() => void) | undefined;
}

export class StdinWriter {
  readonly #runner: Runner;
  readonly #store: JobStore;
  readonly #busy = new Map<TrackedJob, { waiting: number; last: Promise<unknown> }>();
  #isClosing = false;

  constructor(runner: Runner, store: JobStore) {
    this.#runner = runner;
    this.#store = store;
  }

  /**
   * Writes all of `bytes` as the job reads them; with `eof` the job then reads the end of its input.
   *
   * @returns how many bytes the job was given.
   * @throws ProblemError job_not_running; stdin_closed; stdin_full, with `writtenBytes`, where the job reads nothing
   * for 10 s.
   */
  async write(job: TrackedJob, bytes: Uint8Array, options: StdinOptions): Promise<number> {
    const before = this.#busy.get(job) ?? { waiting: 0, last: Promise.resolve() };
    if (before.waiting >= maxWaiting) throw full(job, 0, `${maxWaiting} writes are waiting already`);
    const mine = before.last.then(() => this.#write(job, bytes, options));
    const chain = { waiting: before.waiting + 1, last: mine.catch(() => undefined) };
    this.#busy.set(job, chain);
    try {
      return await mine;
    } finally {
      const now = this.#busy.get(job);
      if (now && now.waiting > 1) this.#busy.set(job, { ...now, waiting: now.waiting - 1 });
      else this.#busy.delete(job);
    }
  }

  /** {@link write} for a client. @throws ProblemError stdin_closed where the server itself uses the stdin. */
  async writeForClient(job: TrackedJob, bytes: Uint8Array, options: StdinOptions): Promise<number> {
    refuseInteractive(job);
    return await this.write(job, bytes, options);
  }

  /** See `JobActions.nudge`. */
  async nudge(job: TrackedJob, input: string, begin?: () => void): Promise<Nudged> {
    try {
      const bytes = Buffer.from(input);
      // A write of up to PIPE_BUF bytes fits into a FIFO at once or not at all.
      await this.writeForClient(job, bytes, {
        eof: false, begin, ...(bytes.length <= atomicBytes ? { stalledMs: 0 } : {}),
      });
      return { nudged: true, processAlive: !job.isFinished };
    } catch (error) {
      if (!(error instanceof ProblemError) || error.status !== 409) throw error;
      const writtenBytes = Number(error.extensions['writtenBytes'] ?? 0);
      return {
        nudged: false, reason: error.message, processAlive: job.state.is === 'running',
        ...(writtenBytes > 0 ? { writtenBytes } : {}),
      };
    }
  }

  async #write(job: TrackedJob, bytes: Uint8Array, options: StdinOptions): Promise<number> {
    await this.#started(job);
    options.begin?.();
    let written = 0;
    let deadline = performance.now() + (options.stalledMs ?? stalledMs);
    for (let waitMs = 1; written < bytes.length; waitMs = Math.min(waitMs * 2, 100)) {
      const result = this.#runner.writeStdin(job, bytes.subarray(written));
      if (result === 'closed') throw closed(job, written);
      if (result !== 'full') {
        written += result.writtenBytes;
        deadline = performance.now() + (options.stalledMs ?? stalledMs);
        waitMs = 1;
      }
      if (written === bytes.length) break;
      if (this.#isClosing) throw full(job, written, 'the server is shutting down');
      if (performance.now() >= deadline) {
        throw full(job, written, 'no more fits, as it has not read what it was given before');
      }
      await sleep(waitMs);
    }
    if (options.eof) this.#close(job, written);
    return written;
  }

  /** Makes writes that wait for a job to read fail with stdin_full. */
  close(): void {
    this.#isClosing = true;
  }

  /** Waits until a launcher has claimed the job: before that, no process of the job has its stdin open. */
  async #started(job: TrackedJob): Promise<void> {
    const deadline = performance.now() + startMs;
    if (job.state.is === 'running' && job.request.stdin === 'fifo') {
      while (!job.isFinished && this.#mayBeClaimedYet(job) && performance.now() < deadline) {
        await until(job, () => job.isFinished, { limitMs: 5 });
      }
    }
    if (job.state.is === 'pending') {
      throw new ProblemError('job_not_running', `Cannot write to job ${job.id}: it waits to be started`);
    }
    if (job.isFinished) throw new ProblemError('job_not_running', `Cannot write to job ${job.id}: it has finished`);
    if (job.request.stdin !== 'fifo') throw closed(job, 0);
  }

  /** No job that has lost the file of its claim is waited for. */
  #mayBeClaimedYet({ id }: TrackedJob): boolean {
    return !this.#store.isClaimed(id) && !this.#store.isProcessLost(id);
  }

  #close(job: TrackedJob, writtenBytes: number): void {
    const isClosed = this.#runner.closeStdin(job);
    // Without its name the FIFO cannot be opened for writing any more, not after a restart either.
    if (isClosed) this.#store.removeStdin(job.id);
    else if (!job.isFinished) {
      throw new ProblemError('unavailable',
        `Cannot close the stdin of job ${job.id}: what keeps it open is gone`,
        { extensions: { writtenBytes } });
    }
  }
}

/** The server uses the stdin of an interactive job to talk to its process. */
function refuseInteractive({ id, kind: { interaction } }: TrackedJob): void {
  if (interaction) {
    throw new ProblemError('stdin_closed', `Cannot write to the stdin of job ${id}: ${interaction.stdinRefusal}`);
  }
}

function closed(job: TrackedJob, writtenBytes: number): ProblemError {
  const why = job.request.stdin === 'fifo' ? 'it has closed it' : 'it was given with the job, or is empty';
  return new ProblemError('stdin_closed',
    `Cannot write to the stdin of job ${job.id}: ${why}`, { extensions: { writtenBytes } });
}

function full(job: TrackedJob, writtenBytes: number, why: string): ProblemError {
  return new ProblemError('stdin_full',
    `Cannot write to the stdin of job ${job.id}: ${why}`, { extensions: { writtenBytes } });
}
