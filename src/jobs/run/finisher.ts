/**
 * What is done when a job finishes: its state is written, its stdin removed, and the processes that it left are found.
 * @module
 */
import { join } from 'node:path';
import { defined } from '../../base/defined.ts';
import type { Log } from '../../base/log.ts';
import type { TimeSlicer } from '../../base/time-slicer.ts';
import { drainFifo } from '../../process/launcher/fifo.ts';
import type { Starter } from '../../process/launcher/starter.ts';
import { type Outcome, statusOf } from '../job.ts';
import type { JobStore } from '../store/store.ts';
import type { TrackedJob } from '../tracked-job.ts';
import { defaultEnding } from './execution.ts';
import { measure } from './measure.ts';
import { OrphanFinder } from './orphan-finder.ts';

export interface FinisherOptions {
  readonly store: JobStore;
  readonly starter: Pick<Starter, 'releaseStdin'>;
  readonly log: Log;
  readonly pace: TimeSlicer;
  /** Called when a finished job has left processes that were not known. */
  readonly onLingering: (job: TrackedJob) => void;
}

export class Finisher {
  readonly #options: FinisherOptions;
  readonly #orphans: OrphanFinder;
  #isClosed = false;

  constructor(options: FinisherOptions) {
    this.#options = options;
    this.#orphans = new OrphanFinder({ log: options.log, onFound: options.onLingering });
  }

  /** @param options.isOnDisk The exit file says how the job ended. */
  finish(job: TrackedJob, outcome: Outcome, options: { readonly isOnDisk: boolean }): void {
    const { state } = job;
    this.#explain(job, outcome);
    measure(job, this.#options.store);
    if (!job.isSearching) this.#drainStdin(job);
    job.state = { is: 'finished', startedAt: state.is === 'running' ? state.startedAt : null, outcome };
    // The exit file is enough, except for what it does not hold.
    if (!options.isOnDisk || job.warnings.length > 0 || job.shellEnded !== undefined) this.save(job);
    const { reason, exitCode } = outcome;
    this.#options.log.info('job finished', { jobId: job.id, status: statusOf(job.state), reason, exitCode });
    this.#cleanUpProcesses(job);
    this.#orphans.searchLater(job);
    if (!job.isSearching) this.#releaseStdin(job);
  }

  /** Records how a job of an earlier server ended. */
  finishRecovered(job: TrackedJob, outcome: Outcome, isOnDisk: boolean): void {
    const { state } = job;
    const wasFinished = state.is === 'finished';
    if (!wasFinished) this.#explain(job, outcome);
    if (!wasFinished) job.shellEnded = job.kind.shellEndedWith?.(job, this.#options.store.directory(job.id));
    measure(job, this.#options.store);
    if (job.request.stdin === 'fifo' && !wasFinished) this.#removeStdin(job);
    job.state = { is: 'finished', startedAt: state.is === 'pending' ? null : state.startedAt, outcome };
    if (!isOnDisk || (!wasFinished && job.shellEnded !== undefined)) this.save(job);
    if (!wasFinished) this.#cleanUpProcesses(job);
    this.#orphans.searchLater(job);
  }

  /** Lists the processes that a job has left, whose first was `pid`; the job finishes before that. Never rejects. */
  async findOrphans(job: TrackedJob, pid: number): Promise<void> {
    job.isSearching = true;
    await this.#orphans.search(job, pid);
    job.isSearching = false;
    if (!this.#isClosed) {
      this.#drainStdin(job);
      this.#releaseStdin(job);
    }
    job.changed();
  }

  /** Writes a state that only the server knows; where that fails, the job is marked as unsaved, to be saved again. */
  save(job: TrackedJob): void {
    try {
      const { warnings, cut, shellStarted, shellEnded } = job;
      const notes = warnings.length === 0 ? {} : { warnings, cut: [...cut] };
      this.#options.store.writeState(job.id, job.state, { ...notes, ...defined({ shellStarted, shellEnded }) });
      job.isUnsaved = false;
    } catch (error) {
      if (!job.isUnsaved) this.#options.log.warn('cannot write the state of the job', { jobId: job.id, error });
      job.isUnsaved = true;
    }
  }

  /** Nothing is written about the jobs any more. */
  close(): void {
    this.#isClosed = true;
    this.#orphans.close();
  }

  /** Called before the job's output is measured for the last time. */
  #explain(job: TrackedJob, outcome: Outcome): void {
    try {
      job.kind.explain?.(job, outcome, this.#options.store.directory(job.id));
    } catch (error) {
      // A full disk, or a file that the job has replaced: acpError says the same.
      this.#options.log.warn('cannot write into the output of the job how it ended', { jobId: job.id, error });
    }
  }

  /** Ends what must not outlive the job. */
  #cleanUpProcesses(job: TrackedJob): void {
    job.kind.cleanUp?.(job, defaultEnding(job)).catch((error: unknown) =>
      this.#options.log.warn('cannot end what is left of the job', { jobId: job.id, error }));
  }

  /** Discards and counts the input that the job has not read, unless a process that outlived it may still read it. */
  #drainStdin(job: TrackedJob): void {
    if (!job.hasInput || job.lingering.length > 0) return;
    job.stdinUnreadBytes = drainFifo(join(this.#options.store.directory(job.id), 'stdin'));
  }

  /** Releases the stdin in a later turn: an answer that waits for the job comes first. */
  #releaseStdin(job: TrackedJob): void {
    if (job.request.stdin !== 'fifo') return;
    setImmediate(() => this.#options.pace.run(() => this.#removeStdin(job)));
  }

  #removeStdin(job: TrackedJob): void {
    this.#options.store.removeStdin(job.id);
    if (!job.isStdinClosed) this.#options.starter.releaseStdin(job.stdinLease);
    job.isStdinClosed = true;
  }
}
