/**
 * Accepts jobs: checks a request, gives it an id and a directory, and starts or queues the job.
 * @module
 */
import { randomInt } from 'node:crypto';
import { defined } from '../base/defined.ts';
import type { Log } from '../base/log.ts';
import type { TimeSlicer } from '../base/time-slicer.ts';
import { jobIdFactory, type JobId } from '../protocol/ids.ts';
import type { JobRequest } from '../protocol/jobs/exec.ts';
import { ProblemError } from '../protocol/problem.ts';
import type { Variables } from '../process/environment/secrets.ts';
import type { Spare, SparePool } from '../process/launcher/spares.ts';
import type { StdinHolder } from '../process/launcher/stdin-holder.ts';
import { checkSame, type Idempotency } from '../process/state/idempotency.ts';
import { workdirFor } from '../process/workdir.ts';
import { type JobRecord, statusOf } from './job.ts';
import type { RequestCheck, SubmitOptions } from './kind.ts';
import type { JobKinds } from './kinds.ts';
import type { Runner } from './run/runner.ts';
import type { JobIndex } from './store/job-index.ts';
import { storageProblem } from './store/storage-problem.ts';
import type { JobStore } from './store/store.ts';
import type { TrackedJob } from './tracked-job.ts';

export interface AdmissionOptions {
  /** The environment that every job inherits. */
  readonly inherited: Variables;
  /** Whether this machine can give a job a pseudo-terminal. */
  readonly hasTty: () => boolean;
  /** Job directories made ahead, and what keeps the stdin in them open; `undefined`: none are made. */
  readonly ahead: { readonly spares: SparePool; readonly stdinHolder: StdinHolder } | undefined;
  readonly maxQueued: number;
  readonly log: Log;
}

/** The parts of `Jobs` that an admission uses. */
export interface AdmissionContext {
  readonly kinds: JobKinds;
  readonly store: JobStore;
  readonly runner: Runner;
  readonly index: Pick<JobIndex, 'byKey'>;
  readonly pace: TimeSlicer;
  /** Unix seconds. */
  readonly now: () => number;
  /** Makes the job known, which is on disk. */
  readonly track: (record: JobRecord) => TrackedJob;
  /** Called once a job was started or queued. */
  readonly onAccepted: () => void;
}

export class Admission {
  readonly #options: AdmissionOptions;
  readonly #context: AdmissionContext;
  #nextId: () => JobId = jobIdFactory({ now: Date.now, random: randomInt });
  #isClosed = false;
  /** Whether the missing start directory was logged. */
  #hasWarnedOfWorkdir = false;

  constructor(options: AdmissionOptions, context: AdmissionContext) {
    this.#options = options;
    this.#context = context;
  }

  /** Makes the ids of later jobs follow that of the last job of an earlier server. */
  continueAfter(last: JobId | undefined): void {
    this.#nextId = jobIdFactory({ now: Date.now, random: randomInt, ...defined({ last }) });
  }

  /** Refuses new jobs. */
  close(): void {
    this.#isClosed = true;
  }

  /** See `Jobs.submit`. */
  async submit(request: JobRequest, options: SubmitOptions = {}): Promise<TrackedJob> {
    if (request.tty !== undefined && !this.#options.hasTty()) {
      throw new ProblemError('not_supported',
        'Cannot give the job a terminal: this machine has no script(1) and stty(1); see sidecar doctor');
    }
    const { workdir, warning } = await workdirFor(request.workdir, this.#options.inherited);
    if (warning !== undefined) this.#warnOfWorkdir(warning);
    const kind = this.#context.kinds.of(request.program);
    const { warnings: noted = [], output }: RequestCheck = await kind.check?.({ ...request, workdir }) ?? {};
    const warnings = [...(warning === undefined ? [] : [warning]), ...noted];
    const spare = await this.#takeSpare();
    await this.#context.pace.turn();
    // Nothing is awaited from here on: of two requests with one key the second finds the job of the first.
    let isUsed = false;
    try {
      const known = this.#findRepeated(options.idempotency);
      if (known) return known;
      this.#admit({ ...request, workdir });
      const program = kind.admit?.({ ...request, workdir }) ?? request.program;
      isUsed = true;
      return this.#accept({ ...request, program, workdir, ...defined({ output }) }, { ...options, warnings }, spare);
    } finally {
      if (!isUsed && spare) this.#options.ahead?.spares.release(spare);
    }
  }

  /** Logs once that the start directory is gone. */
  #warnOfWorkdir(warning: string): void {
    if (!this.#hasWarnedOfWorkdir) this.#options.log.warn('the start directory has gone', { warning });
    this.#hasWarnedOfWorkdir = true;
  }

  /** The job that was submitted with this key. @throws ProblemError idempotency_mismatch. */
  #findRepeated(idempotency: Idempotency | undefined): TrackedJob | undefined {
    const known = idempotency && this.#context.index.byKey(idempotency.key);
    if (!known?.idempotency || !idempotency) return undefined;
    checkSame(known.idempotency, idempotency);
    return known;
  }

  #accept(
    request: JobRecord['request'],
    options: SubmitOptions & { readonly warnings: readonly string[] },
    spare: Spare | undefined,
  ): TrackedJob {
    const { idempotency, rerunOf, continues, warnings } = options;
    const now = this.#context.now();
    const hasRoom = this.#context.runner.hasRoom(this.#prerequisitesOf(request));
    // The stdin of a queued job is held only once the job's turn comes: the stdin holder may not be able to hold all.
    const hold = request.stdin === undefined && hasRoom ? spare?.lease : undefined;
    if (hold === undefined) this.#releaseSpare(spare);
    const record: JobRecord = {
      jobId: this.#nextId(),
      request,
      submittedAt: now,
      ...defined({ rerunOf, continues }),
      ...(warnings.length === 0 ? {} : { warnings }),
      ...defined({ idempotency, hold }),
      state: hasRoom ? { is: 'running', startedAt: now } : { is: 'pending' },
    };
    try {
      this.#context.store.create(record, spare?.path);
    } catch (error) {
      this.#releaseSpare(spare);
      throw error;
    }
    const job = this.#context.track(record);
    if (record.state.is === 'running') this.#context.runner.start(job, record);
    else this.#context.runner.enqueue(job);
    this.#options.log.info('job accepted', {
      jobId: job.id, mode: job.request.mode, status: statusOf(record.state),
    });
    this.#context.onAccepted();
    return job;
  }

  async #takeSpare(): Promise<Spare | undefined> {
    try {
      return await this.#options.ahead?.spares.take();
    } catch (error) {
      throw storageProblem('Cannot take on the job', error);
    }
  }

  /** Releases the stdin of an unneeded spare directory. */
  #releaseSpare(spare: Spare | undefined): void {
    if (spare?.lease !== undefined) this.#options.ahead?.stdinHolder.release(spare.lease);
  }

  /** What a job may have to wait for. */
  #prerequisitesOf(request: JobRecord['request']): Parameters<Runner['hasRoom']>[0] {
    return { sessionKey: this.#context.kinds.of(request.program).sessionKeyOf?.(request), labels: request.labels };
  }

  #admit(request: JobRecord['request']): void {
    if (this.#isClosed) {
      throw new ProblemError('shutting_down', 'Cannot take on the job: the server is shutting down',
        { headers: { 'Retry-After': '2' } });
    }
    const { runner } = this.#context;
    const { runningCount: running, queuedCount: queued } = runner;
    if (runner.hasRoom(this.#prerequisitesOf(request)) || queued < this.#options.maxQueued) return;
    throw new ProblemError('too_many_jobs',
      `Cannot take on the job: ${running} are running and ${queued} are waiting`,
      { headers: { 'Retry-After': '5' }, extensions: { running, queued } });
  }
}
